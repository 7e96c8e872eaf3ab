"""The reward service: order, overlap, failures, and its metrics."""

import math
import os
import re
import signal

import pytest

from r1jax.rewards import choice, code, puzzles, request, service
from r1jax.rewards.code import isolation
from r1jax.rewards.verdict import Kind


def _item(answer, gold, **more):
  return service.Item(f'<think>we add them up</think> <answer>{answer}</answer>', gold, **more)


@pytest.fixture
def rewards():
  made = service.RewardService()
  yield made
  made.close()


def test_results_come_in_the_order_of_the_items_whether_decided_here_or_in_a_worker(rewards):
  items = [
    _item(n, '7') if n % 3 else _item('2\\sqrt{3}', '\\sqrt{12}' if n % 2 else '\\sqrt{5}')
    for n in range(60)
  ]
  found = [r.verdicts['accuracy'].score for r in rewards.submit(items).result()]
  assert found == [float(n == 7) if n % 3 else float(n % 2) for n in range(60)]


def test_the_total_is_accuracy_plus_format_with_equal_weight(rewards):
  items = [
    _item('7', '7'),
    _item('8', '7'),
    service.Item('\\boxed{7}', '7'),
    service.Item('7', '7'),
  ]
  assert [r.total for r in rewards.submit(items).result()] == [2, 1, 1, 0]


def test_the_same_items_get_the_same_rewards_again(rewards):
  items = [_item('2\\sqrt{3}', '\\sqrt{12}'), _item('1,234', '1234'), _item('x', '7')] * 5
  assert rewards.submit(items).result() == rewards.submit(items).result()


def test_submitting_does_not_wait_for_the_workers(rewards):
  batch = rewards.submit([_item('(((9!)!)!)!', '\\sqrt{2}')])
  assert not batch.done()
  assert batch.result()[0].verdicts['accuracy'].kind in (Kind.TIMEOUT, Kind.UNPARSEABLE)
  assert rewards.metrics()['reward/wait_seconds'] > 0


def test_plain_integers_are_judged_on_submission_without_a_worker_process(rewards):
  batch = rewards.submit([_item(n % 7, str(n % 5)) for n in range(512)])
  assert batch.done()
  assert rewards._pool is None


def test_killed_workers_are_replaced_and_nothing_is_lost(rewards):
  items = [_item(f'{n}\\sqrt{{3}}', f'\\sqrt{{{3 * n * n}}}') for n in range(2, 40)]
  rewards.submit(items[:2]).result()
  batch = rewards.submit(items)
  for pid in rewards._pool.pids():
    os.kill(pid, signal.SIGKILL)
  assert all(r.total == 2 for r in batch.result())
  assert rewards.metrics()['reward/worker_restarts'] >= 2


def test_a_failing_verifier_stops_with_the_reason(rewards):
  with pytest.raises(
    service.VerifierFailure, match=r'limit of 2.0%.*accuracy: the gold answer is empty'
  ):
    rewards.submit([_item('7', '')] * 8).result()


def test_a_rare_verifier_error_is_a_metric_and_its_sample_is_marked(rewards):
  found = rewards.submit([_item('7', '7')] * 99 + [_item('7', '')]).result()
  assert [r.scored for r in found] == [True] * 99 + [False]
  assert rewards.metrics()['reward/verifier_error_rate'] == pytest.approx(0.01)


def test_other_questions_have_their_own_gold_answers(rewards):
  found = rewards.submit(
    [
      _item('(B)', choice.Letter('B')),
      _item('8/(3-8/3)', puzzles.Numbers((3, 3, 8, 8), 24)),
      _item('Ann > Bob', puzzles.Order(('Ann', 'Bob'))),
    ]
  ).result()
  assert [r.total for r in found] == [2, 2, 2]
  with pytest.raises(TypeError, match='no verifier'):
    rewards.submit([_item('7', 7)])


@pytest.mark.skipif(isolation.available() is None, reason=f'needs bubblewrap: {isolation.INSTALL}')
def test_programs_are_run_by_the_workers_and_leave_nothing(rewards):
  tests = code.Tests((code.StdinTest('3 4\n', '7\n'),))
  good = '```python\nprint(sum(map(int, input().split())))\n```'
  items = [_item(good if n % 2 else '```\nprint(7 + 1)\n```', tests) for n in range(10)]
  assert [r.verdicts['accuracy'].score for r in rewards.submit(items).result()] == [0, 1] * 5


def test_options_add_their_weighted_parts():
  made = service.RewardService(service.RewardConfig(language=1.0, repetition=0.5))
  try:
    (reward,) = made.submit([_item('7', '7')]).result()
  finally:
    made.close()
  assert set(reward.verdicts) == {'accuracy', 'format', 'language', 'repetition'}
  assert reward.total == pytest.approx(1 + 1 + 1 + 0.5)


@pytest.mark.parametrize(
  'changes, why',
  [
    ({'workers': 0}, 'workers=0 is not a whole number within 1..'),
    ({'math_seconds': 0.0}, 'math_seconds=0.0 is not a number above 0'),
    ({'worker_gib': math.nan}, 'worker_gib=nan is not a number within 0.0625..'),
    ({'max_verifier_error_rate': 1.5}, 'max_verifier_error_rate=1.5 is not a number within 0..1'),
    ({'accuracy': math.inf}, 'accuracy=inf is not a number'),
    ({'target_language': 'fr'}, "target_language='fr' is not one of 'en', 'zh'"),
  ],
)
def test_impossible_settings_are_refused_with_the_numbers(changes, why):
  with pytest.raises(ValueError, match=re.escape(why)):
    service.RewardConfig(**changes)


def test_one_completion_is_judged_without_a_service():
  assert service.judge('<answer>2\\sqrt{3}</answer>', '\\sqrt{12}').kind == Kind.CORRECT
  assert service.judge('<answer>7</answer>', '8').kind == Kind.WRONG
  assert service.judge('<answer>7</answer>', request.Query('helpful')) is None
