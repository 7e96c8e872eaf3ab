"""What a rule of the doctor says, and the evidence that it looks at."""

import dataclasses
import math

import numpy as np

FEWEST = 5  # values of a metric below which nothing is said of its course
_PART = 5  # the first and the last fifth of a course are compared


@dataclasses.dataclass(frozen=True)
class Finding:
  """Something that is wrong.

  Attributes:
    name: of the rule, a few words.
    seen: the evidence, with its numbers.
    do: what most likely helps, with the keys of the config to change.
  """

  name: str
  seen: str
  do: str

  def told(self):
    """All of it in one line."""
    return f'{self.name}: {self.seen}; {self.do}'


@dataclasses.dataclass(frozen=True)
class Evidence:
  """What is known of a run.

  Attributes:
    rows: of `metrics.jsonl`, oldest first.
    config: of the run, nested dicts.
    last: rows of samples of the newest rollout that was kept.
    checkpoints: updates at which there is one.
    updates: that have been done, as far as anything in the folder tells.
  """

  rows: tuple
  config: dict
  last: tuple = ()
  checkpoints: tuple = ()
  updates: int = 0

  def course(self, name):
    """Finite values of a metric in order, float64; empty where it was not logged."""
    values = [row.get(name) for row in self.rows]
    return np.array([value for value in values if value is not None], float)

  def long(self, name, least=FEWEST):
    """Whether a metric has a course of which something can be said."""
    return len(self.course(name)) >= least

  def early(self, name):
    """Mean of the first fifth of a metric's values; nan without values."""
    return _mean(self._ends(name)[0])

  def late(self, name):
    """Mean of the last fifth of a metric's values; nan without values."""
    return _mean(self._ends(name)[1])

  def gain(self, name):
    """(late minus early, two standard errors of that difference)."""
    begin, end = self._ends(name)
    if not len(begin):
      return math.nan, math.nan
    # Rollouts count as independent: it only has to keep chance from being called a rise.
    several = [part for part in (begin, end) if len(part) > 1]
    spread = sum(part.var(ddof=1) / len(part) for part in several)
    return _mean(end) - _mean(begin), 2 * math.sqrt(spread)

  def rises(self, name):
    """Whether a metric has risen by more than chance; False without values."""
    change, error = self.gain(name)
    return change > error

  def key(self, name, default=None):
    """A value of the config by its dotted key."""
    value = self.config
    for part in name.split('.'):
      value = value.get(part, default) if isinstance(value, dict) else default
    return value

  def shown(self, name):
    """A key with the value that it has."""
    return f'{name} (now {self.key(name)})'

  def _ends(self, name):
    values = self.course(name)
    # Of a short course three values at either end, which may overlap.
    count = min(len(values), max(3, len(values) // _PART))
    return values[:count], values[len(values) - count :]


def _mean(values):
  return float(values.mean()) if len(values) else math.nan
