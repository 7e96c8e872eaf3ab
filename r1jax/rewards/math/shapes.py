"""The structure of an answer: matrix, set, point, list, interval, equation, or one expression."""

import dataclasses
import itertools
import re

from r1jax.rewards.math import brackets, labels, quantity, units

# Yes: `\begin{pmatrix}1\\2\end{pmatrix}`, `[\begin{array}{cc}1&2\end{array}]`. No: `\begin{cases}`.
_MATRIX = re.compile(
  r'[\[(]? ?\\begin ?\{([pbB]?matrix|smallmatrix|array)\}(?:\{[lcr|]+\})?'
  r'(.*)\\end ?\{\1\} ?[\])]?\Z',
  re.S,
)
# Yes: `\begin{cases}x=1\\y=2\end{cases}`, `\{\begin{array}{l}..\end{array}.`. No: a matrix.
_SYSTEM = re.compile(
  r'(?:\\?\{ ?)?\\begin ?\{(cases|aligned|align\*?|array|gathered)\}(?:\{[lcr]+\})?(.*)'
  r'\\end ?\{\1\} ?\.?\Z',
  re.S,
)
_ROW = re.compile(r'\\\\(?:\[[^\]]*\])?')
_EQUALS = re.compile(r'=')
_EMPTY = ('\\emptyset', '\\varnothing', '\\phi', 'empty set', 'the empty set')
_REALS = ('\\mathbb{R}', '\\mathbb R', '\\R', 'all real numbers', 'all reals')
# A set by its condition. Yes: `\{x \mid x > 2\}`, `\{x : x > 2\}`. No: `\{1, 2\}`.
_CONDITION = re.compile(
  r'\\\{ ?[A-Za-z](?: ?\\in ?(?:\\mathbb ?\{?R\}?|\\R))? ?(?:\\mid|\||:) ?((?:(?!\\\}).)*)\\\}\Z'
)
_VARIABLE = r'(?:[A-Za-z]|\\[A-Za-z]+)(?:_ ?(?:\w|\{\w+\}))?'
_VARIABLES = rf'\( ?{_VARIABLE}(?: ?, ?{_VARIABLE})+ ?\)'
# What a point is called. Yes: `(x, y) = ` of `(x, y) = (1, 2)`, `(r,\theta)=`.
# No: `(x, 1) = (2, 1)`.
_POINT_NAME = re.compile(rf'{_VARIABLES} ?= ?(?=\()')
# Yes: `x \in ` of `x \in [1,2]`, `(x,y) \in `. No: `x \int`, `xy \in`.
_MEMBER = re.compile(rf'(?:[A-Za-z]|{_VARIABLES}) ?\\in(?![a-z]) ?')
# A point by its name or in words. Yes: `P` of `P(3, 4)`, `the vertex is `. No: `f` of `f(3, 4)`.
_POINT_WORDS = re.compile(
  r'(?:[A-Z](?:_\d|\')?|(?:the )?(?:point|vertex|cent(?:er|re)|focus|coordinates|coordinate pair'
  r'|intersection(?: point)?)(?: [A-Z]| is| are)?:?) ?(?=\()',
  re.I,
)
# A lone variable. Yes: `x`, `\theta`, `a_{12}`, `f(x)`. No: `xy`, `f(2)`, `3`.
_NAME = re.compile(r'(?:[A-Za-z]|\\[a-z]+|[A-Za-z]_\{?\\?\w+\}?|[A-Za-z]\([A-Za-z]\))\Z')
# What relates two sides. Yes: `=`, `\le`, `!=`, `\approx`. No: `\left`, `\in`, the `!` of `4!=24`.
_LINKS = re.compile(
  r'\\(?:leq?|geq?|neq?|lt|gt)(?![a-z])(?: ?slant)?|<=|>=|(?<![\d)])!=|[<>=]|\\approx(?![a-z])'
)
_LINK = {
  '\\le': '<=', '\\leq': '<=', '\\ge': '>=', '\\geq': '>=', '\\ne': '!=', '\\neq': '!=',
  '\\lt': '<', '\\gt': '>', '\\approx': '=',
}  # fmt: skip
_FLIPPED = {'>': '<', '>=': '<='}
# Yes: `\cup`, `U` of `[1,2] U [3,4]`. No: `\cupx`, `or` of `x or y`.
_UNION = re.compile(r'\\cup(?![a-z])|(?<=[\])]) ?(?:U|∪| or ) ?(?=[\[(])')
_OR = re.compile(r'(?<![A-Za-z\\])or(?![A-Za-z])')
# One set without another. Yes: `\setminus`, `-` of `\mathbb{R} - \{2\}`. No: `-` of `5 - 2`.
_MINUS = re.compile(r'\\(?:setminus|backslash|smallsetminus)(?![a-z])|(?<=\}) ?- ?(?=\\\{)')
# Yes: `12:30`. No: `2:3`, `1:75`.
_CLOCK = re.compile(r'\d{1,2} ?: ?[0-5]\d\Z')
_COLON = re.compile(r':')
_GROUPS = re.compile(r';')
_COMMA = re.compile(r',')
# Yes: ` and ` of `1,331 and 1,728`. No: `,`.
_WORDS = re.compile(r'(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])')
# A ratio in words. Yes: `1 to 9`. No: `x to 9`.
_TO = re.compile(r'(\d+) to (\d+)\Z')
# Between items. Yes: `,`, ` and ` of `1 and 2`. No: `\land`, `or` of `for`.
_ITEMS = re.compile(r',|;|(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])')
# Yes: `\pm`, `+/-`. No: `\pmod`, `-+`.
_PLUS_MINUS = re.compile(r'\\pm(?![a-z])|\+/-|\+-')
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
  items: tuple
  apart: bool = False


@dataclasses.dataclass(frozen=True)
class Matrix:
  """Cells row by row; `size` is (rows, columns)."""

  size: tuple
  cells: tuple


@dataclasses.dataclass(frozen=True)
class Equation:
  """`left relation right`, the relation one of = != < <= (others are turned around)."""

  left: object
  relation: str
  right: object


@dataclasses.dataclass(frozen=True)
class Chain:
  """`a = b = c`, three members or more."""

  members: tuple


@dataclasses.dataclass(frozen=True)
class Range:
  """An interval of the reals."""

  closed_low: bool
  low: object
  high: object
  closed_high: bool


@dataclasses.dataclass(frozen=True)
class Ranges:
  """A union of `Range`s and finite sets.

  `points`: what `(5, 8) or (8, 5)` is if those are points, a list; else None.
  """

  parts: tuple
  points: Items | None = None


@dataclasses.dataclass(frozen=True)
class Narrowed:
  """What both of two sets of reals hold, or with `without` the first but not the second."""

  parts: tuple
  without: bool


@dataclasses.dataclass(frozen=True)
class Bounded:
  """`1 < x + 1 < 4`: an expression that is no name, and the `Ranges` that it is in."""

  middle: Leaf
  ranges: Ranges


@dataclasses.dataclass(frozen=True)
class Ratio:
  """`a : b`, two members or more; `clock` when it is written like a time of day."""

  parts: tuple
  clock: bool


def read(text):
  """The shape of cleaned `text`; raises `brackets.ShapeError` when brackets do not match."""
  text = _POINT_NAME.sub('', text.strip())
  text = _equations(_CONDITION.sub(r'\1', text))
  if not text:
    raise brackets.ShapeError('an empty part')
  if _without_member(text) in _REALS:
    return Ranges((Range(False, Leaf('-\\infty'), Leaf('\\infty'), False),))
  matrix = _MATRIX.match(text)
  if matrix:
    return _matrix(matrix[2])
  # 1,234 is a number before it is a list.
  if quantity.read(text) is not None:
    return Leaf(text)
  words = brackets.split(text, _WORDS)
  if len(words) > 1 and all(quantity.read(part.strip()) is not None for part in words):
    return _listed(words, not _OR.search(text), bool(_OR.search(text)))
  # From what binds least to what binds most.
  parts = brackets.split(text, _MINUS)
  if len(parts) == 2:
    return Narrowed((read(_without_member(parts[0])), read(parts[1])), without=True)
  parts = brackets.split(text, _UNION)
  if len(parts) > 1:
    return _union([read(_without_member(part)) for part in parts], text)
  # Of `p = 5, q = 2; p = 7, q = 2` the semicolon parts two points; so does the word `or`.
  for sign in (_GROUPS, _OR):
    parts = brackets.split(text, sign)
    counts = [len(brackets.split(part, _COMMA)) for part in parts]
    if len(parts) > 1 and (max if sign is _GROUPS else min)(counts) > 1:
      return Items('list', tuple(read(part) for part in parts))
  parts = brackets.split(text, _ITEMS)
  if len(parts) > 1:
    return _listed(parts, ' and ' in text, bool(_OR.search(text)))
  return _related(text)


def _equations(text):
  """A system of equations, row by row, as a list of them; any other text as it is."""
  found = _SYSTEM.match(text)
  rows = [row.replace('&', '').strip(' ,;.') for row in _ROW.split(found[2])] if found else []
  rows = list(filter(None, rows))
  if rows and all(len(brackets.split(row, _EQUALS)) == 2 for row in rows):
    return ', '.join(rows)
  return text


def without_point_name(text, gold):
  """Cleaned `text` without what a point is called, where the gold's shape is a point."""
  return (
    _POINT_WORDS.sub('', text, count=1) if is_point(gold) and _POINT_WORDS.match(text) else text
  )


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


def _matrix(body):
  rows = [row for row in _ROW.split(body) if row.strip()]
  cells = [[read(cell) for cell in row.split('&')] for row in rows]
  if not cells or len({len(row) for row in cells}) != 1:
    raise brackets.ShapeError('a matrix with rows of different lengths')
  return Matrix((len(cells), len(cells[0])), tuple(cell for row in cells for cell in row))


def _listed(parts, every, either):
  """The shape of several parts, joined by `and` where `every` holds, by `or` where `either`."""
  items = [item for part in parts if part.strip() for item in _spread(_related(part.strip()))]
  if all(isinstance(item, Ranges) for item in items):
    if every and len(items) == 2:
      return Narrowed(tuple(items), without=False)  # x > 1 and x < 2
    if every:
      raise brackets.ShapeError('more than two conditions joined by and')
    return Ranges(tuple(part for item in items for part in item.parts))  # x < 1 or x > 2
  named = [i for i in items if isinstance(i, Equation) and i.relation == '=' and is_label(i.left)]
  apart = either or every and not named
  if len(named) == len(items) and len({i.left for i in items}) == 1:
    items, apart = [i.right for i in items], True  # x = 1 or x = 2
  elif isinstance(items[0], Equation) and len(named) == 1 and is_label(items[0].left):
    items[0], apart = items[0].right, True  # x = 1, 2
  return Items('list', tuple(items), apart)


def _union(parts, text):
  """The union of sets; where `or` stands between pairs they may be points too."""
  points = None
  if '\\cup' not in text and _OR.search(text) and all(map(is_pair, parts)):
    points = Items('list', tuple(parts), True)
  return Ranges(tuple(map(as_range, parts)), points)


def _spread(shape):
  return shape.items if isinstance(shape, Items) and shape.kind == 'list' else (shape,)


def _related(text):
  text = text.strip()
  if not text:
    raise brackets.ShapeError('an empty part')
  links = list(brackets.top_level(text, _LINKS))
  if not links:
    inside, found = _without_member(text), _bracketed(_without_member(text))
    # What x is in is no point.
    return Ranges((as_range(found),)) if inside != text and is_pair(found) else found
  parts = brackets.split(text, _LINKS)
  names = [_LINK.get(link.group().replace(' ', ''), link.group()) for link in links]
  directions = [name[0] for name in names]
  # 1 < x <= 2, or the same turned around.
  if directions in (['<', '<'], ['>', '>']):
    closed = [name.endswith('=') for name in names]
    middle = _without_member(parts[1].strip())
    ends = [(closed[0], read(parts[0])), (closed[1], read(parts[2]))]
    low, high = ends if directions[0] == '<' else reversed(ends)
    found = Ranges((Range(*low, high[1], high[0]),))
    named = is_label(Leaf(middle)) and '|' not in middle
    return found if named else Bounded(Leaf(middle), found)
  if len(links) > 1:
    if set(names) != {'='}:
      raise brackets.ShapeError('a chain of relations')
    return Chain(tuple(read(part) for part in parts))
  left, right = (_related(part) for part in parts)
  return _relation(left, names[0], right)


def _relation(left, name, right):
  """The shape of `left name right`: a set of reals where a variable is compared with a value."""
  if name in _FLIPPED:
    left, name, right = right, _FLIPPED[name], left
  if name == '!=' and is_name(left):
    reals = Ranges((Range(False, Leaf('-\\infty'), Leaf('\\infty'), False),))
    return Narrowed((reals, Items('set', (right,))), without=True)
  if name in ('<', '<='):
    left, right = _turned(left, right)
    closed = name == '<='
    if is_name(left):
      return Ranges((Range(False, Leaf('-\\infty'), right, closed),))
    if is_name(right):
      return Ranges((Range(closed, left, Leaf('\\infty'), False),))
  if isinstance(right, Items) and right.kind == 'list':
    return right  # x = 1 \pm 2
  return Equation(left, name, right)


def _turned(left, right):
  """The sides of `-x < 1` and `1 < -x` with x alone: `-1 < x`, `x < -1`."""
  for side in (left, right):
    negative = isinstance(side, Leaf) and side.text.startswith('-')
    if negative and is_name(Leaf(side.text[1:].strip())):
      return _negated(right), _negated(left)
  return left, right


def _negated(shape):
  text = leaf_text(shape)
  return Leaf(text[1:].strip() if text.startswith('-') and len(text) < 20 else f'-({text})')


def _bracketed(text):
  if text.startswith('\\{') and text.endswith('\\}'):
    return _set(text[2:-2])
  if text in _EMPTY:
    return Items('set', ())
  if text[0] in brackets.OPENING and text[-1] in brackets.CLOSING and brackets.encloses(text):
    return _enclosed(text)
  # After the brackets: those of (1:2) enclose a ratio.
  parts = brackets.split(_TO.sub(r'\1:\2', text), _COLON)
  if len(parts) > 1:
    return Ratio(tuple(Leaf(part.strip()) for part in parts), bool(_CLOCK.match(text)))
  return _signed(text)


def _signed(text):
  # Every choice of the signs; with a \mp the signs depend on each other.
  if '\\pm' not in text:  # alone it is the same choice
    text = text.replace('\\mp', '\\pm')
  signs = len(_PLUS_MINUS.findall(text))
  if not signs:
    return Leaf(text)
  if '\\mp' in text and signs == 1:
    return Items('list', tuple(_with_signs(text, (a,), b) for a, b in ('+-', '-+')))
  if signs > 3 or '\\mp' in text:
    raise brackets.ShapeError(f'{signs} times plus or minus')
  return Items('list', tuple(_with_signs(text, s) for s in itertools.product('+-', repeat=signs)))


def _with_signs(text, signs, opposite=''):
  left = iter(signs)
  text = _PLUS_MINUS.sub(lambda _: f' {next(left)} ', text).replace('\\mp', f' {opposite} ')
  return Leaf(re.sub(r'(^|[{(]) \+', r'\1', text).strip())


def _enclosed(text):
  inside = text[1:-1]
  parts = brackets.split(inside, _ITEMS)
  if text[0] == '{':
    # LaTeX shows no such braces; in the ASCII of programs they are a set. Either has no order.
    found = _set(inside)
    return Items('list', found.items) if len(found.items) > 1 else found
  if len(parts) == 1:
    return _bracketed(inside.strip()) if inside.strip() and text[0] == '(' else Leaf(text)
  # Of (1, 2) nobody can say whether it is a point or an interval; (1, 2] and (1, oo) tell.
  items = tuple(read(part) for part in parts)
  infinite = any(_is_infinite(leaf) for item in items for leaf in leaves(item))
  closed_low, closed_high = text[0] == '[', text[-1] == ']'
  half_open = text[0] + text[-1] in ('(]', '[)')
  if len(items) == 2 and (half_open or infinite):
    return Ranges((Range(closed_low, *items, closed_high),))
  return Items('vector' if closed_low else 'point', items)


def _is_infinite(leaf):
  return 'infty' in leaf or leaf.strip('+- ') in ('oo', 'inf')


def _set(inside):
  if not inside.strip():
    return Items('set', ())
  return Items(
    'set', tuple(i for part in brackets.split(inside, _ITEMS) for i in _spread(read(part)))
  )


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


def _without_member(text):
  member = _MEMBER.match(text)
  return text[member.end() :].strip() if member else text
