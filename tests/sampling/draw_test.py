"""Draws are the inverse distribution function, on the supports of top-k and top-p."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from r1jax.sampling import draw
from tests.model import tiny

RNG = np.random.default_rng(0)
BELOW_ONE = np.float32(1) - np.finfo(np.float32).epsneg
invert = jax.jit(draw.invert)
draw_jit = jax.jit(draw.draw, static_argnums=(2, 3, 4))


@pytest.fixture(scope='module', autouse=True)
def mesh():
  with tiny.mesh():
    yield


def spread(row_V, uniform_B):
  """The same row for every uniform number."""
  return np.broadcast_to(row_V, (len(uniform_B), len(row_V))).astype(np.float32)


@pytest.mark.parametrize('vocab', [3, 64, 1000])
def test_inversion_is_the_inverse_distribution_function(vocab):
  # Whole numbers and a total that is a power of two: float32 and float64 agree to the last bit.
  weight_V = RNG.integers(0, 2, vocab) * RNG.integers(1, 9, vocab)
  weight_V[-1] = 0
  weight_V[0] = 2 ** int(np.ceil(np.log2(weight_V.sum() + 1))) - weight_V[1:].sum()
  uniform_B = (np.arange(4096) / 4096).astype(np.float32)
  expected = np.searchsorted(np.cumsum(weight_V), uniform_B * weight_V.sum(), side='right')
  np.testing.assert_array_equal(invert(spread(weight_V, uniform_B), uniform_B), expected)


def test_draws_follow_the_softmax():
  logits_V, temperature = 2 * RNG.normal(size=50), 0.7
  uniform_B = np.asarray(jax.random.uniform(jax.random.key(0), (20_000,)))
  token_B, logp_B = draw_jit(spread(logits_V, uniform_B), uniform_B, temperature, 0, 1.0)
  prob_V = np.exp(logits_V / temperature) / np.exp(logits_V / temperature).sum()
  count_V = np.bincount(token_B, minlength=50)
  often_V = prob_V * 20_000 > 5
  observed = [*count_V[often_V], count_V[~often_V].sum()]
  expected = [*prob_V[often_V] * 20_000, prob_V[~often_V].sum() * 20_000]
  assert stats.chisquare(observed, expected).pvalue > 0.001
  np.testing.assert_allclose(logp_B, np.log(prob_V)[np.asarray(token_B)], atol=1e-4)


@pytest.mark.parametrize('uniform', [0.0, BELOW_ONE])
def test_a_token_of_no_probability_is_never_drawn_even_at_the_ends(uniform):
  rows = []
  for _ in range(200):
    weight_V = RNG.random(67) * (RNG.random(67) < 0.1)
    weight_V[RNG.integers(67)] = 1e-6
    rows.append(weight_V)
  weight_BV = np.array(rows, np.float32)
  token_B = np.asarray(invert(weight_BV, np.full(200, uniform, np.float32)))
  assert (weight_BV[np.arange(200), token_B] > 0).all()
  if uniform == 0:
    np.testing.assert_array_equal(token_B, (weight_BV > 0).argmax(1))


def drawn(logits_V, *options):
  """The set of tokens that a fine grid of uniform numbers reaches, and their log-probabilities."""
  uniform_B = ((np.arange(4096) + 0.5) / 4096).astype(np.float32)
  token_B, logp_B = draw_jit(spread(logits_V, uniform_B), uniform_B, *options)
  return dict(zip(np.asarray(token_B).tolist(), np.asarray(logp_B).tolist()))


def log_softmax(logits_V):
  return logits_V - logits_V.max() - np.log(np.exp(logits_V - logits_V.max()).sum())


def test_top_k_reaches_the_k_most_likely_tokens_and_reports_the_whole_softmax():
  logits_V = RNG.normal(size=40)
  found = drawn(logits_V, 1.0, 5, 1.0)
  assert set(found) == set(np.argsort(logits_V)[-5:].tolist())
  for token, logp in found.items():
    assert logp == pytest.approx(log_softmax(logits_V)[token], abs=1e-5)


@pytest.mark.parametrize('p', [0.3, 0.8, 0.95])
def test_top_p_reaches_the_smallest_set_whose_probability_is_p(p):
  logits_V = RNG.normal(size=40)
  prob_V = np.exp(log_softmax(logits_V / 0.6))
  support, total = set(), 0.0
  for token in np.argsort(-prob_V):
    if total >= p:
      break
    support.add(int(token))
    total += prob_V[token]
  assert set(drawn(logits_V, 0.6, 0, p)) == support


def test_top_p_counts_probability_after_top_k():
  logits_V = np.log(np.array([0.4, 0.3, 0.2, 0.1]))
  assert set(drawn(logits_V, 1.0, 2, 0.5)) == {0}
  assert set(drawn(logits_V, 1.0, 2, 0.6)) == {0, 1}


def test_temperature_zero_takes_the_most_likely_token_at_its_log_probability_at_one():
  logits_BV = RNG.normal(size=(6, 40)).astype(np.float32)
  token_B, logp_B = draw_jit(logits_BV, np.full(6, 0.999, np.float32), 0.0, 0, 1.0)
  np.testing.assert_array_equal(token_B, logits_BV.argmax(1))
  expected = [log_softmax(row).max() for row in logits_BV.astype(np.float64)]
  np.testing.assert_allclose(logp_B, expected, atol=1e-5)
  assert token_B.dtype == jnp.int32
