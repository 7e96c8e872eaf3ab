"""Intervals hold the truth as often as they say; the paired test errs as rarely as it says."""

import itertools

import numpy as np
import pytest
import scipy.stats

from benchmarks import interval_coverage
from r1jax.evaluation import intervals


@pytest.mark.parametrize('kind, least', [('wilson', 0.93), ('bootstrap', 0.92)])
def test_on_average_over_worlds_95_intervals_of_100_hold_the_truth(kind, least):
  rng, held = np.random.default_rng(0), []
  worlds = itertools.product(((64, 4), (198, 16), (500, 16)), (0.05, 0.2, 0.5, 0.8), (0.7, 5))
  for size, mean, spread in worlds:
    rate_RP = interval_coverage.world(rng, size, mean, spread, 300)
    held.append(interval_coverage.coverage(rate_RP, size[1], mean)[kind])
  assert least <= np.mean(held) <= 0.97, held


def test_the_default_covers_better_than_the_bootstrap_where_questions_are_few_and_hard():
  rng = np.random.default_rng(0)
  rate_RP = interval_coverage.world(rng, (30, 64), 0.1, 0.7, 1000)
  held = interval_coverage.coverage(rate_RP, 64, 0.1)
  assert held['bootstrap'] + 0.02 < held['wilson'] <= 0.97, held


@pytest.mark.parametrize('mean', (0.05, 0.95))
def test_few_questions_nearly_all_alike_are_covered_too(mean):
  rate_RP = interval_coverage.world(np.random.default_rng(1), (30, 64), mean, 0.7, 1000)
  assert 0.92 < interval_coverage.coverage(rate_RP, 64, mean)['wilson'] < 0.98


def test_the_bootstrap_is_the_middle_of_means_of_questions_drawn_with_replacement():
  rate_P = np.random.default_rng(0).random(40)
  rng = np.random.default_rng(7)
  means = sorted(float(np.mean([rate_P[rng.integers(40)] for _ in range(40)])) for _ in range(4000))
  low, high = intervals.bootstrap(rate_P)
  assert low == pytest.approx(means[100], abs=0.006)
  assert high == pytest.approx(means[3899], abs=0.006)
  assert intervals.bootstrap(rate_P) == (low, high)


def test_where_all_agree_the_bootstrap_promises_certainty_and_wilson_does_not():
  assert intervals.bootstrap(np.zeros(30)) == (0, 0)
  low, high = intervals.wilson(np.zeros(30), 120)
  assert low == 0 and high > 0.05


def test_an_unknown_interval_is_refused():
  with pytest.raises(ValueError, match="'normal' is none of wilson, bootstrap"):
    intervals.estimate([0.5], 1, 'normal')


@pytest.mark.parametrize('questions', [6, 12])
def test_the_p_value_of_few_questions_is_the_exact_share_of_sign_flips(questions):
  rng = np.random.default_rng(questions)
  first, second = rng.integers(0, 5, (2, questions)) / 4
  gap = first - second
  flips = [np.dot(signs, gap) for signs in itertools.product((1, -1), repeat=questions)]
  expected = np.mean([abs(total) >= abs(gap.sum()) - 1e-9 for total in flips])
  assert intervals.paired(first, second).p == pytest.approx(expected)


def test_the_p_value_of_many_questions_agrees_with_scipys_permutation_test():
  rng = np.random.default_rng(0)
  first = rng.random(80)
  second = np.clip(first + rng.normal(-0.03, 0.15, 80), 0, 1)
  expected = scipy.stats.permutation_test(
    (first, second),
    lambda a, b, axis: np.mean(a - b, axis=axis),
    permutation_type='samples',
    n_resamples=20_000,
    rng=np.random.default_rng(1),
  )
  found = intervals.paired(first, second)
  assert found.p == pytest.approx(expected.pvalue, abs=0.01)
  assert found.mean == pytest.approx(np.mean(first - second))
  held = scipy.stats.ttest_rel(first, second).confidence_interval(0.95)
  assert (found.low, found.high) == pytest.approx(tuple(held))


def test_models_that_are_equal_are_called_different_at_most_5_times_in_100():
  rng, called = np.random.default_rng(0), 0
  for _ in range(400):
    true_P = rng.beta(0.5, 0.5, 60)
    first, second = (rng.binomial(8, true_P) / 8 for _ in range(2))
    called += intervals.paired(first, second, draws=1000).significant
  assert called / 400 <= 0.07


def test_pairing_finds_a_difference_that_single_intervals_hide():
  rng = np.random.default_rng(0)
  true_P = rng.beta(0.5, 0.5, 200)
  second = rng.binomial(16, true_P * 0.94) / 16
  first = rng.binomial(16, true_P) / 16
  ends = [intervals.wilson(rate_P, 3200) for rate_P in (first, second)]
  assert ends[0][0] < ends[1][1]
  assert intervals.paired(first, second).significant


def test_one_question_or_none_decides_nothing():
  found = intervals.paired([1.0], [0.0])
  assert not found.significant and (found.low, found.high) == (-1, 1)
  with pytest.raises(ValueError, match='no questions'):
    intervals.paired([], [])


@pytest.mark.parametrize('seed', range(5))
def test_rank_correlation_is_spearmans_with_ties(seed):
  rng = np.random.default_rng(seed)
  a = rng.integers(0, 6, 40).astype(float)
  b = a + rng.integers(0, 5, 40)
  assert intervals.rank_correlation(a, b) == pytest.approx(scipy.stats.spearmanr(a, b).statistic)
  assert intervals.rank_correlation(a, np.exp(a)) == pytest.approx(1)


def test_rank_correlation_of_nothing_or_a_constant_is_undefined():
  assert intervals.rank_correlation([], []) is None
  assert intervals.rank_correlation([1], [2]) is None
  assert intervals.rank_correlation([1, 1, 1], [1, 2, 3]) is None
  with pytest.raises(ValueError, match='not finite'):
    intervals.rank_correlation([1, np.nan], [1, 2])
  with pytest.raises(ValueError, match='one length'):
    intervals.rank_correlation([1, 2], [1, 2, 3])
