"""A run that cannot learn says so: what is told of replies, and when a run stops."""

import dataclasses

import numpy as np
import pytest

from r1jax import config as config_lib
from r1jax.data.problem import Problem
from r1jax.evaluation import prospects, replies
from r1jax.experiments import r1_zero
from r1jax.rewards import service, verdict
from r1jax.sampling import rollout

KINDS = {'right': 'correct', 'wrong': 'wrong', 'nothing': 'unparseable'}


def said(*groups, stopped=True):
  """Replies to one question per group, each reply a key of KINDS."""
  scores = [
    service.Reward(
      {
        'accuracy': verdict.Verdict(float(one == 'right'), verdict.Kind(KINDS[one])),
        'format': verdict.Verdict(1.0, verdict.Kind.CORRECT),
      },
      1.0 + (one == 'right'),
    )
    for group in groups
    for one in group
  ]
  count, width = len(scores), 5
  token_BT = np.zeros((count, width), np.int32)
  drawn = rollout.Rollout(
    tuple([1] for _ in groups),
    token_BT,
    token_BT.astype(np.float32),
    np.full(count, width),
    np.full(count, stopped),
  )
  problems = tuple(Problem(f'question {p}', '1', 'k', 0) for p in range(len(groups)))
  return replies.Replies(problems, drawn, ('',) * count, tuple(scores))


@pytest.fixture
def job():
  config = r1_zero.get_config()
  with config.unlocked():
    config.rl.silent_rollouts = 3
  return config_lib.build(config)


def test_shares_are_of_replies_and_of_groups():
  found = prospects.of(said(('right', 'wrong'), ('nothing', 'nothing')))
  assert (found.right, found.unread, found.unanimous) == (0.25, 0.5, 0.5)
  assert (found.formed, found.truncated, found.length) == (1.0, 0.0, 5.0)
  assert 'right 25.0%' in found.told() and 'groups that agree 50.0%' in found.told()


def test_the_run_stops_after_so_many_silent_rollouts_in_a_row_and_says_what_helps(job):
  heard = []
  watch = prospects.SilenceWatch(job, heard.append)
  silent, mixed = said(('nothing', 'nothing')), said(('right', 'nothing'))
  for one in (silent, silent, mixed, silent, silent):
    watch.add(one)
  assert watch.silent == 2 and len(heard) == 4
  assert "data.prompt='chat'" in heard[0] and "reward.answer='last_number'" in heard[0]
  with pytest.raises(prospects.NothingToLearnError, match='rollout 3 in a row.*silent_rollouts=3'):
    watch.add(silent)


def test_a_watch_goes_on_from_the_count_of_another(job):
  with pytest.raises(prospects.NothingToLearnError):
    prospects.SilenceWatch(job, print, silent=2).add(said(('wrong', 'wrong')))


def test_where_updates_have_ruined_the_policy_or_accuracy_is_not_paid_that_is_said(job):
  heard = []
  watch = prospects.SilenceWatch(job, heard.append)
  replies_of = lambda total: dataclasses.replace(
    silent, scores=tuple(dataclasses.replace(one, total=total) for one in silent.scores)
  )
  silent = said(('nothing', 'nothing'))
  watch.add(replies_of(0.9))
  watch.add(replies_of(0.2))
  assert "data.prompt='chat'" in heard[0]
  assert 'an earlier rollout earned 0.90 and this one 0.20' in heard[1]
  assert 'optimizer.lr=' in heard[1] and 'data.prompt' not in heard[1]
  # Before anything was earned nothing can be ruined.
  prospects.SilenceWatch(job, heard.append).add(replies_of(-0.5))
  assert 'ruined' not in heard.pop()
  unpaid = dataclasses.replace(job, reward=dataclasses.replace(job.reward, accuracy=0.0))
  prospects.SilenceWatch(unpaid, heard.append).add(replies_of(1.0))
  assert 'every reply earns 1.00: reward.accuracy is 0' in heard[2]


@pytest.mark.parametrize(
  'groups, stopped, wanted',
  [
    ((('nothing',) * 2,), False, 'raise sample.max_new'),
    ((('wrong',) * 2,), True, 'too hard'),
    ((('right',) * 2,), True, 'solved already'),
  ],
)
def test_the_advice_names_the_cause(job, groups, stopped, wanted):
  found = prospects.of(said(*groups, stopped=stopped))
  assert wanted in '; '.join(found.advice(job))
