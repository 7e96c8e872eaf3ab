"""What happens to a run from outside: another run in its folder, other data, a folder that goes."""

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest

from r1jax.runs import lock
from tests import small_runs

pytestmark = pytest.mark.heavy


def wait_for(condition, process):
  """Returns when the condition holds; fails where the process ended before."""
  while not condition():
    assert process.poll() is None, process.communicate()
    time.sleep(0.01)


def one_line(run):
  """What a run that was refused says on stderr: one line."""
  assert run.status == 1, run.stdout + run.stderr
  assert run.stderr.count('\n') == 1 and run.stderr.startswith('error: '), run.stderr
  return run.stderr


def questions(path, levels, shift=0):
  """A JSONL file of sums, their answers `shift` too large."""
  rows = (
    {'question': f'What is {a} + {b}?', 'answer': str(a + b + shift)}
    for a in levels
    for b in range(10)
  )
  path.write_text(''.join(f'{json.dumps(row)}\n' for row in rows))


def test_of_two_runs_in_a_folder_one_goes_on_and_the_other_says_which(tmp_path):
  folder = tmp_path / 'run'
  first = small_runs.start(folder, rl__updates=50)
  wait_for((folder / 'checkpoints').exists, first)
  told = one_line(small_runs.end(small_runs.start(folder, rl__updates=50), folder))
  assert f'{folder} is held by another run' in told and f'pid {first.pid}' in told
  wait_for(lambda: len(small_runs.checkpoints(folder)) > 1, first)
  first.send_signal(signal.SIGKILL)
  first.communicate()
  assert (folder / lock.NAME).exists()
  last = small_runs.finish(folder, rl__updates=2)
  assert 'resumed from' in last.stdout and not (folder / lock.NAME).exists()


def test_a_run_whose_data_has_changed_is_not_gone_on_with(tmp_path):
  train, folder = tmp_path / 'train.jsonl', tmp_path / 'run'
  questions(train, range(9))
  questions(tmp_path / 'heldout.jsonl', range(20, 22))
  data = {
    'data__name': 'jsonl',
    'data__path': train,
    'data__heldout_path': tmp_path / 'heldout.jsonl',
  }
  small_runs.finish(folder, rl__updates=1, **data)
  questions(train, range(9), shift=100)
  told = one_line(small_runs.end(small_runs.start(folder, rl__updates=2, **data), folder))
  assert f'{train} (--config.data.path) has changed since {folder} began to learn from it' in told
  questions(train, range(9))
  assert 'resumed from' in small_runs.finish(folder, rl__updates=2, **data).stdout


def test_a_folder_deleted_under_a_run_ends_it_with_a_line(tmp_path):
  folder = tmp_path / 'run'
  process = small_runs.start(folder, rl__updates=500)
  wait_for(lambda: (folder / 'metrics.jsonl').exists(), process)
  trash = tmp_path / 'trash'
  folder.rename(trash)  # at once, where a deletion would race with what is being written
  shutil.rmtree(trash, ignore_errors=True)
  told = one_line(small_runs.end(process, folder))
  assert str(folder) in told and ('is gone' in told or 'No such file' in told)


@pytest.mark.parametrize(
  'file, content',
  [
    ('metrics.jsonl', '{"step": 1, "grpo/kl": "x"}\n'),
    ('metrics.jsonl', '[1]\n'),
    ('metrics.jsonl', '{"loss": 1}\n'),
    ('config.json', '[]'),
    ('config.json', '{"rl": 7'),
    ('data.json', '7'),
  ],
)
def test_a_damaged_file_is_named_in_one_line(reference, tmp_path, file, content):
  folder = small_runs.copy(reference, tmp_path / 'run', newest=1)
  (folder / file).write_text(content)
  told = one_line(small_runs.end(small_runs.start(folder), folder))
  assert f'{folder}/{file}' in told


SMALL_DISK = """
import os, resource, sys
from r1jax import main
# As a disk on which nothing larger fits: weights do not, figures do.
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 17, 1 << 17))
sys.exit(main.main(sys.argv[1:]))
"""


def test_a_run_without_room_ends_in_one_line(tmp_path):
  command = small_runs.command(tmp_path / 'run')
  done = subprocess.run(
    [sys.executable, '-c', SMALL_DISK, *command[3:]],
    cwd=small_runs.ROOT,
    env=small_runs.environment()
    | {'JAX_COMPILATION_CACHE_DIR': '', 'XDG_CACHE_HOME': str(tmp_path / 'cache')},
    capture_output=True,
    text=True,
    timeout=600,
  )
  assert done.returncode == 1
  assert done.stderr.count('\n') == 1, done.stderr
  assert done.stdout.count('compiled programs are not all kept') == 1
  saving = f'error: {tmp_path}/run/checkpoints: saving failed'
  assert done.stderr.startswith(tuple(f'{saving} ({reason})' for reason in small_runs.NO_ROOM))
