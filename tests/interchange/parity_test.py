"""Imported checkpoints compute what the reference implementation does (see make_reference.py)."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax import sharding
from r1jax.interchange import huggingface
from r1jax.model import transformer
from r1jax.sampling import sample, stream
from tests.interchange import families

STORED = np.load(pathlib.Path(__file__).parent / 'reference.npz')
PROMPTS = families.prompts()
TOLERANCE = 1e-4


@pytest.fixture(params=list(families.CONFIGS))
def model(request, tmp_path, one_device):
  families.write(tmp_path, request.param)
  cfg = huggingface.read_config(tmp_path, remat=False)
  return request.param, cfg, huggingface.load(tmp_path, cfg, 'float32')


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


def packed():
  """Both prompts in one row with padding behind, and (start, stop) of each."""
  width = 72
  token, segment, position = np.zeros((3, 1, width), np.int32)
  spans, start = [], 0
  for number, prompt in enumerate(PROMPTS):
    stop = start + len(prompt)
    token[0, start:stop], segment[0, start:stop] = prompt, number + 1
    position[0, start:stop] = np.arange(len(prompt))
    spans.append((start, stop))
    start = stop
  return (token, segment, position), spans


def test_prefill_agrees_with_padding_behind(model):
  name, cfg, params = model
  width = max(map(len, PROMPTS))
  token = np.stack([np.pad(p, (0, width - len(p))) for p in PROMPTS])
  position = np.broadcast_to(np.arange(width), token.shape)
  segment = position < np.array([[len(p)] for p in PROMPTS])
  _, logits = forward(params, cfg, token, segment, position)
  for i, prompt in enumerate(PROMPTS):
    stored = STORED[f'{name}/logits/{i}']
    np.testing.assert_allclose(logits[i, : len(prompt)], stored, rtol=0, atol=TOLERANCE)


def test_packed_rows_agree_and_so_does_the_prediction_ahead(model):
  name, cfg, params = model
  arrays, spans = packed()
  out, logits = forward(params, cfg, *arrays)
  for i, (start, stop) in enumerate(spans):
    stored = STORED[f'{name}/logits/{i}']
    np.testing.assert_allclose(logits[0, start:stop], stored, rtol=0, atol=TOLERANCE)
  if not cfg.mtp_layers:
    return
  token, segment, position = (put(a) for a in arrays)

  @jax.jit
  def ahead(params, hidden_XD, next_BT):
    hidden_XD, _ = transformer.predict_ahead(params, cfg, hidden_XD, next_BT, segment, position)
    return transformer.logits(params, cfg, hidden_XD)

  logits = np.asarray(ahead(params, out.hidden_XD, put(np.roll(arrays[0], -1, 1))))
  for i, (start, stop) in enumerate(spans):
    stored = STORED[f'{name}/ahead/{i}']
    np.testing.assert_allclose(logits[start : stop - 1], stored, rtol=0, atol=TOLERANCE)


def test_decoding_step_by_step_agrees(model):
  name, cfg, params = model
  prompt, given = PROMPTS[0], 5
  arrays = prompt[None, :given], np.ones((1, given)), np.arange(given)[None]
  out, _ = forward(params, cfg, *arrays)
  spare = len(prompt) - given

  def grow(x):
    return jnp.pad(x, [(0, spare if i == x.ndim - 2 else 0) for i in range(x.ndim)])

  @jax.jit
  def step(params, token_B, at, cache):
    keep_BS = jax.reshard(jnp.arange(len(prompt))[None] <= at, sharding.act('batch', None))
    at_B = jax.reshard(at[None], sharding.act('batch'))
    hidden_BD, cache = transformer.decode_step(params, cfg, token_B, at_B, at, keep_BS, cache)
    return transformer.logits(params, cfg, hidden_BD), cache

  cache = jax.tree.map(grow, out.entries)
  for at in range(given, len(prompt)):
    logits, cache = step(params, jnp.asarray(prompt[at : at + 1]), jnp.int32(at), cache)
    stored = STORED[f'{name}/logits/0'][at]
    np.testing.assert_allclose(np.asarray(logits)[0], stored, rtol=0, atol=TOLERANCE)


def test_greedy_generations_are_identical(model):
  name, cfg, params = model
  new = STORED[f'{name}/greedy/0'].size
  scfg = sample.SampleConfig(group=1, max_new=new, temperature=0)
  width = max(map(len, PROMPTS))
  token = np.stack([np.pad(p, (0, width - len(p))) for p in PROMPTS])
  lengths = sharding.put(np.array([len(p) for p in PROMPTS], np.int32), sharding.act('batch'))
  never = jnp.array([[-7]], jnp.int32)
  key = jax.random.key(0)
  out = sample.generate(params, cfg, scfg, put(token), lengths, key, jnp.int32(new), never)
  for i, prompt in enumerate(PROMPTS):
    stored = STORED[f'{name}/greedy/{i}'].tolist()
    assert np.asarray(out.token_BT)[i].tolist() == stored
    streamed = stream.tokens(stream.prepare(params, cfg), cfg, scfg, prompt.tolist(), key)
    assert list(streamed) == stored
