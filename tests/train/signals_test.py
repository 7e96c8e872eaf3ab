"""What a run does with the signals that end it, in a process of its own."""

import fcntl
import os
import signal
import subprocess
import sys
import termios

import pytest

from r1jax.train import loop
from tests import small_runs

pytestmark = pytest.mark.usefixtures('heeds_hangup')


def started(program, path):
  """A Python process that runs the text of a program, whose argument is a path."""
  pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
  where = dict(cwd=small_runs.ROOT, env=small_runs.environment())
  return subprocess.Popen([sys.executable, '-c', program, str(path)], **where, **pipes)


@pytest.mark.parametrize('which', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_an_update_is_answered_at_once_and_a_second_ends_it(tmp_path, which):
  process = started(HANGS, tmp_path)
  try:
    assert process.stdout.readline() == 'in the update\n'
    process.send_signal(which)
    answer = process.stdout.readline()
    assert answer == f'{which.name}: stopping, at the latest after this update; again to stop now\n'
    assert process.poll() is None
    process.send_signal(which)
    process.communicate(timeout=60)
    assert process.returncode != 0
  finally:
    process.kill()
    process.communicate()


def test_a_run_whose_terminal_closes_goes_on_to_its_end(tmp_path):
  main, other = os.openpty()
  process = subprocess.Popen(
    [sys.executable, '-c', WAITS, str(tmp_path / 'told')],
    cwd=small_runs.ROOT,
    env=small_runs.environment(),
    stdin=other,
    stdout=other,
    stderr=other,
    start_new_session=True,
    preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
  )
  os.close(other)
  while b'waiting' not in os.read(main, 4096):
    pass
  os.close(main)  # now what is printed there is an error, and the kernel sends SIGHUP
  assert process.wait(60) == 0
  assert (tmp_path / 'told').read_text() == 'SIGHUP'


def test_a_second_sighup_does_not_end_what_is_being_saved(monkeypatch):
  monkeypatch.setattr(loop, 'leave_terminal', lambda: None)
  with loop.Signals() as signals:
    signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGHUP)
    assert signals.asked == 'SIGHUP'


def test_a_reader_who_leaves_stops_the_run_as_a_closed_terminal_does(tmp_path):
  process = started(UNREAD, tmp_path / 'told')
  assert process.stdout.readline() == 'line 0\n'
  process.stdout.close()
  assert process.wait(60) == 0
  assert process.stderr.read() == 'standard output is closed: stopping\n'
  assert (tmp_path / 'told').read_text() == 'SIGHUP'


def test_who_is_told_to_ignore_a_closed_terminal_does(monkeypatch):
  before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
  try:
    with loop.Signals() as signals:
      signal.raise_signal(signal.SIGHUP)
    assert not signals.asked
  finally:
    signal.signal(signal.SIGHUP, before)


WAITS = """
import pathlib, sys, time
from r1jax.train import loop
with loop.Signals() as signals:
  print('waiting', flush=True)
  for _ in range(600):
    time.sleep(0.1)
    if signals.asked:
      break
  print('on', flush=True)
  print('and on', file=sys.stderr, flush=True)
pathlib.Path(sys.argv[1]).write_text(signals.asked)
"""
HANGS = """
import signal, sys, time
# Where the suite was started in the background Ctrl-C is ignored, and a process inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)
import jax
from r1jax import sharding
from r1jax.train import loop
from tests.train import loop_test
import pathlib
def hang(step):
  print('in the update', flush=True)
  # A signal that comes between Python's last look and a sleep would wait for the end of the sleep.
  for _ in range(6000):
    time.sleep(0.1)
with jax.set_mesh(sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1])):
  loop_test.run(loop_test.Counting(hang), pathlib.Path(sys.argv[1]))
"""
UNREAD = """
import pathlib, sys, time
from r1jax.cli import commands
from r1jax.train import loop
commands.stop_where_unread()
with loop.Signals() as signals:
  for number in range(600):
    print('line', number, flush=True)
    time.sleep(0.1)
    if signals.asked:
      break
pathlib.Path(sys.argv[1]).write_text(signals.asked)
"""
