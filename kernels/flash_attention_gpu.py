"""Causal attention of packed rows as Mosaic GPU kernels for Hopper, forward and backward.

A block is 128 queries of a head (backward also 128 keys), 64 for each of two warpgroups; a third
streams the other side through shared memory. Blocks without a visible pair are neither read nor
computed, and only those that the diagonal or a segment's end crosses are masked.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from r1jax.kernels import packing, varying, warpgroup
from r1jax.kernels.warpgroup import COMPUTE, LOG2E, LOWEST, MASKED, ROWS, SHARED, TILE, of_rows


def attention(q_BTNH, k_BTYH, v_BTYU, segment_BT, scale, interpret=None):
  """Same contract as `reference.attention`, operands of 16 bits.

  Rows are padded to whole tiles of 128 tokens, widths to multiples of 64.

  Raises:
    ValueError: operands of another type.
  """
  warpgroup.check_type('attention', q_BTNH, k_BTYH, v_BTYU)
  T, U = q_BTNH.shape[1], v_BTYU.shape[3]
  wide = (warpgroup.padded(x, 3, warpgroup.LANES) for x in (q_BTNH, k_BTYH, v_BTYU))
  long = (warpgroup.padded(x, 1, TILE) for x in wide)
  segment_BT = warpgroup.padded(segment_BT.astype(jnp.int32), 1, TILE)
  return _attention(*long, segment_BT, scale, interpret)[:, :T, :, :U]


@partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _attention(q, k, v, segment, scale, interpret):
  return _forward(q, k, v, segment, scale, interpret)[0]


def _masked(score, ids, at, scale):
  """Scaled scores to base 2, what is not visible far below; `ids` are (rows, columns).

  `at` has the positions (first row, first column) and which of the two are queries.
  """
  (first_row, first_column), query_axis = at
  row_ids, column_ids = (jax.lax.broadcast_in_dim(x, score.shape, [i]) for i, x in enumerate(ids))
  row = jax.lax.broadcasted_iota(jnp.int32, score.shape, 0) + first_row
  column = jax.lax.broadcasted_iota(jnp.int32, score.shape, 1) + first_column
  ordered = row >= column if query_axis == 0 else column >= row
  return jnp.where((row_ids == column_ids) & ordered, score * (scale * LOG2E), MASKED)


def _visible(score, whole, ids, at, scale):
  """`_masked` where the block is not `whole`."""
  return jax.lax.cond(
    whole > 0, lambda s: s * (scale * LOG2E), lambda s: _masked(s, ids, at, scale), score
  )


def _key_block(fixed, width):
  """(keys a block, stages) of the largest that fits beside `fixed` bytes; `width` bytes a key."""
  for keys, stages in ((128, 2), (64, 2)):
    if fixed + stages * keys * width <= SHARED:
      return keys, stages
  raise ValueError(f'attention: {width} bytes of keys and values a token do not fit shared memory')


def _copy_keys(operands, buffers, at, s, slot, barrier):
  """Starts the copies of step s: one block of keys, their values and ids; `at` (b, y, first)."""
  (k, v, segment), (k_s, v_s, ids_s), (b, y, first) = operands, buffers, at
  keys = k_s.shape[1]
  rows = pl.ds((first + s) * keys, keys)
  plgpu.copy_gmem_to_smem(k.at[b, rows, y], k_s.at[slot], barrier)
  plgpu.copy_gmem_to_smem(v.at[b, rows, y], v_s.at[slot], barrier)
  plgpu.copy_gmem_to_smem(segment.at[b, rows], ids_s.at[slot], barrier)


def _forward_kernel(how, *refs):
  q, k, v, segment, low, whole, out, norm, *scratch = refs
  q_s, k_s, v_s, own_s, ids_s, out_s, norm_s, ready, *barriers = scratch
  keys, groups, scale, interpret = how
  b, n, i, group = (jax.lax.axis_index(name) for name in ('b', 'n', 'i', 'warpgroup'))
  stages = warpgroup.Stages(k_s.shape[0], *barriers)
  start = low[b, i]
  steps = (i + 1) * (TILE // keys) - start

  @pl.when(group == COMPUTE)
  def move():
    at = b, jax.lax.div(n, jnp.int32(groups)), start
    stages.fill(steps, partial(_copy_keys, (k, v, segment), (k_s, v_s, ids_s), at))

  @pl.when(group < COMPUTE)
  def compute():
    plgpu.set_max_registers(warpgroup.REGISTERS, action='increase')
    first = i * TILE + group * ROWS
    rows = pl.ds(first, ROWS)
    plgpu.copy_gmem_to_smem(q.at[b, rows, n], q_s.at[group], ready.at[group])
    plgpu.copy_gmem_to_smem(segment.at[b, rows], own_s.at[group], ready.at[group])
    plgpu.barrier_wait(ready.at[group])
    own = own_s[group]

    def block(s, slot, carry):
      acc, top, total = carry
      j = start + s
      unmasked = whole[b, i, j]
      score = warpgroup.product(q_s.at[group], k_s.at[slot], True, interpret)
      at = ((first, j * keys), 0)
      score = _visible(score, unmasked, (own, ids_s[slot]), at, scale)
      new_top = jnp.maximum(top, score.max(axis=1))
      fade = jnp.exp2(top - new_top)
      weight = jnp.exp2(score - of_rows(new_top, score.shape))
      total = total * fade + weight.sum(axis=1)
      acc = acc * of_rows(fade, acc.shape)
      acc = warpgroup.accumulated(acc, weight.astype(q.dtype), v_s.at[slot], False, interpret)
      return acc, new_top, total

    zero = jnp.zeros((ROWS,), jnp.float32)
    carry = jnp.zeros((ROWS, v.shape[3]), jnp.float32), zero + LOWEST, zero
    acc, top, total = stages.read(steps, block, carry)
    out_s[group] = (acc / of_rows(total, acc.shape)).astype(out.dtype)
    norm_s[group] = top / LOG2E + jnp.log(total)
    plgpu.commit_smem()
    plgpu.copy_smem_to_gmem(out_s.at[group], out.at[b, rows, n])
    plgpu.copy_smem_to_gmem(norm_s.at[group], norm.at[b, n, rows])
    plgpu.wait_smem_to_gmem(0)


def _forward(q, k, v, segment, scale, interpret):
  """Output [B, T, N, U]; saved: inputs, output and the log of each query's normaliser."""
  (B, T, N, H), (Y, U) = q.shape, v.shape[2:]
  size = q.dtype.itemsize
  keys, count = _key_block(TILE * (H + U) * size, (H + U) * size)
  tables = packing.overlap(segment, TILE, keys)[0], packing.whole(segment, TILE, keys)
  scratch = [
    warpgroup.swizzled((COMPUTE, ROWS, H), q.dtype),
    warpgroup.swizzled((count, keys, H), q.dtype),
    warpgroup.swizzled((count, keys, U), q.dtype),
    plgpu.SMEM((COMPUTE, ROWS), jnp.int32),
    plgpu.SMEM((count, keys), jnp.int32),
    warpgroup.swizzled((COMPUTE, ROWS, U), q.dtype),
    plgpu.SMEM((COMPUTE, ROWS), jnp.float32),
    plgpu.Barrier(num_arrivals=2, num_barriers=COMPUTE),
    *warpgroup.stage_barriers(count, copies=3),
  ]
  run = warpgroup.launch(
    'attention',
    partial(_forward_kernel, (keys, N // Y, scale, interpret)),
    [varying.output((B, T, N, U), v.dtype, q), varying.output((B, N, T), jnp.float32, q)],
    {'n': N, 'i': T // TILE, 'b': B},
    scratch,
    interpret,
  )
  out, norm = run(q, k, v, segment, *tables)
  return out, (q, k, v, segment, out, norm)


def _query_kernel(how, *refs):
  """dq of a tile of queries."""
  q, k, v, segment, d_out, norm, slack, low, whole, d_q, *scratch = refs
  q_s, d_out_s, own_s, figures_s, k_s, v_s, ids_s, ready, *barriers = scratch
  keys, groups, scale, interpret = how
  b, n, i, group = (jax.lax.axis_index(name) for name in ('b', 'n', 'i', 'warpgroup'))
  stages = warpgroup.Stages(k_s.shape[0], *barriers)
  start = low[b, i]
  steps = (i + 1) * (TILE // keys) - start

  @pl.when(group == COMPUTE)
  def move():
    at = b, jax.lax.div(n, jnp.int32(groups)), start
    stages.fill(steps, partial(_copy_keys, (k, v, segment), (k_s, v_s, ids_s), at))

  @pl.when(group < COMPUTE)
  def compute():
    plgpu.set_max_registers(warpgroup.REGISTERS, action='increase')
    first = i * TILE + group * ROWS
    rows = pl.ds(first, ROWS)
    plgpu.copy_gmem_to_smem(q.at[b, rows, n], q_s.at[group], ready.at[group])
    plgpu.copy_gmem_to_smem(d_out.at[b, rows, n], d_out_s.at[group], ready.at[group])
    plgpu.copy_gmem_to_smem(segment.at[b, rows], own_s.at[group], ready.at[group])
    plgpu.copy_gmem_to_smem(norm.at[b, n, rows], figures_s.at[group, 0], ready.at[group])
    plgpu.copy_gmem_to_smem(slack.at[b, n, rows], figures_s.at[group, 1], ready.at[group])
    plgpu.barrier_wait(ready.at[group])
    own, top, less = own_s[group], figures_s[group, 0] * LOG2E, figures_s[group, 1]

    def block(s, slot, acc):
      j = start + s
      unmasked = whole[b, i, j]
      score = warpgroup.product(q_s.at[group], k_s.at[slot], True, interpret)
      at = ((first, j * keys), 0)
      score = _visible(score, unmasked, (own, ids_s[slot]), at, scale)
      weight = jnp.exp2(score - of_rows(top, score.shape))
      d_weight = warpgroup.product(d_out_s.at[group], v_s.at[slot], True, interpret)
      d_score = weight * (d_weight - of_rows(less, score.shape))
      return warpgroup.accumulated(acc, d_score.astype(q.dtype), k_s.at[slot], False, interpret)

    acc = stages.read(steps, block, jnp.zeros((ROWS, q.shape[3]), jnp.float32))
    q_s[group] = (acc * scale).astype(d_q.dtype)
    plgpu.commit_smem()
    plgpu.copy_smem_to_gmem(q_s.at[group], d_q.at[b, rows, n])
    plgpu.wait_smem_to_gmem(0)


def _query_gradient(q, k, v, segment, rows, how):
  (B, T, N, H), (Y, U), (scale, interpret) = q.shape, v.shape[2:], how
  keys, count = 64, 2
  scratch = [
    warpgroup.swizzled((COMPUTE, ROWS, H), q.dtype),
    warpgroup.swizzled((COMPUTE, ROWS, U), q.dtype),
    plgpu.SMEM((COMPUTE, ROWS), jnp.int32),
    plgpu.SMEM((COMPUTE, 2, ROWS), jnp.float32),
    warpgroup.swizzled((count, keys, H), q.dtype),
    warpgroup.swizzled((count, keys, U), q.dtype),
    plgpu.SMEM((count, keys), jnp.int32),
    plgpu.Barrier(num_arrivals=5, num_barriers=COMPUTE),
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
  b, y, j, group = (jax.lax.axis_index(name) for name in ('b', 'y', 'j', 'warpgroup'))
  stages = warpgroup.Stages(q_s.shape[0], *barriers)
  start = j * (TILE // queries)
  span = high[b, j] + 1 - start

  @pl.when(group == COMPUTE)
  def move():
    def copy(s, slot, barrier):
      n = y * groups + jax.lax.div(s, span)
      at = pl.ds((start + jax.lax.rem(s, span)) * queries, queries)
      plgpu.copy_gmem_to_smem(q.at[b, at, n], q_s.at[slot], barrier)
      plgpu.copy_gmem_to_smem(d_out.at[b, at, n], d_out_s.at[slot], barrier)
      plgpu.copy_gmem_to_smem(segment.at[b, at], ids_s.at[slot], barrier)
      plgpu.copy_gmem_to_smem(norm.at[b, n, at], norm_s.at[slot], barrier)
      plgpu.copy_gmem_to_smem(slack.at[b, n, at], slack_s.at[slot], barrier)

    stages.fill(groups * span, copy)

  @pl.when(group < COMPUTE)
  def compute():
    plgpu.set_max_registers(warpgroup.REGISTERS, action='increase')
    first = j * TILE + group * ROWS
    rows = pl.ds(first, ROWS)
    plgpu.copy_gmem_to_smem(k.at[b, rows, y], k_s.at[group], ready.at[group])
    plgpu.copy_gmem_to_smem(v.at[b, rows, y], v_s.at[group], ready.at[group])
    plgpu.copy_gmem_to_smem(segment.at[b, rows], own_s.at[group], ready.at[group])
    plgpu.barrier_wait(ready.at[group])
    own = own_s[group]

    def block(s, slot, carry):
      d_key, d_value = carry
      i = start + jax.lax.rem(s, span)
      unmasked = whole[b, i, j]
      score = warpgroup.product(k_s.at[group], q_s.at[slot], True, interpret)
      at = ((first, i * queries), 1)
      score = _visible(score, unmasked, (own, ids_s[slot]), at, scale)
      columns = lambda x: jax.lax.broadcast_in_dim(x, score.shape, [1])
      weight = jnp.exp2(score - columns(norm_s[slot] * LOG2E))
      d_out_block = d_out_s.at[slot]
      d_value = warpgroup.accumulated(
        d_value, weight.astype(q.dtype), d_out_block, False, interpret
      )
      d_weight = warpgroup.product(v_s.at[group], d_out_block, True, interpret)
      d_score = weight * (d_weight - columns(slack_s[slot]))
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


def _key_gradients(q, k, v, segment, rows, how):
  (B, T, N, H), (Y, U), (scale, interpret) = q.shape, v.shape[2:], how
  queries, count = 64, 2
  scratch = [
    warpgroup.swizzled((COMPUTE, ROWS, H), q.dtype),
    warpgroup.swizzled((COMPUTE, ROWS, U), q.dtype),
    plgpu.SMEM((COMPUTE, ROWS), jnp.int32),
    warpgroup.swizzled((count, queries, H), q.dtype),
    warpgroup.swizzled((count, queries, U), q.dtype),
    plgpu.SMEM((count, queries), jnp.int32),
    plgpu.SMEM((count, queries), jnp.float32),
    plgpu.SMEM((count, queries), jnp.float32),
    plgpu.Barrier(num_arrivals=3, num_barriers=COMPUTE),
    *warpgroup.stage_barriers(count, copies=5),
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
  slack = jnp.einsum('btnu,btnu->bnt', d_out.astype(jnp.float32), out.astype(jnp.float32))
  rows = d_out.astype(v.dtype), norm, slack
  d_q = _query_gradient(q, k, v, segment, rows, (scale, interpret))
  d_k, d_v = _key_gradients(q, k, v, segment, rows, (scale, interpret))
  return d_q, d_k, d_v, None


_attention.defvjp(_forward, _backward)
