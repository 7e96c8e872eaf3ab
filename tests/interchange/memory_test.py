"""Import keeps little on the host: measured in its own process on a sparse file of gigabytes."""

import json
import os
import subprocess
import sys

import numpy as np

from r1jax.interchange import huggingface, names, tensors

CONFIG = dict(
  model_type='llama',
  vocab_size=1024,
  hidden_size=1024,
  intermediate_size=4096,
  num_hidden_layers=40,
  num_attention_heads=32,
  num_key_value_heads=32,
  head_dim=128,
  hidden_act='silu',
  max_position_embeddings=256,
  rms_norm_eps=1e-6,
  tie_word_embeddings=False,
  torch_dtype='bfloat16',
)
PROGRAM = """
import sys
import jax
from r1jax import sharding
from r1jax.interchange import huggingface

cfg = huggingface.read_config(sys.argv[1])
total = largest = 0
with jax.set_mesh(sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1])):
  for path, array in huggingface.stream(sys.argv[1], cfg, 'bfloat16'):
    total, largest = total + array.nbytes, max(largest, array.nbytes)
    del array
with open('/proc/self/status') as status:
  peak = next(int(line.split()[1]) << 10 for line in status if line.startswith('VmHWM'))
print(total, largest, peak)
"""


def write_sparse(folder):
  """A checkpoint whose header describes gigabytes of zeros that take no room on the disk."""
  (folder / 'config.json').write_text(json.dumps(CONFIG))
  header, offset = {}, 0
  for entry in names.table(huggingface.read_config(folder)):
    size = 2 * int(np.prod(entry.shape))
    header[entry.name] = dict(
      dtype='BF16', shape=list(entry.shape), data_offsets=[offset, offset + size]
    )
    offset += size
  raw = json.dumps(header).encode()
  with open(folder / tensors.SINGLE, 'wb') as file:
    file.write(len(raw).to_bytes(8, 'little') + raw)
    file.truncate(8 + len(raw) + offset)
  return offset


def test_host_memory_stays_under_the_largest_stacked_tensor_and_one_gib(tmp_path):
  size = write_sparse(tmp_path)
  env = os.environ | {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': ''}
  command = [sys.executable, '-c', PROGRAM, str(tmp_path)]
  run = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
  total, largest, peak = map(int, run.stdout.split())
  assert total >= size > 2 << 30
  assert peak < largest + (1 << 30) < total, f'{peak=} {largest=} {total=}'
