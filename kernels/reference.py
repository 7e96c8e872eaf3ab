"""Plain JAX forms of every op: the oracle of the kernels, and what a CPU runs.

The functions see local arrays (they are called inside `shard_map`), masks are booleans, and a row
whose keys are all masked yields finite numbers that no caller reads.
"""

from functools import partial

import jax
import jax.numpy as jnp

from r1jax.kernels.output_head import token_scores

__all__ = ['attention', 'gqa_decode', 'grouped_matmul', 'mla_decode', 'token_scores']

BLOCK = 512  # most queries whose scores are in memory at once
REMADE = 1024  # tokens of a row above which the backward pass makes scores again
MASKED = -1e30  # finite, so that a fully masked row has no NaN, forward or backward


def attention(q_BTNH, k_BTYH, v_BTYU, segment_BT, scale, prefix_BT=None):
  """Causal attention within segments of packed rows; query head n reads key head n * Y // N.

  Float32 softmax, result in v's type as [B, T, N, U]. Three choices make it fast on XLA:CPU:
  matmuls batched as [B*Y, (N/Y)*T, H]; spans of queries, each against the keys before its end
  only; and the softmax's division moved behind the second matmul, where there is less to divide.
  Long rows must not fill the memory instead: their spans go by in blocks, and their scores are made
  again in the backward pass.

  `prefix_BT` (int32) names one more segment of the row that a token sees, the beginning that its
  own shares with others; -1 where there is none.
  """
  B, T, N, H = q_BTNH.shape
  Y, U = k_BTYH.shape[2], v_BTYU.shape[3]
  G = N // Y
  q_BYGTH = (q_BTNH * scale).reshape(B, T, Y, G, H).transpose(0, 2, 3, 1, 4)
  k = k_BTYH.transpose(0, 2, 1, 3).reshape(B * Y, T, H)
  v = v_BTYU.transpose(0, 2, 1, 3).reshape(B * Y, T, U)

  def attend(start, end, first, q_BYGtH):
    """Queries from position `first` on, which may be traced, all of them within start..end."""
    t = q_BYGtH.shape[3]
    score = jnp.einsum(
      'bth,bsh->bts',
      q_BYGtH.reshape(B * Y, G * t, H),
      k[:, :end],
      preferred_element_type=jnp.float32,
    )
    own = lambda x_BT: jax.lax.dynamic_slice_in_dim(x_BT[:, start:end], first - start, t, 1)
    seen = own(segment_BT)[:, :, None] == segment_BT[:, None, :end]
    if prefix_BT is not None:
      seen |= own(prefix_BT)[:, :, None] == segment_BT[:, None, :end]
    keep = seen & ((first + jnp.arange(t))[:, None] >= jnp.arange(end))
    score = score.reshape(B, Y, G, t, end)
    weight, total = _exponentials(jnp.where(keep[:, None, None], score, MASKED))
    weight = weight.reshape(B * Y, G * t, end).astype(v.dtype)
    mixed = jnp.einsum('bts,bsu->btu', weight, v[:, :end], preferred_element_type=jnp.float32)
    return mixed.reshape(B, Y, G, t, U) / total

  parts = []
  for start, end, blocks in _spans(T):
    q = q_BYGTH[:, :, :, start:end]
    one = partial(attend, start, end)
    one = jax.checkpoint(one) if T > REMADE else one
    parts.append(one(start, q) if blocks == 1 else _one_by_one(one, start, q, blocks))
  # Without the barrier XLA:GPU (JAX 0.10.2) joins the spans inside the kernels that sum up their
  # split products, and fails to compile them; on a CPU it makes no difference.
  parts = jax.lax.optimization_barrier(parts)
  out = jnp.concatenate(parts, axis=3).astype(v.dtype)
  return out.transpose(0, 3, 1, 2, 4).reshape(B, T, N, U)


def _spans(length):
  """(start, end, blocks): at most 8 spans of at least 64 queries, and what is left of long rows.

  A span is one block of at most `BLOCK` queries, or several whole ones.
  """
  size = max(64, -(-length // 8))
  if size <= BLOCK:
    return [(start, min(start + size, length), 1) for start in range(0, length, size)]
  size, whole = -(-size // BLOCK) * BLOCK, length // BLOCK * BLOCK
  ends = [(start, min(start + size, whole)) for start in range(0, whole, size)]
  rest = [(whole, length, 1)] if whole < length else []
  return [(start, end, (end - start) // BLOCK) for start, end in ends] + rest


def _one_by_one(attend, start, q_BYGtH, blocks):
  """A span's blocks in a loop, so that the scores of only one are in memory."""
  B, Y, G, t, H = q_BYGtH.shape
  q = jnp.moveaxis(q_BYGtH.reshape(B, Y, G, blocks, t // blocks, H), 3, 0)
  first = start + jnp.arange(blocks) * (t // blocks)
  out = jax.lax.map(lambda block: attend(*block), (first, q))
  return jnp.moveaxis(out, 0, 3).reshape(B, Y, G, t, -1)


def _exponentials(score):
  """exp(score - its maximum) and its sum over the last axis: a softmax before its division."""
  weight = jnp.exp(score - jax.lax.stop_gradient(score.max(-1, keepdims=True)))
  return weight, weight.sum(-1, keepdims=True)


def mla_decode(q_BNA, cache_BSA, keep_BS, value_width, scale):
  """One query a sequence over the shared latent cache (A = latent | rotary).

  The values are the first `value_width` columns of the cache itself (reference §2.2, absorbed
  form); the result is [B, N, value_width].
  """
  # Slots stay in front of heads, and the values are cut after the matmul: no copy of the cache.
  score_BSN = jnp.einsum('bsa,bna->bsn', cache_BSA, q_BNA, preferred_element_type=jnp.float32)
  prob_BSN = jax.nn.softmax(jnp.where(keep_BS[:, :, None], score_BSN * scale, MASKED), axis=1)
  mixed_BNA = jnp.einsum('bsn,bsa->bna', prob_BSN.astype(q_BNA.dtype), cache_BSA)
  return mixed_BNA[..., :value_width]


def gqa_decode(q_BNH, k_BYHS, v_BYSU, keep_BS, scale):
  """One query a sequence over per-head caches, keys with their slots last; result [B, N, U]."""
  B, N, H = q_BNH.shape
  Y = k_BYHS.shape[1]
  q = q_BNH.reshape(B, Y, N // Y, H)
  score = jnp.einsum('bygh,byhs->bygs', q, k_BYHS, preferred_element_type=jnp.float32) * scale
  prob = jax.nn.softmax(jnp.where(keep_BS[:, None, None], score, MASKED), axis=-1)
  return jnp.einsum('bygs,bysu->bygu', prob.astype(q.dtype), v_BYSU).reshape(B, N, -1)


def grouped_matmul(x_XD, w_EDM, size_E):
  """Rows in E consecutive groups, each times its own matrix; rows beyond them are zero.

  XLA's own kernel for TPUs never writes the rows beyond (seen in its compiled program), neither in
  the product nor in the gradient of x: both are cut here.
  """
  inside_X1 = jnp.arange(len(x_XD))[:, None] < size_E.sum()
  y_XM = jax.lax.ragged_dot(jnp.where(inside_X1, x_XD, 0), w_EDM, size_E)
  return jnp.where(inside_X1, y_XM, 0)
