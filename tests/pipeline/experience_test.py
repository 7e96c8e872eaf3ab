"""Experience: unanimous groups are dropped and refilled, figures tell what happened."""

import contextlib
import dataclasses

import numpy as np
import pytest

from r1jax.algorithms import grpo
from r1jax.data.problem import Problem
from r1jax.pipeline import experience
from r1jax.rewards import service, verdict
from r1jax.sampling import rollout

GROUP = 2
MIXED, SAME = (0.0, 1.0), (1.0, 1.0)


def group(number, rewards):
  """Experience of one question named `number` with these accuracies."""
  problem = Problem(f'question {number}', '1', 'test', 0)
  token_BT = np.full((GROUP, 3), number, np.int32)
  length_B = np.array([2, 3])
  out = rollout.Rollout(([number],), token_BT, -token_BT.astype(np.float32), length_B, length_B < 3)
  scores = tuple(
    service.Reward({'accuracy': verdict.Verdict(r, 'correct' if r else 'wrong', '')}, r)
    for r in rewards
  )
  texts = tuple(f'reply {number}.{g}' for g in range(GROUP))
  return experience.Experience(
    (problem,), out, texts, scores, np.array([rewards]), np.ones((1, GROUP), bool)
  )


def sampler(*rounds):
  """(next_problems, sample_problems, calls): round k asks questions 10 k, 10 k + 1, ..."""
  calls = []

  def next_problems():
    return [10 * len(calls) + i for i in range(len(rounds[0]))]

  def sample_problems(problems, number):
    assert number == len(calls)
    calls.append(problems)
    groups = [group(p, rewards) for p, rewards in zip(problems, rounds[number])]
    return experience._join(groups, 0, 0)

  return next_problems, sample_problems, calls


def asked(found):
  """Numbers of the questions of an experience."""
  return [int(problem.question.split()[1]) for problem in found.problems]


def test_without_dynamic_sampling_unanimous_groups_stay():
  ask, sample, calls = sampler([MIXED, SAME, SAME])
  found = experience.collect(ask, sample, grpo.GrpoConfig(), False, 10)
  assert len(calls) == 1 and asked(found) == [0, 1, 2] and found.dropped == 0


def test_unanimous_groups_are_dropped_and_refilled_from_further_questions():
  ask, sample, calls = sampler([MIXED, SAME, SAME], [SAME, MIXED, SAME], [MIXED, MIXED, SAME])
  found = experience.collect(ask, sample, grpo.GrpoConfig(), True, 10)
  assert calls == [[0, 1, 2], [10, 11, 12], [20, 21, 22]]
  assert asked(found) == [0, 11, 20]
  assert (found.dropped, found.unfilled) == (6, 0)
  assert not grpo.unanimous_groups(found.reward_PG, found.valid_PG).any()
  # Every part of a group has moved with it.
  assert found.texts == tuple(f'reply {p}.{g}' for p in (0, 11, 20) for g in range(GROUP))
  assert [prompt for (prompt,) in found.rollout.prompts] == [0, 11, 20]
  assert found.rollout.token_BT[:, 0].tolist() == [0, 0, 11, 11, 20, 20]
  assert [score.total for score in found.scores] == [0, 1] * 3


def test_when_refills_run_out_unanimous_groups_fill_the_rest_and_are_counted():
  ask, sample, calls = sampler([SAME, MIXED, SAME], [SAME, SAME, SAME])
  found = experience.collect(ask, sample, grpo.GrpoConfig(), True, 1)
  assert len(calls) == 2
  assert sorted(asked(found)) == [0, 1, 2]
  assert (found.dropped, found.unfilled) == (3, 2)


def test_a_rollout_without_unanimous_groups_is_not_refilled():
  ask, sample, calls = sampler([MIXED, MIXED])
  found = experience.collect(ask, sample, grpo.GrpoConfig(), True, 10)
  assert len(calls) == 1 and asked(found) == [0, 1] and found.dropped == 0


def test_figures_leave_out_what_no_verifier_could_judge():
  found = experience._join([group(0, MIXED), group(1, SAME)], dropped=4, unfilled=1)
  failed = service.Reward({'accuracy': verdict.Verdict(0.0, 'verifier_error', 'killed')}, 0.0)
  found = dataclasses.replace(found, scores=(*found.scores[:3], failed))
  figures = experience.figures(found, cap=3)
  assert figures['reward/accuracy'] == pytest.approx(2 / 3)
  assert figures['reward/total'] == pytest.approx(2 / 3)
  assert figures['verdict/verifier_error'] == figures['verdict/wrong'] == 0.25
  assert (figures['rollout/length'], figures['rollout/truncated']) == (2.5, 0.5)
  assert (figures['rollout/dropped_groups'], figures['rollout/unfilled_groups']) == (4, 1)
  assert figures['rollout/cap'] == 3


def test_the_overlong_penalty_counts_from_the_cap_of_the_update():
  found = group(0, SAME)
  assert np.array_equal(experience.shaped(found, 3, grpo.GrpoConfig()), found.reward_PG)
  gcfg = grpo.GrpoConfig(overlong_buffer=2, max_length=50)
  far, near = experience.shaped(found, 50, gcfg), experience.shaped(found, 3, gcfg)
  assert np.array_equal(far, found.reward_PG)
  assert (near <= far).all() and near[0, 1] < near[0, 0] < far[0, 0]


def test_the_language_of_a_question_reaches_its_verdict():
  problems = [Problem('q', '7', 'k', 1, language=name) for name in ('en', 'zh')]
  part = dataclasses.replace(group(0, MIXED).rollout, length_B=np.array([2, 2, 2, 2]))
  texts = ['<think> so 加 </think> <answer> 7 </answer>', '<think> 加 </think> 7'] * 2
  items = experience._items(texts, problems, part, 2)
  assert [item.language for item in items] == ['en', 'en', 'zh', 'zh']
  with contextlib.closing(service.RewardService(service.RewardConfig(language=1.0))) as rewards:
    found = rewards.submit(items).result()
  assert [one.verdicts['language'].score for one in found] == [0.5, 0, 0.5, 1]
