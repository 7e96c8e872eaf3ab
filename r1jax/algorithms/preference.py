"""Losses of reward models: pairwise for help, pointwise for harmlessness (reference §1.4)."""

import chex
import flax.struct
import jax
import jax.numpy as jnp

from r1jax.algorithms import tally

OBJECTIVES = ('pairwise', 'pointwise')


@flax.struct.dataclass
class Batch:
  """What the scores of K texts per row are compared with, both [B, K].

  Attributes:
    label_BK: 1 for the preferred or safe text, 0 for the other. A row of 'pairwise' holds one pair,
      the preferred text first, so K is 2 there and the label says nothing new.
    weight_BK: normaliser from the whole mini-batch, usually 1 / its number of pairs (equal for both
      texts of a pair) or of texts; 0 where no text lies.
  """

  label_BK: jax.Array
  weight_BK: jax.Array


def pairwise(chosen_B, rejected_B):
  """-log sigmoid(chosen - rejected) of each pair in nats: Bradley and Terry's likelihood."""
  return jax.nn.softplus(_wide(rejected_B) - _wide(chosen_B))


def pointwise(score_B, safe_B):
  """Cross-entropy in nats of each label, sigmoid(score) being the probability of a safe text."""
  score_B = _wide(score_B)
  return jax.nn.softplus(jnp.where(safe_B > 0, -score_B, score_B))


def loss(objective, batch, score_BK):
  """Weighted loss of a mini-batch, or of a part of it: the losses of the parts add up.

  Args:
    objective: 'pairwise' or 'pointwise', static under jit.
    batch: `Batch`.
    score_BK: the reward model's scores; anything where the weight is 0.

  Returns:
    (loss, tally): float32 scalar and `tally.Tally` with preference/accuracy (the pair in order, or
    the label on its side of 0), preference/loss, preference/margin (chosen - rejected, or the score
    towards its label) and preference/score, each over the pairs or texts that count.

  Raises:
    ValueError: an unknown objective, or scores that are not pairs.
    AssertionError: scores, labels and weights of different shapes.
  """
  if objective not in OBJECTIVES:
    raise ValueError(f'{objective=} is not one of {", ".join(OBJECTIVES)}')
  chex.assert_rank(score_BK, 2)
  chex.assert_equal_shape([score_BK, batch.label_BK, batch.weight_BK])
  real_BK = batch.weight_BK > 0
  score_BK = jnp.where(real_BK, _wide(score_BK), 0)  # before any arithmetic: junk stays out
  if objective == 'pairwise':
    if score_BK.shape[1] != 2:
      raise ValueError(f'a row of pairs has 2 texts, these have {score_BK.shape[1]}')
    # One value for each row: the pair.
    chosen_B, rejected_B = score_BK[:, 0], score_BK[:, 1]
    value, margin = pairwise(chosen_B, rejected_B), chosen_B - rejected_B
    weight, real = batch.weight_BK[:, 0], real_BK[:, 0]
  else:
    # One value for each text.
    value = pointwise(score_BK, batch.label_BK)
    margin = jnp.where(batch.label_BK > 0, score_BK, -score_BK)
    weight, real = batch.weight_BK, real_BK
  figures = {
    'preference/accuracy': margin > 0,
    'preference/loss': value,
    'preference/margin': margin,
    'preference/score': (score_BK, real_BK.astype(jnp.float32)),
  }
  total = jnp.sum(jnp.where(real, weight, 0) * value)
  return total, tally.measure(figures, {}, real.astype(jnp.float32))


def _wide(x):
  x = jnp.asarray(x)
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))
