"""What values a config takes, written as the annotations of its dataclasses.

  class LoopConfig:
    checkpoint_every: ranges.Count = 50
    keep: Annotated[int, ranges.Range(2)] = 2

    def __post_init__(self):
      ranges.check(self)

`check` holds every field against its annotation, so an unusable value is refused in one line where
it is given, and `r1jax config` shows what is taken. What several fields must fulfil together is
said by `require` below it.
"""

import contextlib
import dataclasses
import functools
import math
import numbers
import operator
import re
import types
import typing
from typing import Annotated, Literal

_FIELD = re.compile(r'\{(\w+(?:\.\w+)*)\}')  # '{rows}' and '{sample.group}', not '{}' nor '{a b}'
LARGE = 2**31 - 1  # what counts things is an int32 on a device
HUGE = 1e9  # far above every sensible weight or rate, and its square is finite in float32


@dataclasses.dataclass(frozen=True)
class Range:
  """The numbers from `low` to `high`.

  Attributes:
    low, high: both are taken; None stands for the limit that numbers of the type have here.
    above: `low` itself is not taken.
    below: `high` itself is not taken.
    also: one number more that is taken, such as 0 for "off".
  """

  low: float | None = None
  high: float | None = None
  above: bool = False
  below: bool = False
  also: float | None = None

  def limits(self, kind):
    """(low, high) for int or float fields."""
    most = LARGE if kind is int else HUGE
    return (-most if self.low is None else self.low, most if self.high is None else self.high)

  def holds(self, value, kind):
    """Whether a number is taken; nan never is."""
    low, high = self.limits(kind)
    if self.also is not None and value == self.also:
      return True
    inside = low < value if self.above else low <= value
    return inside and (value < high if self.below else value <= high)

  def describe(self, kind):
    """What is taken, in words."""
    low, high = self.limits(kind)
    low, high = _number(low), _number(high)
    words = f'within {low}..{high}'
    if self.above or self.below:
      words = f'{"above" if self.above else "at least"} {low}, '
      words += f'{"below" if self.below else "at most"} {high}'
    return words if self.also is None else f'{words}, or {_number(self.also)}'


Count = Annotated[int, Range(1)]
Size = Annotated[int, Range(0)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
Positive = Annotated[float, Range(0, above=True)]
Weight = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
Mass = Annotated[float, Range(0, 1, above=True)]  # of probability, as in top-p
# Logits over a temperature below a thousandth leave float32; 0 takes the most likely token.
Temperature = Annotated[float, Range(1e-3, 100, also=0)]
Dtype = Literal['float32', 'bfloat16']
AUTO = 'auto'  # in place of a number: chosen at the start of a run, by what the machine has
Auto = Literal['auto']


class RangeError(ValueError):
  """Values that a config does not take; says which, with the keys that hold them."""

  def __init__(self, text, values):
    """`text` names a field as '{name}' or '{part.name}', which becomes 'name=value'."""
    self._text, self._values = text, dict(values)
    super().__init__(self.told(str))

  def told(self, naming):
    """The sentence with each field as the user knows it: `naming` makes a key of its name."""
    # Only here do names get their keys: the dataclass knows nothing of the command line.
    shown = lambda f: f'{naming(f[1])}={_shown(self._values[f[1]])}'
    # A value that is told in the text may have braces of its own.
    return _FIELD.sub(lambda f: shown(f) if f[1] in self._values else f[0], self._text)


def require(config, condition, text):
  """Raises `RangeError` unless `condition`; in `text` '{name}' stands for the field of `config`."""
  if not condition:
    raise RangeError(
      text, {name: operator.attrgetter(name)(config) for name in _FIELD.findall(text)}
    )


@contextlib.contextmanager
def said_of(config, *names):
  """What a ValueError inside says becomes a `RangeError` of these fields of `config`."""
  try:
    yield
  except ValueError as error:
    values = {name: getattr(config, name) for name in names}
    fields = ', '.join(f'{{{name}}}' for name in names)
    raise RangeError(f'{fields}: {error}', values) from error


def check(config):
  """Raises `RangeError` for the first field of a dataclass that its annotation does not take."""
  for name, hint in hints(type(config)).items():
    value = getattr(config, name)
    if not takes(hint, value):
      raise RangeError(f'{{{name}}} is not {describe(hint)}', {name: value})


@functools.cache
def hints(kind):
  """Field -> annotation of a dataclass, ranges included."""
  annotations = typing.get_type_hints(kind, include_extras=True)
  return {field.name: annotations[field.name] for field in dataclasses.fields(kind)}


def plain(hint):
  """(type without range, AUTO and None, whether None is taken): (int, False) of `Count | Auto`."""
  optional = False
  if _union(hint):
    arguments = typing.get_args(hint)
    optional = type(None) in arguments
    hint = next(arg for arg in arguments if arg is not type(None) and arg != Auto)
  if typing.get_origin(hint) is Annotated:
    hint = typing.get_args(hint)[0]
  if typing.get_origin(hint) is Literal:
    return type(typing.get_args(hint)[0]), optional
  return typing.get_origin(hint) or hint, optional


def _union(hint):
  return isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union


def describe(hint):
  """What an annotation takes, in words: 'a whole number within 1..2147483647'."""
  origin, arguments = typing.get_origin(hint), typing.get_args(hint)
  if _union(hint):
    words = {type(None): 'None', Auto: repr(AUTO)}
    return ', or '.join(words.get(arg) or describe(arg) for arg in arguments)
  if origin is Annotated:
    return f'{_WORDS[arguments[0]]} {arguments[1].describe(arguments[0])}'
  if origin is Literal:
    return 'one of ' + ', '.join(map(repr, arguments))
  # A tuple of any length, then one of fixed length.
  if origin is tuple and arguments[-1] is Ellipsis:
    return f'a tuple, each {describe(arguments[0])}'
  if origin is tuple:
    return f'({", ".join(map(describe, arguments))})'
  return _WORDS.get(hint, getattr(hint, '__name__', str(hint)))


_WORDS = {
  int: 'a whole number',
  float: 'a number',
  bool: 'true or false',
  str: 'text',
  tuple: 'a tuple',
}


def takes(hint, value):
  """Whether an annotation takes a value; a bool is no number, nan and inf are none either."""
  origin, arguments = typing.get_origin(hint), typing.get_args(hint)
  if _union(hint):
    return any(takes(arg, value) for arg in arguments)
  if origin is Annotated:
    return takes(arguments[0], value) and arguments[1].holds(value, arguments[0])
  if origin is Literal:
    # Types too, as True == 1.
    return any(type(value) is type(arg) and value == arg for arg in arguments)
  if origin is tuple:
    return isinstance(value, tuple) and _all_fit(arguments, value)
  return _is(value, hint)


def _all_fit(arguments, value):
  if arguments[-1] is Ellipsis:
    return all(takes(arguments[0], item) for item in value)
  return len(value) == len(arguments) and all(map(takes, arguments, value))


def _is(value, kind):
  """Whether a value is of a plain type; a bool is no number, nan and inf are none either."""
  if kind is float:
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return real and _finite(value)
  if kind is int:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
  return isinstance(value, kind)


def _finite(value):
  try:
    return math.isfinite(value)
  except OverflowError:  # a whole number of hundreds of digits
    return False


def _number(value):
  return f'{value:,}' if isinstance(value, int) else f'{value:g}'


def _shown(value, most=80):
  """A value in a message; a long one is cut."""
  text = repr(value)
  return text if len(text) <= most else f'{text[:most]}...'
