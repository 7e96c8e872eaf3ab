"""The TPU kernels, interpreted on a CPU, against the plain forms in float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax.kernels import decode_tpu, flash_attention_tpu, reference


def normal(rng, dtype, *shapes):
  return [jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes]


def segments(rng, rows, length):
  """Packed rows: random segments of at least one token, padding of id 0 at the end."""
  ids = np.sort(rng.integers(1, 5, (rows, length)), axis=1)
  return jnp.asarray(np.where(np.arange(length) < length - length // 5, ids, 0))


@pytest.mark.parametrize(
  'length, heads, widths, dtype, bound',
  [
    (300, (4, 2), (24, 16), 'float32', 1e-5),
    (256, (2, 2), (16, 16), 'bfloat16', 0.03),
    (1, (2, 1), (8, 8), 'float32', 1e-5),
  ],
)
def test_attention_and_its_gradients_equal_the_plain_form(length, heads, widths, dtype, bound):
  rng, (N, Y), (H, U) = np.random.default_rng(0), heads, widths
  shapes = ((2, length, N, H), (2, length, Y, H), (2, length, Y, U))
  q, k, v = normal(rng, dtype, *shapes)
  segment = segments(rng, 2, length)
  cotangent = normal(rng, 'float32', (2, length, N, U))[0]
  blocks = flash_attention_tpu.Blocks(128, 128)

  def kernel(q, k, v):
    return flash_attention_tpu.attention(q, k, v, segment, 0.3, blocks, interpret=True)

  def plain(q, k, v):
    return reference.attention(q, k, v, segment, 0.3)

  out, pull = jax.vjp(jax.jit(kernel), q, k, v)
  full, full_pull = jax.vjp(plain, *(x.astype(jnp.float32) for x in (q, k, v)))
  found = (out, *pull(cotangent.astype(out.dtype)))
  for a, b in zip(found, (full, *full_pull(cotangent))):
    np.testing.assert_allclose(np.float32(a), b, atol=bound * max(1, np.abs(b).max()))


def keeps(rng, rows, slots):
  """Kept slots with empty blocks in front, in the middle and at the end."""
  keep = rng.random((rows, slots)) < 0.5
  keep[0, 16:], keep[1, :32], keep[2, 16:32] = False, False, False
  keep[np.arange(rows), [3, 40, 35]] = True
  return jnp.asarray(keep)


@pytest.mark.parametrize('dtype, bound', [('float32', 1e-5), ('bfloat16', 0.03)])
@pytest.mark.parametrize('slots', [48, 50])
def test_decoding_equals_the_plain_form_over_ragged_caches(slots, dtype, bound):
  rng = np.random.default_rng(slots)
  keep = keeps(rng, 3, slots)
  q, cache = normal(rng, dtype, (3, 4, 24), (3, slots, 24))
  out = decode_tpu.mla_decode(q, cache, keep, 16, 0.3, 16, interpret=True)
  plain = reference.mla_decode(*(x.astype(jnp.float32) for x in (q, cache)), keep, 16, 0.3)
  np.testing.assert_allclose(np.float32(out), plain, atol=bound)
  q, k, v = normal(rng, dtype, (3, 6, 24), (3, 2, 24, slots), (3, 2, slots, 8))
  out = decode_tpu.gqa_decode(q, k, v, keep, 0.3, 16, interpret=True)
  plain = reference.gqa_decode(*(x.astype(jnp.float32) for x in (q, k, v)), keep, 0.3)
  np.testing.assert_allclose(np.float32(out), plain, atol=bound)


def test_attention_leaves_no_query_out_where_blocks_have_sizes_that_do_not_divide_each_other():
  rng = np.random.default_rng(0)
  q, k, v = normal(rng, 'float32', *[(1, 384, 1, 8)] * 3)
  segment, blocks = jnp.ones((1, 384), jnp.int32), flash_attention_tpu.Blocks(256, 384)
  out = flash_attention_tpu.attention(q, k, v, segment, 0.3, blocks, interpret=True)
  np.testing.assert_allclose(out, reference.attention(q, k, v, segment, 0.3), atol=1e-5)


def test_slots_that_are_not_kept_may_hold_anything():
  rng, keep = np.random.default_rng(0), keeps(np.random.default_rng(1), 3, 50)
  q, cache = normal(rng, 'float32', (3, 4, 24), (3, 50, 24))
  junk = jnp.where(keep[:, :, None], cache, 1e30)
  latent = lambda c: decode_tpu.mla_decode(q, c, keep, 16, 0.3, 16, interpret=True)
  np.testing.assert_array_equal(latent(cache), latent(junk))
  rows = lambda c: jnp.stack([c, c], 1)
  heads = lambda c: decode_tpu.gqa_decode(
    q, rows(c).swapaxes(2, 3), rows(c), keep, 0.3, 16, interpret=True
  )
  np.testing.assert_array_equal(heads(cache), heads(junk))


def test_a_sequence_that_keeps_nothing_gets_zeros_and_runs_agree_bit_for_bit():
  rng = np.random.default_rng(0)
  q, cache = normal(rng, 'float32', (2, 4, 24), (2, 32, 24))
  keep = jnp.zeros((2, 32), bool).at[1, 5].set(True)
  runs = [decode_tpu.mla_decode(q, cache, keep, 16, 0.3, 16, interpret=True) for _ in range(2)]
  np.testing.assert_array_equal(*runs)
  assert not runs[0][0].any()
  np.testing.assert_allclose(runs[0][1], np.broadcast_to(cache[1, 5, :16], (4, 16)), rtol=1e-6)
