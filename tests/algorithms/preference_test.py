"""The losses of reward models against NumPy, finite differences and what they must not see."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax.algorithms import preference, tally

RNG = np.random.default_rng(0)
SCORE_BK = RNG.normal(size=(5, 2)).astype(np.float32) * 3
WEIGHT_BK = np.repeat(np.array([0.25, 0.25, 0, 0.25, 0.25], np.float32)[:, None], 2, 1)


def batch(objective):
  label_BK = np.tile([1, 0], (5, 1)) if objective == 'pairwise' else np.arange(10).reshape(5, 2) % 3
  return preference.Batch(label_BK.astype(np.int32), WEIGHT_BK)


def by_hand(objective, score_BK, given):
  sigmoid = lambda x: 1 / (1 + np.exp(-np.float64(x)))
  total = 0.0
  for b in range(5):
    if objective == 'pairwise':
      total -= given.weight_BK[b, 0] * np.log(sigmoid(score_BK[b, 0] - score_BK[b, 1]))
      continue
    for k in range(2):
      safe = sigmoid(score_BK[b, k])
      total -= given.weight_BK[b, k] * np.log(safe if given.label_BK[b, k] else 1 - safe)
  return total


@pytest.mark.parametrize('objective', preference.OBJECTIVES)
def test_the_loss_is_that_of_loops_and_its_gradient_that_of_finite_differences(objective):
  given = batch(objective)
  run = lambda score_BK: preference.loss(objective, given, score_BK)[0]
  value, slope_BK = jax.value_and_grad(run)(jnp.asarray(SCORE_BK))
  assert value == pytest.approx(by_hand(objective, SCORE_BK, given), rel=1e-5)
  for b, k in np.ndindex(5, 2):
    step = np.zeros((5, 2))
    step[b, k] = 1e-4
    up, down = (by_hand(objective, SCORE_BK + sign * step, given) for sign in (1, -1))
    assert slope_BK[b, k] == pytest.approx((up - down) / 2e-4, abs=1e-5)


@pytest.mark.parametrize('objective', preference.OBJECTIVES)
@pytest.mark.parametrize('junk', [np.nan, np.inf])
def test_what_lies_in_an_empty_row_reaches_neither_loss_nor_gradient_nor_figures(objective, junk):
  run = lambda x: preference.loss(objective, batch(objective), x)
  spoilt_BK = SCORE_BK.copy()
  spoilt_BK[2] = junk
  clean, dirty = (jax.value_and_grad(run, has_aux=True)(x) for x in (SCORE_BK, spoilt_BK))
  assert dirty[0][0] == clean[0][0] and not dirty[1][2].any()
  np.testing.assert_array_equal(dirty[1], clean[1])
  assert tally.results(dirty[0][1]) == tally.results(clean[0][1])


@pytest.mark.parametrize('objective', preference.OBJECTIVES)
def test_parts_of_a_mini_batch_add_up_to_the_whole(objective):
  given = batch(objective)
  part = lambda rows: preference.loss(
    objective, jax.tree.map(lambda x: x[rows], given), SCORE_BK[rows]
  )
  (one, figures), (other, rest) = part(slice(0, 2)), part(slice(2, 5))
  whole, expected = preference.loss(objective, given, SCORE_BK)
  assert float(one + other) == pytest.approx(float(whole), rel=1e-6)
  found = tally.results(tally.merge(figures, rest))
  for name, value in tally.results(expected).items():
    assert float(found[name]) == pytest.approx(float(value), rel=1e-5), name


def test_accuracy_counts_pairs_in_order_and_equal_scores_are_not_in_order():
  given = preference.Batch(np.tile([1, 0], (3, 1)), np.full((3, 2), 1 / 3, np.float32))
  _, figures = preference.loss('pairwise', given, np.array([[2.0, 1], [1, 2], [1, 1]]))
  assert tally.results(figures)['preference/accuracy'] == pytest.approx(1 / 3)


def test_a_common_shift_changes_the_pointwise_loss_only():
  differ = lambda o: (
    preference.loss(o, batch(o), SCORE_BK + 1)[0] - preference.loss(o, batch(o), SCORE_BK)[0]
  )
  assert abs(differ('pairwise')) < 1e-6 < abs(differ('pointwise'))


def test_huge_scores_stay_finite_in_value_and_gradient():
  run = lambda x: preference.pairwise(x, -x) + preference.pointwise(x, 0)
  value, slope = jax.value_and_grad(run)(-1e30)
  assert np.isfinite([value, slope]).all()


def test_unknown_objectives_and_rows_that_hold_no_pairs_are_refused():
  with pytest.raises(ValueError, match="'listwise' is not one of pairwise, pointwise"):
    preference.loss('listwise', batch('pairwise'), SCORE_BK)
  with pytest.raises(ValueError, match='2 texts, these have 3'):
    preference.loss('pairwise', preference.Batch(np.ones((1, 3)), np.ones((1, 3))), np.ones((1, 3)))


def test_labels_of_another_shape_are_refused_rather_than_broadcast():
  column_BK = np.ones((5, 1), np.float32)
  with pytest.raises(AssertionError, match='shape'):
    preference.loss('pointwise', preference.Batch(column_BK, column_BK), SCORE_BK)
