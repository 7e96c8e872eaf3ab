"""Draws have the probabilities of the softmax, on the supports of top-k and top-p."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from r1jax.sampling import draw
from tests.model import tiny

RNG = np.random.default_rng(0)
VOCAB, HEAVY = 151_936, 70_001  # Qwen2's vocabulary, and the token that holds nearly everything
invert = jax.jit(draw.invert)
draw_jit = jax.jit(draw.draw, static_argnums=(2, 3, 4))
uniforms = jax.jit(lambda key, n: draw.uniforms(jax.random.split(key, n)), static_argnums=1)


@pytest.fixture(scope='module', autouse=True)
def mesh():
  with tiny.mesh():
    yield


def spread(row_V, uniform_B2):
  """The same row for every pair of uniform numbers."""
  return np.broadcast_to(row_V, (len(uniform_B2), len(row_V))).astype(np.float32)


def grid(size):
  """Every pair of the middles of `size` equal parts of [0, 1]."""
  middle = (np.arange(size) + 0.5) / size
  return np.stack(np.meshgrid(middle, middle), -1).reshape(-1, 2).astype(np.float32)


def halved(total, parts):
  """`total`, a power of two, as a sum of `parts` powers of two."""
  found = [total]
  while len(found) < parts:
    index = RNG.choice(np.flatnonzero(np.array(found) > 1))
    found[index] //= 2
    found.append(found[index])
  return found


@pytest.mark.parametrize('vocab, width, total', [(3, 8, 8), (64, 8, 64), (1000, 32, 128)])
def test_the_share_of_uniform_numbers_that_a_token_gets_is_its_probability(vocab, width, total):
  # Blocks that weigh powers of two, on a grid of a power of two: every count is exact.
  weight_V = np.zeros(vocab, int)
  for c, weight in enumerate(halved(total, -(-vocab // width))):
    block = weight_V[c * width : (c + 1) * width]
    block[:] = RNG.multinomial(weight, RNG.dirichlet(np.full(len(block), 0.3)))
  token_B = invert(spread(weight_V, grid(total)), grid(total))
  np.testing.assert_array_equal(np.bincount(token_B, minlength=vocab), weight_V * total)


def peaked(heavy):
  """Weights of a vocabulary in which one token has the share `heavy` and the rest are uneven."""
  weight_V = RNG.gamma(2.0, size=VOCAB)
  weight_V[HEAVY] = 0
  weight_V *= (1 - heavy) / weight_V.sum()
  weight_V[HEAVY] = heavy
  return weight_V.astype(np.float32)


@jax.jit
def invert_one(weight_V, uniform_B2):
  """`invert` of one row for many pairs of uniform numbers."""
  return jax.lax.map(lambda u: draw.invert(weight_V[None], u[None])[0], uniform_B2, batch_size=32)


def intervals(weight_N):
  """(where each entry's interval of [0, 1] begins, where it ends), float64.

  Entries lie in the order of their class of weight, within it in their own.
  """
  weight_N = np.asarray(weight_N, np.float64)
  class_N = np.searchsorted(weight_N.max() * 2.0 ** np.arange(-40, 0, 8), weight_N)
  order = np.argsort(class_N, kind='stable')
  end = np.cumsum(weight_N[order])
  begins, ends = np.empty((2, len(order)))
  begins[order], ends[order] = np.append(0, end[:-1]) / end[-1], end / end[-1]
  return begins, ends


@pytest.mark.parametrize('heavy', [0.999, 1 - 1e-6])
def test_every_token_of_a_large_vocabulary_owns_its_interval_however_unlikely(heavy):
  weight_V = peaked(heavy)
  block_CW = np.pad(weight_V, (0, -VOCAB % 512)).reshape(-1, 512)
  blocks = intervals(block_CW.sum(-1, dtype=np.float64))
  asked, expected = [], []
  # Both ends of every block, and of every entry of some: a hundredth of the interval inside.
  for inside in (0.01, 0.99):
    first_C = blocks[0] + inside * (blocks[1] - blocks[0])
    for c, first in enumerate(first_C):
      begins, ends = intervals(block_CW[c])
      every = c in (0, HEAVY // 512, len(block_CW) - 1)
      for w in np.flatnonzero(block_CW[c])[:: 1 if every else 97]:
        asked.append((first, begins[w] + inside * (ends[w] - begins[w])))
        expected.append(c * 512 + w)
  found = np.asarray(invert_one(weight_V, np.array(asked, np.float32)))
  np.testing.assert_array_equal(found, expected)


def test_the_tail_is_drawn_with_its_probabilities():
  weight_V = np.append(RNG.gamma(0.5, size=4095) * 1e-9, 1.0)
  tail = weight_V[:-1].sum() / weight_V.sum()
  # First numbers below the share of the light blocks, which lie before the heavy one: these are
  # the draws that the heavy block does not get.
  uniform_B2 = np.array(uniforms(jax.random.key(1), 20_000))
  light_C = np.sort(weight_V.reshape(-1, 64).sum(-1))[:-1]
  uniform_B2[:, 0] *= light_C.sum() / weight_V.sum()
  token_B = np.asarray(invert(spread(weight_V, uniform_B2), uniform_B2))
  count_V = np.bincount(token_B, minlength=4096)[:-64]
  expected_V = weight_V[:-64] / light_C.sum() * 20_000
  assert tail < 1e-5 and count_V.sum() == 20_000
  often_V = expected_V > 5
  observed = [*count_V[often_V], count_V[~often_V].sum()]
  expected = [*expected_V[often_V], expected_V[~often_V].sum()]
  assert stats.chisquare(observed, expected).pvalue > 0.001


def test_uniform_numbers_are_uniform_and_small_ones_keep_their_digits():
  uniform_X = np.asarray(uniforms(jax.random.key(0), 200_000)).reshape(-1)
  assert stats.kstest(uniform_X, 'uniform').pvalue > 0.001
  small_X = uniform_X[uniform_X < 1e-3]
  assert stats.kstest(small_X / 1e-3, 'uniform').pvalue > 0.001
  assert (small_X * 2.0**23 % 1 != 0).mean() > 0.99  # a multiple of 2^-23 has no such digits


def test_draws_follow_the_softmax():
  logits_V, temperature = 2 * RNG.normal(size=50), 0.7
  uniform_B2 = np.asarray(uniforms(jax.random.key(0), 20_000))
  token_B, logp_B = draw_jit(spread(logits_V, uniform_B2), uniform_B2, temperature, 0, 1.0)
  prob_V = np.exp(logits_V / temperature) / np.exp(logits_V / temperature).sum()
  count_V = np.bincount(token_B, minlength=50)
  often_V = prob_V * 20_000 > 5
  observed = [*count_V[often_V], count_V[~often_V].sum()]
  expected = [*prob_V[often_V] * 20_000, prob_V[~often_V].sum() * 20_000]
  assert stats.chisquare(observed, expected).pvalue > 0.001
  np.testing.assert_allclose(logp_B, np.log(prob_V)[np.asarray(token_B)], atol=1e-4)


@pytest.mark.parametrize('first', [0.0, 1.0])
@pytest.mark.parametrize('second', [0.0, 1.0])
def test_a_token_of_no_probability_is_never_drawn_even_at_the_ends(first, second):
  rows = []
  for _ in range(200):
    weight_V = RNG.random(67) * (RNG.random(67) < 0.1)
    weight_V[RNG.integers(67)] = 1e-6
    rows.append(weight_V)
  weight_BV = np.array(rows, np.float32)
  token_B = np.asarray(invert(weight_BV, np.full((200, 2), (first, second), np.float32)))
  assert (weight_BV[np.arange(200), token_B] > 0).all()


def drawn(logits_V, *options):
  """The set of tokens that a fine grid of uniform numbers reaches, and their log-probabilities."""
  token_B, logp_B = draw_jit(spread(logits_V, grid(64)), grid(64), *options)
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
  token_B, logp_B = draw_jit(logits_BV, np.full((6, 2), 0.999, np.float32), 0.0, 0, 1.0)
  np.testing.assert_array_equal(token_B, logits_BV.argmax(1))
  expected = [log_softmax(row).max() for row in logits_BV.astype(np.float64)]
  np.testing.assert_allclose(logp_B, expected, atol=1e-5)
  assert token_B.dtype == jnp.int32
