"""A run that was stopped in any way and started again ends in the bits of one that was not."""

import json
import random
import shutil
import signal
import time

import numpy as np
import pytest

from tests import small_runs

pytestmark = pytest.mark.heavy


@pytest.fixture
def folder(tmp_path):
  yield tmp_path / 'run'
  shutil.rmtree(tmp_path / 'run', ignore_errors=True)


def wait_for(condition, process):
  """Returns when the condition holds; fails where the process ended before."""
  while not condition():
    assert process.poll() is None, process.communicate()
    time.sleep(0.005)


def test_kill_9_at_random_moments_leads_to_the_same_bits(reference, folder):
  rng = random.Random(0)
  for reached in (0, 1, 3):
    process = small_runs.start(folder)
    wait_for(lambda n=reached: len(small_runs.checkpoints(folder)) > n, process)
    time.sleep(rng.uniform(0, 0.2))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
  last = small_runs.finish(folder)
  assert 'resumed from' in last.stdout
  assert last.sha256 == reference.sha256
  assert last.figures == reference.figures
  # All starts are in the account of its time, and it adds up.
  spent = last.summary['seconds']
  assert spent['whole'] == pytest.approx(sum(spent.values()) - spent['whole'], abs=0.02)
  assert spent['whole'] > last.rows[-1]['speed/wall_seconds']


def test_kill_9_within_a_rollout_leads_to_the_same_bits(folder, tmp_path):
  # Four slots for each device's 16 requests: groups are judged while others are being sampled.
  slots = {'sample__slots': 4}
  whole = small_runs.finish(tmp_path / 'whole', **slots)
  assert whole.rows[0]['rollout/slots_busy'] < 1
  settings = small_runs.SMALL
  examined = settings['evaluation.questions'] * settings['evaluation.samples']
  a_rollout = settings['rl.prompts'] * settings['sample.group']
  for judged, updates in ((examined + a_rollout // 2, 0), (examined + a_rollout * 3 // 2, 2)):
    killed = {'program': ('tests.observed', str(tmp_path / 'log')), **slots}
    killed['variables'] = {'KILLED_AT': str(judged)}
    assert small_runs.end(small_runs.start(folder, **killed), folder).status == -signal.SIGKILL
    # A checkpoint is written beside the work that follows: the second may not be there yet.
    assert min(updates, 1) <= len(small_runs.checkpoints(folder)) <= updates
  last = small_runs.finish(folder, **slots)
  assert 'resumed from' in last.stdout
  assert last.sha256 == whole.sha256
  assert last.figures == whole.figures


def test_an_update_runs_again_to_the_same_bits_of_a_resumed_run_too(reference, folder):
  small_runs.copy(reference, folder, newest=1)
  small_runs.finish(folder)
  for update in (1, 3, 4):
    done = small_runs.replay(folder, update)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'figures are the same' in done.stdout and 'the same bits as' in done.stdout
    place = folder / f'replay-{update:06d}'
    (row,) = (json.loads(line) for line in (place / 'tokens.jsonl').open())
    with np.load(place / 'tokens.npz') as arrays:
      own = {
        name: arrays[f'{name}_{row["index"]}'] for name in ('policy', 'kl', 'pull', 'gradient')
      }
      loss = float(arrays['loss'])
    metric = reference.rows[update - 1]['grpo/loss']
    assert loss == pytest.approx(metric, abs=1e-5)
    assert len(set(map(len, own.values()))) == 1 and (own['gradient'] > 0).all()
    assert row['loss']['policy'] == pytest.approx(float(own['policy'].sum()), abs=1e-5)
  kept = sorted(path.name for path in (folder / 'checkpoints').iterdir())
  assert kept == sorted(path.name for path in (reference.folder / 'checkpoints').iterdir())


def test_between_two_mini_batches_the_rest_of_the_rollout_is_in_the_checkpoint(reference, folder):
  small_runs.copy(reference, folder, newest=1)
  host = json.loads((small_runs.checkpoints(folder)[-1] / 'host.json').read_text())
  assert host['pending'] == 1
  last = small_runs.finish(folder)
  assert 'at update 1 of 4' in last.stdout
  assert last.sha256 == reference.sha256
  assert last.figures == reference.figures
  # Restored arrays look like fresh ones to the compiler: one rollout and nothing new after it.
  assert len({row['compile/programs'] for row in last.rows[2:]}) == 1


def test_sigterm_saves_says_so_in_one_line_and_the_same_command_goes_on(reference, folder):
  process = small_runs.start(folder, loop__checkpoint_every=100)
  wait_for(lambda: (folder / 'tensorboard').exists(), process)
  process.send_signal(signal.SIGTERM)
  stopped = small_runs.end(process, folder)
  assert stopped.status == 143
  assert stopped.stdout.splitlines()[-1].startswith('stopped by SIGTERM after update ')
  assert 'everything is saved' in stopped.stdout.splitlines()[-1]
  assert stopped.stderr == ''
  last = small_runs.finish(folder, loop__checkpoint_every=100)
  assert last.sha256 == reference.sha256
  assert last.figures == reference.figures


def test_programs_of_an_earlier_start_lead_to_the_same_bits(reference, tmp_path):
  ours = {'variables': {'JAX_COMPILATION_CACHE_DIR': ''}, 'runtime__cache': tmp_path / 'programs'}
  for start in ('cold', 'warm'):
    small_runs.copy(reference, tmp_path / start, newest=1)
    last = small_runs.finish(tmp_path / start, **ours)
    assert last.sha256 == reference.sha256
    assert last.figures == reference.figures
    programs, loaded = (last.rows[-1][f'compile/{name}'] for name in ('programs', 'loaded'))
    assert loaded == (programs if start == 'warm' else 0)


def test_a_torn_newest_checkpoint_is_passed_over_and_said(reference, folder):
  small_runs.copy(reference, folder, newest=3)
  torn = small_runs.checkpoints(folder)[-1]
  small_runs.spoil(torn)
  last = small_runs.finish(folder)
  assert 'step_00000003 is damaged' in last.stdout and 'older one, step 2' in last.stdout
  assert last.sha256 == reference.sha256


def test_with_every_checkpoint_torn_the_run_stops_in_one_line_and_leaves_them(reference, folder):
  small_runs.copy(reference, folder, newest=1)
  for checkpoint in small_runs.checkpoints(folder):
    small_runs.spoil(checkpoint)
  before = sorted(folder.rglob('*'))
  stopped = small_runs.end(small_runs.start(folder), folder)
  assert stopped.status == 1
  assert stopped.stderr.count('\n') == 1 and 'no older checkpoint is left' in stopped.stderr
  # Only why it stopped is new.
  assert sorted(folder.rglob('*')) == sorted([*before, folder / 'stopped.json'])


def test_a_finished_run_may_be_prolonged(reference, folder):
  small_runs.copy(reference, folder, newest=4)
  longer = small_runs.finish(folder, rl__updates=5)
  assert [row['step'] for row in longer.rows] == [1, 2, 3, 4, 5]
  assert longer.figures[:4] == reference.figures
  assert longer.summary['seconds']['whole'] > reference.summary['seconds']['whole']


def test_a_run_moves_from_one_device_to_eight_to_four_and_its_losses_do_not(
  small, small_one, folder
):
  small_runs.copy(small_one, folder, newest=1)
  eight = small_runs.finish(folder, devices=8, mesh='(1,2,4,1)', rl__updates=3, **small)
  assert 'at update 1 of 3' in eight.stdout
  (folder / 'summary.json').unlink()
  four = small_runs.finish(folder, devices=4, mesh='(1,1,2,1,2)', **small)
  assert 'at update 3 of 4' in four.stdout
  for found, wanted in zip(four.on_any_mesh, small_one.on_any_mesh, strict=True):
    assert found.keys() == wanted.keys()
    losses = [name for name in wanted if name in ('grpo/loss', 'grpo/kl', 'reward/total')]
    for name in losses:
      assert found[name] == pytest.approx(wanted[name], abs=1e-5), name
    np.testing.assert_allclose(list(found.values()), list(wanted.values()), atol=1e-4, rtol=1e-3)


def test_a_run_on_the_samplers_log_probabilities_ends_in_the_same_bits(small, folder, tmp_path):
  settings = {'grpo__old_logp': 'sampler'} | small
  whole = small_runs.finish(tmp_path / 'whole', devices=1, **settings)
  assert not [name for row in whole.rows for name in row if name.startswith('parity/')]
  # Stopped between the updates of a rollout: a mini-batch waits in the checkpoint.
  process = small_runs.start(folder, devices=1, **settings)
  wait_for(lambda: (folder / 'checkpoints' / 'step_00000003').exists(), process)
  process.send_signal(signal.SIGKILL)
  process.communicate()
  last = small_runs.finish(folder, devices=1, **settings)
  assert 'resumed from' in last.stdout
  assert last.sha256 == whole.sha256 and last.figures == whole.figures
