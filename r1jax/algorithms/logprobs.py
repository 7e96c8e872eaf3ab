"""Log-probabilities of given tokens from hidden states; no logits of a whole batch exist."""

import jax
import jax.numpy as jnp

from r1jax import kernels, sharding
from r1jax.model import attention, layers


def token_logp(w_VD, hidden_XD, token_X, temperature=1.0, form='reference', mask_X=None):
  """Log-probability of each token, and the entropy, of a softmax at the rollout temperature.

  A policy sampled at temperature τ is the softmax of logits / τ, so trainer and sampler must both
  divide by it before comparing (reference: R1 samples at 1.0, in its last stage at 0.7).

  Args:
    w_VD: the output head as it is stored; its vocabulary may be sharded.
    hidden_XD: [X, D] aligned: hidden[x] predicts token[x].
    token_X: [X] integers in 0..V-1. An id outside gives minus the log-normaliser, so mask padding.
    temperature: positive number.
    form: which kernel runs.
    mask_X: bool [X], the tokens that a loss reads, for which alone the head is computed; or None.

  Returns:
    (logp_X, entropy_X) in nats, float32; 0 where the mask is.

  Raises:
    ValueError: shapes that do not belong together, or a temperature that is not positive.
  """
  if hidden_XD.ndim != 2 or token_X.shape != hidden_XD.shape[:1]:
    raise ValueError(
      f'expected hidden [X, D] and token [X], got {hidden_XD.shape} and {token_X.shape}'
    )
  if not temperature > 0:
    raise ValueError(f'{temperature=} is not positive; greedy decoding has no log-probabilities')

  # On each device: its share of the vocabulary against its share of the tokens.
  def local(w_VD, x_XD, *tokens):
    both = _varying_over_both(w_VD, x_XD)
    return _over_shards(*both, *tokens, temperature=temperature, form=form)

  tokens = (token_X,) if mask_X is None else (token_X, mask_X)
  axes = (('vocab', None), ('batch', None), *[('batch',)] * len(tokens))
  island = attention.island(local, axes, ('batch',))
  return island(layers.head_matrix(w_VD, hidden_XD.dtype), hidden_XD, *tokens)


def _varying_over_both(w_VD, x_XD):
  """Both operands varying over every axis that splits either: gradients are then summed once."""
  w_VD = jax.lax.pcast(w_VD, sharding.ACT_RULES['batch'], to='varying')
  return w_VD, jax.lax.pcast(x_XD, sharding.ACT_RULES['vocab'], to='varying')


def _over_shards(w_VD, x_XD, token_X, mask_X=None, *, temperature, form):
  """The shards' scores, joined into those of the whole vocabulary."""
  axis = sharding.ACT_RULES['vocab']
  # Ids of other shards fall outside 0..V/shards - 1 and score 0 here.
  target_X = token_X - jax.lax.axis_index(axis) * len(w_VD)
  scores = kernels.token_scores(x_XD, w_VD, target_X, temperature, form, mask_X)
  norm_X, chosen_X, mean_X = scores
  # logsumexp over the shards' own, from the largest: nothing overflows.
  top_X = jax.lax.pmax(jax.lax.stop_gradient(norm_X), axis)
  share_X = jnp.exp(norm_X - top_X)
  total_X = jax.lax.psum(share_X, axis)
  whole_X = jnp.log(total_X) + top_X
  # H = log Z - E[logit], the expectation being that of the shards, weighted by their mass.
  entropy_X = whole_X - jax.lax.psum(share_X * mean_X, axis) / total_X
  figures = jax.lax.psum(chosen_X, axis) - whole_X, entropy_X
  return figures if mask_X is None else tuple(jnp.where(mask_X, x, 0) for x in figures)
