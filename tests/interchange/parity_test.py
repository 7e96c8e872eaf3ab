"""Imported checkpoints compute what the reference implementation does (see make_reference.py)."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax import sharding
from r1jax.interchange import huggingface
from r1jax.model import cache as cache_lib
from r1jax.model import transformer
from r1jax.sampling import sample, stream
from tests.interchange import families

STORED = np.load(pathlib.Path(__file__).parent / 'reference.npz')
PROMPTS = families.prompts()
TOLERANCE = 1e-4
# The variants (untied, yarn, plain query) differ in prefill only where they differ at all.
GENERATING = ['qwen2', 'qwen3', 'qwen3_moe', 'llama', 'deepseek_v3']


@pytest.fixture(scope='module', params=list(families.CONFIGS))
def model(request, tmp_path_factory):
  folder = tmp_path_factory.mktemp(request.param)
  families.write(folder, request.param)
  with jax.set_mesh(sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1])):
    cfg = huggingface.read_config(folder, remat=False)
    yield request.param, cfg, huggingface.load(folder, cfg, 'float32')


def put(array):
  return sharding.put(np.asarray(array, np.int32), sharding.act('batch', None))


def forward(params, cfg, token_BT, segment_BT, position_BT):
  """Hidden states and logits, [B, T, *], by the jitted model."""

  @jax.jit
  def run(params, token_BT, segment_BT, position_BT):
    out = transformer.forward(params, cfg, token_BT, segment_BT, position_BT)
    return out, transformer.logits(params, cfg, out.hidden_XD)

  out, logits_XV = run(params, put(token_BT), put(segment_BT), put(position_BT))
  return out, np.asarray(logits_XV).reshape(*np.shape(token_BT), -1)


def rows():
  """(tokens, segments, positions) of two rows, and (row, start, stop) of each prompt in them.

  Both prompts are packed into the first row, the second prompt stands alone in the second; padding
  behind both.
  """
  token, segment, position = np.zeros((3, 2, 72), np.int32)
  spans, start = [], 0
  for number, prompt in enumerate(PROMPTS):
    spans.append((number, 0, start, start + len(prompt)))
    start += len(prompt)
  spans.append((1, 1, 0, len(PROMPTS[1])))
  for number, row, start, stop in spans:
    token[row, start:stop], segment[row, start:stop] = PROMPTS[number], number + 1
    position[row, start:stop] = np.arange(stop - start)
  return (token, segment, position), spans


def test_prefill_agrees_packed_and_padded(model):
  name, cfg, params = model
  arrays, spans = rows()
  _, logits = forward(params, cfg, *arrays)
  for number, row, start, stop in spans:
    stored = STORED[f'{name}/logits/{number}']
    np.testing.assert_allclose(logits[row, start:stop], stored, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize('model', ['deepseek_v3', 'deepseek_v3_plain_q'], indirect=True)
def test_the_prediction_of_the_token_after_next_agrees(model):
  name, cfg, params = model
  arrays, spans = rows()
  token, segment, position = (put(a) for a in arrays)

  @jax.jit
  def ahead(params, next_BT):
    out = transformer.forward(params, cfg, token, segment, position)
    hidden_XD, _ = transformer.predict_ahead(params, cfg, out.hidden_XD, next_BT, segment, position)
    return transformer.logits(params, cfg, hidden_XD)

  logits_XV = np.asarray(ahead(params, put(np.roll(arrays[0], -1, 1))))
  logits = logits_XV.reshape(*arrays[0].shape, -1)
  for number, row, start, stop in spans:
    stored = STORED[f'{name}/ahead/{number}']
    np.testing.assert_allclose(logits[row, start : stop - 1], stored, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize('model', GENERATING, indirect=True)
def test_decoding_step_by_step_agrees(model):
  name, cfg, params = model
  prompt, given = PROMPTS[0], 5
  arrays = prompt[None, :given], np.ones((1, given)), np.arange(given)[None]
  out, _ = forward(params, cfg, *arrays)

  @jax.jit
  def step(params, token_B, at, cache):
    at_B = jax.reshard(at[None], sharding.act('batch'))
    hidden_BD, cache = transformer.decode_step(params, cfg, token_B, at_B, cache)
    return transformer.logits(params, cfg, hidden_BD), cache

  cache = cache_lib.grow(out.entries, len(prompt))
  for at in range(given, len(prompt)):
    logits, cache = step(params, jnp.asarray(prompt[at : at + 1]), jnp.int32(at), cache)
    stored = STORED[f'{name}/logits/0'][at]
    np.testing.assert_allclose(np.asarray(logits)[0], stored, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize('model', GENERATING, indirect=True)
def test_greedy_generations_are_identical(model):
  name, cfg, params = model
  new = STORED[f'{name}/greedy/0'].size
  scfg = sample.SampleConfig(group=1, max_new=new, temperature=0)
  width = max(map(len, PROMPTS))
  token = np.stack([np.pad(p, (0, width - len(p))) for p in PROMPTS])
  lengths = sharding.put(np.array([len(p) for p in PROMPTS], np.int32), sharding.act('batch'))
  limits = {'cap': np.int32(new), 'stop_KW': np.array([[-7]], np.int32)}
  key = jax.random.key(0)
  out = sample.generate(params, cfg, scfg, put(token), lengths, key, **limits)
  for i in range(len(PROMPTS)):
    assert np.asarray(out.token_BT)[i].tolist() == STORED[f'{name}/greedy/{i}'].tolist()
  streamed = stream.tokens(stream.prepare(params, cfg), cfg, scfg, PROMPTS[1].tolist(), key)
  assert list(streamed) == STORED[f'{name}/greedy/1'].tolist()
