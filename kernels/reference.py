"""Plain JAX forms of every op: the oracle of the kernels, and what a CPU runs.

The functions see local arrays (they are called inside `shard_map`), masks are booleans, and a row
whose keys are all masked yields finite numbers that no caller reads.
"""

import jax
import jax.numpy as jnp

MASKED = -1e30  # finite, so that a fully masked row has no NaN, forward or backward


def attention(q_BTNH, k_BTYH, v_BTYU, segment_BT, scale):
  """Causal attention within segments of packed rows; query head n reads key head n * Y // N.

  Float32 softmax, result in v's type as [B, T, N, U]. The batched-matmul layout [B*Y, (N/Y)*T, H]
  is the one that XLA:CPU runs at the speed of a plain matmul.
  """
  B, T, N, H = q_BTNH.shape
  Y, U = k_BTYH.shape[2], v_BTYU.shape[3]
  G = N // Y
  q = q_BTNH.reshape(B, T, Y, G, H).transpose(0, 2, 3, 1, 4).reshape(B * Y, G * T, H)
  k = k_BTYH.transpose(0, 2, 1, 3).reshape(B * Y, T, H)
  v = v_BTYU.transpose(0, 2, 1, 3).reshape(B * Y, T, U)
  score = jnp.einsum('bth,bsh->bts', q, k, preferred_element_type=jnp.float32) * scale
  same_BTT = segment_BT[:, :, None] == segment_BT[:, None, :]
  keep_BTT = same_BTT & jnp.tril(jnp.ones((T, T), bool))
  score = jnp.where(keep_BTT[:, None, None], score.reshape(B, Y, G, T, T), MASKED)
  prob = jax.nn.softmax(score, axis=-1).reshape(B * Y, G * T, T).astype(v.dtype)
  out = jnp.einsum('bts,bsu->btu', prob, v).reshape(B, Y, G, T, U)
  return out.transpose(0, 3, 1, 2, 4).reshape(B, T, N, U)


def mla_decode(q_BNA, cache_BSA, keep_BS, value_width, scale):
  """One query a sequence over the shared latent cache (A = latent | rotary); result [B, N,
  value_width].

  The values are the first `value_width` columns of the cache itself (reference §2.2, absorbed
  form).
  """
  score = jnp.einsum('bna,bsa->bns', q_BNA, cache_BSA, preferred_element_type=jnp.float32) * scale
  prob = jax.nn.softmax(jnp.where(keep_BS[:, None], score, MASKED), axis=-1)
  return jnp.einsum('bns,bsc->bnc', prob.astype(q_BNA.dtype), cache_BSA[..., :value_width])


def gqa_decode(q_BNH, k_BYSH, v_BYSU, keep_BS, scale):
  """One query a sequence over per-head caches [B, Y, S, *]; result [B, N, U]."""
  B, N, H = q_BNH.shape
  Y = k_BYSH.shape[1]
  q = q_BNH.reshape(B, Y, N // Y, H)
  score = jnp.einsum('bygh,bysh->bygs', q, k_BYSH, preferred_element_type=jnp.float32) * scale
  prob = jax.nn.softmax(jnp.where(keep_BS[:, None, None], score, MASKED), axis=-1)
  return jnp.einsum('bygs,bysu->bygu', prob.astype(q.dtype), v_BYSU).reshape(B, N, -1)


def grouped_matmul(x_XD, w_EDM, size_E):
  """Rows in E consecutive groups, each times its own matrix; rows beyond them are zero."""
  return jax.lax.ragged_dot(x_XD, w_EDM, size_E)
