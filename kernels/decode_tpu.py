"""One query per sequence against a cache, as Mosaic TPU kernels, forward only.

A decoding step is bound by reading the cache. Blocks of slots without a kept one are neither read
nor computed, so that a step costs what its sequences have written, not what is allocated.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from r1jax.kernels import varying

MASKED = -1e30
SLOTS = 1024  # a block of the cache: chosen by the compiler's schedule, README.md


def mla_decode(q_BNA, cache_BSA, keep_BS, value_width, scale, slots=SLOTS, *, interpret=False):
  """Same contract as `reference.mla_decode`, but a sequence that keeps no slot gets zeros."""
  cache = cache_BSA[:, None]
  out = _decode(q_BNA[:, None], cache, None, keep_BS, (value_width, scale, slots, interpret))
  return out[:, 0]


def gqa_decode(q_BNH, k_BYHS, v_BYSU, keep_BS, scale, slots=SLOTS, *, interpret=False):
  """Same contract as `reference.gqa_decode`, but a sequence that keeps no slot gets zeros."""
  (B, N, H), Y, U = q_BNH.shape, k_BYHS.shape[1], v_BYSU.shape[3]
  q_BYGH = q_BNH.reshape(B, Y, N // Y, H)
  out = _decode(q_BYGH, k_BYHS, v_BYSU, keep_BS, (U, scale, slots, interpret))
  return out.reshape(B, N, U)


def _live(keep_BS, slots):
  """[B, blocks] of the cache: the latest block up to each with a kept slot; itself, if it has."""
  B, S = keep_BS.shape
  padded = jnp.pad(keep_BS, ((0, 0), (0, -S % slots)))
  kept = padded.reshape(B, -1, slots).any(-1)
  index = jax.lax.broadcasted_iota(jnp.int32, kept.shape, 1)
  # A block that is skipped names the one before it: the pipeline sees the same index and copies
  # nothing.
  return jax.lax.cummax(jnp.where(kept, index, 0), axis=1), kept.astype(jnp.int32)


def _decode(q, k, v, keep_BS, how):
  """Queries [B, Y, G, H] over keys k [B, Y, H, S] and values v [B, Y, S, U]; without v over rows k
  [B, Y, S, H], whose first columns are the values."""
  (B, Y, G, H), S = q.shape, keep_BS.shape[1]
  width, scale, slots, interpret = how
  slots = min(slots, S)
  block, kept = _live(keep_BS, slots)
  row = lambda b, y, j, block, kept: (b, y, block[b, j], 0)
  column = lambda b, y, j, block, kept: (b, y, 0, block[b, j])
  if v is None:  # MLA: one copy of a row serves as key and, cut, as value
    caches, cache_specs = [k], [pl.BlockSpec((1, 1, slots, H), row)]
  else:
    caches = [k, v]
    cache_specs = [
      pl.BlockSpec((1, 1, H, slots), column),
      pl.BlockSpec((1, 1, slots, width), row),
    ]
  specs = [
    pl.BlockSpec((1, 1, G, H), lambda b, y, j, block, kept: (b, y, 0, 0)),
    pl.BlockSpec((1, 1, slots), lambda b, y, j, block, kept: (b, 0, block[b, j])),
    *cache_specs,
  ]
  run = pl.pallas_call(
    partial(_kernel, width, scale, S if S % slots else 0),
    grid_spec=pltpu.PrefetchScalarGridSpec(
      num_scalar_prefetch=2,
      grid=(B, Y, pl.cdiv(S, slots)),
      in_specs=specs,
      out_specs=pl.BlockSpec((1, 1, G, width), lambda b, y, j, block, kept: (b, y, 0, 0)),
      scratch_shapes=[pltpu.VMEM((G, n), jnp.float32) for n in (1, 1, width)],
    ),
    out_shape=varying.output((B, Y, G, width), q.dtype, q),
    compiler_params=pltpu.CompilerParams(dimension_semantics=('parallel', 'parallel', 'arbitrary')),
    interpret=interpret,
    name='decode',
  )
  return run(block, kept, q, keep_BS.astype(jnp.int32)[:, None], *caches)


def _kernel(width, scale, ragged, block, kept, *refs):
  """One block of slots: the running softmax of all queries that share it."""
  q, keep, k, *v, out, top, total, acc = refs
  b, j = pl.program_id(0), pl.program_id(2)

  @pl.when(j == 0)
  def start():
    top[...] = jnp.full_like(top, MASKED)
    total[...] = jnp.zeros_like(total)
    acc[...] = jnp.zeros_like(acc)

  @pl.when(kept[b, j] > 0)
  def live():
    keys = k[0, 0]
    values, across = (v[0][0, 0], 0) if v else (keys[:, :width], 1)
    visible = keep[0] > 0
    if ragged:  # what lies behind the cache's end may be anything, NaN included
      first = j * visible.shape[1]
      visible = visible & (jax.lax.broadcasted_iota(jnp.int32, visible.shape, 1) + first < ragged)
      row = jax.lax.broadcasted_iota(jnp.int32, values.shape, 0) + first
      values = jnp.where(row < ragged, values, jnp.zeros_like(values))
    score = jax.lax.dot_general(
      q[0, 0], keys, (((1,), (across,)), ((), ())), preferred_element_type=jnp.float32
    )
    score = jnp.where(visible, score * scale, MASKED)
    # The running softmax: older sums shrink by `fade` where a block has a larger score.
    new_top = jnp.maximum(top[...], score.max(1, keepdims=True))
    weight = jnp.where(visible, jnp.exp(score - new_top), 0)
    fade = jnp.exp(top[...] - new_top)
    total[...] = total[...] * fade + weight.sum(1, keepdims=True)
    mixed = jnp.dot(weight.astype(values.dtype), values, preferred_element_type=jnp.float32)
    acc[...] = acc[...] * fade + mixed
    top[...] = new_top

  @pl.when(j == pl.num_programs(2) - 1)
  def end():
    out[0, 0] = (acc[...] / jnp.maximum(total[...], 1e-30)).astype(out.dtype)
