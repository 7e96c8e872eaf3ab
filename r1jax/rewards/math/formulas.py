"""Whether two formulas are one function: SymPy expressions, compared at points and by proof."""

import hashlib

import sympy

_DIGITS = 40  # of the numeric comparison that comes before the symbolic one
_SCALES = (1, -1, 4, -1, 6, 1)  # of the six points where formulas are compared
_CONFIRMED = 600  # digits of the last look, so that a tiny addition is seen
# What evaluates slowly to hundreds of digits.
_SLOW = (sympy.factorial, sympy.binomial, sympy.gamma, sympy.Integral, sympy.Sum, sympy.Product)


def same(one, other):
  """Whether two SymPy expressions are one function of their names.

  They are if they agree to 25 digits at six odd rational points, signs mixed, and at one of them to
  600. The points depend on both expressions: nobody can aim at them. Where a root or a logarithm in
  one is not real, textbooks mean other values: `\\sqrt{ab}` is `\\sqrt{a}\\sqrt{b}`. Four of the
  six points have no sign, and two must be left. But who writes an absolute value means all values:
  `\\ln|x|` is not `\\ln x`.
  """
  if one == other:
    return True
  if (one - other).is_Rational:
    return one - other == 0
  names = sorted(one.free_symbols | other.free_symbols, key=str)
  signed, checked = one.has(sympy.Abs) or other.has(sympy.Abs), 0
  for point in points(one, other, names):
    real = _is_real(one, point), _is_real(other, point)
    if signed and any(real) and not all(real):
      return False
    if not all(real):
      continue
    first, second = value(one.subs(point)), value(other.subs(point))
    if (first is None) != (second is None):
      return False
    if first is not None:
      # Most formulas differ at the first point; the long look is for those that do not.
      if abs(first - second) > sympy.Float(10) ** -25 * (1 + abs(first)):
        return False
      if not checked and not agree_closely(one.subs(point) - other.subs(point), first):
        return False
      checked += 1
  if checked >= min(2, 1 + len(names)):
    return True
  return bool(sympy.simplify(one - other) == 0)  # real nowhere near the sampled points


def agree_closely(difference, size):
  """Whether a number without symbols is 0 to some 560 digits, relative to `size`."""
  if difference.is_Rational:
    return difference == 0
  if difference.has(*_SLOW):
    return True
  left = difference.evalf(_CONFIRMED, maxn=_CONFIRMED + 50, chop=False)
  most = sympy.Float(10) ** (40 - _CONFIRMED) * (1 + abs(size))
  return not left.is_number or bool(abs(left) <= most)


def points(one, other, names):
  """Where two formulas are compared: rational values of `names`, the same for the same formulas."""
  if not names:
    return [{}]
  seed = hashlib.sha256(f'{one} and {other}'.encode()).digest()
  return [
    {name: _place(seed, 7 * k + 5 * i, scale) for i, name in enumerate(names)}
    for k, scale in enumerate(_SCALES)
  ]


def _place(seed, at, scale):
  above, below = 600 + seed[at % 32], 500 + seed[(at + 3) % 32]
  return sympy.Rational(scale * above, below)


def _is_real(formula, point):
  """Whether no root or logarithm of a formula has a negative argument at a point.

  The whole may be real all the same: `\\sqrt{a}\\sqrt{b}` of two negative numbers. A formula with
  an imaginary unit means complex values.
  """
  if formula.has(sympy.I):
    return True
  inner = [power.base for power in formula.atoms(sympy.Pow) if not power.exp.is_integer]
  inner += [log.args[0] for log in formula.atoms(sympy.log)]
  return not any(argument.subs(point).is_negative for argument in inner)


def value(expression):
  """The value of an expression without symbols, or None where it is undefined or not real."""
  number = sympy.N(expression, _DIGITS)
  if not number.is_number or number.has(sympy.nan, sympy.zoo, sympy.oo):
    return None
  real, imaginary = number.as_real_imag()
  if not (real.is_Number and imaginary.is_Number):
    return None
  if abs(imaginary) > sympy.Float(10) ** -25 * (1 + abs(real)):
    return sympy.Float(real, _DIGITS) + sympy.I * imaginary if expression.has(sympy.I) else None
  return sympy.Float(real, _DIGITS)
