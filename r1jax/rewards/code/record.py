"""The record of a programming question: the tests that a program must pass (reference §1.4)."""

import dataclasses
import json

from r1jax.data import problem
from r1jax.rewards.code import comparison, sandbox
from r1jax.rewards.verdict import Gold, Task

PYTHON, LIVECODEBENCH = 'python', comparison.LIVECODEBENCH
_START_SECONDS = 30.0  # for a sandbox to start and end, beside the time of the program
_STDIN, _CALL = {'stdin', 'stdout'}, {'call', 'args', 'expected'}
Json = None | bool | int | float | str | list | dict  # what a text of JSON can stand for


@dataclasses.dataclass(frozen=True)
class StdinTest:
  """A whole program: `stdin` in, `stdout` expected, compared by `comparison.same_output`."""

  stdin: str
  stdout: str


@dataclasses.dataclass(frozen=True)
class CallTest:
  """`call(*args)`, or the method of a class `Solution`, is expected to return `expected`.

  Compared by `comparison.same_result`.
  """

  call: str
  args: tuple
  expected: Json


@dataclasses.dataclass(frozen=True)
class Tests(Gold):
  """The tests of one programming question.

  Attributes:
    tests: of StdinTest and CallTest, one or more.
    rules: `python`: what `python program.py` would do, with LiveCodeBench's imports, recursion
      limit and comparison of outputs. `livecodebench`: as its runner, where that differs: `quit`
      is None, a program of lines may exit with any status, results of calls must be `==`.
  """

  tests: tuple
  rules: str = PYTHON

  name, field = 'code', 'tests'
  instruction = 'Reason step by step, then give the whole program in Python, fenced as ```python.'

  def __post_init__(self):
    if self.rules not in (PYTHON, LIVECODEBENCH):
      raise ValueError(f'rules are {PYTHON} or {LIVECODEBENCH}, not {self.rules!r}')

  @classmethod
  def read(cls, record, answer_key):
    """{"tests": [...]} of {"stdin", "stdout"} or {"call", "args", "expected"}."""
    tests = record['tests']
    if not isinstance(tests, list) or not tests:
      raise ValueError(f"field 'tests' holds {tests!r:.40}, expected a list of tests")
    return cls(tuple(_test(test, f'test {n}') for n, test in enumerate(tests, 1))), ''

  @classmethod
  def graded(cls, record):
    """The same field `tests`; there is no field `gold`."""
    if 'tests' not in record:
      raise ValueError(f"no field 'tests', found {sorted(record)}")
    return cls.read(record, '')[0]

  def check(self, completion, reply, config):
    """A worker runs the program as `config.programs` says; SandboxError without bubblewrap."""
    sandbox.require(config.programs.allow_unsandboxed)
    seconds = config.programs.total_seconds + _START_SECONDS
    return Task('code', seconds, (completion, self, config.programs))


def _test(test, name):
  test = _filled(test)
  keys = set(test) if isinstance(test, dict) else None
  if keys == _STDIN:
    wrong = [key for key in sorted(_STDIN) if not problem.is_text(test[key])]
    if wrong:
      raise ValueError(f'{name}: {wrong[0]} is {test[wrong[0]]!r:.40}, expected text')
    return StdinTest(test['stdin'], test['stdout'])
  if keys != _CALL:
    raise ValueError(
      f'{name} of field \'tests\' is {test!r:.60}, expected {{"stdin", "stdout"}} or '
      '{"call", "args", "expected"}'
    )
  return _call(test, name)


def _filled(test):
  """A test without the keys that are null: parquet gives each test the keys of all others."""
  if not isinstance(test, dict):
    return test
  # A function may well return None.
  held = {'expected'} if test.get('call') is not None else set()
  return {key: value for key, value in test.items() if value is not None or key in held}


def _call(test, name):
  if not isinstance(test['call'], str) or not test['call'].isidentifier():
    raise ValueError(f'{name}: call is {test["call"]!r:.40}, expected the name of a function')
  if not isinstance(test['args'], list):
    raise ValueError(f'{name}: args is {test["args"]!r:.40}, expected a list')
  try:
    json.dumps(test, allow_nan=False)
  except ValueError as error:
    raise ValueError(f'{name}: no such number in JSON as NaN or Infinity') from error
  return CallTest(test['call'], tuple(test['args']), test['expected'])
