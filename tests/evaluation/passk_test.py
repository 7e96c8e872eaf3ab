"""Scores agree with counting by hand and with SciPy; intervals cover what they promise."""

import itertools

import numpy as np
import pytest

from r1jax.evaluation import passk


def _coverage(rng, questions, samples, mean, spread, runs=1500):
  """How often the interval holds the true mean, in worlds whose questions differ in difficulty."""
  held = 0
  for _ in range(runs):
    rate_P = rng.beta(mean * spread, (1 - mean) * spread, questions)
    found = passk.pass_at_1(rng.random((questions, samples)) < rate_P[:, None])
    held += found.low <= mean <= found.high
  return held / runs


@pytest.mark.parametrize('mean', [0.2, 0.5, 0.9])
@pytest.mark.parametrize('questions, samples', [(64, 1), (64, 4), (200, 8)])
def test_the_interval_holds_the_truth_95_times_in_100(questions, samples, mean):
  rng = np.random.default_rng(0)
  found = [_coverage(rng, questions, samples, mean, spread) for spread in (0.7, 5)]
  assert 0.93 <= np.mean(found) <= 0.97, found


def test_treating_samples_as_independent_would_promise_too_much():
  rng = np.random.default_rng(0)
  rate_P = rng.beta(0.5, 0.5, 100)
  correct_PG = rng.random((100, 16)) < rate_P[:, None]
  clustered = passk.pass_at_1(correct_PG)
  independent = passk.pass_at_1(correct_PG.reshape(-1, 1))
  assert clustered.mean == pytest.approx(independent.mean)
  assert clustered.high - clustered.low > 2 * (independent.high - independent.low)


def test_copies_of_a_sample_add_no_certainty():
  once = np.random.default_rng(0).random((50, 1)) < 0.3
  one, many = passk.pass_at_1(once), passk.pass_at_1(np.repeat(once, 8, 1))
  assert (many.low, many.high) == pytest.approx((one.low, one.high), rel=0.02)
  assert (one.samples, many.samples) == (50, 400)


@pytest.mark.parametrize('value', [0, 1])
def test_unanimous_results_keep_an_honest_width(value):
  found = passk.pass_at_1(np.full((30, 4), value))
  assert found.mean == value and 0 <= found.low <= value <= found.high <= 1
  assert found.high - found.low > 0.05


def test_one_question_says_nothing_about_the_others():
  found = passk.pass_at_1([[1, 0, 1, 1]])
  assert (found.mean, found.low, found.high) == (0.75, 0, 1)


def test_uncounted_samples_and_questions_have_no_part():
  correct = [[1, 0, 1], [1, 1, 0], [0, 0, 0]]
  counted = [[1, 1, 0], [1, 1, 1], [0, 0, 0]]
  found = passk.pass_at_1(correct, counted)
  assert found.mean == pytest.approx((1 / 2 + 2 / 3) / 2)
  assert (found.questions, found.samples) == (2, 5)


@pytest.mark.parametrize(
  'correct, counted, message',
  [
    ([], None, 'shape'),
    ([1, 0], None, 'shape'),
    ([[2.0]], None, r'\[0, 1\]'),
    ([[np.nan]], None, r'\[0, 1\]'),
    ([[1, 0]], [[0, 0]], 'no sample'),
    ([[1, 0]], [[1]], 'differs'),
  ],
)
def test_scores_that_mean_nothing_are_refused(correct, counted, message):
  with pytest.raises(ValueError, match=message):
    passk.pass_at_1(correct, counted)


@pytest.mark.parametrize('k', [1, 2, 3, 5])
def test_pass_at_k_is_the_share_of_subsets_with_a_correct_sample(k):
  correct_PG = np.random.default_rng(0).random((6, 5)) < 0.3
  subsets = list(itertools.combinations(range(5), k))
  expected = np.mean([[row[list(s)].any() for s in subsets] for row in correct_PG])
  assert passk.pass_at_k(correct_PG, k).mean() == pytest.approx(expected)


@pytest.mark.parametrize('k', [0, 6])
def test_pass_at_k_needs_k_samples(k):
  with pytest.raises(ValueError, match=f'pass@{k} needs'):
    passk.pass_at_k(np.ones((2, 5)), k)


def test_the_majority_wins_ties_share_and_silence_has_no_vote():
  answers = [['4', '5', '5'], ['1', '2', None], [None, None, '7'], [None, None, None]]
  correct = [[False, True, True], [True, False, False], [False, False, True], [False] * 3]
  assert passk.cons_at_k(answers, correct, 3).tolist() == [1, 0.5, 1, 0]
  assert passk.cons_at_k(answers, correct, 1).tolist() == [0, 1, 0, 0]


def test_the_order_of_samples_does_not_change_the_majority():
  answers, correct = ['1', '2', '3', '2', '1'], [True, False, False, False, True]
  scores = {
    float(passk.cons_at_k([[answers[i] for i in p]], [[correct[i] for i in p]], 5)[0])
    for p in itertools.permutations(range(5))
  }
  assert scores == {0.5}


def test_a_majority_needs_k_answers():
  with pytest.raises(ValueError, match='cons@3 of a question with 2 answers'):
    passk.cons_at_k([['1', '2']], [[True, False]], 3)
