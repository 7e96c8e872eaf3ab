"""Workers: stages that do not wait for each other are made side by side, by processes that end."""

import contextlib
import json
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from r1jax import cores
from r1jax.runs import lock
from r1jax.runs.graph import workers
from r1jax.train import loop
from tests import small_runs
from tests.runs.graph import side_by_side

TWO_CORES = pytest.mark.skipif(
  not hasattr(os, 'sched_getaffinity') or len(os.sched_getaffinity(0)) < 2,
  reason='needs two cores, and a system that says which a process may use',
)


def start(folder, count, *told):
  return subprocess.Popen(
    [sys.executable, '-m', 'tests.runs.graph.side_by_side', str(folder), str(count), *told],
    cwd=small_runs.ROOT,
    env=os.environ | {'JAX_PLATFORMS': 'cpu'},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def wait_until(condition, seconds=60):
  """Returns once the condition holds; fails when it does not in time."""
  end = time.monotonic() + seconds
  while not condition():
    assert time.monotonic() < end, f'not within {seconds} s'
    time.sleep(0.01)


def process(folder, name):
  """(process, cores) that made a stage, once it has begun."""
  path = folder / name / 'process'
  wait_until(lambda: path.exists() and path.read_text())
  number, cores = path.read_text().split(' ', 1)
  return int(number), json.loads(cores)


def statuses(folder):
  rows = json.loads((folder / 'manifest.json').read_text())['stages']
  return {name: row['status'] for name, row in rows.items()}


def is_alive(pid):
  with contextlib.suppress(OSError):
    state = pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0]
    return state != 'Z'
  return False


@TWO_CORES
def test_two_stages_that_wait_for_each_other_are_made_by_two_processes_on_their_own_cores(tmp_path):
  made = start(tmp_path, 2)
  stdout, stderr = made.communicate(timeout=120)
  assert made.returncode == 0, stderr
  (left, left_cores), (right, right_cores) = process(tmp_path, 'left'), process(tmp_path, 'right')
  assert left != right and not set(left_cores) & set(right_cores)
  assert (tmp_path / 'last' / 'text').read_text() == '((()first)left(()first)right)last'
  assert set(statuses(tmp_path).values()) == {'done'}
  assert 'left | the stage left\n' in stdout and 'last: made\n' in stdout
  assert not is_alive(left) and not is_alive(right)
  again = start(tmp_path, 2).communicate(timeout=120)[0]
  assert 'the stage' not in again and again.count(': done') == 4


@TWO_CORES
def test_a_stage_that_fails_stops_the_others_which_save_and_says_which(tmp_path):
  made = start(tmp_path, 2, 'fail')
  stderr = made.communicate(timeout=120)[1]
  assert made.returncode == 1 and 'StageError: stage right: 3 is no 4' in stderr
  found = statuses(tmp_path)
  assert found['first'] == 'done' and found['right'] == 'begun' and found['last'] == 'waiting'
  assert (tmp_path / 'left' / 'saved').read_text() == 'SIGTERM'


@TWO_CORES
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_pipeline_leaves_no_process_and_goes_on(tmp_path, number):
  made = start(tmp_path, 2, 'wait')
  pids = [process(tmp_path, name)[0] for name in ('left', 'right')]
  wait_until((tmp_path / 'left' / 'trains').exists)
  made.send_signal(number)
  stderr = made.communicate(timeout=120)[1]
  assert made.returncode != 0
  if number == signal.SIGTERM:
    assert 'stopped by SIGTERM' in stderr and (tmp_path / 'left' / 'saved').exists()
  wait_until(lambda: not any(map(is_alive, pids)), 30)
  assert start(tmp_path, 2).wait(120) == 0
  assert (tmp_path / 'last' / 'text').read_text() == '((()first)left(()first)right)last'


def test_what_cannot_have_workers_makes_one_stage_after_another_and_says_so(tmp_path, monkeypatch):
  heard = []
  monkeypatch.setattr(cores, 'available', lambda: [0])
  monkeypatch.setattr(side_by_side, 'MEETING', {})
  workers.run(side_by_side.build, side_by_side.settings(tmp_path, 2), say=heard.append)
  assert heard == ['workers=2 is asked for, 1 can be had here: one for each core, 1 in all']
  assert set(statuses(tmp_path).values()) == {'done'}


def test_fewer_than_one_worker_is_refused(tmp_path):
  with pytest.raises(ValueError, match='config.workers=0 must be at least 1'):
    workers.run(side_by_side.build, side_by_side.settings(tmp_path, 0))


def test_a_graph_that_another_run_makes_is_refused_and_nothing_is_made(tmp_path):
  with (
    lock.hold(tmp_path),
    pytest.raises(lock.LockedError, match=f'{tmp_path} is held .*pid {os.getpid()}'),
  ):
    workers.run(side_by_side.build, side_by_side.settings(tmp_path, 1))
  assert not (tmp_path / 'manifest.json').exists() and not (tmp_path / 'first').exists()


def test_a_stage_whose_time_is_over_ends_the_graph_as_a_success():
  ours, theirs = multiprocessing.Pipe()
  theirs.send(loop.OutOfTime('all is saved'))
  with pytest.raises(loop.OutOfTime, match='stage dev1: all is saved') as stop:
    workers._taken(workers._Worker(None, ours, 'dev1'))
  assert stop.value.status == 0
