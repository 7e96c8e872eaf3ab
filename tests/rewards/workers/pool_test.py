"""The pool of killable workers."""

import os
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


def test_an_item_that_kills_its_worker_twice_is_a_verifier_error_and_others_live(one_worker):
  killer = one_worker.submit(Task('language', 5, (_Killer(), 'en')))
  after = one_worker.submit(Task('math', 5, ('\\sqrt{4}', '2')))
  verdict = killer.result(60)
  assert verdict.kind == Kind.VERIFIER_ERROR and 'twice' in verdict.why
  assert after.result(60).kind == Kind.CORRECT


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


class _Killer:
  """Ends the process that unpickles it."""

  def __reduce__(self):
    return os._exit, (7,)
