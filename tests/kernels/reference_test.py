"""The plain ops against loops over single queries in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax import kernels
from r1jax.kernels import oracle, reference

RNG = np.random.default_rng(0)


def normal(*shape):
  return RNG.normal(size=shape).astype(np.float32)


def attend(query_H, key_SH, value_SU, scale):
  """One query over the keys it may see."""
  score_S = key_SH @ query_H * scale
  weight_S = np.exp(score_S - score_S.max())
  return weight_S @ value_SU / weight_S.sum()


def packed(q, k, v, segment, scale):
  B, T, N, _ = q.shape
  out = np.zeros((B, T, N, v.shape[-1]))
  for b, t, n in np.ndindex(B, T, N):
    y = n * k.shape[2] // N
    seen = [s for s in range(t + 1) if segment[b, s] == segment[b, t]]
    out[b, t, n] = attend(q[b, t, n], k[b, seen, y], v[b, seen, y], scale)
  return out


@pytest.mark.parametrize('heads, key_heads', [(4, 4), (6, 2)])
def test_packed_attention_is_a_loop_over_queries(heads, key_heads):
  q, k, v = normal(2, 7, heads, 5), normal(2, 7, key_heads, 5), normal(2, 7, key_heads, 3)
  segment = np.array([[1, 1, 1, 2, 2, 2, 2], [1, 1, 2, 3, 3, 0, 0]])
  out = kernels.attention(q, k, v, jnp.asarray(segment), 0.7)
  np.testing.assert_allclose(out, packed(q, k, v, segment, 0.7), atol=1e-5)


@pytest.mark.parametrize('length', [75, 128, 130])
def test_long_rows_in_a_loop_of_blocks_have_the_values_and_gradients_of_the_oracle(
  monkeypatch, length
):
  # 75 tokens are spans of a block each, 128 of several, 130 leave some over.
  monkeypatch.setattr(reference, 'BLOCK', 8)
  monkeypatch.setattr(reference, 'REMADE', 32)
  operands = normal(2, length, 6, 5), normal(2, length, 2, 5), normal(2, length, 2, 3)
  segment, d = np.sort(RNG.integers(0, 4, (2, length)), 1), normal(2, length, 6, 3)
  product = lambda q, k, v: (kernels.attention(q, k, v, jnp.asarray(segment), 0.7) * d).sum()
  out = kernels.attention(*operands, jnp.asarray(segment), 0.7)
  np.testing.assert_allclose(out, oracle.attention(*operands, segment, 0.7), atol=1e-5)
  wanted = oracle.attention_gradients(operands, segment, 0.7, d)
  for found, true in zip(jax.grad(product, (0, 1, 2))(*operands), wanted, strict=True):
    np.testing.assert_allclose(found, true, atol=2e-5)


@pytest.mark.parametrize('length', [1, 64, 144, 513, 4096, 4097, 33_792, 34_000])
def test_spans_hold_every_query_once_and_no_block_is_too_large(length):
  spans = reference._spans(length)
  assert [start for start, _, _ in spans] == [0, *(end for _, end, _ in spans[:-1])]
  assert spans[-1][1] == length and len(spans) <= 9
  for start, end, blocks in spans:
    assert (end - start) % blocks == 0 and (end - start) // blocks <= reference.BLOCK


@pytest.mark.parametrize('form', ['reference', 'cpu'])
def test_latent_decoding_reads_the_kept_slots_and_returns_the_latent_part(form):
  q, cache, keep = normal(3, 4, 6), normal(3, 9, 6), RNG.random((3, 9)) < 0.5
  keep[:, 2] = True
  out = kernels.mla_decode(q, cache, jnp.asarray(keep), 4, 0.3, form)
  for b, n in np.ndindex(3, 4):
    rows = cache[b, keep[b]]
    np.testing.assert_allclose(out[b, n], attend(q[b, n], rows, rows[:, :4], 0.3), atol=1e-5)


def test_grouped_query_decoding_reads_the_kept_slots_of_its_own_key_head():
  q, k, v = normal(3, 6, 5), normal(3, 2, 5, 9), normal(3, 2, 9, 4)
  keep = RNG.random((3, 9)) < 0.5
  keep[:, 2] = True
  out = kernels.gqa_decode(q, k, v, jnp.asarray(keep), 0.3)
  for b, n in np.ndindex(3, 6):
    key, value = k[b, n // 3][:, keep[b]].T, v[b, n // 3, keep[b]]
    np.testing.assert_allclose(out[b, n], attend(q[b, n], key, value, 0.3), atol=1e-5)


def test_rows_without_any_key_are_finite_forward_and_backward():
  keep = jnp.zeros((1, 5), bool)

  def loss(q, cache):
    return kernels.mla_decode(q, cache, keep, 2, 1.0).sum()

  value, gradients = jax.value_and_grad(loss, argnums=(0, 1))(normal(1, 2, 3), normal(1, 5, 3))
  assert all(np.isfinite(x).all() for x in (value, *gradients))


@pytest.mark.parametrize('sizes', [(3, 0, 4), (0, 0, 0), (1, 8, 2)])
def test_grouped_matmul_gives_each_group_its_matrix_and_zero_beyond(sizes):
  x, w = normal(11, 4), normal(3, 4, 5)
  expected, start = np.zeros((11, 5)), 0
  for size, matrix in zip(sizes, w):
    expected[start : start + size] = x[start : start + size] @ matrix
    start += size
  out = kernels.grouped_matmul(x, w, jnp.array(sizes, jnp.int32))
  np.testing.assert_allclose(out, expected, atol=1e-5)
