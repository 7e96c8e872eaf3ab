"""The pool of killable workers."""

import os
import signal
import sys
import time

import pytest

from r1jax.rewards.verdict import Kind, Task
from r1jax.rewards.workers import pool


@pytest.fixture
def one_worker():
  made = pool.Pool(workers=1, memory_bytes=1 << 30)
  yield made
  made.close()


def _compare(pool_, answer, seconds):
  return pool_.submit(Task('math', seconds, ('\\sqrt{2}', answer))).result().kind


def test_a_worker_past_its_deadline_is_killed_and_the_next_item_is_judged(one_worker):
  assert _compare(one_worker, '\\sqrt{2}+0', 5) == Kind.CORRECT
  (before,) = one_worker.pids()
  assert _compare(one_worker, '(((9!)!)!)!', 0.3) == Kind.TIMEOUT
  assert _compare(one_worker, '\\sqrt{3}', 5) == Kind.WRONG
  assert one_worker.pids() != [before]
  assert not os.path.exists(f'/proc/{before}')


def test_a_worker_that_gets_no_processor_is_waited_for(one_worker):
  assert _compare(one_worker, '\\sqrt{2}+0', 20) == Kind.CORRECT
  (worker,) = one_worker.pids()
  os.kill(worker, signal.SIGSTOP)  # as of a machine that is busy with others
  waiting = one_worker.submit(Task('math', 0.5, ('8\\ln 2-3', '-3+8\\ln 2')))
  time.sleep(1.5)
  assert not waiting.done()
  os.kill(worker, signal.SIGCONT)
  assert waiting.result(60).kind == Kind.CORRECT
  assert one_worker.pids() == [worker]


def test_an_endless_computation_ends_at_its_processor_time(one_worker, monkeypatch):
  assert _compare(one_worker, '\\sqrt{2}+0', 20) == Kind.CORRECT
  told, ask = [], pool._processor_seconds
  monkeypatch.setattr(pool, '_processor_seconds', lambda pid: told.append(ask(pid)) or told[-1])
  assert _compare(one_worker, '(((9!)!)!)!', 1.0) == Kind.TIMEOUT
  assert 1.0 <= told[-1] - told[0] < 2.0


def test_no_worker_is_waited_for_beyond_the_clock_s_limit(one_worker, monkeypatch):
  assert _compare(one_worker, '\\sqrt{2}+0', 20) == Kind.CORRECT
  monkeypatch.setattr(pool, '_CLOCK_SECONDS', 1.0)
  os.kill(one_worker.pids()[0], signal.SIGSTOP)
  started = time.monotonic()
  assert _compare(one_worker, '\\sqrt{2}+0', 0.05) == Kind.TIMEOUT
  assert time.monotonic() - started >= 1.0
  assert _compare(one_worker, '\\sqrt{2}+0', 20) == Kind.CORRECT


@pytest.mark.parametrize('check', ['code', 'function'])
def test_checks_that_may_wait_have_the_clock_s_deadline(one_worker, check):
  assert _compare(one_worker, '\\sqrt{2}+0', 20) == Kind.CORRECT
  os.kill(one_worker.pids()[0], signal.SIGSTOP)
  assert one_worker.submit(Task(check, 0.3, ())).result(15).kind == Kind.TIMEOUT


def test_without_processor_times_the_clock_counts(one_worker, monkeypatch):
  assert _compare(one_worker, '\\sqrt{2}+0', 20) == Kind.CORRECT
  monkeypatch.setattr(pool, '_processor_seconds', lambda pid: None)  # as on macOS
  os.kill(one_worker.pids()[0], signal.SIGSTOP)
  waiting = one_worker.submit(Task('math', 0.3, ('\\sqrt{2}', '\\sqrt{2}+0')))
  assert waiting.result(15).kind == Kind.TIMEOUT


def test_a_worker_s_start_is_not_in_its_task_s_time():
  made = pool.Pool(workers=1, memory_bytes=1 << 30)
  try:
    # Its imports alone take longer.
    assert _compare(made, '\\sqrt{2}+0', 0.5) == Kind.CORRECT
  finally:
    made.close()


def test_an_item_that_kills_its_worker_twice_is_a_verifier_error_and_others_live(one_worker):
  killer = one_worker.submit(Task('language', 5, (_Killer(), 'en')))
  after = one_worker.submit(Task('math', 5, ('\\sqrt{4}', '2')))
  verdict = killer.result(60)
  assert verdict.kind == Kind.VERIFIER_ERROR and 'twice' in verdict.why
  assert after.result(60).kind == Kind.CORRECT


def test_a_worker_whose_memory_is_half_gone_is_followed_by_another(one_worker):
  assert _compare(one_worker, '\\sqrt{2}+0', 5) == Kind.CORRECT
  (before,) = one_worker.pids()
  one_worker.submit(Task('language', 20, (_Hoarder(), 'en'))).result(60)
  # With what is left the parser would find no formula in the next one.
  assert _compare(one_worker, '\\frac{2}{\\sqrt{2}}', 5) == Kind.CORRECT
  assert one_worker.pids() != [before]


def test_an_exception_in_a_verifier_is_its_error_with_the_reason(one_worker):
  verdict = one_worker.submit(Task('language', 5, ('<think>a</think>', 'fr'))).result(60)
  assert verdict.kind == Kind.VERIFIER_ERROR and 'fr' in verdict.why


def test_closing_ends_every_process_and_tells_waiting_items():
  made = pool.Pool(workers=2, memory_bytes=1 << 30)
  _compare(made, '\\sqrt{3}', 5)
  waiting = [made.submit(Task('math', 60, ('\\sqrt{2}', '(((9!)!)!)!'))) for _ in range(4)]
  time.sleep(0.1)
  pids = made.pids()
  made.close()
  assert len(pids) == 2 and not any(os.path.exists(f'/proc/{pid}') for pid in pids)
  assert all(
    w.result(5).kind in (Kind.VERIFIER_ERROR, Kind.UNPARSEABLE, Kind.WRONG) for w in waiting
  )
  with pytest.raises(ValueError, match='closed'):
    made.submit(Task('math', 1, ('1', '1')))


@pytest.mark.parametrize(
  'attribute, value, said',
  [
    ('_WORKER', 'r1jax.rewards.workers.absent', 'No module named r1jax.rewards.workers.absent'),
    ('_WORKER', 'zipfile', 'usage:'),
    ('_PACKAGE_ROOT', '/nowhere', "No module named 'r1jax'"),
  ],
)
def test_workers_that_do_not_start_say_what_failed(monkeypatch, tmp_path, attribute, value, said):
  monkeypatch.setattr(pool, attribute, value)
  # An installed copy would be found without our path.
  monkeypatch.setattr(pool.sys, 'executable', _isolated(tmp_path))
  made = pool.Pool(workers=1, memory_bytes=1 << 30)
  try:
    verdict = made.submit(Task('math', 5, ('\\sqrt{2}', '2'))).result(60)
  finally:
    made.close()
  assert verdict.kind == Kind.VERIFIER_ERROR
  assert verdict.why.startswith('reward workers do not start: ')
  assert said in verdict.why or said == 'usage:' and 'exit status 2' in verdict.why
  assert 'math_verify' not in verdict.why and '\n' not in verdict.why


def test_what_a_worker_may_have_stands_beside_what_failed():
  made = pool.Pool(workers=1, memory_bytes=1 << 26)
  try:
    why = made.submit(Task('math', 5, ('\\sqrt{2}', '2'))).result(60).why
  finally:
    made.close()
  assert why.startswith('reward workers do not start: ') and 'exit status 1' in why
  assert 'at most 0.0625 GiB' in why


def test_a_worker_that_never_is_ready_is_late(monkeypatch, tmp_path):
  sleeper = tmp_path / 'python'
  sleeper.write_text('#!/bin/sh\nexec sleep 600\n')
  sleeper.chmod(0o755)
  monkeypatch.setattr(pool.sys, 'executable', str(sleeper))
  monkeypatch.setattr(pool, 'START_SECONDS', 0.3)
  made = pool.Pool(workers=1, memory_bytes=1 << 30)
  try:
    why = made.submit(Task('math', 5, ('\\sqrt{2}', '2'))).result(60).why
  finally:
    made.close()
  assert 'not ready after 0 seconds' in why


def _isolated(folder):
  """A Python that does not see the packages that are installed beside ours."""
  script = folder / 'python'
  script.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
  script.chmod(0o755)
  return str(script)


class _Hoarder:
  """Fills most of the memory of the worker that unpickles it, for as long as that lives."""

  def __reduce__(self):
    return eval, ("__import__('json').__dict__.setdefault('hoard', bytearray(800 << 20))",)


class _Killer:
  """Ends the process that unpickles it."""

  def __reduce__(self):
    return os._exit, (7,)
