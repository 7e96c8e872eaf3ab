"""Several processes do the job of one: same command, three more flags; and they end together."""

import collections
import json
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from r1jax import processes
from tests import small_runs

pytestmark = pytest.mark.heavy

# Seconds of work, under way when the last line has run. Handlers go from the last to the first.
LEAVES_EARLY = """
import atexit
atexit.register(lambda: print(y.is_ready()))
import jax
from r1jax import sharding
if {meshed}:
  sharding.make_mesh((1, 1, 1, 1))
f = jax.jit(lambda x: jax.lax.fori_loop(0, 100, lambda i, x: x @ x / 1024, x))
y = jax.numpy.ones((1024, 1024))
f(y).block_until_ready()
y = f(f(y))
"""

MESH = '(1,2,2,1,2)'
MINUTE = 60.0  # within which all are to have stopped


def free_address():
  with socket.socket() as probe:
    probe.bind(('localhost', 0))
    return f'localhost:{probe.getsockname()[1]}'


def start(folder, count, small, logs=None):
  """The processes of one run over eight devices; with `logs`, observed ones."""
  address = free_address()
  flags = [
    (f'--coordinator={address}', f'--processes={count}', f'--process={n}') for n in range(count)
  ]
  program = lambda n: ('tests.observed', str(logs / str(n))) if logs else ('r1jax.main',)
  return [
    small_runs.start(folder, *flags[n], program=program(n), devices=8 // count, mesh=MESH, **small)
    for n in range(count)
  ]


def end(started, folder):
  """All of the processes, ended."""
  return [small_runs.end(process, folder) for process in started]


def assert_same(run, wanted, tolerance):
  """The same metrics at every update."""
  for found, other in zip(run.on_any_mesh, wanted.on_any_mesh, strict=True):
    assert found.keys() == other.keys()
    a, b = np.array(list(found.values())), np.array(list(other.values()))
    np.testing.assert_allclose(a, b, atol=tolerance, rtol=tolerance)


@pytest.fixture(scope='module')
def pair(small, tmp_path_factory):
  """An uninterrupted run of 2 processes with 4 devices each."""
  folder = tmp_path_factory.mktemp('pair') / 'run'
  return end(start(folder, 2, small), folder)


def test_eight_devices_give_the_metrics_of_one(small_eight, small_one):
  assert_same(small_eight, small_one, 1e-4)


def test_two_processes_of_four_devices_give_the_metrics_of_one_of_eight(pair, small_eight):
  first, second = pair
  assert (first.status, second.status) == (0, 0), first.stderr[-2000:] + second.stderr[-2000:]
  assert 'Before and after' in first.stdout and 'GRPO' not in second.stdout
  assert_same(first, small_eight, 1e-5)
  assert len({row['compile/programs'] for row in first.rows[2:]}) == 1
  assert first.summary['after']['mean_length'] == small_eight.summary['after']['mean_length']


def test_four_processes_share_the_work_and_only_the_first_writes(small, small_eight, tmp_path):
  folder, logs = tmp_path / 'run', tmp_path / 'logs'
  logs.mkdir()
  ended = end(start(folder, 4, small, logs), folder)
  assert [run.status for run in ended] == [0] * 4, ended[0].stderr[-2000:] + ended[1].stderr[-2000:]
  assert_same(ended[0], small_eight, 1e-5)
  notes = [[json.loads(line) for line in (logs / str(n)).open()] for n in range(4)]
  # Without a question: what of the examined replies is right whatever its form.
  questions = [[what for kind, what in found if kind == 'judged' and what] for found in notes]
  # Two rollouts of 8 x 4 and two examinations of 8 x 4, a quarter each.
  assert [len(found) for found in questions] == [32] * 4
  asked = collections.Counter(what for found in questions for what in found)
  assert set(asked.values()) <= {4, 8}, 'a completion was judged twice, or not at all'
  wrote = [[w for kind, w in found if kind == 'wrote' and str(folder) in w] for found in notes]
  for suffix in ('metrics.jsonl', 'summary.json', 'manifest.json', 'host.json', '.safetensors'):
    assert any(suffix in path for path in wrote[0]), f'process 0 did not write {suffix}'
  elsewhere = [path for found in wrote[1:] for path in found]
  # Its part of a sharded array is what every process writes itself.
  assert [path for path in elsewhere if '.tmp/arrays' not in path] == []


def newest(folder):
  """Step of the newest finished checkpoint; -1 where there is none."""
  return max([int(path.name.split('_')[1]) for path in small_runs.checkpoints(folder)], default=-1)


def wait_for_progress(folder, before, started):
  """Returns when a checkpoint after step `before` is there; fails where a process ended first."""
  while newest(folder) <= before:
    assert all(process.poll() is None for process in started), end(started, folder)
    time.sleep(0.01)


def test_told_to_stop_or_killed_all_processes_stop_and_go_on_to_the_same_bits(
  pair, small, tmp_path
):
  folder = tmp_path / 'run'
  started = start(folder, 2, small | {'loop__checkpoint_every': 100})
  wait_for_progress(folder, -1, started)
  started[1].send_signal(signal.SIGTERM)
  ended = end(started, folder)
  assert [run.status for run in ended] == [143, 143]
  (reached,) = {run.stdout.splitlines()[-1] for run in ended}
  assert reached.startswith(f'stopped by SIGTERM after update {newest(folder)} of 4')
  saved = newest(folder)
  started = start(folder, 2, small)
  wait_for_progress(folder, saved, started)
  began = time.monotonic()
  started[0].send_signal(signal.SIGKILL)
  other = end(started, folder)[1]
  assert time.monotonic() - began < MINUTE
  assert other.status == processes.LOST, other.stderr
  last = other.stderr.splitlines()[-1]
  assert last.startswith('error: process 0 of 2 was lost; its connection closed')
  assert 'Start the same command again on every host' in last
  last = end(start(folder, 2, small), folder)[0]
  assert 'resumed from' in last.stdout
  assert last.sha256 == pair[0].sha256
  assert last.figures == pair[0].figures


@pytest.fixture
def waiting():
  """Four processes in a collective that will not end; process 1 takes orders."""
  address = free_address()
  command = [sys.executable, '-m', 'tests.waiting', address, '4']
  pipe = subprocess.PIPE
  options = dict(
    cwd=small_runs.ROOT, env=small_runs.environment(1), stdin=pipe, stdout=pipe, stderr=pipe
  )
  started = [subprocess.Popen([*command, str(n)], text=True, **options) for n in range(4)]
  try:
    for number, process in enumerate(started):
      shares = [range(0, 2), range(2, 5), range(5, 7), range(7, 10)]
      said = f'{number} [0, 1, 2, 3] [1, 100, 10000, 1000000] {shares[number]}\n'
      # Gloo, which makes the collectives, reports on stdout too.
      while (line := process.stdout.readline()) != said:
        assert line.startswith('[Gloo]'), line + process.stderr.read()
    yield started
  finally:
    for process in started:
      process.kill()
      process.communicate()


def stopped(waiting, victim):
  """(exit statuses, last lines) of the others, which end within a minute."""
  others = [process for number, process in enumerate(waiting) if number != victim]
  said = [process.communicate(timeout=MINUTE)[1] for process in others]
  last = {text.strip().splitlines()[-1] for text in said}
  assert len(last) == 1, said
  return {process.returncode for process in others}, last


@pytest.mark.parametrize('victim', (0, 2))
def test_a_killed_process_stops_the_others_who_say_which_it_was(waiting, victim):
  waiting[victim].kill()
  status, (line,) = stopped(waiting, victim)
  assert status == {processes.LOST}
  assert line.startswith(f'error: process {victim} of 4 was lost; its connection closed')


def test_a_frozen_process_is_as_good_as_lost(waiting):
  waiting[3].send_signal(signal.SIGSTOP)
  status, (line,) = stopped(waiting, 3)
  assert status == {processes.LOST} and 'process 3 of 4 was lost; nothing was heard' in line


def test_an_error_of_one_process_ends_all_with_its_reason(waiting):
  waiting[1].stdin.write("processes.abandon('the disk is full', 1, 'error: a full disk')\n")
  waiting[1].stdin.flush()
  status, (line,) = stopped(waiting, 1)
  assert status == {1}
  assert line == 'error: process 1 of 4 stopped: the disk is full; all processes stop here'
  assert waiting[1].communicate()[1].splitlines()[-1] == 'error: a full disk'


@pytest.mark.parametrize('meshed', [True, False])
def test_a_process_with_a_mesh_ends_when_all_is_computed(meshed):
  command = [sys.executable, '-c', LEAVES_EARLY.format(meshed=meshed)]
  done = subprocess.run(
    command,
    cwd=small_runs.ROOT,
    env=small_runs.environment(),
    capture_output=True,
    text=True,
    timeout=300,
  )
  # Without a mesh it is still computing: the handler is what waits.
  assert (done.returncode, done.stdout) == (0, f'{meshed}\n'), done.stderr


def test_peak_memory_counts_what_was_held():
  before = processes.peak_gib()
  held = np.ones(2**26)  # half a GiB
  assert processes.peak_gib() >= before and held.sum() > 0
  assert processes.peak_gib() > 0.5
