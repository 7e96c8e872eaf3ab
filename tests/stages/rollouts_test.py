"""Experience: unanimous groups are dropped and refilled, figures tell what happened."""

import contextlib
import dataclasses

import numpy as np
import pytest

from r1jax.algorithms import advantages, grpo
from r1jax.data.problem import Problem
from r1jax.evaluation import replies
from r1jax.rewards import service, verdict
from r1jax.sampling import rollout
from r1jax.stages import rollouts

GROUP = 2
MIXED, SAME = (0.0, 1.0), (1.0, 1.0)


def group(number, rewards):
  """Replies to one question named `number` with these accuracies."""
  problem = Problem(f'question {number}', '1', 'test', 0)
  token_BT = np.full((GROUP, 3), number, np.int32)
  length_B = np.array([2, 3])
  out = rollout.Rollout(([number],), token_BT, -token_BT.astype(np.float32), length_B, length_B < 3)
  scores = tuple(
    service.Reward({'accuracy': verdict.Verdict(r, 'correct' if r else 'wrong', '')}, r)
    for r in rewards
  )
  texts = tuple(f'reply {number}.{g}' for g in range(GROUP))
  return replies.Replies((problem,), out, texts, scores)


def sampler(*rounds):
  """(next_problems, sample_problems, calls): round k asks questions 10 k, 10 k + 1, ..."""
  calls = []

  def next_problems():
    return [10 * len(calls) + i for i in range(len(rounds[0]))]

  def sample_problems(problems, number):
    assert number == len(calls)
    calls.append(problems)
    groups = [group(p, rewards) for p, rewards in zip(problems, rounds[number])]
    return replies.join(groups)

  return next_problems, sample_problems, calls


def asked(found):
  """Numbers of the questions of an experience."""
  return [int(problem.question.split()[1]) for problem in found.replies.problems]


def test_without_dynamic_sampling_unanimous_groups_stay():
  ask, sample, calls = sampler([MIXED, SAME, SAME])
  found = rollouts.collect(ask, sample)
  assert len(calls) == 1 and asked(found) == [0, 1, 2] and found.dropped == 0


def test_unanimous_groups_are_dropped_and_refilled_from_further_questions():
  ask, sample, calls = sampler([MIXED, SAME, SAME], [SAME, MIXED, SAME], [MIXED, MIXED, SAME])
  found = rollouts.collect(ask, sample, 10)
  assert calls == [[0, 1, 2], [10, 11, 12], [20, 21, 22]]
  assert asked(found) == [0, 11, 20]
  assert (found.dropped, found.unfilled) == (6, 0)
  kept = found.replies
  assert not advantages.unanimous_groups(kept.reward_PG, kept.valid_PG).any()
  # Every part of a group has moved with it.
  assert kept.texts == tuple(f'reply {p}.{g}' for p in (0, 11, 20) for g in range(GROUP))
  assert [prompt for (prompt,) in kept.rollout.prompts] == [0, 11, 20]
  assert kept.rollout.token_BT[:, 0].tolist() == [0, 0, 11, 11, 20, 20]
  assert [score.total for score in kept.scores] == [0, 1] * 3
  # Metrics are of all that was sampled: nothing that is always right is left out.
  figures = rollouts.figures(found, 3, grpo.GrpoConfig())
  assert figures['rollout/unanimous'] == pytest.approx(5 / 9)
  assert figures['reward/accuracy'] == pytest.approx((4 * 0.5 + 5) / 9)
  assert figures['verdict/correct'] == pytest.approx(14 / 18)


def test_when_refills_run_out_unanimous_groups_fill_the_rest_and_are_counted():
  ask, sample, calls = sampler([SAME, MIXED, SAME], [SAME, SAME, SAME])
  found = rollouts.collect(ask, sample, 1)
  assert len(calls) == 2
  assert sorted(asked(found)) == [0, 1, 2]
  assert (found.dropped, found.unfilled) == (3, 2)


def test_a_rollout_without_unanimous_groups_is_not_refilled():
  ask, sample, calls = sampler([MIXED, MIXED])
  found = rollouts.collect(ask, sample, 10)
  assert len(calls) == 1 and asked(found) == [0, 1] and found.dropped == 0


def test_figures_leave_out_what_no_verifier_could_judge():
  both = replies.join([group(0, MIXED), group(1, SAME)])
  failed = service.Reward({'accuracy': verdict.Verdict(0.0, 'verifier_error', 'killed')}, 0.0)
  both = dataclasses.replace(both, scores=(*both.scores[:3], failed))
  found = rollouts.Experience(both, both, unfilled=1)
  figures = rollouts.figures(found, 3, grpo.GrpoConfig())
  assert figures['reward/accuracy'] == pytest.approx(2 / 3)
  assert figures['reward/total'] == pytest.approx(2 / 3)
  assert figures['verdict/verifier_error'] == figures['verdict/wrong'] == 0.25
  assert (figures['rollout/length'], figures['rollout/truncated']) == (2.5, 0.5)
  assert (figures['rollout/dropped_groups'], figures['rollout/unfilled_groups']) == (0, 1)
  assert figures['rollout/cap'] == 3


def test_the_overlong_penalty_counts_from_the_cap_of_the_update():
  found = group(0, SAME)
  assert np.array_equal(rollouts.shaped(found, 3, grpo.GrpoConfig())[0], found.reward_PG)
  gcfg = grpo.GrpoConfig(overlong_buffer=2, max_length=50)
  (far, _), (near, penalty) = rollouts.shaped(found, 50, gcfg), rollouts.shaped(found, 3, gcfg)
  assert np.array_equal(far, found.reward_PG)
  assert (near <= far).all() and near[0, 1] < near[0, 0] < far[0, 0]
  figures = rollouts.figures(rollouts.Experience(found, found), 3, gcfg)
  assert figures['reward/total'] == pytest.approx(near.mean())  # what advantages are made of
  assert figures['reward/overlong'] == pytest.approx(penalty.mean())


def test_the_language_of_a_question_reaches_its_verdict():
  problems = [Problem('q', '7', 'k', 1, language=name) for name in ('en', 'zh')]
  part = dataclasses.replace(
    group(0, MIXED).rollout, prompts=([0], [1]), length_B=np.array([2, 2, 2, 2])
  )
  texts = ['<think> so 加 </think> <answer> 7 </answer>', '<think> 加 </think> 7'] * 2
  items = replies.items(texts, problems, part)
  assert [item.language for item in items] == ['en', 'en', 'zh', 'zh']
  with contextlib.closing(service.RewardService(service.RewardConfig(language=1.0))) as rewards:
    found = rewards.submit(items).result()
  assert [one.verdicts['language'].score for one in found] == [0.5, 0, 0.5, 1]
