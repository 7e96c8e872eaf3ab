"""Where the wall time of a run goes: at each moment one phase is charged, so that they add up.

What XLA compiles while a phase lasts is charged to `phases.COMPILE` instead of it.
"""

import contextlib
import time

from r1jax import programs
from r1jax.train import phases


class Ledger:
  """Seconds by phase, of earlier starts of the run too; all calls come from one thread."""

  def __init__(self, imports=0.0):
    """Begins to count, in `phases.REST`; `imports` are the seconds that loading it all took."""
    self._seconds = dict.fromkeys(phases.PHASES, 0.0) | {phases.IMPORTS: imports}
    self._phase, self._watch = phases.REST, programs.watch()
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
    """Phase -> seconds so far, and `phases.WHOLE`, their sum."""
    self._turn(self._phase)
    return self._seconds | {phases.WHOLE: sum(self._seconds.values())}

  def add(self, earlier):
    """Goes on from what `seconds` gave at the checkpoint that an earlier start ended with."""
    for name in phases.PHASES:
      self._seconds[name] += earlier.get(name, 0.0)

  def add_lost(self, seconds):
    """Adds what an earlier start has done after its last checkpoint, which is done again."""
    self._seconds[phases.AGAIN] += max(0.0, seconds)

  def _turn(self, name):
    now, compiled = time.monotonic(), self._watch.seconds
    spent = now - self._since
    # Another thread may have compiled longer than this phase has lasted.
    compiling = min(compiled - self._compiled, spent)
    self._seconds[phases.COMPILE] += compiling
    self._seconds[self._phase] += spent - compiling
    self._phase, self._since, self._compiled = name, now, compiled
