"""Log-probabilities of given tokens, with the vocabulary left sharded (a masked sum, no gather)."""

import jax
import jax.numpy as jnp


def token_logp(logits_BTV, token_BT, temperature=1.0):
  """Log-probability of each token under a softmax at the rollout temperature.

  A policy sampled at temperature τ is the softmax of logits / τ, so trainer and sampler must both
  divide by it before comparing (reference: R1 samples at 1.0, in its last stage at 0.7).

  Args:
    logits_BTV: [B, T, V] any float dtype, aligned: logits[b, t] is the prediction of token[b, t].
      The vocabulary axis may be sharded.
    token_BT: [B, T] integers in 0..V-1. An id outside gives minus the log-normaliser, so mask
      padding.
    temperature: positive number or scalar array.

  Returns:
    [B, T] natural logarithms, float32 (float64 for float64 logits).

  Raises:
    ValueError: shapes that do not belong together, or a temperature that is not positive.
  """
  scaled_BTV, top_BT1 = _scaled(logits_BTV, token_BT, temperature)
  log_norm_BT = jnp.log(jnp.sum(jnp.exp(scaled_BTV - top_BT1), axis=-1))
  return _chosen(scaled_BTV, token_BT) - top_BT1[..., 0] - log_norm_BT


def _scaled(logits_BTV, token_BT, temperature):
  """Tempered logits and their maximum, to be subtracted before any difference is taken."""
  if logits_BTV.ndim != 3 or token_BT.shape != logits_BTV.shape[:2]:
    raise ValueError(
      f'expected logits [B, T, V] and token [B, T], got {logits_BTV.shape} and {token_BT.shape}'
    )
  if not isinstance(temperature, jax.core.Tracer) and not temperature > 0:
    raise ValueError(f'{temperature=} is not positive; greedy decoding has no log-probabilities')
  scaled_BTV = logits_BTV.astype(jnp.promote_types(logits_BTV.dtype, jnp.float32)) / temperature
  return scaled_BTV, jax.lax.stop_gradient(jnp.max(scaled_BTV, axis=-1, keepdims=True))


def _chosen(scaled_BTV, token_BT):
  vocab_11V = jax.lax.broadcasted_iota(jnp.int32, (1, 1, scaled_BTV.shape[-1]), 2)
  return jnp.sum(jnp.where(vocab_11V == token_BT[..., None], scaled_BTV, 0), axis=-1)
