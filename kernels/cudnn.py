"""The ops on a GPU from Ampere on: attention by NVIDIA's cuDNN, all else in the plain form.

`jax.nn.dot_product_attention` takes who sees whom as a mask, which cuDNN adds to the scores: 16
bits for each pair of tokens of a row, once for all heads, and as many for its gradient. The scores
themselves are never in memory.
"""

import jax
import jax.numpy as jnp

from r1jax.kernels import varying
from r1jax.kernels.reference import gqa_decode, grouped_matmul, mla_decode, token_scores

__all__ = ['attention', 'gqa_decode', 'grouped_matmul', 'mla_decode', 'token_scores']


def attention(q_BTNH, k_BTYH, v_BTYU, segment_BT, scale, prefix_BT=None):
  """Causal attention within segments of packed rows; arguments and result of `reference.attention`.

  Operands are bfloat16 or float16, heads at most 128 wide. Tokens of padding see one another.
  """
  return _attention(q_BTNH, k_BTYH, v_BTYU, segment_BT, scale, prefix_BT, 'cudnn')


def _attention(q_BTNH, k_BTYH, v_BTYU, segment_BT, scale, prefix_BT, implementation):
  """`attention` by one of the implementations that JAX has; a CPU has 'xla'."""
  T, H, U = q_BTNH.shape[1], q_BTNH.shape[3], v_BTYU.shape[3]
  # Rows of even length, and one width for all heads, a multiple of 8. A last token of padding is
  # seen by itself alone; zeros behind a head's values change no score and are cut from the result.
  width = -(-max(H, U) // 8) * 8
  heads = lambda x: jnp.pad(x, ((0, 0), (0, T % 2), (0, 0), (0, width - x.shape[3])))
  ids = lambda x: jnp.pad(x, ((0, 0), (0, T % 2)))
  seen_BTS = ids(segment_BT)[:, :, None] == ids(segment_BT)[:, None]
  if prefix_BT is not None:
    seen_BTS |= ids(prefix_BT)[:, :, None] == ids(segment_BT)[:, None]
  seen_BTS &= jnp.tri(T + T % 2, dtype=bool)
  q, k, v, mask_B1TS = varying.alike(*map(heads, (q_BTNH, k_BTYH, v_BTYU)), seen_BTS[:, None])
  out = jax.nn.dot_product_attention(
    q, k, v, mask=mask_B1TS, scale=scale, implementation=implementation
  )
  return out[:, :T, :, :U]
