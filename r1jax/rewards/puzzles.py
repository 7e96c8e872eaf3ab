"""Puzzles whose answers are checked, not compared: a number game and an ordering.

Expressions are parsed with `ast` and computed exactly over fractions; nothing is ever evaluated
as code.
"""

import ast
import collections
import dataclasses
import fractions
import operator
import re

from r1jax.data import template
from r1jax.rewards import accuracy
from r1jax.rewards.verdict import Kind, Verdict

LONGEST_EXPRESSION = 300  # characters
_OPERATORS = {
  ast.Add: operator.add,
  ast.Sub: operator.sub,
  ast.Mult: operator.mul,
  ast.Div: operator.truediv,
}
_SIGNS = str.maketrans({'×': '*', '·': '*', '÷': '/', '−': '-', '[': '(', ']': ')'})
_LATEX = (
  ('\\times', '*'),
  ('\\cdot', '*'),
  ('\\div', '/'),
  ('\\left', ''),
  ('\\right', ''),
  ('$', ''),
)
_FRAC = re.compile(r'\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}')
_ALLOWED = re.compile(r'[\d\s+*/()-]+\Z', re.ASCII)
_NUMBERED = re.compile(r'(?:^|\n)\s*(\d{1,4})[.)]\s', re.ASCII)
_SEPARATOR = re.compile(r'\s*(?:,|;|>|<|->|→|\n)\s*')


@dataclasses.dataclass(frozen=True)
class Numbers:
  """A number game: `numbers` (ints) to be combined to `target`, all of them with `use_all`."""

  numbers: tuple
  target: int
  use_all: bool = True


@dataclasses.dataclass(frozen=True)
class Order:
  """Things (str) in their right order."""

  things: tuple


class PuzzleError(ValueError):
  """An answer that is no answer to the puzzle at all."""


def check_numbers(completion, numbers, target, use_all=True):
  """Countdown or 24: an expression over `numbers` (ints, each at most once) with + - * / that
  gives `target`.

  With `use_all` (the 24 game) every number must be used. `expression = target` is accepted.
  """
  if not numbers:
    return Verdict(0.0, Kind.VERIFIER_ERROR, 'a puzzle without numbers')
  answer = accuracy.final_answer(completion, template.parse(completion))
  if answer is None:
    return Verdict(0.0, Kind.UNPARSEABLE, 'no answer outside the thought')
  try:
    tree = _parse(answer, target)
    used = collections.Counter(_constants(tree))
    value = _value(tree)
  except PuzzleError as error:
    return Verdict(0.0, Kind.UNPARSEABLE, str(error))
  given = collections.Counter(numbers)
  if used - given:
    return _wrong(f'uses {sorted((used - given).elements())} that were not given')
  if use_all and given - used:
    return _wrong(f'leaves out {sorted((given - used).elements())}')
  return Verdict(1.0, Kind.CORRECT) if value == target else _wrong(f'gives {value}, not {target}')


def check_order(completion, gold):
  """An ordering: `gold` (list of str) as a list separated by commas, `>`, `<`, `->`, lines, or
  numbered.
  """
  if not gold:
    return Verdict(0.0, Kind.VERIFIER_ERROR, 'an empty order')
  answer = accuracy.final_answer(completion, template.parse(completion))
  if answer is None:
    return Verdict(0.0, Kind.UNPARSEABLE, 'no answer outside the thought')
  if len(answer) > LONGEST_EXPRESSION + 10 * sum(map(len, gold)):
    return Verdict(0.0, Kind.UNPARSEABLE, f'an answer of {len(answer)} characters')
  if '<' in answer and '>' in answer.replace('->', ''):
    return Verdict(0.0, Kind.UNPARSEABLE, 'both < and >')
  stated = [_bare(part) for part in _SEPARATOR.split(answer.strip(' \n[](){}.$'))]
  wanted = [_bare(part) for part in gold]
  numbers = [int(n) for n in _NUMBERED.findall(answer)]
  if numbers != list(range(1, len(numbers) + 1)):
    return Verdict(0.0, Kind.UNPARSEABLE, 'numbered out of order')
  if sorted(stated) != sorted(wanted):
    return Verdict(0.0, Kind.UNPARSEABLE, 'not an order of exactly the given things')
  return Verdict(1.0, Kind.CORRECT) if stated == wanted else _wrong('another order')


def _parse(answer, target):
  if len(answer) > LONGEST_EXPRESSION:
    raise PuzzleError(f'an expression of {len(answer)} characters')
  text = answer.translate(_SIGNS)
  for latex, plain in _LATEX:
    text = text.replace(latex, plain)
  text = _FRAC.sub(r'((\1)/(\2))', text).strip()
  text, equals, right = text.partition('=')
  if equals and right.strip() != str(target):
    raise PuzzleError(f'claims to equal {right.strip()[:20]!r}')
  if not _ALLOWED.match(text) or '**' in text or '//' in text:
    raise PuzzleError('something other than whole numbers, + - * / and brackets')
  try:
    return ast.parse(text.strip(), mode='eval').body
  except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
    raise PuzzleError(f'no expression: {type(error).__name__}') from None


def _constants(tree):
  return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]


def _value(node):
  if isinstance(node, ast.Constant) and type(node.value) is int:
    return fractions.Fraction(node.value)
  if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
    left, right = _value(node.left), _value(node.right)
    if isinstance(node.op, ast.Div) and right == 0:
      raise PuzzleError('divides by zero')
    return _OPERATORS[type(node.op)](left, right)
  raise PuzzleError('a sign before a number' if isinstance(node, ast.UnaryOp) else 'no expression')


def _bare(part):
  return re.sub(r'^\s*(?:\d+[.)]\s+|[-*]\s+)', '', part).strip(' .\'"*`').casefold()


def _wrong(why):
  return Verdict(0.0, Kind.WRONG, why)
