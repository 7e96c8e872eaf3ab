"""Annotations as ranges: what they take, how they are told, with the keys as users write them."""

import dataclasses
from typing import Annotated, Literal

import numpy as np
import pytest

from r1jax import ranges


@dataclasses.dataclass(frozen=True)
class Example:
  """One field of each kind."""

  count: ranges.Count = 1
  weight: ranges.Weight = 0.0
  cap: ranges.Positive | None = None
  name: Literal['a', 'b'] = 'a'
  pairs: tuple[tuple[str, ranges.Share], ...] = (('x', 1.0),)
  both: tuple[int, int] = (0, 1)
  heat: ranges.Temperature = 1.0
  flag: bool = False

  def __post_init__(self):
    ranges.check(self)
    ranges.require(self, self.weight <= self.count, '{weight} is more than {count}')


@pytest.mark.parametrize(
  'field, good, bad',
  [
    ('count', [1, 2**31 - 1, np.int32(5)], [0, -1, 2**31, 1.0, True, None, '1', 10**400]),
    ('weight', [0, 0.5, np.float32(1), 1], [-1e-9, float('nan'), float('inf'), '1', True, 10**400]),
    ('cap', [None, 1e-9, 3], [0, 0.0, -1, float('nan'), 'None']),
    ('name', ['a', 'b'], ['c', '', 1, None]),
    ('pairs', [(), (('x', 0),), (('x', 1), ('y', 0.5))], [('x', 1), (('x',),), (('x', 2),), 1.5]),
    ('both', [(1, 2)], [(1,), (1, 2, 3), [1, 2], (1, 2.5)]),
    ('heat', [0, 1e-3, 100], [1e-4, -1, 101, float('nan')]),
    ('flag', [True, False], [0, 1, 'True', None]),
  ],
)
def test_a_field_takes_what_its_annotation_says(field, good, bad):
  for value in good:
    assert getattr(Example(**{field: value}), field) == value
  for value in bad:
    with pytest.raises(ranges.RangeError, match=f'^{field}='):
      Example(**{field: value})


def test_both_ends_are_taken_but_those_that_are_told_open():
  closed, above, below = (
    ranges.Range(0, 1),
    ranges.Range(0, 1, above=True),
    ranges.Range(0, 1, below=True),
  )
  ends = lambda one: (one.holds(0, float), one.holds(1, float))
  assert (ends(closed), ends(above), ends(below)) == ((True, True), (False, True), (True, False))


def test_a_refusal_is_told_with_the_section_of_its_fields():
  with pytest.raises(ranges.RangeError) as caught:
    Example(weight=2.5)
  assert str(caught.value) == 'weight=2.5 is more than count=1'
  assert caught.value.told('config.part.{}'.format) == (
    'config.part.weight=2.5 is more than config.part.count=1'
  )


def test_long_values_are_cut():
  with pytest.raises(ranges.RangeError) as caught:
    Example(count=10**400)
  assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
  'hint, words',
  [
    (ranges.Count, 'a whole number within 1..2,147,483,647'),
    (ranges.Share, 'a number within 0..1'),
    (ranges.Mass, 'a number above 0, at most 1'),
    (ranges.Positive | None, 'a number above 0, at most 1e+09, or None'),
    (ranges.Temperature, 'a number within 0.001..100, or 0'),
    (Literal['a', 'b'], "one of 'a', 'b'"),
    (tuple[Annotated[int, ranges.Range(0, 9)], ...], 'a tuple, each a whole number within 0..9'),
    (tuple[str, bool], '(text, true or false)'),
  ],
)
def test_annotations_are_told_in_words(hint, words):
  assert ranges.describe(hint) == words
