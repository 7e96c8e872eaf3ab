"""llama.cpp runs our GGUF files and says what our sampler says.

Opt-in, since llama-cpp-python compiles: install it anywhere and name that interpreter,

    R1JAX_LLAMA_CPP=/path/to/python pytest tests/interchange/llama_cpp_test.py
"""

import json
import os
import subprocess

import jax
import pytest

from r1jax.data import template, tokenizer
from r1jax.interchange import gguf, huggingface, source
from r1jax.sampling import sample, stream
from tests.interchange import families

NEW = 64
PROGRAM = """
import json, sys
import llama_cpp

path, text, given = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
how = dict(n_ctx=512, n_threads=1, n_threads_batch=1, verbose=False, type_k=0, type_v=0)
llm = llama_cpp.Llama(path, **how)
ids = llm.tokenize(text.encode(), add_bos=True, special=True) if text else given
out = []
for token in llm.generate(ids, temp=0.0, top_k=1, repeat_penalty=1.0):
  out.append(token)
  if len(out) == int(sys.argv[4]):
    break
print(json.dumps([ids, out]))
"""


def llama_cpp(path, text='', ids=()):
  """(prompt ids, NEW greedy tokens) by llama.cpp."""
  python = os.environ.get('R1JAX_LLAMA_CPP')
  if not python:
    pytest.skip('set R1JAX_LLAMA_CPP to a Python that has llama-cpp-python')
  command = [python, '-c', PROGRAM, str(path), text, json.dumps(list(ids)), str(NEW)]
  run = subprocess.run(command, capture_output=True, text=True, check=False)
  assert run.returncode == 0, run.stderr[-3000:]
  return json.loads(run.stdout.splitlines()[-1])


def ours(folder, ids):
  """NEW greedy tokens by our sampler."""
  cfg = huggingface.read_config(folder, remat=False)
  params = stream.prepare(huggingface.load(folder, cfg, cfg.param_dtype), cfg)
  scfg = sample.SampleConfig(group=1, max_new=NEW, temperature=0)
  return list(stream.tokens(params, cfg, scfg, ids, jax.random.key(0)))


def test_the_shipped_model_says_the_same_64_tokens(tmp_path, one_device):
  folder = source.open('tiny')
  path = gguf.export(folder, tmp_path, 'f32')
  text = template.render('What is 3 + 4 - 2 + 5 + 1 - 6?')
  ids, tokens = llama_cpp(path, text)
  assert ids == tokenizer.load(folder).encode(text, bos=True)
  assert tokens == ours(folder, ids)


@pytest.mark.parametrize('name', ['qwen2', 'qwen2_yarn', 'qwen3', 'llama', 'deepseek_v3'])
def test_every_family_says_the_same_64_tokens(name, tmp_path, one_device):
  families.write(tmp_path, name)
  families.write_tokenizer(tmp_path)
  path = gguf.export(tmp_path, tmp_path / 'gguf', 'f32')
  ids = families.prompts()[0].tolist()
  _, tokens = llama_cpp(path, ids=ids)
  assert tokens == ours(tmp_path, ids)
