"""Whether two sets of reals are one: intervals, their unions, and what is taken out of them."""

import sympy

from r1jax.rewards.math import brackets, expressions, shapes

KINDS = (shapes.Ranges, shapes.Narrowed)


def same(gold, answer, equal):
  """Whether two shapes, one of them of `KINDS`, are one set of reals; `equal` compares ends.

  Raises `brackets.ShapeError` where an interval is none: 8 < x < 5.
  """
  for shape in filter(shapes.is_pair, (gold, answer)):
    _one_range(shapes.as_range(shape))
  if _same_ends(gold, answer, equal):
    return True
  one, other = _real_set(gold), _real_set(answer)
  return one is not None and other is not None and bool(one == other)


def _same_ends(gold, answer, equal):
  """Whether two unions of intervals have equal ends in one order, decimals as rounded ones."""
  gold, answer = _parts(gold), _parts(answer)
  pairs = list(zip(gold, answer))
  if not pairs or len(gold) != len(answer):
    return False
  if not all(isinstance(part, shapes.Range) for pair in pairs for part in pair):
    return False
  closed = lambda part: (part.closed_low, part.closed_high)
  return all(
    closed(one) == closed(two) and equal(one.low, two.low) and equal(one.high, two.high)
    for one, two in pairs
  )


def _parts(shape):
  """The parts of a union; of a pair in brackets itself as a range, of anything else ()."""
  if isinstance(shape, shapes.Ranges):
    return shape.parts
  return (shapes.as_range(shape),) if shapes.is_pair(shape) else ()


def _real_set(shape):
  """The SymPy set of a shape, or None where it is no set of reals."""
  if isinstance(shape, shapes.Narrowed):
    first, second = map(_real_set, shape.parts)
    if first is None or second is None:
      return None
    return first - second if shape.without else first & second
  if isinstance(shape, shapes.Ranges):
    return sympy.Union(*(_one_range(part) for part in shape.parts))
  if isinstance(shape, shapes.Items) and shape.kind == 'set':
    return sympy.FiniteSet(*(expressions.read(shapes.leaf_text(item)) for item in shape.items))
  return _one_range(shapes.as_range(shape)) if shapes.is_pair(shape) else None


def _one_range(part):
  if isinstance(part, shapes.Items):
    return _real_set(part)
  low, high = (expressions.read(shapes.leaf_text(end)) for end in (part.low, part.high))
  # (5, 4) is a point: as an interval it would be empty, and all such points one set.
  if low - high == 0 and not (part.closed_low and part.closed_high) or (low - high).is_positive:
    raise brackets.ShapeError('an interval whose ends fall')
  return sympy.Interval(low, high, not part.closed_low, not part.closed_high)
