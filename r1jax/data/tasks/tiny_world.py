"""A generated world of questions with checkable answers: every step easy, every chain long.

A step is one of a few hundred facts (a running total, an operator, one digit), so working a
question out is nearly always right; a chain has four operands or more, so answering at once is
nearly always wrong. Problem `index` of `seed` is computed on demand, from these two numbers alone.
"""

import dataclasses
from typing import Annotated

import numpy as np

from r1jax import ranges
from r1jax.data import splits
from r1jax.data.problem import Problem
from r1jax.data.tasks import phrases

TRAIN, HELDOUT = 'train', 'heldout'
_HELDOUT_SHARE = 16  # one question in sixteen is held out
_STREAM = {TRAIN: 1, HELDOUT: 2}

BILINGUAL = (('en', 0.5), ('zh', 0.5))  # `WorldConfig.languages` of the world that speaks two


Level = Annotated[int, ranges.Range(1, 5)]  # of difficulty


@dataclasses.dataclass(frozen=True)
class WorldConfig:
  """What the world asks.

  Attributes:
    kinds: (kind, weight) pairs; the weights need not sum to 1.
    levels: lowest and highest level, both drawn; level l has l + 3 operands.
    limit: running totals stay within 0..limit.
    unit_limit: the same for unit conversion, where a product starts the chain.
    languages: (language, weight) pairs of what is asked in, 'en' or 'zh'.
  """

  kinds: tuple[tuple[str, ranges.Weight], ...] = (
    ('symbols', 0.4),
    ('words', 0.3),
    ('units', 0.12),
    ('comparison', 0.1),
    ('ordering', 0.08),
  )
  levels: tuple[Level, Level] = (1, 5)
  limit: Annotated[int, ranges.Range(18, 10_000)] = 20
  unit_limit: Annotated[int, ranges.Range(12, 10_000)] = 24
  languages: tuple[tuple[str, ranges.Weight], ...] = (('en', 1.0),)

  def __post_init__(self):
    ranges.check(self)
    check_weights(self, 'kinds', _MAKERS)
    check_weights(self, 'languages', phrases.LANGUAGES)
    ranges.require(self, self.levels[0] <= self.levels[1], '{levels} must be (lowest, highest)')


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
  return TRAIN if splits.number(question, 1) % _HELDOUT_SHARE else HELDOUT


def check_weights(config, name, known):
  """Raises ValueError unless the field's (choice, weight) pairs are `known` and weigh something."""
  pairs = getattr(config, name)
  unknown = sorted({choice for choice, _ in pairs} - set(known))
  there = ', '.join(sorted(known))
  ranges.require(config, not unknown, f'{{{name}}}: {", ".join(unknown)} is none of {there}')
  ranges.require(config, sum(w for _, w in pairs) > 0, f'{{{name}}} needs a weight above 0')


def weighted(rng, pairs):
  """One of the (choice, weight) pairs' choices."""
  choices, weights = zip(*pairs)
  # One uniform number, inverted.
  edges = np.cumsum(weights)
  return choices[int(np.searchsorted(edges, rng.random() * edges[-1], side='right'))]


def language_of(rng, pairs):
  """One of the languages; of a single one nothing is drawn, which keeps its stream."""
  return weighted(rng, pairs) if len(pairs) > 1 else pairs[0][0]


def _draw(rng, cfg):
  language = language_of(rng, cfg.languages)
  kind = weighted(rng, cfg.kinds)
  level = int(rng.integers(cfg.levels[0], cfg.levels[1] + 1))
  question, answer, steps = _MAKERS[kind](rng, level + 3, cfg, phrases.LANGUAGES[language])
  return Problem(question, str(answer), kind, level, tuple(steps), language)


def _chain(rng, start, moves, limit):
  """`moves` signed digits that keep the running total within 0..limit, each uniform among those."""
  deltas, total = [], start
  for share in rng.random(moves).tolist():
    # Digits that stay within the limits; 0 is none, so there are down + up of them.
    down, up = min(9, total), min(9, limit - total)
    # -down..-1 and 0..up - 1; the latter are moved to 1..up.
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


def _symbols(rng, operands, cfg, say):
  text, total, steps = _expression(rng, operands, cfg.limit)
  return say.symbols.format(expression=text), total, steps


def _words(rng, operands, cfg, say):
  name, thing = _pick(rng, say.names), _pick(rng, say.things)
  start = int(rng.integers(1, 10))
  deltas = _chain(rng, start, operands - 1, cfg.limit)
  # One verb for each event, of a gain or of a loss.
  verbs = rng.integers(len(say.gains), size=len(deltas)).tolist()
  events = [
    f'{(say.gains if delta > 0 else say.losses)[verb]} {abs(delta)}'
    for delta, verb in zip(deltas, verbs)
  ]
  has = say.story.format(name=name, start=start, thing=thing)
  now = say.now.format(thing=thing)
  return ', '.join([has, *events, now]), *_work(start, deltas)


def _comparison(rng, operands, cfg, say):
  word, choose = _pick(rng, tuple(zip(say.larger, (max, min))))
  # Half of the operands on each side; equal results would have no answer.
  first = operands // 2
  while True:
    left, a, left_steps = _expression(rng, first, cfg.limit)
    right, b, right_steps = _expression(rng, operands - first, cfg.limit)
    if a != b:
      break
  best = choose(a, b)
  last = say.best.format(word=word, a=a, b=b, best=best)
  steps = [*left_steps, *right_steps, last]
  return say.comparison.format(word=word, left=left, right=right), best, steps


def _ordering(rng, operands, cfg, say):
  word, falling = _pick(rng, tuple(zip(say.largest, (False, True))))
  # All different, so that each place has one number.
  numbers = (rng.permutation(cfg.limit)[:operands] + 1).tolist()
  # From the third place on: the first two would make short chains.
  place = int(rng.integers(3, operands + 1))
  ranked = sorted(numbers, reverse=falling)[:place]
  steps = [
    say.ranked.format(ordinal=ordinal, number=number)
    for ordinal, number in zip(say.ordinals, ranked)
  ]
  asked = {'ordinal': say.ordinals[place - 1], 'numbers': ' '.join(map(str, numbers))}
  return say.ordering.format(word=word, **asked), ranked[-1], steps


def _units(rng, operands, cfg, say):
  large, small, size = _pick(rng, say.units)
  # The product is within the limit, and one operand of the chain.
  count = int(rng.integers(1, min(9, cfg.unit_limit // size) + 1))
  start = count * size
  deltas = _chain(rng, start, operands - 2, cfg.unit_limit)
  moves = [(say.more if delta > 0 else say.less).format(abs(delta)) for delta in deltas]
  total, steps = _work(start, deltas)
  asked = say.units_asked.format(small=small, count=count, large=large)
  return ', '.join([asked, *moves]), total, [f'{count} * {size} = {start}', *steps]


def _pick(rng, choices):
  return choices[int(rng.integers(len(choices)))]


_MAKERS = {
  'symbols': _symbols,
  'words': _words,
  'comparison': _comparison,
  'ordering': _ordering,
  'units': _units,
}
