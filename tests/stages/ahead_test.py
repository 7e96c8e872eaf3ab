"""Sampling ahead of training: which weights make which rollout, however long anything takes."""

import dataclasses
import json
import random
import signal
import time

import jax
import numpy as np
import pytest

from r1jax import params, sharding
from r1jax.stages import ahead, rl_schedule
from tests import small_runs

SPECS = {'w': params.Param((2,), (None,))}


def schedule(staleness, made, updates=7):
  """Rollouts that note in `made` which weights made them, after a random while."""
  rng = random.Random(staleness)

  def sample(number, weights):
    time.sleep(rng.uniform(0, 0.01))
    made[number] = float(weights['w'][0])
    return number

  rl = rl_schedule.RlConfig(mini_batches=1, updates=updates, staleness=staleness)
  return ahead.Schedule(rl, None, SPECS, sample)


def train(source, first, last):
  """Takes rollouts `first` to `last`; the weights count those that they have been trained on."""
  for number in range(first, last):
    weights = {'w': sharding.put(np.full(2, number, np.float32), jax.P(None))}
    assert source.take(number, weights) == number
    weights['w'].delete()  # as training does, which gives the memory to the new weights


@pytest.mark.parametrize('staleness', (0, 1, 3))
def test_every_rollout_is_made_by_weights_of_its_age_whatever_it_takes(staleness, one_device):
  made = {}
  source = schedule(staleness, made)
  train(source, 0, 7)
  source.close()
  assert made == {n: max(0, n - staleness) for n in range(7)}
  assert [source.made_by(n) for n in range(7)] == list(made.values())


@pytest.mark.parametrize('staleness', (1, 3))
@pytest.mark.parametrize('stopped', (1, 2, 5, 7))
def test_what_was_in_flight_is_made_again_from_the_weights_kept(staleness, stopped, one_device):
  made = {}
  first = schedule(staleness, {})
  train(first, 0, stopped)
  kept = [jax.tree.map(np.array, weights) for weights in first.versions]
  first.close()
  assert len(kept) <= staleness
  second = schedule(staleness, made, updates=9)
  second.restore(stopped, [jax.tree.map(sharding.put, one, {'w': jax.P(None)}) for one in kept])
  train(second, stopped, 9)
  second.close()
  assert made == {n: max(0, n - staleness) for n in range(stopped, 9)}


def test_an_error_while_sampling_ahead_is_raised_where_the_rollout_is_taken(one_device):
  def sample(number, weights):
    raise ValueError(f'rollout {number} has no questions')

  rl = rl_schedule.RlConfig(staleness=1)
  source = ahead.Schedule(rl, None, SPECS, sample)
  with pytest.raises(ValueError, match='rollout 0 has no questions'):
    train(source, 0, 1)
  source.close()


def test_what_cannot_be_sampled_ahead_is_refused_with_the_reason():
  with pytest.raises(ValueError, match=r'rollout_mesh=\(1, 1, 1, 1\) needs staleness=0 above 0'):
    rl_schedule.RlConfig(rollout_mesh=(1, 1, 1, 1))
  # Those that train take the rest: which that is has to be known.
  with pytest.raises(ValueError, match=r'rollout_mesh=\(1, -1, 1, 1\)'):
    rl_schedule.RlConfig(staleness=1, rollout_mesh=(1, -1, 1, 1))
  alone = rl_schedule.RlConfig(staleness=1, rollout_mesh=(1, 8, 1, 1))
  with pytest.raises(ValueError, match='takes 8 of 8 devices'):
    ahead.devices(alone)
  shared = dataclasses.replace(alone, rollout_mesh=())
  with pytest.raises(ValueError, match='on 8 shared devices'):
    ahead.check(shared, sharding.make_mesh((1, 8, 1, 1)))


AHEAD = {'rl__staleness': 1, 'rl__rollout_mesh': '(1,1,1,1)', 'grpo__tis_cap': 2.0}


@pytest.fixture(scope='module')
def whole(small, tmp_path_factory):
  """An uninterrupted run that samples on one device and trains on another."""
  folder = tmp_path_factory.mktemp('ahead') / 'run'
  return small_runs.finish(folder, devices=2, rl__updates=6, **small | AHEAD)


@pytest.mark.heavy
def test_a_run_that_samples_ahead_says_by_which_weights(whole, small_one):
  staleness = [row['rollout/staleness'] for row in whole.rows if 'rollout/staleness' in row]
  assert staleness == [0, 1, 1]
  versions = {}
  for path in sorted((whole.folder / 'samples').glob('step_*.jsonl')):
    versions[path.name] = {json.loads(line)['version'] for line in path.open()}
  assert list(versions.values()) == [{0}, {0}, {2}]
  # The first rollout is trained on as ever; the second one's weight bridges two updates.
  assert whole.figures[0]['grpo/loss'] == pytest.approx(small_one.figures[0]['grpo/loss'], abs=1e-5)
  assert whole.figures[0]['grpo/tis_weight'] == pytest.approx(1, abs=1e-4)
  assert whole.figures[2]['parity/logp_max'] > 1e-3
  assert whole.figures[2]['grpo/tis_weight'] != pytest.approx(1, abs=1e-4)


@pytest.mark.heavy
def test_killed_while_it_samples_ahead_it_ends_in_the_same_bits(whole, small, tmp_path):
  folder = tmp_path / 'run'
  process = small_runs.start(folder, devices=2, rl__updates=6, **small | AHEAD)
  while not (folder / 'checkpoints' / 'step_00000003').exists():
    assert process.poll() is None, process.communicate()
    time.sleep(0.005)
  process.send_signal(signal.SIGKILL)
  process.communicate()
  last = small_runs.finish(folder, devices=2, rl__updates=6, **small | AHEAD)
  assert 'resumed from' in last.stdout
  assert last.sha256 == whole.sha256
  assert last.figures == whole.figures
