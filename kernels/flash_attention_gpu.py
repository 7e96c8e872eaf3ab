"""Causal attention of packed rows as Mosaic GPU kernels for Hopper, forward and backward.

A block is 128 queries of a head (backward also 128 keys), 64 for each of two warpgroups; a third
streams the other side through shared memory. Blocks without a visible pair are neither read nor
computed, and only those that the diagonal or a segment's end crosses are masked.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from r1jax.kernels import packing, varying, warpgroup
from r1jax.kernels.warpgroup import COMPUTE, LOG2E, MASKED, ROWS, SHARED, TILE, of_rows


def attention(q_BTNH, k_BTYH, v_BTYU, segment_BT, scale, interpret=None):
  """Same contract as `reference.attention`, operands of 16 bits.

  Rows are padded to whole tiles of 128 tokens, widths to multiples of 64.

  Raises:
    ValueError: operands of another type.
  """
  warpgroup.check_type('attention', q_BTNH, k_BTYH, v_BTYU)
  T, U = q_BTNH.shape[1], v_BTYU.shape[3]
  # Columns of zeros add nothing to a score, and give columns that are cut off again.
  wide = (warpgroup.padded(x, 3, warpgroup.LANES) for x in (q_BTNH, k_BTYH, v_BTYU))
  long = (warpgroup.padded(x, 1, TILE) for x in wide)
  segment_BT = warpgroup.padded(segment_BT.astype(jnp.int32), 1, TILE)
  return _attention(*long, segment_BT, scale, interpret)[:, :T, :, :U]


@partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _attention(q, k, v, segment, scale, interpret):
  return _forward(q, k, v, segment, scale, interpret)[0]


def _mask(whole, ids, at, scale):
  """What scores before their scale begin with: 0, or far below 0 where a pair is not visible.

  `ids` are (rows, columns), `at` has the positions (first row, first column) and which of the two
  are queries. A `whole` block has no such pair.
  """
  (first_row, first_column), query_axis = at
  shape = tuple(len(x) for x in ids)

  def masked():
    row_ids, column_ids = (jax.lax.broadcast_in_dim(x, shape, [i]) for i, x in enumerate(ids))
    # One side has the distance, which changes: what is the same for all blocks stays in registers.
    row = jax.lax.broadcasted_iota(jnp.int32, shape, 0) + (first_row - first_column)
    column = jax.lax.broadcasted_iota(jnp.int32, shape, 1)
    ordered = row >= column if query_axis == 0 else column >= row
    return jnp.where((row_ids == column_ids) & ordered, 0.0, MASKED / (scale * LOG2E))

  return jax.lax.cond(whole > 0, lambda: jnp.zeros(shape, jnp.float32), masked)


def _key_block(fixed, width):
  """(keys a block, stages) of the largest that fits beside `fixed` bytes; `width` bytes a key."""
  # Two stages at least: one is filled while the other is read.
  for keys, stages in ((128, 2), (64, 2)):
    if fixed + stages * keys * width <= SHARED:
      return keys, stages
  raise ValueError(f'attention: keys and values of {width} bytes per token exceed shared memory')


@dataclasses.dataclass(frozen=True)
class _Tile:
  """A tile of a head's queries and the blocks of keys that it sees, one step each.

  Attributes:
    how: tokens of a block, query heads a key head, scale, interpret.
    operands, buffers: keys, values and ids, in memory and in the stages.
    low, whole: tables of `packing`.
  """

  how: tuple
  operands: tuple
  buffers: tuple
  low: jax.Array
  whole: jax.Array
  stages: warpgroup.Stages

  @property
  def at(self):
    """(row of the batch, head, tile)."""
    return tuple(jax.lax.axis_index(name) for name in ('b', 'n', 'i'))

  @property
  def steps(self):
    """(first block, how many)."""
    b, _, i = self.at
    # Up to the block with the tile's own last token: causality ends there.
    first = self.low[b, i]
    return first, (i + 1) * (TILE // self.how[0]) - first

  def move(self):
    """Streams the blocks."""
    (keys, groups, *_), (b, n, _), (first, steps) = self.how, self.at, self.steps
    y, (k, v, segment) = jax.lax.div(n, jnp.int32(groups)), self.operands

    def copy(s, slot, barrier):
      rows = pl.ds((first + s) * keys, keys)
      sources = k.at[b, rows, y], v.at[b, rows, y], segment.at[b, rows]
      for source, buffer in zip(sources, self.buffers):
        plgpu.copy_gmem_to_smem(source, buffer.at[slot], barrier)

    self.stages.fill(steps, copy)

  def rows(self, group):
    """(position of the warpgroup's first query, its rows in memory)."""
    first = self.at[2] * TILE + group * ROWS
    return first, pl.ds(first, ROWS)

  def read(self, q, own, position, block, carry):
    """`block(score, keys, values, carry)` for each; `own` are the ids of the queries q."""
    (keys, _, scale, interpret), (b, _, i), (first, steps) = self.how, self.at, self.steps
    # Ids and masks are plain loads of a warpgroup, k and v operands of its tensor core.
    k_s, v_s, ids_s = self.buffers

    def step(s, slot, carry):
      j = first + s
      unmasked = self.whole[b, i, j]
      mask = _mask(unmasked, (own, ids_s[slot]), ((position, j * keys), 0), scale)
      score = warpgroup.accumulated(mask, q, k_s.at[slot], True, interpret)
      return block(score * (scale * LOG2E), k_s.at[slot], v_s.at[slot], carry)

    return self.stages.read(steps, step, carry)


def _buffers(leading, widths, dtype):
  """Arrays of these widths, and ids: one warpgroup's own rows, or a stage's."""
  arrays = [warpgroup.swizzled((*leading, width), dtype) for width in widths]
  return [*arrays, plgpu.SMEM(leading, jnp.int32)]


def _forward_kernel(how, *refs):
  q, k, v, segment, low, whole, out, norm, q_s, own_s, *refs = refs
  k_s, v_s, ids_s, out_s, norm_s, ready, *barriers = refs
  stages, interpret = warpgroup.Stages(k_s.shape[0], *barriers), how[-1]
  tile = _Tile(how, (k, v, segment), (k_s, v_s, ids_s), low, whole, stages)

  def compute(group):
    (b, n, _), (first, rows) = tile.at, tile.rows(group)
    plgpu.copy_gmem_to_smem(q.at[b, rows, n], q_s.at[group], ready.at[group])
    plgpu.copy_gmem_to_smem(segment.at[b, rows], own_s.at[group], ready.at[group])
    plgpu.barrier_wait(ready.at[group])

    def block(score, _, values, carry):
      acc, top, total = carry
      weight, fade, top, total = warpgroup.softmax_step(score, top, total)
      return warpgroup.mixed(acc, fade, weight.astype(q.dtype), values, interpret), top, total

    carry = warpgroup.before_softmax(v.shape[3])
    acc, top, total = tile.read(q_s.at[group], own_s[group], first, block, carry)
    out_s[group] = (acc / of_rows(total, acc.shape)).astype(out.dtype)
    # To the natural base, as on a TPU; a token sees itself, so that total > 0.
    norm_s[group] = top / LOG2E + jnp.log(total)
    plgpu.commit_smem()
    plgpu.copy_smem_to_gmem(out_s.at[group], out.at[b, rows, n])
    plgpu.copy_smem_to_gmem(norm_s.at[group], norm.at[b, n, rows])
    plgpu.wait_smem_to_gmem(0)

  warpgroup.roles(tile.move, compute)


def _forward(q, k, v, segment, scale, interpret):
  """Output [B, T, N, U]; saved: inputs, output and the log of each query's normaliser."""
  (B, T, N, H), (Y, U) = q.shape, v.shape[2:]
  size = q.dtype.itemsize
  keys, count = _key_block(TILE * (H + U) * size, (H + U) * size)
  tables = packing.overlap(segment, TILE, keys)[0], packing.whole(segment, TILE, keys)
  scratch = [
    *_buffers((COMPUTE, ROWS), (H,), q.dtype),
    *_buffers((count, keys), (H, U), q.dtype),
    warpgroup.swizzled((COMPUTE, ROWS, U), q.dtype),
    plgpu.SMEM((COMPUTE, ROWS), jnp.float32),
    plgpu.Barrier(num_arrivals=2, num_barriers=COMPUTE),
    *warpgroup.stage_barriers(count, copies=3),
  ]
  run = warpgroup.launch(
    'attention',
    partial(_forward_kernel, (keys, N // Y, scale, interpret)),
    [
      varying.output((B, T, N, U), v.dtype, q),
      varying.output((B, N, T), jnp.float32, q),
    ],
    {'n': N, 'i': T // TILE, 'b': B},
    scratch,
    interpret,
  )
  out, norm = run(q, k, v, segment, *tables)
  return out, (q, k, v, segment, out, norm)


def _query_kernel(how, *refs):
  """dq of a tile of queries."""
  q, k, v, segment, d_out, norm, slack, low, whole, d_q, q_s, d_out_s, own_s, *refs = refs
  figures_s, k_s, v_s, ids_s, ready, *barriers = refs
  stages, (*_, scale, interpret) = warpgroup.Stages(k_s.shape[0], *barriers), how
  tile = _Tile(how, (k, v, segment), (k_s, v_s, ids_s), low, whole, stages)

  def compute(group):
    (b, n, _), (first, rows) = tile.at, tile.rows(group)
    plgpu.copy_gmem_to_smem(q.at[b, rows, n], q_s.at[group], ready.at[group])
    plgpu.copy_gmem_to_smem(d_out.at[b, rows, n], d_out_s.at[group], ready.at[group])
    plgpu.copy_gmem_to_smem(segment.at[b, rows], own_s.at[group], ready.at[group])
    plgpu.copy_gmem_to_smem(norm.at[b, n, rows], figures_s.at[group, 0], ready.at[group])
    plgpu.copy_gmem_to_smem(slack.at[b, n, rows], figures_s.at[group, 1], ready.at[group])
    plgpu.barrier_wait(ready.at[group])
    # The saved normaliser gives weights at once, without a running softmax.
    top, less = figures_s[group, 0] * LOG2E, figures_s[group, 1]

    def block(score, keys, values, acc):
      weight = jnp.exp2(score - of_rows(top, score.shape))
      d_weight = warpgroup.product(d_out_s.at[group], values, True, interpret)
      d_score = weight * (d_weight - of_rows(less, score.shape))
      return warpgroup.accumulated(acc, d_score.astype(q.dtype), keys, False, interpret)

    acc = jnp.zeros((ROWS, q.shape[3]), jnp.float32)
    acc = tile.read(q_s.at[group], own_s[group], first, block, acc)
    # The queries have been read for the last time: their buffer takes the gradient.
    q_s[group] = (acc * scale).astype(d_q.dtype)
    plgpu.commit_smem()
    plgpu.copy_smem_to_gmem(q_s.at[group], d_q.at[b, rows, n])
    plgpu.wait_smem_to_gmem(0)

  warpgroup.roles(tile.move, compute)


def _query_gradient(q, k, v, segment, rows, how):
  (B, T, N, H), (Y, U) = q.shape, v.shape[2:]
  scale, interpret = how
  keys, count = 64, 2  # of 128 keys two stages would not fit beside q and d_out, at V3's widths
  scratch = [
    *_buffers((COMPUTE, ROWS), (H, U), q.dtype),
    plgpu.SMEM((COMPUTE, 2, ROWS), jnp.float32),
    *_buffers((count, keys), (H, U), q.dtype),
    plgpu.Barrier(num_arrivals=5, num_barriers=COMPUTE),  # as below, of the own rows
    *warpgroup.stage_barriers(count, copies=3),
  ]
  run = warpgroup.launch(
    'attention_dq',
    partial(_query_kernel, (keys, N // Y, scale, interpret)),
    varying.output(q.shape, q.dtype, q),
    {'n': N, 'i': T // TILE, 'b': B},
    scratch,
    interpret,
  )
  low, whole = packing.overlap(segment, TILE, keys)[0], packing.whole(segment, TILE, keys)
  return run(q, k, v, segment, *rows, low, whole)


def _key_kernel(how, *refs):
  """dk and dv of a tile of keys: scores stand transposed, [keys, queries]."""
  q, k, v, segment, d_out, norm, slack, high, whole, d_k, d_v, *scratch = refs
  k_s, v_s, own_s, q_s, d_out_s, ids_s, norm_s, slack_s, ready, *barriers = scratch
  queries, groups, scale, interpret = how
  b, y, j = (jax.lax.axis_index(name) for name in ('b', 'y', 'j'))
  stages = warpgroup.Stages(q_s.shape[0], *barriers)
  # From the diagonal on: earlier queries see none of the tile's keys.
  start = j * (TILE // queries)
  span = high[b, j] + 1 - start

  def move():
    def copy(s, slot, barrier):
      # All query heads of the key head, one after the other, so that no sum is left to do.
      n = y * groups + jax.lax.div(s, span)
      at = pl.ds((start + jax.lax.rem(s, span)) * queries, queries)
      plgpu.copy_gmem_to_smem(q.at[b, at, n], q_s.at[slot], barrier)
      plgpu.copy_gmem_to_smem(d_out.at[b, at, n], d_out_s.at[slot], barrier)
      plgpu.copy_gmem_to_smem(segment.at[b, at], ids_s.at[slot], barrier)
      plgpu.copy_gmem_to_smem(norm.at[b, n, at], norm_s.at[slot], barrier)
      plgpu.copy_gmem_to_smem(slack.at[b, n, at], slack_s.at[slot], barrier)

    stages.fill(groups * span, copy)

  def compute(group):
    first = j * TILE + group * ROWS
    rows = pl.ds(first, ROWS)
    plgpu.copy_gmem_to_smem(k.at[b, rows, y], k_s.at[group], ready.at[group])
    plgpu.copy_gmem_to_smem(v.at[b, rows, y], v_s.at[group], ready.at[group])
    plgpu.copy_gmem_to_smem(segment.at[b, rows], own_s.at[group], ready.at[group])
    plgpu.barrier_wait(ready.at[group])

    def block(s, slot, carry):
      d_key, d_value = carry
      i = start + jax.lax.rem(s, span)
      mask = _mask(whole[b, i, j], (own_s[group], ids_s[slot]), ((first, i * queries), 1), scale)
      score = warpgroup.accumulated(mask, k_s.at[group], q_s.at[slot], True, interpret)
      # Queries are columns: dk and dv need weights on the left, where registers may stand.
      columns = lambda x: jax.lax.broadcast_in_dim(x, score.shape, [1])
      weight = jnp.exp2(score * (scale * LOG2E) - columns(norm_s[slot] * LOG2E))
      low, d_out_block = weight.astype(q.dtype), d_out_s.at[slot]
      d_value = warpgroup.accumulated(d_value, low, d_out_block, False, interpret)
      # Sums begin with the slack: its columns beside them would not fit the registers.
      d_weight = warpgroup.accumulated(
        -columns(slack_s[slot]), v_s.at[group], d_out_block, True, interpret
      )
      d_score = weight * d_weight
      d_key = warpgroup.accumulated(d_key, d_score.astype(q.dtype), q_s.at[slot], False, interpret)
      return d_key, d_value

    carry = tuple(jnp.zeros((ROWS, x.shape[3]), jnp.float32) for x in (k, v))
    d_key, d_value = stages.read(groups * span, block, carry)
    k_s[group] = (d_key * scale).astype(d_k.dtype)
    v_s[group] = d_value.astype(d_v.dtype)
    plgpu.commit_smem()
    plgpu.copy_smem_to_gmem(k_s.at[group], d_k.at[b, rows, y])
    plgpu.copy_smem_to_gmem(v_s.at[group], d_v.at[b, rows, y])
    plgpu.wait_smem_to_gmem(0)

  warpgroup.roles(move, compute)


def _key_gradients(q, k, v, segment, rows, how):
  (B, T, N, H), (Y, U) = q.shape, v.shape[2:]
  scale, interpret = how
  queries, count = 64, 2  # [64, 64] scores and their gradient beside two sums fill the registers
  scratch = [
    *_buffers((COMPUTE, ROWS), (H, U), q.dtype),
    *_buffers((count, queries), (H, U), q.dtype),
    plgpu.SMEM((count, queries), jnp.float32),
    plgpu.SMEM((count, queries), jnp.float32),
    plgpu.Barrier(num_arrivals=3, num_barriers=COMPUTE),
    *warpgroup.stage_barriers(count, copies=5),  # q, d_out, ids, two figures
  ]
  run = warpgroup.launch(
    'attention_dkv',
    partial(_key_kernel, (queries, N // Y, scale, interpret)),
    [varying.output(x.shape, x.dtype, x) for x in (k, v)],
    {'y': Y, 'j': T // TILE, 'b': B},
    scratch,
    interpret,
  )
  high = packing.overlap(segment, queries, TILE)[1]
  return run(q, k, v, segment, *rows, high, packing.whole(segment, queries, TILE))


def _backward(scale, interpret, saved, d_out):
  q, k, v, segment, out, norm = saved
  # A softmax's gradient is weight * (d_weight - slack): one number per query, made once in XLA.
  slack = jnp.einsum('btnu,btnu->bnt', d_out.astype(jnp.float32), out.astype(jnp.float32))
  rows = d_out.astype(v.dtype), norm, slack
  d_q = _query_gradient(q, k, v, segment, rows, (scale, interpret))
  d_k, d_v = _key_gradients(q, k, v, segment, rows, (scale, interpret))
  return d_q, d_k, d_v, None


_attention.defvjp(_forward, _backward)
