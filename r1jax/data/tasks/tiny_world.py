"""A generated world of questions with checkable answers: every step easy, every chain long.

A step is one of a few hundred facts (a running total, an operator, one digit), so working a
question out is nearly always right; a chain has four operands or more, so answering at once is
nearly always wrong. Problem `index` of `seed` is computed on demand, from these two numbers alone.
"""

import dataclasses
import hashlib

import numpy as np

TRAIN, HELDOUT = 'train', 'heldout'
_HELDOUT_SHARE = 16  # one question in sixteen is held out
_STREAM = {TRAIN: 1, HELDOUT: 2}

_NAMES = ('Tom', 'Ann', 'Sam', 'Mia', 'Ben', 'Eva')
_THINGS = ('apples', 'books', 'coins', 'cards', 'pens', 'cakes')
_GAINS = ('buys', 'finds', 'gets', 'wins')
_LOSSES = ('sells', 'loses', 'gives', 'drops')
_ORDINALS = ('first', 'second', 'third', 'fourth', 'fifth', 'sixth', 'seventh', 'eighth')
# (large unit, small unit, small ones in a large one)
_UNITS = (
  ('weeks', 'days', 7),
  ('dozens', 'eggs', 12),
  ('hands', 'fingers', 5),
  ('cars', 'wheels', 4),
  ('pairs', 'socks', 2),
)


@dataclasses.dataclass(frozen=True)
class Problem:
  """A question, its answer, and the lines of a correct worked solution (none where unknown).

  Attributes:
    question: text without a final stop; the template sets one.
    answer: the final answer, a str; of a problem from a file also what its verifier checks by, a
      `choice.Letter`, `puzzles.Numbers` or `code.Tests` of `r1jax.rewards`.
    kind: family of the question, one of `WorldConfig.kinds` or the name of a file's benchmark.
    level: difficulty; 0 where unknown.
    steps: lines of a correct solution, each ending in the number that it establishes.
    language: 'en' or 'zh', what the thought is to be written in.
  """

  question: str
  answer: object
  kind: str
  level: int
  steps: tuple[str, ...] = ()
  language: str = 'en'


@dataclasses.dataclass(frozen=True)
class WorldConfig:
  """What the world asks.

  Attributes:
    kinds: (kind, weight) pairs; the weights need not sum to 1.
    levels: lowest and highest level, both drawn; level l has l + 3 operands.
    limit: running totals stay within 0..limit.
    unit_limit: the same for unit conversion, where a product starts the chain.
  """

  kinds: tuple[tuple[str, float], ...] = (
    ('symbols', 0.4),
    ('words', 0.3),
    ('units', 0.12),
    ('comparison', 0.1),
    ('ordering', 0.08),
  )
  levels: tuple[int, int] = (1, 5)
  limit: int = 20
  unit_limit: int = 24

  def __post_init__(self):
    unknown = sorted({kind for kind, _ in self.kinds} - set(_MAKERS))
    if unknown:
      raise ValueError(f'unknown kinds {unknown}; the world has {sorted(_MAKERS)}')
    if not self.kinds or min(w for _, w in self.kinds) < 0 or sum(w for _, w in self.kinds) <= 0:
      raise ValueError(f'weights must be >= 0 with a positive sum, got {self.kinds=}')
    low, high = self.levels
    if not 1 <= low <= high <= 5:
      raise ValueError(f'levels must be a range within 1..5, got {self.levels=}')
    if self.limit < 18 or self.unit_limit < 12:
      raise ValueError(
        f'need limit >= 18 and unit_limit >= 12, got {self.limit=}, {self.unit_limit=}'
      )


def problem(seed, index, cfg=None, split=TRAIN):
  """Problem number `index` (>= 0) of `seed` (>= 0) in `split`, always the same one."""
  rng = np.random.default_rng((seed, index, _STREAM[split]))
  return sample(rng, cfg or WorldConfig(), split)


def sample(rng, cfg, split):
  """Draws problems from `rng`, a NumPy Generator, until one belongs to `split`."""
  while True:
    drawn = _draw(rng, cfg)
    if split_of(drawn.question) == split:
      return drawn


@dataclasses.dataclass(frozen=True)
class World:
  """`size` problems as a random-access source (`len`, `[i]`), computed when asked for."""

  seed: int
  size: int
  cfg: WorldConfig = dataclasses.field(default_factory=WorldConfig)
  split: str = TRAIN

  def __len__(self):
    return self.size

  def __getitem__(self, index):
    if not 0 <= index < self.size:
      raise IndexError(f'problem {index} of {self.size}')
    return problem(self.seed, int(index), self.cfg, self.split)


def split_of(question):
  """The split, 'train' or 'heldout', that a question belongs to: a hash of its canonical text."""
  canonical = ' '.join(question.lower().split())
  digest = hashlib.blake2s(canonical.encode(), digest_size=1).digest()
  return TRAIN if digest[0] % _HELDOUT_SHARE else HELDOUT


def _draw(rng, cfg):
  kinds, weights = zip(*cfg.kinds)
  edges = np.cumsum(weights)
  kind = kinds[int(np.searchsorted(edges, rng.random() * edges[-1], side='right'))]
  level = int(rng.integers(cfg.levels[0], cfg.levels[1] + 1))
  question, answer, steps = _MAKERS[kind](rng, level + 3, cfg)
  return Problem(question, str(answer), kind, level, tuple(steps))


def _chain(rng, start, moves, limit):
  """`moves` signed digits that keep the running total within 0..limit, each uniform among those."""
  deltas, total = [], start
  for share in rng.random(moves).tolist():
    down, up = min(9, total), min(9, limit - total)
    pick = int(share * (down + up)) - down
    deltas.append(pick if pick < 0 else pick + 1)
    total += deltas[-1]
  return deltas


def _work(start, deltas):
  """The total at the end and one line for each move."""
  total, steps = start, []
  for delta in deltas:
    steps.append(f'{total} {_signed(delta)} = {total + delta}')
    total += delta
  return total, steps


def _signed(delta):
  return f'+ {delta}' if delta > 0 else f'- {-delta}'


def _expression(rng, operands, limit):
  start = int(rng.integers(1, 10))
  deltas = _chain(rng, start, operands - 1, limit)
  return ' '.join([str(start), *map(_signed, deltas)]), *_work(start, deltas)


def _symbols(rng, operands, cfg):
  text, total, steps = _expression(rng, operands, cfg.limit)
  return f'What is {text}', total, steps


def _words(rng, operands, cfg):
  name, thing = _pick(rng, _NAMES), _pick(rng, _THINGS)
  start = int(rng.integers(1, 10))
  deltas = _chain(rng, start, operands - 1, cfg.limit)
  verbs = rng.integers(len(_GAINS), size=len(deltas)).tolist()
  events = [
    f'{(_GAINS if delta > 0 else _LOSSES)[verb]} {abs(delta)}' for delta, verb in zip(deltas, verbs)
  ]
  story = ', '.join([f'{name} has {start} {thing}', *events, f'how many {thing} now'])
  return story, *_work(start, deltas)


def _comparison(rng, operands, cfg):
  word, choose = _pick(rng, (('larger', max), ('smaller', min)))
  first = operands // 2
  while True:
    left, a, left_steps = _expression(rng, first, cfg.limit)
    right, b, right_steps = _expression(rng, operands - first, cfg.limit)
    if a != b:
      break
  best = choose(a, b)
  steps = [*left_steps, *right_steps, f'the {word} of {a} and {b} is {best}']
  return f'Which is {word}, {left} or {right}', best, steps


def _ordering(rng, operands, cfg):
  word, falling = _pick(rng, (('smallest', False), ('largest', True)))
  numbers = (rng.permutation(cfg.limit)[:operands] + 1).tolist()
  place = int(rng.integers(3, operands + 1))
  ranked = sorted(numbers, reverse=falling)[:place]
  steps = [f'{ordinal} {number}' for ordinal, number in zip(_ORDINALS, ranked)]
  listed = ' '.join(map(str, numbers))
  return f'Which is the {_ORDINALS[place - 1]} {word} of {listed}', ranked[-1], steps


def _units(rng, operands, cfg):
  large, small, size = _pick(rng, _UNITS)
  count = int(rng.integers(1, min(9, cfg.unit_limit // size) + 1))
  start = count * size
  deltas = _chain(rng, start, operands - 2, cfg.unit_limit)
  moves = [f'{abs(delta)} {"more" if delta > 0 else "less"}' for delta in deltas]
  total, steps = _work(start, deltas)
  question = ', '.join([f'How many {small} are {count} {large}', *moves])
  return question, total, [f'{count} * {size} = {start}', *steps]


def _pick(rng, choices):
  return choices[int(rng.integers(len(choices)))]


_MAKERS = {
  'symbols': _symbols,
  'words': _words,
  'comparison': _comparison,
  'ordering': _ordering,
  'units': _units,
}
