"""The structure of an answer: matrix, set, point, list, interval, equation, or one expression.

`structure` reads it from text.
"""

from __future__ import annotations

import dataclasses
import re

from r1jax.rewards.math import brackets, labels, units

# A lone variable. Yes: `x`, `\theta`, `a_{12}`, `f(x)`. No: `xy`, `f(2)`, `3`.
_NAME = re.compile(r'(?:[A-Za-z]|\\[a-z]+|[A-Za-z]_\{?\\?\w+\}?|[A-Za-z]\([A-Za-z]\))\Z')
# Words after a value. Yes: ` cm` of `5\sqrt{2} cm`, ` square meters`. No: `x` of `2x`, `cm` alone.
_TAIL = re.compile(r'(?<=[\d}) ]) ?([A-Za-z]{2,}\.?(?: [A-Za-z]+)*)(?:\^\{?[23]\}?)? ?\Z')


@dataclasses.dataclass(frozen=True)
class Leaf:
  """One expression, as text."""

  text: str


@dataclasses.dataclass(frozen=True)
class Items:
  """Several shapes: a set, a list (no brackets, no order), a point (round) or a vector (square).

  `apart`: a list whose items are values of one thing (`x = 1, x = 2`) or joined by words (`1 or
  2`), which are no coordinates.
  """

  kind: str
  items: tuple[Shape, ...]
  apart: bool = False


@dataclasses.dataclass(frozen=True)
class Matrix:
  """Cells row by row; `size` is (rows, columns)."""

  size: tuple[int, int]
  cells: tuple[Shape, ...]


@dataclasses.dataclass(frozen=True)
class Equation:
  """`left relation right`, the relation one of = != < <= (others are turned around)."""

  left: Shape
  relation: str
  right: Shape


@dataclasses.dataclass(frozen=True)
class Chain:
  """`a = b = c`, three members or more."""

  members: tuple[Shape, ...]


@dataclasses.dataclass(frozen=True)
class Range:
  """An interval of the reals."""

  closed_low: bool
  low: Shape
  high: Shape
  closed_high: bool


@dataclasses.dataclass(frozen=True)
class Ranges:
  """A union of `Range`s and finite sets.

  `points`: what `(5, 8) or (8, 5)` is if those are points, a list; else None.
  """

  parts: tuple[Range | Items, ...]
  points: Items | None = None


@dataclasses.dataclass(frozen=True)
class Narrowed:
  """What both of two sets of reals hold, or with `without` the first but not the second."""

  parts: tuple[Shape, ...]
  without: bool


@dataclasses.dataclass(frozen=True)
class Bounded:
  """`1 < x + 1 < 4`: an expression that is no name, and the `Ranges` that it is in."""

  middle: Leaf
  ranges: Ranges


@dataclasses.dataclass(frozen=True)
class Ratio:
  """`a : b`, two members or more; `clock` when it is written like a time of day."""

  parts: tuple[Shape, ...]
  clock: bool


Shape = Leaf | Items | Matrix | Equation | Chain | Range | Ranges | Narrowed | Bounded | Ratio


def is_point(shape):
  """Whether `shape` is several values in round brackets."""
  return isinstance(shape, Items) and shape.kind == 'point'


def leaves(shape):
  """The texts of all leaves of `shape`."""
  if isinstance(shape, Leaf):
    return [shape.text]
  children = {
    Items: lambda s: s.items,
    Matrix: lambda s: s.cells,
    Equation: lambda s: (s.left, s.right),
    Chain: lambda s: s.members,
    Range: lambda s: (s.low, s.high),
    Ranges: lambda s: s.parts,
    Narrowed: lambda s: s.parts,
    Bounded: lambda s: (s.middle, s.ranges),
    Ratio: lambda s: s.parts,
  }[type(shape)](shape)
  return [text for child in children for text in leaves(child)]


def is_name(shape):
  """Whether `shape` is a lone variable or `f(x)`."""
  return isinstance(shape, Leaf) and bool(_NAME.match(shape.text))


def is_label(shape, of_gold=False):
  """Whether `shape` names a value, such as `x`, `AB` or `m + n`; see `labels.is_label`."""
  return is_name(shape) or isinstance(shape, Leaf) and labels.is_label(shape.text, of_gold)


def same_name(one, other):
  """Whether both are the same name, or one is `f(x)` and the other `y`."""
  if not (is_label(one) and is_label(other)):
    return False
  names = {one.text.replace(' ', ''), other.text.replace(' ', '')}
  return len(names) == 1 or ('y' in names and any('(' in name for name in names))


def by_name(items):
  """`items` ordered by name where all are `name = value`, so that x = 1, y = 2 is a point."""
  named = all(isinstance(i, Equation) and is_label(i.left) for i in items)
  return sorted(items, key=lambda i: i.left.text) if named else items


def leaf_text(shape):
  """The text of a leaf; raises `brackets.ShapeError` for anything else."""
  if not isinstance(shape, Leaf):
    raise brackets.ShapeError('one expression expected where several stand')
  return without_unit(shape.text)


def without_unit(text):
  """`text` without a unit of the table at its end (`5\\sqrt{2} cm`)."""
  tail = _TAIL.search(text)
  if tail and all(units.is_unit(word.strip('.')) for word in tail[1].split()):
    return text[: tail.start()].rstrip()
  return text


def is_pair(shape):
  """Whether `shape` is two values in brackets: a point of the plane, or an interval."""
  return isinstance(shape, Items) and shape.kind in ('point', 'vector') and len(shape.items) == 2


def as_range(shape):
  """The `Range` that a part of a union is, or the set that it is."""
  if isinstance(shape, Ranges):
    return shape.parts[0]
  if is_pair(shape):
    closed = shape.kind == 'vector'
    return Range(closed, shape.items[0], shape.items[1], closed)
  if isinstance(shape, Items) and shape.kind == 'set':
    return shape
  raise brackets.ShapeError('a union of something that is no interval')
