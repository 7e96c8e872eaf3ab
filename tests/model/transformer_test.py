"""The transformer's properties: causal, packed, decoded step by step, rematerialised, unrolled."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax.model import transformer
from tests.model import tiny

B, T = 4, 12
UNROLLED = dataclasses.replace(tiny.MLA, scan_layers=False, remat=False)


@pytest.fixture(scope='module', autouse=True)
def mesh():
  with tiny.mesh():
    yield


@pytest.fixture(scope='module')
def params():
  return tiny.weights(tiny.MLA)


@functools.partial(jax.jit, static_argnames='cfg')
def pull(params, cfg, rows, probe_BTV):
  """Gradient of sum(logits * probe)."""
  return jax.grad(lambda w: (tiny.scores(w, cfg, rows)[0] * probe_BTV).sum())(params)


@functools.partial(jax.jit, static_argnames='cfg')
def decode(params, cfg, token_B, position_B, cache):
  hidden_BD, cache = transformer.decode_step(params, cfg, token_B, position_B, cache)
  return transformer.logits(params, cfg, hidden_BD), cache


def probe(seed=0):
  return np.random.default_rng(seed).normal(size=(B, T, 64)).astype(np.float32)


@pytest.mark.parametrize('cfg', [UNROLLED, tiny.GQA], ids=['mla_unrolled', 'gqa_scanned'])
def test_decoding_step_by_step_is_the_forward_pass(cfg):
  # Sequences start at different times, as in slots that refill; latent attention is absorbed in
  # decoding and plain in the forward pass. What a row held before is not seen.
  weights, start = tiny.weights(cfg), np.array([0, 3, 1, 7])
  rows = jax.tree.map(lambda x: tiny.put(np.asarray(x)), tiny.rows([[T]] * B, T))
  expected, output = tiny.forward(weights, cfg, rows)
  cache = jax.tree.map(jnp.ones_like, output.entries)
  for t in range(T + start.max()):
    place_B = np.clip(t - start, 0, T - 1).astype(np.int32)
    token_B = np.asarray(rows.token)[np.arange(B), place_B]
    logits_BV, cache = decode(weights, cfg, tiny.put(token_B), tiny.put(place_B), cache)
    gap_B = np.abs(np.asarray(logits_BV) - np.asarray(expected)[np.arange(B), place_B]).max(-1)
    assert gap_B.max() < 1e-4, f'step {t}'


def test_no_logit_depends_on_later_tokens_or_on_other_segments(params):
  # Each of the B * T tokens is a different one, so the embedding's gradient tells positions apart.
  rows = tiny.rows([[5, 4], [12], [1, 11], [3, 3, 3]], T)
  token_BT = np.arange(1, B * T + 1).reshape(B, T).astype(np.int32)
  rows = rows.replace(token=tiny.put(token_BT, name='rows'))
  segment_BT = np.asarray(rows.segment)
  for t in range(T):
    one = np.where(np.arange(T)[:, None] == t, probe(), 0).astype(np.float32)
    gradient_VD = np.asarray(pull(params, tiny.MLA, rows, one)['embed'])
    reached_BT = np.abs(gradient_VD[token_BT]).max(-1) > 0
    allowed_BT = (np.arange(T) <= t) & (segment_BT == segment_BT[:, t : t + 1])
    np.testing.assert_array_equal(reached_BT, allowed_BT, err_msg=f'logits at {t}')


def test_a_sequence_alone_has_the_logits_of_the_sequence_packed_with_others(params):
  packed = tiny.rows([[5, 4, 3], [7, 5], [12], [2, 6]], T)
  together = np.asarray(tiny.forward(params, tiny.MLA, packed)[0])
  alone = tiny.rows([[5], [4], [3], [7]], T)
  token_BT, places = np.array(alone.token), [(0, 0, 5), (0, 5, 9), (0, 9, 12), (1, 0, 7)]
  for b, (row, start, end) in enumerate(places):
    token_BT[b, : end - start] = np.asarray(packed.token)[row, start:end]
  apart = np.asarray(
    tiny.forward(params, tiny.MLA, alone.replace(token=tiny.put(token_BT, name='rows')))[0]
  )
  for b, (row, start, end) in enumerate(places):
    np.testing.assert_allclose(apart[b, : end - start], together[row, start:end], atol=1e-5)


def test_rows_of_padding_are_finite_forward_and_backward(params):
  rows = tiny.rows([[], [5], [12], []], T)
  assert np.isfinite(tiny.forward(params, tiny.MLA, rows)[0]).all()
  gradient = pull(params, tiny.MLA, rows, probe())
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_scanned_rematerialised_and_offloaded_layers_have_the_gradient_of_plain_ones(params):
  rows = tiny.rows([[5, 4], [12], [1, 11], [3, 3, 3]], T)
  plain = pull(params, UNROLLED, rows, probe())
  for cfg in (tiny.MLA, dataclasses.replace(tiny.MLA, offload=True)):
    assert tiny.worst(pull(params, cfg, rows, probe()), plain) < 1e-5


def test_bfloat16_is_finite_and_near_float32(params):
  cfg = dataclasses.replace(tiny.MLA, compute_dtype='bfloat16', param_dtype='bfloat16')
  rows = tiny.rows([[5, 4], [12], [1, 11], [3, 3, 3]], T)
  low = np.asarray(tiny.forward(tiny.weights(cfg), cfg, rows)[0])
  high = np.asarray(tiny.forward(params, tiny.MLA, rows)[0])
  assert low.dtype == np.float32
  assert np.isfinite(low).all()
  assert np.corrcoef(low.ravel(), high.ravel())[0, 1] > 0.98


def test_padding_is_not_counted_by_the_router(params):
  rows = tiny.rows([[5], [12], [], [3, 3]], T)
  _, output = tiny.forward(params, tiny.MLA, rows)
  np.testing.assert_array_equal(output.router['load_LE'].sum(1), [23 * 3] * 2)
  assert output.router['balance'].shape == (2,)
