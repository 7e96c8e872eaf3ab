"""Drawing the next token: temperature, top-k, top-p, by inversion of one uniform number."""

import jax
import jax.numpy as jnp

from r1jax import sharding

REMOVED = -jnp.inf


def draw(logits_BV, uniform_B, temperature, top_k=0, top_p=1.0):
  """Draws a token from each row; returns (token_B int32, logp_B float32).

  `logp` is the log-probability at the sampling temperature under the *whole* vocabulary, the
  quantity that the trainer computes; top-k and top-p narrow the choice only. Temperature 0 takes
  the most likely token and reports its log-probability at temperature 1.
  """
  x_BV = jax.reshard(logits_BV.astype(jnp.float32), sharding.act('batch', None))
  x_BV = x_BV / (temperature or 1.0)
  norm_B = jax.nn.logsumexp(x_BV, axis=-1)
  if temperature == 0:
    return jnp.argmax(x_BV, -1).astype(jnp.int32), x_BV.max(-1) - norm_B
  kept_BV = _top_p(_top_k(x_BV, top_k), top_p)
  token_B = invert(jnp.exp(kept_BV - kept_BV.max(-1, keepdims=True)), uniform_B)
  hit_BV = jnp.arange(x_BV.shape[-1]) == token_B[:, None]
  return token_B, jnp.where(hit_BV, x_BV, 0).sum(-1) - norm_B


def invert(weight_BV, uniform_B):
  """Index whose cumulative weight first exceeds `uniform` of the total; never one of weight 0.

  Two levels of about sqrt(V) entries, cumulated by a triangular matmul: one uniform number and V
  exps a token instead of V random numbers.
  """
  B, V = weight_BV.shape
  width = max(8, 1 << (max(V - 1, 1).bit_length() + 1) // 2)
  padded = jnp.pad(weight_BV, ((0, 0), (0, -V % width)))
  block_BCW = padded.reshape(B, -1, width)
  total_BC = block_BCW.sum(-1)
  end_BC = _cumulate(total_BC)
  target_B = uniform_B * end_BC[:, -1]
  block_B = _first_above(end_BC, target_B)
  hot_BC = jax.nn.one_hot(block_B, total_BC.shape[1])
  before_B = (hot_BC * (end_BC - total_BC)).sum(-1)
  chosen_BW = (hot_BC[:, :, None] * block_BCW).sum(1)
  within_B = _first_above(_cumulate(chosen_BW), target_B - before_B)
  return (block_B * width + within_B).astype(jnp.int32)


def _cumulate(weight_BN):
  upper = jnp.triu(jnp.ones((weight_BN.shape[1],) * 2, jnp.float32))
  return jnp.matmul(weight_BN, upper, precision=jax.lax.Precision.HIGHEST)


def _first_above(end_BN, target_B):
  """First entry whose end exceeds the target; rounding at the top falls back to the last with
  weight.
  """
  above_B = (end_BN <= target_B[:, None]).sum(-1)
  last_B = (end_BN < end_BN[:, -1:]).sum(-1)
  return jnp.minimum(above_B, last_B)


def _top_k(x_BV, k):
  if not k or k >= x_BV.shape[-1]:
    return x_BV
  least_B1 = jax.lax.top_k(x_BV, k)[0][:, -1:]
  return jnp.where(x_BV >= least_B1, x_BV, REMOVED)


def _top_p(x_BV, p):
  """Keeps the smallest set of most likely tokens whose probability reaches p."""
  if p >= 1:
    return x_BV
  prob_BV = jax.nn.softmax(x_BV, -1)
  down_BV = -jnp.sort(-prob_BV, axis=-1)
  before_BV = jnp.cumsum(down_BV, -1) - down_BV
  least_B1 = jnp.where(before_BV < p, down_BV, 2.0).min(-1, keepdims=True)
  return jnp.where(prob_BV >= least_B1, x_BV, REMOVED)
