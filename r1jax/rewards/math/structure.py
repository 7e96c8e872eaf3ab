"""Reads the shape of an answer from its text: from what binds least to what binds most."""

import itertools
import re

from r1jax.rewards.math import brackets, quantity, shapes

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
# Between rows. Yes: `\\`, `\\[2pt]`. No: `\`, `\quad`.
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
  r'(?:(?-i:[A-Z](?:_\d|\')?)|(?:the )?(?:point|vertex|cent(?:er|re)|focus|coordinates'
  r'|coordinate pair|intersection(?: point)?)(?: [A-Z]| is| are)?:?) ?(?=\()',
  re.I,
)
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
# Yes: `or` of `1 or 2`. No: `for`, `\or`.
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
_ITEMS = re.compile(rf',|;|{_WORDS.pattern}')
# Yes: `\pm`, `+/-`. No: `\pmod`, `-+`.
_PLUS_MINUS = re.compile(r'\\pm(?![a-z])|\+/-|\+-')


def read(text):
  """The shape of cleaned `text`; raises `brackets.ShapeError` when brackets do not match."""
  text = _POINT_NAME.sub('', text.strip())
  text = _equations(_CONDITION.sub(r'\1', text))
  if not text:
    raise brackets.ShapeError('an empty part')
  if _without_member(text) in _REALS:
    return shapes.Ranges(
      (shapes.Range(False, shapes.Leaf('-\\infty'), shapes.Leaf('\\infty'), False),)
    )
  matrix = _MATRIX.match(text)
  if matrix:
    return _matrix(matrix[2])
  # 1,234 is a number before it is a list.
  if quantity.read(text) is not None:
    return shapes.Leaf(text)
  words = brackets.split(text, _WORDS)
  if len(words) > 1 and all(quantity.read(part.strip()) is not None for part in words):
    return _listed(words, text)
  # From what binds least to what binds most.
  parts = brackets.split(text, _MINUS)
  if len(parts) == 2:
    whole, left_out = read(_without_member(parts[0])), read(parts[1])
    return shapes.Narrowed((whole, left_out), without=True)
  parts = brackets.split(text, _UNION)
  if len(parts) > 1:
    return _union([read(_without_member(part)) for part in parts], text)
  # Of `p = 5, q = 2; p = 7, q = 2` the semicolon parts two points; so does the word `or`.
  for sign, enough in ((_GROUPS, any), (_OR, all)):
    parts = brackets.split(text, sign)
    if len(parts) > 1 and enough(len(brackets.split(part, _COMMA)) > 1 for part in parts):
      return shapes.Items('list', tuple(read(part) for part in parts))
  parts = brackets.split(text, _ITEMS)
  if len(parts) > 1:
    return _listed(parts, text)
  return _related(text)


def _equations(text):
  """A system of equations, row by row, as a list of them; any other text as it is."""
  system = _SYSTEM.match(text)
  rows = _ROW.split(system[2]) if system else []
  rows = [row.replace('&', '').strip(' ,;.') for row in rows]
  rows = list(filter(None, rows))
  if rows and all(len(brackets.split(row, _EQUALS)) == 2 for row in rows):
    return ', '.join(rows)
  return text


def without_point_name(text, gold):
  """Cleaned `text` without what a point is called, where the gold's shape is a point."""
  named = shapes.is_point(gold) and _POINT_WORDS.match(text)
  return text[named.end() :] if named else text


def _matrix(body):
  rows = [row for row in _ROW.split(body) if row.strip()]
  cells = [[read(cell) for cell in row.split('&')] for row in rows]
  if not cells or len({len(row) for row in cells}) != 1:
    raise brackets.ShapeError('a matrix with rows of different lengths')
  size = (len(cells), len(cells[0]))
  return shapes.Matrix(size, tuple(cell for row in cells for cell in row))


def _listed(parts, text):
  """The shape of the several parts of `text`."""
  every, either = ' and ' in text, bool(_OR.search(text))
  items = [item for part in parts if part.strip() for item in _spread(_related(part.strip()))]
  if all(isinstance(item, shapes.Ranges) for item in items):
    if every and len(items) == 2:
      return shapes.Narrowed(tuple(items), without=False)  # x > 1 and x < 2
    if every:
      raise brackets.ShapeError('more than two conditions joined by and')
    return shapes.Ranges(tuple(part for item in items for part in item.parts))  # x < 1 or x > 2
  named = [
    i
    for i in items
    if isinstance(i, shapes.Equation) and i.relation == '=' and shapes.is_label(i.left)
  ]
  apart = either or every and not named
  if len(named) == len(items) and len({i.left for i in items}) == 1:
    items, apart = [i.right for i in items], True  # x = 1 or x = 2
  elif isinstance(items[0], shapes.Equation) and len(named) == 1 and shapes.is_label(items[0].left):
    items[0], apart = items[0].right, True  # x = 1, 2
  return shapes.Items('list', tuple(items), apart)


def _union(parts, text):
  """The union of sets; where `or` stands between pairs they may be points too."""
  points = None
  if '\\cup' not in text and _OR.search(text) and all(map(shapes.is_pair, parts)):
    points = shapes.Items('list', tuple(parts), True)
  return shapes.Ranges(tuple(map(shapes.as_range, parts)), points)


def _spread(shape):
  return shape.items if isinstance(shape, shapes.Items) and shape.kind == 'list' else (shape,)


def _related(text):
  text = text.strip()
  if not text:
    raise brackets.ShapeError('an empty part')
  links = list(brackets.top_level(text, _LINKS))
  if not links:
    inside, shape = _without_member(text), _bracketed(_without_member(text))
    # What x is in is no point.
    return (
      shapes.Ranges((shapes.as_range(shape),))
      if inside != text and shapes.is_pair(shape)
      else shape
    )
  parts = brackets.split(text, _LINKS)
  written = [link.group() for link in links]
  names = [_LINK.get(sign.replace(' ', ''), sign) for sign in written]
  directions = [name[0] for name in names]
  # 1 < x <= 2, or the same turned around.
  if directions in (['<', '<'], ['>', '>']):
    closed = [name.endswith('=') for name in names]
    middle = _without_member(parts[1].strip())
    ends = list(zip(closed, map(read, parts[::2])))
    low, high = ends if directions[0] == '<' else reversed(ends)
    shape = shapes.Ranges((shapes.Range(*low, high[1], high[0]),))
    named = shapes.is_label(shapes.Leaf(middle)) and '|' not in middle
    return shape if named else shapes.Bounded(shapes.Leaf(middle), shape)
  if len(links) > 1:
    if set(names) != {'='}:
      raise brackets.ShapeError('a chain of relations')
    return shapes.Chain(tuple(read(part) for part in parts))
  left, right = (_related(part) for part in parts)
  return _relation(left, names[0], right)


def _relation(left, name, right):
  """The shape of `left name right`: a set of reals where a variable is compared with a value."""
  if name in _FLIPPED:
    left, name, right = right, _FLIPPED[name], left
  if name == '!=' and shapes.is_name(left):
    reals = shapes.Ranges(
      (shapes.Range(False, shapes.Leaf('-\\infty'), shapes.Leaf('\\infty'), False),)
    )
    return shapes.Narrowed((reals, shapes.Items('set', (right,))), without=True)
  if name in ('<', '<='):
    left, right = _turned(left, right)
    closed = name == '<='
    if shapes.is_name(left):
      return shapes.Ranges((shapes.Range(False, shapes.Leaf('-\\infty'), right, closed),))
    if shapes.is_name(right):
      return shapes.Ranges((shapes.Range(closed, left, shapes.Leaf('\\infty'), False),))
  if isinstance(right, shapes.Items) and right.kind == 'list':
    return right  # x = 1 \pm 2
  return shapes.Equation(left, name, right)


def _turned(left, right):
  """The sides of `-x < 1` and `1 < -x` with x alone: `-1 < x`, `x < -1`."""
  for side in (left, right):
    negative = isinstance(side, shapes.Leaf) and side.text.startswith('-')
    if negative and shapes.is_name(shapes.Leaf(side.text[1:].strip())):
      return _negated(right), _negated(left)
  return left, right


def _negated(shape):
  text = shapes.leaf_text(shape)
  return shapes.Leaf(text[1:].strip() if text.startswith('-') and len(text) < 20 else f'-({text})')


def _bracketed(text):
  if text.startswith('\\{') and text.endswith('\\}'):
    return _set(text[2:-2])
  if text in _EMPTY:
    return shapes.Items('set', ())
  if text[0] in brackets.OPENING and text[-1] in brackets.CLOSING and brackets.encloses(text):
    return _enclosed(text)
  # After the brackets: those of (1:2) enclose a ratio.
  parts = brackets.split(_TO.sub(r'\1:\2', text), _COLON)
  if len(parts) > 1:
    return shapes.Ratio(
      tuple(shapes.Leaf(part.strip()) for part in parts), bool(_CLOCK.match(text))
    )
  return _signed(text)


def _signed(text):
  # Every choice of the signs; with a \mp the signs depend on each other.
  if '\\pm' not in text:  # alone it is the same choice
    text = text.replace('\\mp', '\\pm')
  signs = len(_PLUS_MINUS.findall(text))
  if not signs:
    return shapes.Leaf(text)
  if '\\mp' in text and signs == 1:
    both = (_with_signs(text, (sign,), opposite) for sign, opposite in ('+-', '-+'))
    return shapes.Items('list', tuple(both))
  if signs > 3 or '\\mp' in text:
    raise brackets.ShapeError(f'{signs} times plus or minus')
  return shapes.Items(
    'list', tuple(_with_signs(text, s) for s in itertools.product('+-', repeat=signs))
  )


def _with_signs(text, signs, opposite=''):
  left = iter(signs)
  text = _PLUS_MINUS.sub(lambda _: f' {next(left)} ', text).replace('\\mp', f' {opposite} ')
  return shapes.Leaf(re.sub(r'(^|[{(]) \+', r'\1', text).strip())


def _enclosed(text):
  inside = text[1:-1]
  parts = brackets.split(inside, _ITEMS)
  if text[0] == '{':
    # LaTeX shows no such braces; in the ASCII of programs they are a set. Either has no order.
    members = _set(inside)
    return shapes.Items('list', members.items) if len(members.items) > 1 else members
  if len(parts) == 1:
    return _bracketed(inside.strip()) if inside.strip() and text[0] == '(' else shapes.Leaf(text)
  # Of (1, 2) nobody can say whether it is a point or an interval; (1, 2] and (1, oo) tell.
  items = tuple(read(part) for part in parts)
  infinite = any(_is_infinite(leaf) for item in items for leaf in shapes.leaves(item))
  closed_low, closed_high = text[0] == '[', text[-1] == ']'
  half_open = text[0] + text[-1] in ('(]', '[)')
  if len(items) == 2 and (half_open or infinite):
    return shapes.Ranges((shapes.Range(closed_low, *items, closed_high),))
  return shapes.Items('vector' if closed_low else 'point', items)


def _is_infinite(leaf):
  return 'infty' in leaf or leaf.strip('+- ') in ('oo', 'inf')


def _set(inside):
  if not inside.strip():
    return shapes.Items('set', ())
  return shapes.Items(
    'set', tuple(i for part in brackets.split(inside, _ITEMS) for i in _spread(read(part)))
  )


def _without_member(text):
  member = _MEMBER.match(text)
  return text[member.end() :].strip() if member else text
