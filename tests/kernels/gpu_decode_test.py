"""The GPU decoding, interpreted on a CPU with its warpgroups and barriers, against float64.

A program of the kernel's grid takes the interpreter two seconds, whatever it does, so that there
are few.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.pallas.mosaic_gpu.interpret import gpu_callbacks
from jax._src.pallas.mosaic_gpu.interpret.params import InterpretGPUParams

from r1jax.kernels import decode_gpu, oracle

INTERPRET = InterpretGPUParams(detect_races=True)
SCALE = 0.3
SLOTS = 768  # twelve blocks of MLA, six of GQA


def normal(rng, dtype, *shapes):
  return [np.asarray(jnp.asarray(rng.normal(size=shape), dtype)) for shape in shapes]


def keeps(rng, *live):
  """Kept slots [B, S], about half of those between two ends, for several ranges a sequence."""
  keep = np.zeros((len(live), SLOTS), bool)
  for row, ranges in zip(keep, live):
    for start, end in ranges:
      row[start:end] = rng.random(end - start) < 0.5
      row[end - 1] = True
  return keep


# Blocks without a slot in front, in the middle and at the end; a block with a single one.
RAGGED = ((130, 300), (511, 512), (520, 640))


def filled(x, keep, axis, block):
  """What is never read is NaN; slots of the other blocks that are not kept hold any number."""
  live = keep.reshape(len(keep), -1, block).any(-1).repeat(block, 1)
  shape = [len(keep), *(keep.shape[1] if i == axis else 1 for i in range(1, x.ndim))]
  keep, live = keep.reshape(shape), live.reshape(shape)
  most = float(jnp.finfo(x.dtype).max)
  return jnp.asarray(np.where(keep, x, np.where(live, most, np.nan)).astype(x.dtype))


def check(found, expected):
  assert not gpu_callbacks.get_races().races_found
  np.testing.assert_allclose(np.float32(found), expected, atol=0.03)


@pytest.mark.parametrize(
  'live, splits, dtype',
  [
    ([RAGGED, ()], 1, 'bfloat16'),  # the second sequence keeps nothing
    ([((0, 1), (700, 768))], 3, 'float16'),  # three blocks for two programs, none for the third
  ],
)
def test_mla_decoding_equals_float64_without_a_race(live, splits, dtype):
  rng = np.random.default_rng(splits)
  keep = keeps(rng, *live)
  q, cache = normal(rng, dtype, (len(live), 4, 192), (len(live), SLOTS, 192))
  holed = filled(cache, keep, 1, decode_gpu.SLOTS)
  out = decode_gpu.mla_decode(q, holed, keep, 128, SCALE, splits, interpret=INTERPRET)
  check(out, oracle.mla_decode(q, cache, keep, 128, SCALE))
  assert out.dtype == q.dtype


@pytest.mark.parametrize(
  'live, heads, splits, widths',
  [
    ([RAGGED], (6, 2), 1, (128, 64)),
    ([RAGGED, ()], (2, 1), 2, (64, 128)),
    ([((0, 70),)], (70, 1), 1, (64, 64)),  # more queries than a program takes
  ],
)
def test_gqa_decoding_equals_float64_without_a_race(live, heads, splits, widths):
  rng, B, (N, Y), (H, U) = np.random.default_rng(splits), len(live), heads, widths
  keep = keeps(rng, *live)
  q, k, v = normal(rng, 'bfloat16', (B, N, H), (B, Y, H, SLOTS), (B, Y, SLOTS, U))
  block = 2 * decode_gpu.SLOTS
  holed = filled(k, keep, 3, block), filled(v, keep, 2, block)
  out = decode_gpu.gqa_decode(q, *holed, keep, SCALE, splits, interpret=INTERPRET)
  check(out, oracle.gqa_decode(q, k, v, keep, SCALE))
  assert out.dtype == q.dtype


def test_the_list_of_live_blocks_has_them_in_order():
  keep = np.zeros((2, 512), bool)
  keep[0, [70, 300]] = True
  order, count = decode_gpu._live(keep, 64)
  assert order[0, :2].tolist() == [1, 4] and count.tolist() == [2, 0]


@pytest.mark.parametrize(
  'programs, blocks, splits',
  [
    (16, 64, 8),  # 128 programs for 132 processors
    (67, 64, 3),  # two rounds of a third each end before one round of whole ones
    (100, 64, 1),
    (132, 64, 1),
    (1, 64, 16),  # no share of less than four blocks
    (1, 1, 1),
  ],
)
def test_sequences_are_shared_where_processors_would_idle(programs, blocks, splits):
  assert decode_gpu._splits(programs, blocks) == splits


def zeros(*shape, dtype='bfloat16'):
  return jnp.zeros(shape, dtype)


@pytest.mark.parametrize(
  'q, cache, value_width, why',
  [
    (zeros(1, 4, 576), zeros(1, 100, 576), 512, 'whole blocks of 64 slots, .* has 100: .* 128'),
    (zeros(1, 4, 576, dtype='float32'), zeros(1, 128, 576), 512, 'operands of 16 bits'),
    (zeros(1, 4, 80), zeros(1, 128, 80), 64, 'rows of width 80'),
    (zeros(1, 4, 256), zeros(1, 128, 256), 192, 'values of width 192'),
    (zeros(1, 4, 512), zeros(1, 128, 512), 512, 'no positions'),
    (zeros(1, 4, 704), zeros(1, 128, 704), 640, 'values of width 640'),
    (zeros(1, 4, 640), zeros(1, 128, 640), 512, 'two blocks of 81,920 bytes'),
  ],
)
def test_mla_caches_that_the_kernel_does_not_take_are_refused(q, cache, value_width, why):
  keep = jnp.ones(cache.shape[:2], bool)
  with pytest.raises(ValueError, match=why):
    decode_gpu.mla_decode(q, cache, keep, value_width, SCALE)


@pytest.mark.parametrize(
  'widths, slots, why',
  [
    ((64, 64), 192, 'whole blocks of 128 slots, .* has 192: .* 256'),
    ((96, 64), 128, 'keys of width 96'),
    ((64, 32), 128, 'values of width 32'),
    ((256, 256), 128, 'two blocks of 131,072 bytes'),
  ],
)
def test_gqa_caches_that_the_kernel_does_not_take_are_refused(widths, slots, why):
  H, U = widths
  k, v = zeros(1, 2, H, slots), zeros(1, 2, slots, U)
  with pytest.raises(ValueError, match=why):
    decode_gpu.gqa_decode(zeros(1, 4, H), k, v, jnp.ones((1, slots), bool), SCALE)


def lowered(f, *operands):
  """`f` under `shard_map` over two devices, as far as the compiler of GPUs, which is elsewhere."""
  mesh = jax.make_mesh((2,), ('rows',))
  spec = jax.P('rows')
  with jax.set_mesh(mesh):
    island = jax.shard_map(f, in_specs=(spec,) * len(operands), out_specs=spec)
    sharding = jax.NamedSharding(mesh, spec)
    operands = [jax.ShapeDtypeStruct(*x, sharding=sharding) for x in operands]
    return jax.jit(island).trace(*operands).lower(lowering_platforms=('cuda',)).as_text()


@pytest.mark.parametrize('sequences', [8, 512])
def test_v3s_shapes_lower_for_a_gpu(sequences):
  def run(q, cache, keep):
    return decode_gpu.mla_decode(q, cache, keep, 512, SCALE)

  shapes = ((sequences, 128, 576), (sequences, 4096, 576))
  operands = [(shape, jnp.bfloat16) for shape in shapes]
  assert 'mosaic_gpu' in lowered(run, *operands, ((sequences, 4096), bool))


@pytest.mark.parametrize('width', [64, 128])
def test_qwens_shapes_lower_for_a_gpu(width):
  def run(q, k, v, keep):
    return decode_gpu.gqa_decode(q, k, v, keep, SCALE)

  shapes = ((8, 12, width), (8, 2, width, 4096), (8, 2, 4096, width))
  assert 'mosaic_gpu' in lowered(run, *((s, jnp.bfloat16) for s in shapes), ((8, 4096), bool))
