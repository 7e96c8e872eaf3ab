"""Whole-number arithmetic in plain words, for models that somebody else has taught to talk.

Problem `index` of `seed` is computed on demand. Which split a problem belongs to is decided by its
operands alone, so that no wording of a held-out sum is ever trained on, and 4 + 3 is 3 + 4.
"""

import dataclasses

import numpy as np

from r1jax import ranges
from r1jax.data import splits
from r1jax.data.problem import Problem
from r1jax.data.tasks import tiny_world

TRAIN, HELDOUT = tiny_world.TRAIN, tiny_world.HELDOUT
_STREAM = {TRAIN: 11, HELDOUT: 12}
_HELDOUT_SHARE = 5  # one set of operands in five: there are only 45 sums of two digits 1 to 9
# Base pass@1 of about 10 %, so that groups of 8 disagree: see docs/smollm2.
EASY = (('one_digit', 0.5), ('products', 0.3), ('two_with_one', 0.2))

_NAMES = ('Ben', 'Mia', 'Tom', 'Ann', 'Leo', 'Eva', 'Sam', 'Zoe')
_THINGS = ('coins', 'apples', 'books', 'pens', 'cards', 'stones', 'eggs', 'nuts')
_BOXES = ('boxes', 'bags', 'jars', 'baskets')
_PLUS = ('What is {a} + {b}?', 'How much is {a} plus {b}?', 'Add {a} and {b}.')
_MINUS = ('What is {a} - {b}?', 'How much is {a} minus {b}?', 'Subtract {b} from {a}.')
_GROUPS = (
  '{name} buys {a} {box} with {b} {thing} in each. How many {thing} does {name} have?',
  'There are {b} {thing} in each of {a} {box}. How many {thing} are there in all?',
)
_GAINS = (
  '{name} has {a} {thing} and finds {b} more. How many {thing} does {name} have now?',
  '{name} puts {a} {thing} beside {b} other {thing}. How many {thing} are there?',
)
_TWO = (
  '{name} buys {a} {box} with {b} {thing} in each and finds {c} more. '
  'How many {thing} does {name} have?',
)
_THREE = (
  '{name} buys {a} {box} with {b} {thing} in each, finds {c} more and gives {d} away. '
  'How many {thing} does {name} have left?',
)


@dataclasses.dataclass(frozen=True)
class ArithmeticConfig:
  """What is asked.

  Attributes:
    kinds: (kind, weight) pairs, each kind one of KINDS.
  """

  kinds: tuple[tuple[str, ranges.Weight], ...] = EASY

  def __post_init__(self):
    ranges.check(self)
    tiny_world.check_weights(self, 'kinds', KINDS)


@dataclasses.dataclass(frozen=True)
class Arithmetic:
  """`size` problems as a random-access source (`len`, `[i]`), computed when asked for."""

  seed: int
  size: int
  cfg: ArithmeticConfig = dataclasses.field(default_factory=ArithmeticConfig)
  split: str = TRAIN

  def __len__(self):
    return self.size

  def __getitem__(self, index):
    if not 0 <= index < self.size:
      raise IndexError(f'problem {index} of {self.size}')
    return problem(self.seed, int(index), self.cfg, self.split)


def problem(seed, index, cfg=None, split=TRAIN):
  """Problem number `index` (>= 0) of `seed` (>= 0) in `split`, always the same one."""
  rng = np.random.default_rng((seed, index, _STREAM[split]))
  kind = tiny_world.weighted(rng, (cfg or ArithmeticConfig()).kinds)
  operation, operands, wordings, answer = KINDS[kind](rng)
  # The operation stays what was drawn first: few one-digit sums are held out, and with a new
  # one each time seven of ten held-out questions of that kind asked for a difference, not half.
  wanted = operation
  while operation != wanted or split_of(operation, operands) != split:
    operation, operands, wordings, answer = KINDS[kind](rng)
  words = {
    'name': _NAMES[rng.integers(len(_NAMES))],
    'thing': _THINGS[rng.integers(len(_THINGS))],
    'box': _BOXES[rng.integers(len(_BOXES))],
  }
  wording = wordings[rng.integers(len(wordings))]
  text = wording.format(**dict(zip('abcd', operands)), **words)
  return Problem(text, str(answer), kind, 1 + list(KINDS).index(kind))


def split_of(operation, operands):
  """The split of a calculation: a hash of its operation and operands, swapped ones alike.

  Args:
    operation: '+', '-', '*', or the signs of several steps such as '*+'.
    operands: whole numbers, in the order in which they are written.
  """
  if operation[0] in '+*':
    operands = (*sorted(operands[:2]), *operands[2:])
  text = f'{operation} {" ".join(map(str, operands))}'
  return TRAIN if splits.number(text, 2) % _HELDOUT_SHARE else HELDOUT


def _drawn(rng, low, high):
  return int(rng.integers(low, high + 1))


def _added(rng, first, second):
  """A sum or a difference that is not negative, of operands within two (lowest, highest)."""
  a, b = _drawn(rng, *first), _drawn(rng, *second)
  if rng.random() < 0.5:
    return '+', (a, b), _PLUS, a + b
  a, b = max(a, b), min(a, b)
  return '-', (a, b), _MINUS, a - b


def _one_digit(rng):
  return _added(rng, (1, 9), (1, 9))


def _two_with_one(rng):
  return _added(rng, (10, 99), (1, 9))


def _two_digits(rng):
  return _added(rng, (10, 99), (10, 99))


def _products(rng):
  a, b = _drawn(rng, 2, 9), _drawn(rng, 2, 9)
  return '*', (a, b), _GROUPS, a * b


def _sums_in_words(rng):
  a, b = _drawn(rng, 10, 99), _drawn(rng, 2, 60)
  return '+', (a, b), _GAINS, a + b


def _two_steps(rng):
  a, b, c = _drawn(rng, 2, 9), _drawn(rng, 2, 9), _drawn(rng, 2, 20)
  return '*+', (a, b, c), _TWO, a * b + c


def _three_steps(rng):
  a, b, c = _drawn(rng, 2, 9), _drawn(rng, 2, 9), _drawn(rng, 2, 20)
  d = _drawn(rng, 1, a * b)
  return '*+-', (a, b, c, d), _THREE, a * b + c - d


# In the order of difficulty: name -> rng -> (operation, operands, wordings, answer).
KINDS = {
  'one_digit': _one_digit,
  'products': _products,
  'two_with_one': _two_with_one,
  'two_digits': _two_digits,
  'sums_in_words': _sums_in_words,
  'two_steps': _two_steps,
  'three_steps': _three_steps,
}
