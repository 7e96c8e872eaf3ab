"""Rewards that a user brings: functions of files that `reward.function` names.

A function is called with lists, one entry per completion, in a process of its own that has a
deadline and a memory limit; see `workers.serve_function` for what it may ask for and return. It
judges completions one by one: in which lists they come is not promised.
"""

import concurrent.futures
import dataclasses
import math
import os
import pathlib
import re

from r1jax.rewards.verdict import Kind, Task, Verdict
from r1jax.rewards.workers import pool

# One entry. Yes: `my_rewards.py:score`, `lib/r.py:short*-0.5`. No: `my_rewards:score`, `r.py`.
_ENTRY = re.compile(r'(?P<path>[^:]+\.py):(?P<name>[A-Za-z_]\w*)(?:\*(?P<weight>[^*]+))?')
# What `reward/NAME` means already.
TAKEN = frozenset({
  'accuracy', 'format', 'language', 'repetition', 'helpful', 'harmless', 'overlong', 'total',
  'wait_seconds', 'worker_restarts', 'verifier_error_rate',
})  # fmt: skip
_LARGEST = 1e6  # of a weight


@dataclasses.dataclass(frozen=True)
class Function:
  """One entry of `reward.function`.

  Attributes:
    path: the file, as the user wrote it.
    name: the function, which names its part of the reward and its metric `reward/NAME`.
    weight: of its scores in the sum.
  """

  path: str
  name: str
  weight: float = 1.0

  @property
  def place(self):
    """How the user wrote it, without the weight."""
    return f'{self.path}:{self.name}'


def parse(text):
  """The `Function`s that `reward.function` names, in order.

  Args:
    text: `FILE.py:NAME`, or `FILE.py:NAME*WEIGHT`, several with commas between; '' for none.

  Raises:
    ValueError: an entry is none of these, or a name is taken.
  """
  functions = []
  for entry in filter(None, (one.strip() for one in text.split(','))):
    match = _ENTRY.fullmatch(entry)
    if not match:
      raise ValueError(f'{entry!r} is not FILE.py:FUNCTION or FILE.py:FUNCTION*WEIGHT')
    if match['name'] in TAKEN | {one.name for one in functions}:
      raise ValueError(f'{entry!r}: the name {match["name"]} is taken; rename the function')
    functions.append(Function(match['path'], match['name'], _weight(match['weight'], entry)))
  return tuple(functions)


def files(text):
  """Files that `reward.function` names, each once, as written; none of a text that is refused."""
  try:
    functions = parse(text)
  # Whoever builds the config refuses it, with its key.
  except ValueError:
    return []
  return list(dict.fromkeys(one.path for one in functions))


def _weight(text, entry):
  if text is None:
    return 1.0
  try:
    weight = float(text)
  except ValueError:
    weight = math.nan
  if not abs(weight) <= _LARGEST:
    raise ValueError(f'{entry!r}: {text!r} is no weight, a number within ±{_LARGEST:,.0f}')
  return weight


class FunctionProcess:
  """One function in a process of its own; `close` it when done."""

  def __init__(self, function, seconds, gib):
    """Loads the file, which takes as long as what it imports.

    Args:
      function: `Function`.
      seconds: deadline of a call, and of loading.
      gib: memory that the process may write.

    Raises:
      ValueError: there is no such file or function, or the file fails; in one line.
    """
    self.function, self._seconds = function, seconds
    path = pathlib.Path(function.path)
    if not path.is_file():
      raise ValueError(f'{function.path}: no such file (config.reward.function)')
    self._path = str(path.resolve())
    # With the user's variables: caches, tokens and devices are found by them.
    program = pool.own_function(os.environ)
    self._pool = pool.Pool(1, int(gib * 2**30), program)
    loaded = self._submit({}).result()
    if not loaded.scored:
      self.close()
      raise ValueError(f'config.reward.function={function.place}: {self._why(loaded)}')

  @property
  def restarts(self):
    """Processes that were killed and replaced."""
    return self._pool.restarts

  def submit(self, items):
    """A Future of the Verdict of each of some `service.Item`s; all are judged by one call."""
    futures = [concurrent.futures.Future() for _ in items]
    if items:
      self._submit(lists(items)).add_done_callback(lambda done: self._deal(done, futures))
    return futures

  def close(self):
    """Ends the process."""
    self._pool.close()

  def _submit(self, named):
    # Late is the function's fault, not the completion's, which then is no 0.
    arguments = (self._path, self.function.name, named)
    return self._pool.submit(Task('function', self._seconds, arguments, Kind.VERIFIER_ERROR))

  def _deal(self, done, futures):
    verdicts = done.result()
    if isinstance(verdicts, Verdict):  # one for all: the call was late, or its process died
      verdicts = [verdicts] * len(futures)
    for future, one in zip(futures, verdicts, strict=True):
      if not one.scored:
        one = Verdict(0.0, one.kind, f'{self.function.place}: {self._why(one)}')
      future.set_result(one)

  def _why(self, verdict):
    if verdict.why == f'over {self._seconds:g} s':
      return f'no answer within {self._seconds:g} s (reward.function_seconds)'
    return verdict.why


def start(text, seconds, gib):
  """A `FunctionProcess` per function of `reward.function`; for the rest see there and `parse`."""
  judges = []
  try:
    for function in parse(text):
      judges.append(FunctionProcess(function, seconds, gib))
  except ValueError:
    for judge in judges:
      judge.close()
    raise
  return tuple(judges)


def lists(items):
  """Name -> list of what a function may ask for, of some `service.Item`s.

  A column that a question's row lacks is None there.
  """
  columns = dict.fromkeys(name for item in items for name in item.extra)
  named = {name: [item.extra.get(name) for item in items] for name in columns}
  # Last, so that a column of that name does not stand in their place.
  return named | {
    'texts': [item.completion for item in items],
    'questions': [item.question for item in items],
    'answers': [item.gold for item in items],
  }
