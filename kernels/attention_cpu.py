"""Attention over packed rows for the cores of a CPU: tile by tile, without tiles that nobody sees.

The scores of one tile, 64 queries by 64 keys of all heads, stay in a core's cache; a softmax over
whole rows goes through memory several times. Only tiles that hold a pair of a query and a key that
it sees are computed, forward and backward, as many as a row's segments ask for: a row of short
sequences costs no more than these, and a shared prompt is read wherever it lies. The two passes are
FlashAttention-2's (arXiv 2307.08691). XLA runs such a loop on one core: `runs/cpu_devices.py`.

Letters: I and J number the tiles of queries and of keys in a row, t and s are places in a tile, G
query heads share each of Y key heads; a tile's queries of those G heads lie one after the other.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from r1jax.kernels import packing, products, varying
from r1jax.kernels.reference import MASKED

TILE = 64  # tokens; with AVX-512 tiles of 84 and 120 took as long, of 168 a third longer


class _Who(NamedTuple):
  """Who sees whom: segment ids of queries and keys, and the tiles that are worth a visit.

  Attributes:
    segment_BIt, prefix_BIt: as of `attention`, cut into tiles.
    tile_BIJ: numbers of the tiles of keys, those first that each tile of queries sees.
    count_BI: how many of them it sees.
  """

  segment_BIt: jax.Array
  prefix_BIt: jax.Array
  tile_BIJ: jax.Array
  count_BI: jax.Array


def attention(q_BTNH, k_BTYH, v_BTYU, segment_BT, scale, prefix_BT=None):
  """Causal attention within segments of packed rows; arguments and result of `reference.attention`.

  A tile that holds nothing but padding gets zeros, which no caller reads.
  """
  T = q_BTNH.shape[1]
  if prefix_BT is None:
    prefix_BT = jnp.full_like(segment_BT, -1)
  # Whole tiles: what is added is padding.
  size = -(-T // -(-T // TILE))
  behind = -T % size
  wide = lambda x: jnp.pad(x, [(0, 0), (0, behind)] + [(0, 0)] * (x.ndim - 2))
  operands = map(wide, (q_BTNH * scale, k_BTYH, v_BTYU, segment_BT, prefix_BT))
  return _attention(*varying.alike(*operands), size)[:, :T]


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def _attention(q_BTNH, k_BTYH, v_BTYU, segment_BT, prefix_BT, size):
  return _forward(q_BTNH, k_BTYH, v_BTYU, segment_BT, prefix_BT, size)[0]


def _forward(q_BTNH, k_BTYH, v_BTYU, segment_BT, prefix_BT, size):
  """The result, and what the backward pass reads: operands, result, logarithms of softmax sums."""
  Y, U = v_BTYU.shape[2:]
  q_BIYtH, k_BJYsH, v_BJYsU = (_tiles(x, Y, size) for x in (q_BTNH, k_BTYH, v_BTYU))
  who, like = _who(segment_BT, prefix_BT, size), q_BTNH

  def row_of_tiles(at):
    b, i = at
    q_YtH = q_BIYtH[b, i]

    def visit(n, carry):
      most_Yt1, sum_Yt1, mixed_YtU = carry
      j = who.tile_BIJ[b, i, n]
      score_Yts = _product('yth,ysh->yts', q_YtH, k_BJYsH[b, j])
      score_Yts = _masked(score_Yts, (-1, size, size), _seen(who, b, i, j))
      # What was summed up relative to a smaller maximum shrinks.
      new = jnp.maximum(most_Yt1, score_Yts.max(-1, keepdims=True))
      weight_Yts, shrink = jnp.exp(score_Yts - new), jnp.exp(most_Yt1 - new)
      more_YtU = _product('yts,ysu->ytu', weight_Yts.astype(v_BTYU.dtype), v_BJYsU[b, j])
      sum_Yt1 = sum_Yt1 * shrink + weight_Yts.sum(-1, keepdims=True)
      return new, sum_Yt1, mixed_YtU * shrink + more_YtU

    nothing = _zeros((*q_YtH.shape[:2], 1), like)
    carry = (nothing + MASKED, nothing, _zeros((*q_YtH.shape[:2], U), like))
    most, total, mixed = jax.lax.fori_loop(0, who.count_BI[b, i], visit, carry)
    total = jnp.where(total > 0, total, 1)  # nothing but padding was there to visit
    return (mixed / total).astype(v_BTYU.dtype), (most + jnp.log(total))[..., 0]

  out, log_sum = jax.lax.map(row_of_tiles, _every(who))
  B, I = who.count_BI.shape
  out_BIYtU, log_BIYt = (x.reshape(B, I, *x.shape[1:]) for x in (out, log_sum))
  kept = (q_BTNH, k_BTYH, v_BTYU, segment_BT, prefix_BT, out_BIYtU, log_BIYt)
  return _rows(out_BIYtU, size), kept


def _backward(size, kept, d_out_BTNU):
  """Gradients by queries, keys and values: scores are made again, tile by tile."""
  q_BTNH, k_BTYH, v_BTYU, segment_BT, prefix_BT, out_BIYtU, log_BIYt = kept
  Y, like = k_BTYH.shape[2], q_BTNH
  q_BIYtH, k_BJYsH, v_BJYsU = (_tiles(x, Y, size) for x in (q_BTNH, k_BTYH, v_BTYU))
  d_out_BIYtU = _tiles(d_out_BTNU, Y, size)
  # The softmax's gradient takes this mean from each weight's own.
  mean_BIYt = (d_out_BIYtU * out_BIYtU).sum(-1, dtype=jnp.float32)
  who = _who(segment_BT, prefix_BT, size)

  def row_of_tiles(carry, at):
    b, i = at
    q_YtH, d_out_YtU = q_BIYtH[b, i], d_out_BIYtU[b, i]

    def visit(n, carry):
      d_q_YtH, d_k, d_v = carry
      j = who.tile_BIJ[b, i, n]
      k_YsH, v_YsU = k_BJYsH[b, j], v_BJYsU[b, j]
      # The softmax's weights, and the gradients by them and by the scores: by keys and queries, as
      # XLA:CPU is slow in a product over the first axis, and two of three are over the queries.
      score_Yst = _product('ysh,yth->yst', k_YsH, q_YtH)
      score_Yst = _masked(score_Yst, (size, -1, size), _seen(who, b, i, j).T[:, None])
      weight_Yst = jnp.exp(score_Yst - log_BIYt[b, i][:, None])
      d_weight_Yst = _product('ysu,ytu->yst', v_YsU, d_out_YtU)
      d_score_Yst = (weight_Yst * (d_weight_Yst - mean_BIYt[b, i][:, None])).astype(q_YtH.dtype)
      # A tile of keys is seen by several tiles of queries: their gradients add.
      more_YtH = products.turned(_product('ysh,yst->yht', k_YsH, d_score_Yst))
      d_k = d_k.at[b, j].add(_product('yst,yth->ysh', d_score_Yst, q_YtH))
      d_v = d_v.at[b, j].add(_product('yst,ytu->ysu', weight_Yst.astype(v_YsU.dtype), d_out_YtU))
      return d_q_YtH + more_YtH, d_k, d_v

    start = (_zeros(q_YtH.shape, like), *carry)
    d_q_YtH, *carry = jax.lax.fori_loop(0, who.count_BI[b, i], visit, start)
    return tuple(carry), d_q_YtH.astype(q_YtH.dtype)

  carry = _zeros(k_BJYsH.shape, like), _zeros(v_BJYsU.shape, like)
  (d_k, d_v), d_q = jax.lax.scan(row_of_tiles, carry, _every(who))
  d_q = _rows(d_q.reshape(q_BIYtH.shape), size)
  d_k, d_v = _rows(d_k, size).astype(k_BTYH.dtype), _rows(d_v, size).astype(v_BTYU.dtype)
  return d_q, d_k, d_v, None, None


_attention.defvjp(_forward, _backward)


def _who(segment_BT, prefix_BT, size):
  """`_Who`; a tile counts as seen where the two ranges of ids overlap, never less than is seen."""
  # Ids rise along a row, and padding is none of them.
  none = jnp.iinfo(jnp.int32).max
  cut = lambda x: x.reshape(len(x), -1, size)
  ranges = lambda x: (jnp.where(x > 0, x, none).min(-1), x.max(-1))
  segment_BIt, prefix_BIt = cut(segment_BT), cut(prefix_BT)
  low_BJ, high_BJ = ranges(segment_BIt)
  meet = lambda low, high: packing.meet((low, high), (low_BJ, high_BJ))
  # Its own past, and the segment that it goes on from.
  seen_BIJ = meet(low_BJ, high_BJ) | meet(*ranges(prefix_BIt))
  number = jnp.arange(low_BJ.shape[1])
  seen_BIJ &= (high_BJ > 0)[:, :, None] & (number[:, None] >= number)
  tile_BIJ = jnp.argsort(~seen_BIJ, axis=-1, stable=True).astype(jnp.int32)
  return _Who(segment_BIt, prefix_BIt, tile_BIJ, seen_BIJ.sum(-1, dtype=jnp.int32))


def _every(who):
  """(row, tile of queries) of all tiles of queries, one after the other."""
  rows, tiles = who.count_BI.shape
  number = jnp.arange(rows * tiles)
  return number // tiles, number % tiles


def _seen(who, b, i, j):
  """Which keys of a tile each query of another sees, bool [t, s]."""
  own_t, first_t, key_s = who.segment_BIt[b, i], who.prefix_BIt[b, i], who.segment_BIt[b, j]
  same = (own_t[:, None] == key_s) | (first_t[:, None] == key_s)
  place = jnp.arange(len(own_t))
  return same & ((i - j) * len(own_t) + place[:, None] >= place)


def _masked(score, shape, seen):
  """Scores of a tile, [Y, G * t, s] or turned, where `seen`; `shape` splits G off for it."""
  split = score.reshape(len(score), *shape)
  return jnp.where(seen, split, MASKED).reshape(score.shape)


def _product(form, a, b):
  return jnp.einsum(form, a, b, preferred_element_type=jnp.float32)


def _tiles(x_BTNH, Y, size):
  """[B, T, N, H] -> [B, I, Y, G * t, H]."""
  B, T, N, H = x_BTNH.shape
  split = x_BTNH.reshape(B, T // size, size, Y, N // Y, H)
  return split.transpose(0, 1, 3, 4, 2, 5).reshape(B, T // size, Y, -1, H)


def _rows(x_BIYtH, size):
  """Back: [B, I, Y, G * t, H] -> [B, T, N, H]."""
  B, I, Y, Gt, H = x_BIYtH.shape
  split = x_BIYtH.reshape(B, I, Y, Gt // size, size, H)
  return split.transpose(0, 1, 4, 2, 3, 5).reshape(B, I * size, -1, H)


def _zeros(shape, like):
  """Float32 zeros that vary over the same mesh axes as `like`."""
  return varying.over(jnp.zeros(shape, jnp.float32), jax.typeof(like).manual_axis_type.varying)
