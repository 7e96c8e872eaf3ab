"""The GPU attention, interpreted on a CPU with its warpgroups and barriers, against float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.pallas.mosaic_gpu.interpret.params import InterpretGPUParams

from r1jax.kernels import flash_attention_gpu, oracle

INTERPRET = InterpretGPUParams(detect_races=True)
SCALE = 0.3


def draw(rng, sizes):
  """q, k, v and the cotangent of the result, in bfloat16."""
  B, T, N, Y, H, U = sizes
  shapes = ((B, T, N, H), (B, T, Y, H), (B, T, Y, U), (B, T, N, U))
  return [jnp.asarray(rng.normal(size=shape), jnp.bfloat16) for shape in shapes]


def packed(rng, rows, length):
  """Segments that end anywhere, and padding."""
  ids = np.sort(rng.integers(1, 4, (rows, length)), axis=1)
  return np.int32(np.where(np.arange(length) < length - length // 5, ids, 0))


def pulled(q, k, v, segment, d):
  """The result and the three gradients."""

  def run(q, k, v):
    return flash_attention_gpu.attention(q, k, v, segment, SCALE, interpret=INTERPRET)

  out, pull = jax.vjp(run, q, k, v)
  return out, *pull(d)


@pytest.mark.parametrize(
  'sizes, singles',
  [
    ((1, 200, 2, 1, 40, 64), False),  # two tiles, widths and length padded, a shared key head
    ((2, 128, 1, 1, 64, 64), False),  # two rows of other segments
    ((1, 65, 1, 1, 192, 128), True),  # V3's widths; every token a segment of its own
  ],
)
def test_attention_and_its_gradients_equal_float64_without_a_race(sizes, singles, capsys):
  rng = np.random.default_rng(0)
  q, k, v, d = draw(rng, sizes)
  segment = np.arange(sizes[1], dtype=np.int32)[None] + 1 if singles else packed(rng, *sizes[:2])
  found = jax.block_until_ready(jax.jit(pulled)(q, k, v, segment, d))
  assert 'RACE' not in capsys.readouterr().out  # of any of the three kernels
  q, k, v, d = (np.float64(x) for x in (q, k, v, d))
  expected = (
    oracle.attention(q, k, v, segment, SCALE),
    *oracle.attention_gradients((q, k, v), segment, SCALE, d),
  )
  for a, b in zip(found, expected):
    np.testing.assert_allclose(np.float64(a), b, atol=0.03 * max(1, np.abs(b).max()))


def test_operands_of_32_bits_are_refused():
  x = jnp.zeros((1, 128, 1, 64))
  with pytest.raises(ValueError, match='16 bits.*float32'):
    flash_attention_gpu.attention(x, x, x, jnp.ones((1, 128), jnp.int32), SCALE)
