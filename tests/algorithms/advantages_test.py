"""What happens on the host before the loss: configuration, advantages, penalties, weights."""

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest

from r1jax.algorithms import advantages, grpo

SCALES = ('group', 'batch', 'none')
rewards = hnp.arrays(np.float64, (3, 5), elements=st.sampled_from([-1.0, 0.0, 0.1, 0.3, 1.0, 2.0]))
verdicts = hnp.arrays(bool, (3, 5))
quick = hypothesis.settings(max_examples=100, deadline=None, derandomize=True)

ESTIMATORS = st.sampled_from(list(advantages.ESTIMATORS))


def config(scale='group', **kwargs):
  return grpo.GrpoConfig(advantage_scale=scale, **kwargs)


@quick
@hypothesis.given(
  reward_PG=rewards, valid_PG=verdicts, scale=st.sampled_from(SCALES), name=ESTIMATORS
)
def test_advantages_of_valid_samples_sum_to_zero_and_keep_the_order_of_rewards(
  reward_PG, valid_PG, scale, name
):
  advantage_PG = advantages.estimate(reward_PG, valid_PG, config(scale, advantage=name))
  assert advantage_PG.dtype == np.float32 and not advantage_PG[~valid_PG].any()
  np.testing.assert_allclose(advantage_PG.sum(1), 0, atol=1e-5)
  for reward_G, valid_G, advantage_G in zip(reward_PG, valid_PG, advantage_PG):
    r_X, a_X = reward_G[valid_G], advantage_G[valid_G]
    more = r_X[:, None] > r_X[None]
    assert (a_X[:, None] > a_X[None])[more].all()


@quick
@hypothesis.given(
  reward_PG=rewards, valid_PG=verdicts, scale=st.sampled_from(SCALES), name=ESTIMATORS
)
def test_a_sample_whose_verifier_failed_is_as_good_as_absent(reward_PG, valid_PG, scale, name):
  junk_PG = np.where(valid_PG, reward_PG, np.nan)
  cfg = config(scale, advantage=name)
  advantage_PG = advantages.estimate(junk_PG, valid_PG, cfg)
  if scale == 'batch':
    return
  for p, valid_G in enumerate(valid_PG):
    if valid_G.any():
      alone = advantages.estimate(reward_PG[p : p + 1, valid_G], None, cfg)
      np.testing.assert_allclose(advantage_PG[p, valid_G], alone[0], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize('name', advantages.ESTIMATORS)
@pytest.mark.parametrize('scale', SCALES)
@pytest.mark.parametrize('value', [0.0, 0.1, 1 / 3, 2.0, -1e6, 1e-9])
def test_a_unanimous_group_gets_exactly_zero(name, scale, value):
  reward_PG = np.array([[value] * 7, [0, 1, 0, 1, 0, 1, 0]])
  assert list(advantages.unanimous_groups(reward_PG)) == [True, False]
  for epsilon in (1e-4, 0.0):
    cfg = config(scale, advantage=name, std_epsilon=epsilon)
    advantage_PG = advantages.estimate(reward_PG, None, cfg)
    assert (advantage_PG[0] == 0).all() and advantage_PG[1].all()


def test_unanimity_is_judged_among_valid_samples_only():
  reward_PG = [[1, 1, 0], [1, 1, np.nan], [1, 0, 5], [1, 9, 9], [7, 8, 9]]
  valid_PG = [[1, 1, 0], [1, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]]
  assert list(advantages.unanimous_groups(reward_PG, valid_PG)) == [True, True, False, True, True]


@pytest.mark.parametrize('ddof, std', [(0, np.std([0, 0, 1])), (1, np.std([0, 0, 1], ddof=1))])
def test_group_advantage_is_the_papers_formula(ddof, std):
  cfg = config(std_ddof=ddof, std_epsilon=0.0)
  expected = (np.array([0, 0, 1]) - 1 / 3) / std
  np.testing.assert_allclose(advantages.estimate([[0, 0, 1]], None, cfg)[0], expected, rtol=1e-6)


def rloo_by_loops(reward_PG, valid_PG):
  """Each sample's reward minus the mean of the other valid ones of its group (arXiv 2402.14740)."""
  out_PG = np.zeros(np.shape(reward_PG))
  for p, (reward_G, valid_G) in enumerate(zip(reward_PG, valid_PG)):
    for g, reward in enumerate(reward_G):
      others = [r for i, r in enumerate(reward_G) if valid_G[i] and i != g]
      if valid_G[g] and others:
        out_PG[p, g] = reward - sum(others) / len(others)
  return out_PG


@quick
@hypothesis.given(reward_PG=rewards, valid_PG=verdicts)
def test_leave_one_out_is_the_reward_less_the_mean_of_the_others(reward_PG, valid_PG):
  cfg = config('none', advantage='leave_one_out')
  junk_PG = np.where(valid_PG, reward_PG, np.nan)
  found_PG = advantages.estimate(junk_PG, valid_PG, cfg)
  np.testing.assert_allclose(found_PG, rloo_by_loops(reward_PG, valid_PG), rtol=1e-6, atol=1e-6)
  assert found_PG.dtype == np.float32 and not found_PG[~valid_PG].any()


@quick
@hypothesis.given(reward_PG=rewards, valid_PG=verdicts)
def test_leave_one_out_is_grpos_centred_reward_times_n_over_n_minus_one(reward_PG, valid_PG):
  loo, group = (
    advantages.estimate(reward_PG, valid_PG, config('none', advantage=name))
    for name in ('leave_one_out', 'group')
  )
  count_P1 = valid_PG.sum(1, keepdims=True)
  # A group of one has no others: both are 0.
  factor_P1 = np.where(count_P1 > 1, count_P1 / np.maximum(count_P1 - 1, 1), 0)
  np.testing.assert_allclose(loo, group * factor_P1, rtol=1e-5, atol=1e-6)


def test_leave_one_out_knows_an_example_by_hand():
  cfg = config('none', advantage='leave_one_out')
  found_PG = advantages.estimate([[1, 0, 0, 1], [3, 9, 0, 0]], [[1, 1, 1, 1], [1, 0, 0, 0]], cfg)
  np.testing.assert_allclose(found_PG, [[2 / 3, -2 / 3, -2 / 3, 2 / 3], [0, 0, 0, 0]], rtol=1e-6)


def test_a_valid_reward_that_is_not_finite_is_refused_with_its_place():
  with pytest.raises(ValueError, match='prompt 1, sample 0'):
    advantages.estimate([[0.0, 1.0], [np.nan, 1.0]], None, config())
  with pytest.raises(ValueError, match=r'\(2, 2\) and \(2, 3\)'):
    advantages.estimate(np.zeros((2, 2)), np.ones((2, 3)), config())


def test_overlong_penalty_follows_the_ramp_of_dapo():
  cfg = config(max_length=20480, overlong_buffer=4096)
  lengths = [0, 16384, 16385, 18432, 20480, 30000]
  expected = [0, 0, -1 / 4096, -0.5, -1, -1]
  np.testing.assert_allclose(advantages.overlong_penalty(lengths, cfg), expected, rtol=1e-6)
  assert not advantages.overlong_penalty(lengths, config()).any()
  with pytest.raises(ValueError, match='-3'):
    advantages.overlong_penalty([4, -3], cfg)


@quick
@hypothesis.given(
  length_B=st.lists(st.integers(1, 50), min_size=1, max_size=12),
  aggregation=st.sampled_from(['grpo', 'dapo', 'token', 'bnpo', 'cispo']),
  seed=st.integers(0, 99),
)
def test_weights_of_a_mean_sum_to_one_over_all_tokens(length_B, aggregation, seed):
  microbatch_B = np.random.default_rng(seed).integers(0, 3, len(length_B))
  weight_B = grpo.token_weights(length_B, config(aggregation=aggregation), microbatch_B)
  assert np.dot(weight_B, length_B) == pytest.approx(1, rel=1e-5)


def test_dr_grpo_divides_by_the_cap_and_not_by_the_length():
  weight_B = grpo.token_weights([1, 9, 0], config(aggregation='dr_grpo', max_length=10))
  np.testing.assert_allclose(weight_B, 1 / 30, rtol=1e-6)


@pytest.mark.parametrize('aggregation', ['grpo', 'token', 'bnpo'])
def test_a_sequence_without_tokens_is_harmless(aggregation):
  weight_B = grpo.token_weights([0, 0], config(aggregation=aggregation), [0, 1])
  assert np.isfinite(weight_B).all()


@pytest.mark.parametrize(
  'options, words',
  [
    ({'aggregation': 'ppo'}, "aggregation='ppo'"),
    ({'kl_form': 'k4'}, "kl_form='k4' is not one of 'k1', 'k2', 'k3', 'k3_ratio_weighted'"),
    ({'advantage': 'rloo'}, "advantage='rloo' is not one of 'group', 'leave_one_out'"),
    ({'importance': 'word'}, "importance='word' is not one of 'token', 'sequence'"),
    ({'advantage_scale': None}, "advantage_scale=None is not one of 'group', 'batch', 'none'"),
    ({'clip_low': -0.1}, 'clip_low=-0.1'),
    ({'clip_high': float('nan')}, 'clip_high=nan'),
    ({'beta': -1e-3}, 'beta=-0.001'),
    ({'tis_cap': 0.0}, 'tis_cap=0.0'),
    ({'std_ddof': 2}, 'std_ddof=2'),
    ({'dual_clip': 1.0}, 'dual_clip=1.0'),
    ({'aggregation': 'cispo', 'delta': 4.0}, 'cispo'),
    ({'aggregation': 'dr_grpo'}, 'max_length'),
    ({'overlong_buffer': 5}, 'max_length'),
    ({'overlong_buffer': 5, 'max_length': 4}, 'longer'),
    ({'delta': 1.2}, 'delta=1.2 would cap ratios that clip_high=0.2 lets through'),
    ({'delta': 0.5}, 'delta=0.5'),
  ],
)
def test_a_meaningless_configuration_is_refused_by_name(options, words):
  with pytest.raises(ValueError, match=words):
    grpo.GrpoConfig(**options)
