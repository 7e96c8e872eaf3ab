"""Puzzles whose answers are checked, not compared: a number game and an ordering.

Expressions are parsed with `ast` and computed exactly over fractions, never run as code.
"""

import ast
import collections
import dataclasses
import fractions
import operator
import re

from r1jax.data import problem
from r1jax.rewards import accuracy
from r1jax.rewards.verdict import Gold, Kind, Verdict

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
# A fraction without braces in it. Yes: `\frac{8}{3-1}`. No: `\frac12`.
_FRAC = re.compile(r'\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}')
# Digits, signs and round brackets alone. Yes: `8/(3 - 1)`. No: `8.0/3`, `x`.
_ALLOWED = re.compile(r'[\d\s+*/()-]+\Z', re.ASCII)
# The number of a list's item. Yes: `1. `, `2) ` at the start of a line. No: `1.5`, `in 2. `.
_NUMBERED = re.compile(r'(?:^|\n)\s*(\d{1,4})[.)]\s', re.ASCII)
# What stands between ordered things. Yes: `, `, ` -> `, a new line. No: ` and `.
_SEPARATOR = re.compile(r'\s*(?:,|;|>|<|->|→|\n)\s*')
# What begins an item. Yes: `1. ` of `1. Ann`, `- `. No: `Ann - `.
_ITEM = re.compile(r'^\s*(?:\d+[.)]\s+|[-*]\s+)')


class PuzzleError(ValueError):
  """An answer that is no answer to the puzzle at all."""


@dataclasses.dataclass(frozen=True)
class Numbers(Gold):
  """Countdown or 24: an expression over `numbers` that gives `target`.

  The expression has + - * / and each of `numbers` (ints) at most once, with `use_all` exactly
  once. `expression = target` is accepted.
  """

  numbers: tuple
  target: int
  use_all: bool = True

  name, field = 'numbers', 'numbers'
  instruction = (
    'Reason step by step, and put your final expression, with + - * / and brackets, within '
    '\\boxed{}.'
  )

  @classmethod
  def read(cls, record, answer_key):
    """{"numbers": [1, 2, 3, 4], "target": 24}, and "use_all": false where some may be left out."""
    numbers, target = record['numbers'], record.get('target')
    use_all = record.get('use_all', True)
    if not isinstance(numbers, list) or not numbers or not all(type(n) is int for n in numbers):
      raise ValueError(f"field 'numbers' holds {numbers!r:.40}, expected a list of whole numbers")
    if type(target) is not int:
      raise ValueError(f"field 'target' holds {target!r:.40}, expected a whole number")
    if not isinstance(use_all, bool):
      raise ValueError(f"field 'use_all' holds {use_all!r:.40}, expected true or false")
    return cls(tuple(numbers), target, use_all), ''

  @classmethod
  def graded(cls, record):
    """{"gold": {"numbers": [1, 2, 3, 4], "target": 24}}."""
    gold = record.get('gold')
    if not isinstance(gold, dict) or 'numbers' not in gold:
      raise ValueError(f"field 'gold' holds {gold!r:.40}, expected numbers and their target")
    return cls.read(gold, '')[0]

  def check(self, completion, reply, config):
    """Whether the final answer is such an expression."""
    if not self.numbers:
      return Verdict(0.0, Kind.VERIFIER_ERROR, 'a puzzle without numbers')
    answer = self.stated(completion, reply)
    if answer is None:
      return accuracy.NONE
    try:
      tree = _parse(answer, self.target)
      used = collections.Counter(_constants(tree))
      value = _value(tree)
    except PuzzleError as error:
      return Verdict(0.0, Kind.UNPARSEABLE, str(error))
    given = collections.Counter(self.numbers)
    if used - given:
      return _wrong(f'uses {sorted((used - given).elements())} that were not given')
    if self.use_all and given - used:
      return _wrong(f'leaves out {sorted((given - used).elements())}')
    if value != self.target:
      return _wrong(f'gives {value}, not {self.target}')
    return Verdict(1.0, Kind.CORRECT)

  def stated(self, completion, reply):
    """The expression of the final answer."""
    return accuracy.final_answer(completion, reply)


@dataclasses.dataclass(frozen=True)
class Order(Gold):
  """Things (str) in their right order, however they are listed.

  A list is separated by commas, `>`, `<`, `->`, lines, or numbered.
  """

  things: tuple

  name, field = 'order', 'order'
  instruction = 'Reason step by step, and put the order, separated by commas, within \\boxed{}.'

  @classmethod
  def read(cls, record, answer_key):
    """{"order": ["Ann", "Bob", "Cy"]}, the right one of two things or more, no two alike."""
    things = record['order']
    texts = isinstance(things, list) and all(problem.is_text(t) and t.strip() for t in things)
    if not texts or len(things) < 2 or len(set(map(_bare, things))) != len(things):
      raise ValueError(f"field 'order' holds {things!r:.40}, expected texts, no two of them alike")
    return cls(tuple(things)), ''

  def check(self, completion, reply, config):
    """Whether the final answer lists exactly the things in their order."""
    if not self.things:
      return Verdict(0.0, Kind.VERIFIER_ERROR, 'an empty order')
    answer = self.stated(completion, reply)
    if answer is None:
      return accuracy.NONE
    if len(answer) > LONGEST_EXPRESSION + 10 * sum(map(len, self.things)):
      return Verdict(0.0, Kind.UNPARSEABLE, f'an answer of {len(answer)} characters')
    # Ann < Bob > Cy orders nothing.
    if '<' in answer and '>' in answer.replace('->', ''):
      return Verdict(0.0, Kind.UNPARSEABLE, 'both < and >')
    listed = [_bare(part) for part in _SEPARATOR.split(answer.strip(' \n[](){}.$'))]
    wanted = [_bare(part) for part in self.things]
    numbers = [int(n) for n in _NUMBERED.findall(answer)]
    if numbers != list(range(1, len(numbers) + 1)):
      return Verdict(0.0, Kind.UNPARSEABLE, 'numbered out of order')
    if sorted(listed) != sorted(wanted):
      return Verdict(0.0, Kind.UNPARSEABLE, 'not an order of exactly the given things')
    return Verdict(1.0, Kind.CORRECT) if listed == wanted else _wrong('another order')

  def stated(self, completion, reply):
    """The list of the final answer."""
    return accuracy.final_answer(completion, reply)


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
  # Powers and floor division are operators of Python, not of the game.
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
  return _ITEM.sub('', part).strip(' .\'"*`').casefold()


def _wrong(why):
  return Verdict(0.0, Kind.WRONG, why)
