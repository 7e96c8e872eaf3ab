"""A save that fails is told in one line, and nothing of the libraries' own stands around it."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from r1jax.train import checkpoint, failed_saves
from tests import small_runs

NO_ROOM = """
import resource, sys
import jax, numpy as np
from r1jax import sharding
from r1jax.train import checkpoint
def limit(size):
  resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
with jax.set_mesh(sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1])):
  rng = np.random.default_rng(0)
  put = lambda size: sharding.put(rng.normal(size=size).astype('f4'), jax.P(None))
  with checkpoint.Checkpoints(sys.argv[1]) as saved:
    saved.save(1, {str(i): put(100) for i in range(9)}, {})
    saved.wait()
    limit(1 << 18)
    saved.save(2, {str(i): put(1 << 20) for i in range(9)}, {})
    try:
      saved.wait()
    except checkpoint.CheckpointError as error:
      print(error)
    print(saved.steps())
    limit(resource.RLIM_INFINITY)
    saved.save(3, {str(i): put(1 << 20) for i in range(9)}, {})
    saved.wait()
    print(saved.steps())
"""


def test_a_save_without_room_is_one_line_and_the_next_one_with_room_succeeds(tmp_path):
  command = [sys.executable, '-c', NO_ROOM, str(tmp_path)]
  done = subprocess.run(command, capture_output=True, text=True, timeout=300)
  assert (done.returncode, done.stderr) == (0, '')
  told, then, last = done.stdout.splitlines()
  saving = f'{tmp_path}: saving failed'
  assert told.startswith(tuple(f'{saving} ({reason}); ' for reason in small_runs.NO_ROOM))
  assert (then, last) == ('[1]', '[1, 3]')
  # What did not fit has gone.
  assert sorted(path.name for path in tmp_path.iterdir()) == ['step_00000001', 'step_00000003']


@pytest.mark.parametrize(
  'error, text',
  [
    (
      ValueError(
        'RESOURCE_EXHAUSTED: Error writing "w/0" in OCDBT database at local file "/a/": Failed '
        "to write 42 bytes to file 4: No space left on device [os_error_code='28'] "
        "[source locations='tensorstore/kvstore/kvstore.cc:373']"
      ),
      'No space left on device',
    ),
    (OSError(28, 'No space left on device'), 'No space left on device'),
    (OSError(30, 'Read-only file system', '/a/b'), 'Read-only file system: /a/b'),
    (
      ValueError(
        'OUT_OF_RANGE: Error reading "w/0" in OCDBT database at local file "/a/": Requested byte '
        'range [0, 9) is not valid for value of size 4'
      ),
      'a file of it was cut short',
    ),
    (ValueError("two\nlines [source locations='a.cc:3']"), 'ValueError: two lines [source'),
  ],
)
def test_the_reason_of_a_failed_save_is_what_the_system_says(error, text):
  assert failed_saves.reason(error).startswith(text) and '\n' not in failed_saves.reason(error)


def test_other_reports_than_of_failed_saves_are_still_made():
  program = (
    'import logging\n'
    'from r1jax.train import failed_saves\n'
    'failed_saves.say_once()\n'
    'logging.getLogger("absl").warning("a warning")\n'
    'class Fails:\n'
    '  def __del__(self):\n'
    '    raise RuntimeError("of somebody else")\n'
    'Fails()\n'
    'raise RuntimeError("Event loop is closed")\n'
  )
  done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
  assert done.returncode == 1
  for text in ('a warning', 'of somebody else', 'RuntimeError: Event loop is closed'):
    assert text in done.stderr


def test_a_folder_that_is_deleted_under_the_run_is_said_and_not_made_again(tmp_path):
  folder = tmp_path / 'run' / 'checkpoints'
  with checkpoint.Checkpoints(folder) as saved:
    saved.save(1, {'w': np.arange(5)}, {})
    saved.wait()
    shutil.rmtree(tmp_path / 'run')
    with pytest.raises(checkpoint.CheckpointError, match=f'{folder} is gone'):
      saved.save(2, {'w': np.arange(5)}, {})
    assert not (tmp_path / 'run').exists()
    folder.mkdir(parents=True)  # as whoever writes the next file of the run
    with pytest.raises(checkpoint.CheckpointError, match=f'{folder} is gone'):
      saved.save(2, {'w': np.arange(5)}, {})
    assert list(folder.iterdir()) == []
