"""Log-probabilities and entropies against NumPy, and on meshes with the vocabulary sharded."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax import sharding
from r1jax.algorithms import grpo, logprobs
from r1jax.kernels import output_head_some
from tests.model import tiny

pytestmark = pytest.mark.usefixtures('one_device')


def example():
  """(w_VD, hidden_XD, token_X)."""
  rng = np.random.default_rng(0)
  w_VD, hidden_XD = rng.normal(size=(11, 4)).astype('f'), rng.normal(0, 2, (10, 4)).astype('f')
  return w_VD, tiny.put(hidden_XD), tiny.put(rng.integers(0, 11, 10))


def probabilities(w_VD, hidden_XD, temperature):
  prob_XV = np.exp(np.float64(hidden_XD) @ np.float64(w_VD).T / temperature)
  return prob_XV / prob_XV.sum(-1, keepdims=True)


@pytest.mark.parametrize('temperature', [1.0, 0.7, 2.5])
def test_both_figures_are_those_of_the_tempered_softmax(temperature):
  w_VD, hidden_XD, token_X = example()
  prob_XV = probabilities(w_VD, hidden_XD, temperature)
  logp_X, entropy_X = logprobs.token_logp(w_VD, hidden_XD, token_X, temperature)
  np.testing.assert_allclose(logp_X, np.log(prob_XV[np.arange(10), token_X]), rtol=1e-5)
  np.testing.assert_allclose(entropy_X, -(prob_XV * np.log(prob_XV)).sum(-1), rtol=1e-4)


def test_the_gradient_is_one_hot_minus_softmax_over_temperature():
  w_VD, hidden_XD, token_X = example()
  grad_XD = jax.grad(lambda x: logprobs.token_logp(w_VD, x, token_X, 0.5)[0].sum())(hidden_XD)
  hot_XV = np.eye(11)[token_X] - probabilities(w_VD, hidden_XD, 0.5)
  np.testing.assert_allclose(grad_XD, 2 * hot_XV @ w_VD, atol=1e-5)


def test_bfloat16_states_give_float32_figures_near_the_full_ones():
  w_VD, hidden_XD, token_X = example()
  logp_X, entropy_X = logprobs.token_logp(w_VD, jnp.asarray(hidden_XD, jnp.bfloat16), token_X)
  assert logp_X.dtype == entropy_X.dtype == jnp.float32
  np.testing.assert_allclose(logp_X, logprobs.token_logp(w_VD, hidden_XD, token_X)[0], atol=0.1)


def test_huge_logits_neither_overflow_nor_turn_into_nan():
  w_VD, hidden_XD = np.array([[1e4], [1e4], [-1e4]], 'f'), tiny.put(np.array([[1], [1], [-1]], 'f'))
  logp_X, entropy_X = logprobs.token_logp(w_VD, hidden_XD, tiny.put([0, 2, 2]))
  # Float32 numbers near 1e4 are a thousandth apart.
  np.testing.assert_allclose(logp_X, [-np.log(2), -2e4 - np.log(2), 0], atol=2e-3)
  np.testing.assert_allclose(entropy_X, [np.log(2), np.log(2), 0], atol=2e-3)


@pytest.mark.parametrize('temperature', [0.0, -1.0, float('nan')])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
  with pytest.raises(ValueError, match='temperature'):
    logprobs.token_logp(*example(), temperature)


def test_shapes_that_do_not_belong_together_are_refused():
  w_VD, hidden_XD, token_X = example()
  with pytest.raises(ValueError, match=r'\(10, 4\) and \(9,\)'):
    logprobs.token_logp(w_VD, hidden_XD, token_X[:9])


@pytest.mark.heavy  # its bound is for programs that are compiled as those of users are
def test_the_head_of_some_tokens_is_the_same_with_a_vocabulary_and_tokens_in_shards(monkeypatch):
  rng, seen = np.random.default_rng(0), []
  w_VD, hidden_XD = rng.normal(size=(16, 8)).astype('f'), rng.normal(size=(48, 8)).astype('f')
  # Some devices have nothing to score, others all that they hold.
  token_X, mask_X = rng.integers(0, 16, 48), np.arange(48) < 20
  weight_X = rng.normal(size=(2, 48)).astype('f')

  @jax.jit
  def step(w, hidden, token, mask, weight):
    def loss(w, hidden):
      found = logprobs.token_logp(w, hidden, token, 0.7, mask_X=mask)
      return sum((x * y).sum() for x, y in zip(found, weight)), found

    return jax.grad(loss, (0, 1), has_aux=True)(w, hidden)

  for shape in ((1, 1, 1, 1), (1, 2, 1, 4)):
    with tiny.mesh(*shape):
      w = sharding.put(w_VD, sharding.param(('vocab', 'embed')))
      given = [tiny.put(x) for x in (hidden_XD, token_X, mask_X)]
      seen.append(tiny.host(step(w, *given, tuple(map(tiny.put, weight_X)))))
    # The first is of all logits at once, the second goes by in blocks.
    monkeypatch.setattr(output_head_some, 'worth', lambda *sizes: True)
    monkeypatch.setattr(output_head_some, 'block_size', lambda tokens: 8)
  chex.assert_trees_all_close(*seen, rtol=1e-5, atol=1e-5)
  assert not seen[0][1][0][~mask_X].any() and seen[0][1][0][mask_X].all()


def grpo_step(temperature):
  """A jitted GRPO loss with gradients of head and hidden states."""
  choice = dict(importance='sequence', kl_form='k3_ratio_weighted', tis_cap=1.1, beta=0.1)
  cfg = grpo.GrpoConfig(**choice)

  def loss(weights, token_X, batch):
    found = logprobs.token_logp(*weights, token_X, temperature)
    shape, rows = batch.mask_BT.shape, sharding.act('batch', None)
    logp_BT, entropy_BT = (jax.lax.reshape(x, shape, out_sharding=rows) for x in found)
    value, figures = grpo.loss(cfg, batch, logp_BT, entropy_BT)
    return value + 0.1 * entropy_BT.sum(), figures

  return jax.jit(jax.value_and_grad(loss, has_aux=True))


def test_loss_gradients_and_figures_are_the_same_on_every_mesh():
  rng, seen = np.random.default_rng(0), []
  w_VD, hidden_XD = rng.normal(size=(16, 8)).astype('f'), rng.normal(size=(96, 8)).astype('f')
  token_X, mask_BT = rng.integers(0, 16, 96), rng.integers(0, 2, (8, 12))
  floats = [rng.normal(-1, 0.3, (8, 12)).astype('f') for _ in range(5)]
  batch = grpo.Batch(mask_BT, *floats, np.sort(rng.integers(0, 3, (8, 12))))
  for shape in ((1, 1, 1, 1), (2, 1, 2, 2), (1, 2, 4, 1), (1, 2, 1, 4), (1, 1, 1, 2, 4)):
    with tiny.mesh(*shape):
      there = jax.tree.map(lambda x: sharding.put(x, sharding.act('batch', None)), batch)
      w = sharding.put(w_VD, sharding.param(('vocab', 'embed')))
      hidden, token = tiny.put(hidden_XD), tiny.put(token_X)
      seen.append(tiny.host(grpo_step(0.7)((w, hidden), token, there)))
  for other in seen[1:]:
    chex.assert_trees_all_close(seen[0], other, rtol=1e-4, atol=2e-5)
