"""Writes a small Qwen2 of random weights with the real Qwen2 tokenizer, as if from the hub.

python -m tests.interchange.random_qwen2 FOLDER      # from the top of the repository
"""

import gzip
import json
import pathlib
import sys

import jax

from r1jax import params, sharding
from r1jax.interchange import huggingface
from r1jax.model import config, transformer
from tests import shared_data

CONFIG = config.ModelConfig(
  vocab=151_936,
  width=64,
  layers=2,
  heads=4,
  attention='gqa',
  q_latent=0,
  kv_latent=0,
  head_nope=0,
  head_rope=16,
  head_value=16,
  kv_heads=2,
  qkv_bias=True,
  ffn=128,
  dense_layers=2,
  moe=None,
  mtp_layers=0,
  rope=config.RopeConfig(theta=1_000_000.0),
  tied=True,
  init_std=0.1,
  max_length=4096,
  compute_dtype='float32',
  param_dtype='float32',
)


def write(folder):
  """Fills `folder` (created where absent): 9.8M parameters, 39 MB."""
  folder = pathlib.Path(folder)
  with jax.set_mesh(sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1])):
    weights = params.init(transformer.specs(CONFIG), jax.random.key(0), CONFIG.init_std, 'float32')
    huggingface.save(folder, weights, CONFIG)
  real = shared_data.path('qwen2/tokenizer.json.gz').read_bytes()
  (folder / 'tokenizer.json').write_bytes(gzip.decompress(real))
  for name in ('tokenizer_config.json', 'chat_template.jinja'):
    (folder / name).write_bytes(shared_data.path(f'qwen2/{name}').read_bytes())
  ids = {'bos_token_id': 151_643, 'eos_token_id': [151_645, 151_643]}
  (folder / 'generation_config.json').write_text(json.dumps(ids))


if __name__ == '__main__':
  write(sys.argv[1])
