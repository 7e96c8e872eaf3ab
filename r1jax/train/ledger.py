"""Where the wall time of a run goes: at each moment one phase is charged, so that they add up.

What XLA compiles while a phase lasts is charged to `COMPILE` instead of it.
"""

import contextlib
import time

from r1jax import programs

IMPORTS, LOADING, COMPILE = 'imports', 'loading', 'compile'
BASE, ROLLOUTS, SCORING, UPDATES = 'base', 'rollouts', 'scoring', 'updates'
EXAMINATIONS, CHECKPOINTS, REPORT = 'examinations', 'checkpoints', 'report'
AGAIN, REST = 'done_again', 'rest'
WHOLE = 'whole'
# In the order of a run: phase -> what it is, for people.
PHASES = {
  IMPORTS: 'imports',
  LOADING: 'loading: data, weights, checkpoint',
  COMPILE: 'compilation, or loading what was compiled',
  BASE: 'examining the base',
  ROLLOUTS: 'rollouts: sampling, and waiting for verdicts',
  SCORING: 'scoring: advantages, packing, log-probabilities',
  UPDATES: 'updates',
  EXAMINATIONS: 'examinations, the last one too',
  CHECKPOINTS: 'checkpoints and the model',
  REPORT: 'report',
  AGAIN: 'lost by a sudden end, done again',
  REST: 'the rest',
}


class Ledger:
  """Seconds by phase, of earlier starts of the run too; all calls come from one thread."""

  def __init__(self, imports=0.0):
    """Begins to count, in `REST`; `imports` are the seconds that loading the program took."""
    self._seconds = dict.fromkeys(PHASES, 0.0) | {IMPORTS: imports}
    self._phase, self._watch = REST, programs.watch()
    self._since = time.monotonic()
    self._compiled = self._watch.seconds

  @contextlib.contextmanager
  def phase(self, name):
    """Charges what is done in here to a phase; within another one, to this one alone."""
    before = self._phase
    self._turn(name)
    try:
      yield
    finally:
      self._turn(before)

  def seconds(self):
    """Phase -> seconds so far, and `WHOLE`, their sum."""
    self._turn(self._phase)
    return self._seconds | {WHOLE: sum(self._seconds.values())}

  def add(self, earlier):
    """Goes on from what `seconds` gave at the checkpoint that an earlier start ended with."""
    for name in PHASES:
      self._seconds[name] += earlier.get(name, 0.0)

  def add_lost(self, seconds):
    """Adds what an earlier start has done after its last checkpoint, which is done again."""
    self._seconds[AGAIN] += max(0.0, seconds)

  def _turn(self, name):
    now, compiled = time.monotonic(), self._watch.seconds
    spent = now - self._since
    # Another thread may have compiled longer than this phase has lasted.
    compiling = min(compiled - self._compiled, spent)
    self._seconds[COMPILE] += compiling
    self._seconds[self._phase] += spent - compiling
    self._phase, self._since, self._compiled = name, now, compiled


def rows(seconds):
  """(what, seconds, share of the whole) of each phase that took any; `seconds` as of a `Ledger`."""
  whole = seconds.get(WHOLE) or 1.0
  found = ((told, seconds.get(name, 0.0)) for name, told in PHASES.items())
  return [(told, value, value / whole) for told, value in found if value > 0]
