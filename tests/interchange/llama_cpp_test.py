"""llama.cpp runs our GGUF files and says what our sampler says.

Opt-in, since llama-cpp-python compiles: install it anywhere and name that interpreter,

    R1JAX_LLAMA_CPP=/path/to/python pytest tests/interchange/llama_cpp_test.py
"""

import dataclasses
import json
import os
import subprocess

import jax
import pytest

from r1jax import params
from r1jax.data import template, tokenizer
from r1jax.interchange import checkpoints, gguf, huggingface
from r1jax.model import transformer
from r1jax.sampling import sample, stream
from tests import shared_data
from tests.data import hub_tokenizer_test
from tests.interchange import families, random_qwen2

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


CUTTER = """
import json, sys
import llama_cpp

llm = llama_cpp.Llama(sys.argv[1], vocab_only=True, verbose=False)
texts = json.load(open(sys.argv[2]))
print(json.dumps([llm.tokenize(text.encode(), add_bos=False, special=True) for text in texts]))
"""


def answer(program, *arguments):
  """What a program for the Python with llama.cpp prints as JSON in its last line."""
  python = os.environ.get('R1JAX_LLAMA_CPP')
  if not python:
    pytest.skip('set R1JAX_LLAMA_CPP to a Python that has llama-cpp-python')
  command = [python, '-c', program, *map(str, arguments)]
  run = subprocess.run(command, capture_output=True, text=True, check=False)
  assert run.returncode == 0, run.stderr[-3000:]
  return json.loads(run.stdout.splitlines()[-1])


def llama_cpp(path, text='', ids=()):
  """(prompt ids, NEW greedy tokens) by llama.cpp."""
  return answer(PROGRAM, path, text, json.dumps(list(ids)), NEW)


def ours(folder, ids):
  """NEW greedy tokens by our sampler."""
  cfg = huggingface.read_config(folder, remat=False)
  params = stream.prepare(huggingface.load(folder, cfg, cfg.param_dtype), cfg)
  scfg = sample.SampleConfig(group=1, max_new=NEW, temperature=0)
  return list(stream.tokens(params, cfg, scfg, ids, jax.random.key(0)))


def test_the_shipped_model_says_the_same_64_tokens(tmp_path, one_device):
  folder = checkpoints.open('tiny')
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


@pytest.mark.parametrize('name, vocab', [('qwen2', 151_936), ('deepseek_r1', 129_280)])
def test_real_vocabularies_give_the_same_ids(name, vocab, tmp_path, one_device):
  cfg = dataclasses.replace(random_qwen2.CONFIG, vocab=vocab, layers=1, dense_layers=1)
  weights = params.init(transformer.specs(cfg), jax.random.key(0), 0.1, 'float32')
  huggingface.save(tmp_path, weights, cfg)
  tok = tokenizer.load(hub_tokenizer_test.unpack(name, tmp_path))
  path = gguf.export(tmp_path, tmp_path / 'gguf', 'q8_0')
  cases = shared_data.path('qwen2/encode_cases.inp').read_bytes().decode()
  texts = [*cases.split(hub_tokenizer_test.MARK), ''.join(hub_tokenizer_test.R1_IDS)]
  (tmp_path / 'texts.json').write_text(json.dumps(texts))
  assert answer(CUTTER, path, tmp_path / 'texts.json') == [tok.encode(text) for text in texts]
