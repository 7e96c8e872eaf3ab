"""Whether what a program printed or returned is what a test expects.

Both sides are plain text or plain JSON here, so nothing that a program defines can answer for it.
Printed lines are compared as LiveCodeBench's runner does (lcb_runner/evaluation/testing_util.py).
"""

import decimal
import json
import math

LIVECODEBENCH = 'livecodebench'


def same_output(expected, printed):
  """Whether `printed` (bytes) is the output `expected` (str).

  White space around the whole and around each line is no difference. A line that differs otherwise
  is the same if both sides are numbers, equally many and equal as decimals: `0.750` is `0.75`,
  `2.0` is `2`, `1  2` is `1 2`.
  """
  wanted, got = _lines(expected), _lines(printed.decode('utf-8', 'replace'))
  return len(wanted) == len(got) and all(map(_same_line, wanted, got))


def _lines(text):
  return [line.strip() for line in text.strip().split('\n')]


def _same_line(expected, printed):
  if expected == printed:
    return True
  wanted = _decimals(expected)
  # The lengths first: a long line of other words is then refused without reading its numbers.
  if wanted is None or len(printed.split()) != len(wanted):
    return False
  got = _decimals(printed)
  try:
    return got is not None and wanted == got
  except decimal.InvalidOperation:  # a signalling NaN, which equals nothing
    return False


def _decimals(line):
  try:
    return [decimal.Decimal(word) for word in line.split()]
  except decimal.InvalidOperation:  # a word that is no number, or one too large to hold
    return None


def same_result(expected, reported, rules):
  """Whether the result that `reported` (bytes of JSON, as `harness` writes it) holds is `expected`.

  Under the rules of LiveCodeBench it must be `==` to it in Python, a tuple counting as a list at
  the top only. Else tuples are lists, True is not 1, a whole number must be exact, and floats
  agree to a relative 1e-9.
  """
  try:
    got = json.loads(reported)
  except (ValueError, RecursionError):
    return False
  if rules != LIVECODEBENCH:
    return _same(expected, got)
  if isinstance(got, dict) and 'tuple' in got:
    got = got['tuple']
  return _equal(expected, got)


def _equal(expected, got):
  """Python's `==` between a gold value (plain JSON) and a reported one."""
  if isinstance(expected, list):
    return isinstance(got, list) and len(got) == len(expected) and all(map(_equal, expected, got))
  if isinstance(expected, dict):
    return isinstance(got, dict) and _same_items(expected, got.get('dict'), _equal)
  return not isinstance(got, (list, dict)) and expected == got


def _same(expected, got):
  if isinstance(got, dict) and 'tuple' in got:
    got = got['tuple']
  if isinstance(expected, bool) or isinstance(got, bool) or expected is None or got is None:
    return expected is got
  if isinstance(expected, (int, float)) and isinstance(got, (int, float)):
    return same_number(expected, got)
  if isinstance(expected, str):
    return expected == got
  if isinstance(expected, (list, tuple)):
    return isinstance(got, list) and len(got) == len(expected) and all(map(_same, expected, got))
  if isinstance(expected, (set, frozenset)):
    return isinstance(got, dict) and _same_set(sorted(expected, key=repr), got.get('set'), _same)
  if isinstance(expected, dict):
    return isinstance(got, dict) and _same_items(expected, got.get('dict'), _same)
  return False


def same_number(expected, got):
  """Whether two numbers (int or float) agree: exactly for an int gold, else to 1e-9."""
  if isinstance(expected, int):
    return expected == got
  try:
    return math.isclose(expected, got, rel_tol=1e-9, abs_tol=1e-12)
  except OverflowError:  # an int beyond all floats, which no float gold can be near
    return False


def _same_items(expected, got, same):
  return _same_set([list(item) for item in expected.items()], got, same)


def _same_set(expected, got, same):
  """Whether each item of `expected` is one of `got`, in any order.

  Nothing is hashed: a program could choose keys that collide.
  """
  if not isinstance(got, list) or len(got) != len(expected):
    return False
  rest = list(got)
  for item in expected:
    index = next((i for i, other in enumerate(rest) if same(item, other)), None)
    if index is None:
      return False
    del rest[index]
  return True
