"""One run at a time in a folder: who waits for whom, and what a dead holder leaves."""

import fcntl
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from r1jax.runs import lock

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOLDER = """
import sys, time
from r1jax.runs import lock
with lock.hold(sys.argv[1]):
  print('held', flush=True)
  time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
  """Another process that holds the folder."""
  process = subprocess.Popen(
    [sys.executable, '-c', HOLDER, str(tmp_path)],
    cwd=ROOT,
    env=os.environ | {'JAX_PLATFORMS': 'cpu'},
    stdout=subprocess.PIPE,
    text=True,
  )
  assert process.stdout.readline() == 'held\n'
  yield process
  process.kill()
  process.communicate()


def said(folder):
  """What the lock file tells of its holder."""
  return json.loads((folder / lock.NAME).read_text())


def quick(monkeypatch):
  """A holder elsewhere is watched for a short time only."""
  monkeypatch.setattr(lock, 'SILENCE', 0.6)
  monkeypatch.setattr(lock, 'BEAT', 0.1)


def test_a_second_run_is_told_the_host_the_process_and_since_when(holder, tmp_path):
  since = said(tmp_path)['since']
  with pytest.raises(lock.LockedError) as refused, lock.hold(tmp_path):
    pass
  text = str(refused.value)
  for part in (str(tmp_path), socket.gethostname(), f'pid {holder.pid}', since, 'wait'):
    assert part in text
  assert said(tmp_path)['pid'] == holder.pid


@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_of_a_dead_process_is_taken_at_once(holder, tmp_path, how):
  holder.send_signal(how)
  holder.wait()
  assert said(tmp_path)['pid'] == holder.pid
  told = []
  with lock.hold(tmp_path, told.append):
    assert said(tmp_path)['pid'] == os.getpid()
  assert told == [] and not (tmp_path / lock.NAME).exists()


def test_of_many_that_begin_at_once_one_wins(tmp_path):
  results, go = [], threading.Barrier(8)

  def begin():
    go.wait()
    try:
      with lock.hold(tmp_path):
        results.append('held')
        time.sleep(0.5)
    except lock.LockedError:
      results.append('refused')

  threads = [threading.Thread(target=begin) for _ in range(8)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert sorted(results) == ['held'] + ['refused'] * 7


def test_a_holder_elsewhere_that_is_silent_is_dead(tmp_path, monkeypatch):
  quick(monkeypatch)
  (tmp_path / lock.NAME).write_text('{"host": "elsewhere", "pid": 7, "since": "noon"}')
  told = []
  with lock.hold(tmp_path, told.append):
    assert said(tmp_path)['host'] == socket.gethostname()
  assert len(told) == 1 and 'host elsewhere, pid 7, since noon' in told[0]


@pytest.mark.parametrize('clock', [0, -30 * 86400])
def test_a_holder_elsewhere_that_touches_its_file_lives_whatever_its_clock_says(
  tmp_path, monkeypatch, clock
):
  quick(monkeypatch)
  path, ended = tmp_path / lock.NAME, threading.Event()
  path.write_text('{"host": "elsewhere", "pid": 7, "since": "noon"}')

  def touch():
    while not ended.wait(0.1):
      os.utime(path, (time.time() + clock,) * 2)

  thread = threading.Thread(target=touch)
  thread.start()
  try:
    with (
      pytest.raises(lock.LockedError, match='host elsewhere'),
      lock.hold(tmp_path, lambda line: None),
    ):
      pass
  finally:
    ended.set()
    thread.join()
  assert said(tmp_path)['host'] == 'elsewhere'


def test_without_locks_in_the_file_system_the_touches_alone_decide(tmp_path, monkeypatch):
  quick(monkeypatch)

  def none(*_):
    raise OSError(lock.errno.ENOTSUP, 'Operation not supported')

  monkeypatch.setattr(fcntl, 'flock', none)
  told = []
  with (
    lock.hold(tmp_path, told.append),
    pytest.raises(lock.LockedError),
    lock.hold(tmp_path, told.append),
  ):
    pass
  assert 'has no locks' in told[0]


@pytest.mark.parametrize('content', ['', '{"host": ', '[1]', '\x00' * 99])
def test_a_file_that_names_nobody_holds_nothing(tmp_path, content):
  (tmp_path / lock.NAME).write_text(content)
  with lock.hold(tmp_path):
    assert said(tmp_path)['pid'] == os.getpid()


def test_a_folder_that_was_deleted_or_made_again_is_lost(tmp_path):
  folder = tmp_path / 'run'
  folder.mkdir()
  with lock.hold(folder) as check:
    check()
    shutil.rmtree(folder)
    with pytest.raises(lock.Lost, match='deleted or moved'):
      check()
    folder.mkdir()
    (folder / lock.NAME).write_text('of another run')
    with pytest.raises(lock.Lost, match='deleted or moved'):
      check()
  assert (folder / lock.NAME).read_text() == 'of another run'
