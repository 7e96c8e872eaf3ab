"""Causal attention of packed rows as Mosaic TPU kernels, forward and backward.

Scores stand transposed, [keys, queries]: the softmax then reduces over sublanes, its figures are
rows, and with the values transposed beforehand every product is a plain or an A @ B.T matmul.
Blocks without a visible pair, behind the diagonal or of other segments, are not even read.
"""

import dataclasses
import math
from functools import partial

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from r1jax.kernels import packing, varying

MASKED = -1e30


@dataclasses.dataclass(frozen=True)
class Blocks:
  """Block sizes, multiples of 128; the defaults compile for v5e, v5p, v6e and are not tuned."""

  queries: int = 512
  keys: int = 512


def attention(q_BTNH, k_BTYH, v_BTYU, segment_BT, scale, blocks=None, interpret=False):
  """Same contract as `reference.attention`; every row is padded to whole blocks."""
  T = q_BTNH.shape[1]
  size = -(-T // 128) * 128
  blocks = blocks or Blocks()
  blocks = Blocks(min(blocks.queries, size), min(blocks.keys, size))
  pad = -T % math.lcm(blocks.queries, blocks.keys)  # whole blocks of both
  # A block of the grid is one head: its rows are contiguous only with heads in front of tokens.
  heads_first = (_padded(x.transpose(0, 2, 1, 3), 2, pad) for x in (q_BTNH, k_BTYH, v_BTYU))
  segment_BT = _padded(segment_BT.astype(jnp.int32), 1, pad)
  out_BNTU = _attention(*heads_first, segment_BT, scale, blocks, interpret)
  return out_BNTU[:, :, :T].transpose(0, 2, 1, 3)


def _padded(x, axis, count):
  return jnp.pad(x, [(0, count if i == axis else 0) for i in range(x.ndim)])


@partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6))
def _attention(q, k, v, segment, scale, blocks, interpret):
  return _forward(q, k, v, segment, scale, blocks, interpret)[0]


def _call(kernel, grid, specs, scratch, out_shape, interpret):
  """`pallas_call` with one prefetched table; grid axes behind the `parallel` first run in order."""
  in_specs, out_specs, parallel = specs
  # The sums in scratch memory go on along the last axes, so these may not be reordered.
  order = ('parallel',) * parallel + ('arbitrary',) * (len(grid) - parallel)
  return pl.pallas_call(
    kernel,
    grid_spec=pltpu.PrefetchScalarGridSpec(
      num_scalar_prefetch=1,
      grid=grid,
      in_specs=in_specs,
      out_specs=out_specs,
      scratch_shapes=[pltpu.VMEM(shape, jnp.float32) for shape in scratch],
    ),
    out_shape=out_shape,
    compiler_params=pltpu.CompilerParams(dimension_semantics=order, vmem_limit_bytes=64 * 2**20),
    interpret=interpret,
    name=kernel.func.__name__.strip('_'),
  )


def _last_key(i, blocks):
  """Key block of the last key that query block i may see."""
  return ((i + 1) * blocks.queries - 1) // blocks.keys


def _scores(q, k, segments, at, scale):
  """Masked scores [keys, queries] in float32; `segments` are ([1, queries], [keys, 1])."""
  score = jax.lax.dot_general(k, q, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32)
  query, key = (jax.lax.broadcasted_iota(jnp.int32, score.shape, 1 - axis) for axis in (0, 1))
  visible = (segments[0] == segments[1]) & (query + at[0] >= key + at[1])
  return jnp.where(visible, score * scale, MASKED)


def _query_grid(blocks, groups):
  """Index maps of a grid (batch, head, query block, key block): queries, keys, rows, columns."""

  # A block that is not computed names its nearest neighbour: the index does not change from one
  # step to the next, and the pipeline copies nothing.
  def key(b, n, i, j, low):
    return jnp.clip(j, low[b, i], _last_key(i, blocks))

  return {
    'query': lambda b, n, i, j, low: (b, n, i, 0),
    'query_t': lambda b, n, i, j, low: (b, n, 0, i),
    'key': lambda b, n, i, j, low: (b, n // groups, key(b, n, i, j, low), 0),
    'key_t': lambda b, n, i, j, low: (b, n // groups, 0, key(b, n, i, j, low)),
    'row': lambda b, n, i, j, low: (b, 0, i),
    'column': lambda b, n, i, j, low: (b, key(b, n, i, j, low), 0),
  }


def _forward_kernel(blocks, scale, low, *refs):
  q, k, v_t, row, column, out, norm, top, total, acc = refs
  b, i, j = pl.program_id(0), pl.program_id(2), pl.program_id(3)

  @pl.when(j == 0)
  def start():
    top[...] = jnp.full_like(top, MASKED)
    total[...] = jnp.zeros_like(total)
    acc[...] = jnp.zeros_like(acc)

  @pl.when((j >= low[b, i]) & (j <= _last_key(i, blocks)))
  def block():
    at = (i * blocks.queries, j * blocks.keys)
    score = _scores(q[0, 0], k[0, 0], (row[0], column[0]), at, scale)
    new_top = jnp.maximum(top[...], score.max(0, keepdims=True))
    # A query may see nothing of this block: its weights are 0, not exp(0).
    weight = jnp.where(score > MASKED / 2, jnp.exp(score - new_top), 0)
    fade = jnp.exp(top[...] - new_top)
    total[...] = total[...] * fade + weight.sum(0, keepdims=True)
    values = v_t[0, 0]
    # Matrix units take weights in the values' type; their sum stays float32.
    mixed = jnp.dot(values, weight.astype(values.dtype), preferred_element_type=jnp.float32)
    acc[...] = acc[...] * fade + mixed
    top[...] = new_top

  @pl.when(j == pl.num_programs(3) - 1)
  def end():
    out[0, 0] = (acc[...] / total[...]).astype(out.dtype)
    norm[0, 0] = top[...] + jnp.log(total[...])


def _forward(q, k, v, segment, scale, blocks, interpret):
  """Output [B, N, T, U]; saved: inputs, output and the log of each query's normaliser."""
  (B, N, T, H), Y, U = q.shape, k.shape[1], v.shape[3]
  low, _ = packing.overlap(segment, blocks.queries, blocks.keys)
  at, (bq, bk) = _query_grid(blocks, N // Y), (blocks.queries, blocks.keys)
  specs = (
    [
      pl.BlockSpec((1, 1, bq, H), at['query']),
      pl.BlockSpec((1, 1, bk, H), at['key']),
      pl.BlockSpec((1, 1, U, bk), at['key_t']),
      pl.BlockSpec((1, 1, bq), at['row']),
      pl.BlockSpec((1, bk, 1), at['column']),
    ],
    [
      pl.BlockSpec((1, 1, U, bq), at['query_t']),
      pl.BlockSpec((1, 1, 1, bq), at['query_t']),
    ],
    3,
  )
  shapes = [
    varying.output((B, N, U, T), v.dtype, q),
    varying.output((B, N, 1, T), jnp.float32, q),
  ]
  run = _call(
    partial(_forward_kernel, blocks, scale),
    (B, N, T // bq, T // bk),
    specs,
    [(1, bq), (1, bq), (U, bq)],
    shapes,
    interpret,
  )
  # XLA transposes values once per call; in the kernel it would be once per pair of blocks.
  v_t = v.transpose(0, 1, 3, 2)
  out_t, norm = run(low, q, k, v_t, segment[:, None], segment[:, :, None])
  out = out_t.transpose(0, 1, 3, 2)
  return out, (q, k, v, segment, out, norm)


def _weights(score, norm, values, d_out, slack, dtype):
  """The block's softmax and the gradient of its scores, both [keys, queries]."""
  weight = jnp.where(score > MASKED / 2, jnp.exp(score - norm), 0)
  d_weight = jax.lax.dot_general(
    values, d_out, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32
  )
  return weight.astype(dtype), (weight * (d_weight - slack)).astype(dtype)


def _query_kernel(blocks, scale, low, *refs):
  q, k, k_t, v, row, column, d_out, norm, slack, d_q_t, acc = refs
  b, i, j = pl.program_id(0), pl.program_id(2), pl.program_id(3)

  @pl.when(j == 0)
  def start():
    acc[...] = jnp.zeros_like(acc)

  @pl.when((j >= low[b, i]) & (j <= _last_key(i, blocks)))
  def block():
    at = (i * blocks.queries, j * blocks.keys)
    score = _scores(q[0, 0], k[0, 0], (row[0], column[0]), at, scale)
    # dq = keys.T @ d_score, both transposed beforehand: no transpose inside the kernel.
    keys = k_t[0, 0]
    saved = norm[0, 0], v[0, 0], d_out[0, 0], slack[0, 0]
    d_score = _weights(score, *saved, keys.dtype)[1]
    # `scale` waits for the end: one product per query instead of one per pair of blocks.
    acc[...] += jnp.dot(keys, d_score, preferred_element_type=jnp.float32)

  @pl.when(j == pl.num_programs(3) - 1)
  def end():
    d_q_t[0, 0] = (acc[...] * scale).astype(d_q_t.dtype)


def _key_kernel(blocks, scale, high, *refs):
  q, k, v, row, column, d_out, norm, slack, d_k, d_v, k_acc, v_acc = refs
  b, j, g, i = (pl.program_id(axis) for axis in (0, 2, 3, 4))

  # A key head sums over the query heads that share it, and over the query blocks of each.
  @pl.when((g == 0) & (i == 0))
  def start():
    k_acc[...] = jnp.zeros_like(k_acc)
    v_acc[...] = jnp.zeros_like(v_acc)

  @pl.when((i >= j * blocks.keys // blocks.queries) & (i <= high[b, j]))
  def block():
    at = (i * blocks.queries, j * blocks.keys)
    score = _scores(q[0, 0], k[0, 0], (row[0], column[0]), at, scale)
    saved = norm[0, 0], v[0, 0], d_out[0, 0], slack[0, 0]
    weight, d_score = _weights(score, *saved, q.dtype)
    v_acc[...] += jnp.dot(weight, d_out[0, 0], preferred_element_type=jnp.float32)
    k_acc[...] += jnp.dot(d_score, q[0, 0], preferred_element_type=jnp.float32)

  @pl.when((g == pl.num_programs(3) - 1) & (i == pl.num_programs(4) - 1))
  def end():
    d_k[0, 0] = (k_acc[...] * scale).astype(d_k.dtype)
    d_v[0, 0] = v_acc[...].astype(d_v.dtype)


def _key_grid(blocks, groups):
  """Index maps of a grid (batch, key head, key block, head of the group, query block)."""

  # As in `_query_grid`: what is skipped repeats the nearest block, so nothing is copied.
  def query(b, y, j, g, i, high):
    return jnp.clip(i, j * blocks.keys // blocks.queries, high[b, j])

  return {
    'query': lambda *at: (at[0], at[1] * groups + at[3], query(*at), 0),
    'query_t': lambda *at: (at[0], at[1] * groups + at[3], 0, query(*at)),
    'key': lambda b, y, j, g, i, high: (b, y, j, 0),
    'row': lambda *at: (at[0], 0, query(*at)),
    'column': lambda b, y, j, g, i, high: (b, j, 0),
  }


def _backward(scale, blocks, interpret, saved, d_out):
  q, k, v, segment, out, norm = saved
  # A softmax's gradient is weight * (d_weight - slack): one number per query, made once in XLA.
  slack = (d_out.astype(jnp.float32) * out.astype(jnp.float32)).sum(-1)[:, :, None]
  low, high = packing.overlap(segment, blocks.queries, blocks.keys)
  rows = (segment[:, None], segment[:, :, None], d_out.astype(v.dtype), norm, slack)
  d_q = _query_gradient(q, k, v, rows, (scale, blocks, interpret), low)
  return d_q, *_key_gradients(q, k, v, rows, (scale, blocks, interpret), high), None


def _query_gradient(q, k, v, rows, how, low):
  (B, N, T, H), Y, U = q.shape, k.shape[1], v.shape[3]
  scale, blocks, interpret = how
  at, (bq, bk) = _query_grid(blocks, N // Y), (blocks.queries, blocks.keys)
  in_specs = [
    pl.BlockSpec((1, 1, bq, H), at['query']),
    pl.BlockSpec((1, 1, bk, H), at['key']),
    pl.BlockSpec((1, 1, H, bk), at['key_t']),
    pl.BlockSpec((1, 1, bk, U), at['key']),
    pl.BlockSpec((1, 1, bq), at['row']),
    pl.BlockSpec((1, bk, 1), at['column']),
    pl.BlockSpec((1, 1, bq, U), at['query']),
    *[pl.BlockSpec((1, 1, 1, bq), at['query_t'])] * 2,
  ]
  run = _call(
    partial(_query_kernel, blocks, scale),
    (B, N, T // bq, T // bk),
    (in_specs, pl.BlockSpec((1, 1, H, bq), at['query_t']), 3),
    [(H, bq)],
    varying.output((B, N, H, T), q.dtype, q),
    interpret,
  )
  return run(low, q, k, k.transpose(0, 1, 3, 2), v, *rows).transpose(0, 1, 3, 2)


def _key_gradients(q, k, v, rows, how, high):
  (B, N, T, H), Y, U = q.shape, k.shape[1], v.shape[3]
  scale, blocks, interpret = how
  at, (bq, bk) = _key_grid(blocks, N // Y), (blocks.queries, blocks.keys)
  in_specs = [
    pl.BlockSpec((1, 1, bq, H), at['query']),
    pl.BlockSpec((1, 1, bk, H), at['key']),
    pl.BlockSpec((1, 1, bk, U), at['key']),
    pl.BlockSpec((1, 1, bq), at['row']),
    pl.BlockSpec((1, bk, 1), at['column']),
    pl.BlockSpec((1, 1, bq, U), at['query']),
    *[pl.BlockSpec((1, 1, 1, bq), at['query_t'])] * 2,
  ]
  out_specs = [pl.BlockSpec((1, 1, bk, H), at['key']), pl.BlockSpec((1, 1, bk, U), at['key'])]
  run = _call(
    partial(_key_kernel, blocks, scale),
    (B, Y, T // bk, N // Y, T // bq),
    (in_specs, out_specs, 3),
    [(bk, H), (bk, U)],
    [varying.output(k.shape, k.dtype, k), varying.output(v.shape, v.dtype, v)],
    interpret,
  )
  return run(high, q, k, v, *rows)


_attention.defvjp(_forward, _backward)
