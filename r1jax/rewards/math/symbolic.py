"""Comparison of formulas, points, sets, intervals and equations; runs in a worker process only.

`structure` cuts an answer into its shape; the expressions at the leaves are read by math-verify's
LaTeX parser and compared by SymPy in `formulas`. Nothing is ever given to `eval`.
"""

import fractions
import logging
import re

import sympy

from r1jax.rewards import verdict
from r1jax.rewards.math import (
  brackets,
  expressions,
  formulas,
  intervals,
  labels,
  notation,
  quantity,
  shapes,
  structure,
)
from r1jax.rewards.verdict import Kind, Verdict

# Yes: `\frac{2}{3}`, `2/3`. No: `2`, `\frac23`.
_FRACTION = re.compile(r'\\frac ?\{.*\} ?\{.*\}\Z|\d+ ?/ ?\d+\Z')
# A number and its base. Yes: `2516_8`, `101_{2}`. No: `x_8`.
_BASED = re.compile(r'(\d+) ?_ ?\{?(\d{1,2})\}?\Z')
# Formulas with each construction that the parser compiles or caches at first use.
_WARM = r"""x^2+2x+1 (x+1)^2 \frac{x^2+1}{2} 2\sqrt{3}+\pi \sin(x)-2x 5^{2}\cdot{e} n(n+1)/2
  \frac{n(n+1)}{2} \log_{2}8 \ln(2)
  1-\frac{1}{x+1} \sqrt[3]{2} |x-2| 5! \binom{5}{2} e^{-x} \frac{\sqrt{3}}{2} -\frac{1}{2}x
  2^{n-1} x^{10} 3i+2 \cos{x} (a+b)/2
  \frac{a}{b}+\frac{1}{c} 0.5x -x+1 (x-1)(x+2) \sqrt{x^2+1} 10\pi x_{1}+x_{2} \frac12 2\cdot(3-x)"""


def warm_up():
  """Fills the parser's caches, so that the first real comparison is as fast as the later ones."""
  logging.disable(logging.CRITICAL)
  for text in _WARM.split():
    expressions.read(text)
  compare('x^2', '2x+1')


def compare(gold, answer):
  """The Verdict on two answers that exact reading could not decide."""
  gold, answer = notation.clean(gold), notation.clean(answer)
  expected, got = gold, answer
  gold, answer = labels.without(gold, answer)
  gold, _ = notation.approximated(gold)
  try:
    truth = structure.read(gold)
    _touch(truth)
  except (expressions.UnreadableError, brackets.ShapeError) as error:
    # A gold that nobody can read is still stated by whoever writes it down.
    if _plain(gold) == _plain(answer):
      return Verdict(1.0, Kind.CORRECT)
    return Verdict(
      0.0, Kind.VERIFIER_ERROR, f'the gold answer {gold[:60]!r} cannot be read: {error}'
    )
  try:
    return verdict.judged(_states(gold, truth, answer), expected, got)
  except (expressions.UnreadableError, brackets.ShapeError) as error:
    return Verdict(0.0, Kind.UNPARSEABLE, str(error)[:200])
  except MemoryError:
    raise
  except Exception as error:
    # Raises what it raises: then the gold answer is at fault, not this one.
    if not same(truth, truth):
      raise
    return Verdict(0.0, Kind.UNPARSEABLE, f'not comparable: {type(error).__name__}: {error}'[:200])


def _states(gold, truth, answer):
  """Whether an answer states the gold text, whose shape is `truth`; of `a \\approx b` it is a."""
  exact, rounded = notation.approximated(answer)
  if not rounded:
    return same(truth, structure.read(structure.without_point_name(answer, truth)))
  last = shapes.leaf_text(structure.read(exact.rpartition('=')[2]))
  if not _rounds(last, rounded):
    return False
  number = quantity.read(gold)
  # Which of the two may state a number was decided before.
  if number is not None and quantity.same(number, quantity.read(rounded)):
    return True
  return same(truth, structure.read(exact))


def _rounds(exact, rounded):
  """Whether the number `rounded` is a decimal of the formula `exact`, to its last place."""
  stated, value = quantity.read(rounded), formulas.value(expressions.read(exact))
  if stated is None or value is None or not value.is_Float:
    return False
  gap = abs(fractions.Fraction(str(value)) - stated.value)
  return gap < quantity.last_place(rounded)


def _plain(text):
  return notation.plain_words(notation.tight(text))


def same(gold, answer):
  """Whether two `shapes` are equal."""
  if isinstance(gold, shapes.Leaf) and isinstance(answer, shapes.Leaf):
    return _same_leaf(gold.text, answer.text)
  if isinstance(gold, shapes.Matrix) and isinstance(answer, shapes.Matrix):
    return gold.size == answer.size and all(map(same, gold.cells, answer.cells))
  if isinstance(gold, shapes.Ratio) or isinstance(answer, shapes.Ratio):
    return _same_ratio(gold, answer)
  if isinstance(answer, shapes.Chain):
    return _same_chain(gold, answer)
  if isinstance(gold, shapes.Equation) or isinstance(answer, shapes.Equation):
    return _same_equation(gold, answer)
  if isinstance(gold, shapes.Bounded) or isinstance(answer, shapes.Bounded):
    bounded = isinstance(gold, shapes.Bounded) and isinstance(answer, shapes.Bounded)
    return bounded and same(gold.middle, answer.middle) and same(gold.ranges, answer.ranges)
  if isinstance(gold, intervals.KINDS) or isinstance(answer, intervals.KINDS):
    return _same_reals(gold, answer)
  if isinstance(gold, shapes.Items) and isinstance(answer, shapes.Items):
    return _same_items(gold, answer)
  return _same_single(gold, answer)


def _same_reals(gold, answer):
  """Whether two shapes are one set of reals; pairs joined by `or` may be the points asked for."""
  points = answer.points if isinstance(answer, shapes.Ranges) else None
  listed = isinstance(gold, shapes.Items) and gold.kind in ('set', 'list')
  if points and listed:
    return same(gold, points)
  return intervals.same(gold, answer, same)


def _same_single(gold, answer):
  # A set of one value and the value itself.
  if isinstance(gold, shapes.Items) and len(gold.items) == 1:
    return same(gold.items[0], answer)
  if isinstance(answer, shapes.Items) and len(answer.items) == 1 and answer.kind == 'set':
    return same(gold, answer.items[0])
  return False


def _same_items(gold, answer):
  # A set of one point and the point.
  for whole, part in ((gold, answer), (answer, gold)):
    if whole.kind == 'set' and len(whole.items) == 1 and part.kind == 'point':
      return same(whole.items[0], part)
  kinds = {gold.kind, answer.kind}
  # Sets and bare lists have no order, points and vectors have one.
  if kinds <= {'set', 'list'}:
    return _matched(gold.items, answer.items)
  if len(gold.items) != len(answer.items):
    return False
  if kinds == {'point', 'vector'} and len(gold.items) == 2:
    return False  # (1, 2) and [1, 2] are an open and a closed interval
  if gold.kind == 'vector' and answer.kind == 'list' and len(gold.items) == 2:
    return False  # both ends of [1, 2] are not yet what lies between them
  if not kinds & {'set'}:
    if gold.kind == 'point' and answer.apart:
      return False  # x = 2 or x = 3 are two values, not the point (2, 3)
    return all(map(same, shapes.by_name(gold.items), shapes.by_name(answer.items)))
  return False


def _matched(gold, answer):
  """Whether each item of `gold` is one of `answer` and none is left.

  What `gold` has twice must stand twice; what an answer says again is said once, as in a set.
  """
  rest = list(answer)
  if len(rest) > len(gold):
    is_new = lambda i: not any(same(rest[i], other) for other in rest[:i])
    rest = [one for i, one in enumerate(rest) if is_new(i)]
  if len(rest) != len(gold):
    return False
  for item in gold:
    index = next((i for i, other in enumerate(rest) if same(item, other)), None)
    if index is None:
      return False
    del rest[index]
  return True


def _same_ratio(gold, answer):
  # 2:3 equals 4:6 and 2/3, but a time of day equals itself only.
  if isinstance(gold, shapes.Ratio) and isinstance(answer, shapes.Ratio):
    if len(gold.parts) != len(answer.parts):
      return False
    if gold.clock and answer.clock:
      return all(map(same, gold.parts, answer.parts))
    texts = (shapes.leaf_text(shape.parts[0]) for shape in (gold, answer))
    first, other = map(expressions.read, texts)
    return all(
      formulas.same(expressions.read(one.text) * other, expressions.read(two.text) * first)
      for one, two in zip(gold.parts, answer.parts)
    )
  ratio, other = (gold, answer) if isinstance(gold, shapes.Ratio) else (answer, gold)
  fraction = isinstance(other, shapes.Leaf) and _FRACTION.match(other.text)
  if not fraction or len(ratio.parts) != 2 or ratio.clock:
    return False
  return formulas.same(
    expressions.read(other.text),
    expressions.read(ratio.parts[0].text) / expressions.read(ratio.parts[1].text),
  )


def _same_equation(gold, answer):
  if isinstance(gold, shapes.Equation) and isinstance(answer, shapes.Equation):
    if gold.relation == answer.relation == '=' and shapes.same_name(gold.left, answer.left):
      return same(gold.right, answer.right)
    return gold.relation == answer.relation and _proportional(gold, answer)
  equation, other = (gold, answer) if isinstance(gold, shapes.Equation) else (answer, gold)
  if equation.relation != '=':
    return False
  # `9 * 2 = 18` as the answer for 18; as a gold it is an equation and nothing else states it.
  if not shapes.is_label(equation.left, of_gold=equation is gold):
    return equation is answer and _same_chain(gold, shapes.Chain((equation.left, equation.right)))
  return same(*((equation.right, other) if equation is gold else (other, equation.right)))


def _same_chain(gold, chain):
  # `x = 9 * 2 = 18`: the last member is the answer, and the ones before must not contradict it.
  members = chain.members[1:] if shapes.is_label(chain.members[0]) else chain.members
  values = [expressions.read(shapes.leaf_text(member)) for member in members]
  alike = all(formulas.same(values[-1], value) for value in values)
  return alike and same(gold, members[-1])


def _proportional(gold, answer):
  """Whether two equations or inequalities say the same: one is a multiple of the other."""
  one, other = _difference(gold), _difference(answer)
  if one.free_symbols != other.free_symbols or not one.free_symbols:
    return False
  names = sorted(one.free_symbols, key=str)
  points = formulas.points(one, other, names)
  values = [
    (formulas.value(one.subs(point)), formulas.value(other.subs(point))) for point in points
  ]
  ratios = [a / b for a, b in values if a is not None and b is not None and b != 0]
  if len(ratios) < 3 or ratios[0] == 0:
    return False
  # Turned around by a factor below 0, an inequality says something else.
  if gold.relation != '=' and ratios[0] < 0:
    return False
  most = sympy.Float(10) ** -25
  if any(abs(ratio / ratios[0] - 1) > most for ratio in ratios):
    return False
  # Sampled points say that the ratio is constant; of rational functions SymPy can prove it.
  exact = {sympy.cancel(one / other) for _ in names[:1] if one.is_rational_function(*names)}
  return not exact or exact.pop().is_number


def _difference(equation):
  return expressions.read(shapes.leaf_text(equation.left)) - expressions.read(
    shapes.leaf_text(equation.right)
  )


def _same_leaf(gold, answer):
  if notation.tight(gold) == notation.tight(answer):
    return True
  # 2516_8 is not 1358: a question that names a base asks for the digits in it.
  based = _BASED.match(gold), _BASED.match(answer)
  if any(based):
    return _same_based(gold, answer, *based)
  truth, stated = quantity.read(gold), quantity.read(notation.unnamed(answer))
  if truth is not None and stated is not None:
    return quantity.same(truth, stated)
  angle = truth is not None and truth.unit == 'degree' and '\\pi' in answer
  if truth is not None and not angle and not notation.worked_out(answer):
    raise expressions.UnreadableError('a calculation, not its result')
  gold, answer = shapes.without_unit(gold), shapes.without_unit(answer)
  if truth is not None or stated is not None:
    return _same_number(gold, truth, answer, stated)
  return formulas.same(expressions.read(gold), expressions.read(answer))


def _same_based(gold, answer, gold_based, answer_based):
  if gold_based and answer_based:
    return gold_based.groups() == answer_based.groups()
  based, other = (gold_based, answer) if gold_based else (answer_based, gold)
  read = quantity.read(other)
  return int(based[2]) == 10 and read is not None and int(based[1]) == read.value


def _same_number(gold, truth, answer, stated):
  """Whether a formula has the value of a number: one of `truth` and `stated` is its Quantity."""
  expression = expressions.read(answer if truth is not None else gold)
  if expression.free_symbols and truth is None:
    return formulas.same(
      expression, sympy.Rational(stated.value.numerator, stated.value.denominator)
    )
  value = formulas.value(expression) if not expression.free_symbols else None
  if value is None or not value.is_Float:
    return False
  read = truth if truth is not None else stated
  if read.unit == 'degree' and expression.has(sympy.pi):
    angle = sympy.Rational(read.value.numerator, read.value.denominator)
    return formulas.same(expression, angle * sympy.pi / 180)
  target = read.value / 100 if read.percent else read.value
  exact = (
    fractions.Fraction(int(expression.p), int(expression.q)) if expression.is_Rational else None
  )
  if exact is not None:
    return quantity.close(exact, target, 0, read.digits)
  # An irrational value: its 40 digits stand for it, a tiny rest is looked at closely.
  exact = fractions.Fraction(str(value))
  if abs(exact - target) <= fractions.Fraction(1, 10**30) * (1 + abs(target)):
    whole = sympy.Rational(target.numerator, target.denominator)
    return formulas.agree_closely(expression - whole, value)
  return read.digits >= 5 and quantity.close(exact, target, 0, read.digits, exact_is_finite=False)


def _touch(shape):
  """Raises UnreadableError unless every leaf of the gold answer can be read."""
  for text in shapes.leaves(shape):
    if quantity.read(text) is None:
      expressions.read(shapes.without_unit(text))
