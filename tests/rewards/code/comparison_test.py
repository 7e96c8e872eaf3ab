"""Which outputs and results are the same, as LiveCodeBench's runner and as Python say."""

import decimal

import pytest

from r1jax.rewards.code import comparison


def _runners_way(expected, printed):
  """The published runner's comparison, written down anew from its description."""
  sides = [[line.strip() for line in text.strip().split('\n')] for text in (expected, printed)]
  if len(sides[0]) != len(sides[1]):
    return False
  for one, other in zip(*sides):
    if one == other:
      continue
    try:
      numbers = [[decimal.Decimal(word) for word in line.split()] for line in (one, other)]
    except decimal.InvalidOperation:
      return False
    if numbers[0] != numbers[1]:
      return False
  return True


@pytest.mark.parametrize(
  'expected, printed, same',
  [
    ('0.750\n', '0.75\n', True), ('2\n', '2.0\n', True), ('1 2 3\n', '1  2 3\n', True),
    ('5\n', ' 5\n', True), ('5\n', '\n5\n', True), ('5\n', '6\n', False),
    ('1 2\n3\n', '1 2 3\n', False), ('a\r\nb\r\n', 'a\nb', True), ('1e2\n', '100', True),
    ('50000000000000001', '50000000000000000', False), ('yes\n', 'Yes\n', False),
    ('a b\n', 'a  b\n', False), ('1\n\n2\n', '1\n2\n', False), ('', '\n \n', True),
    ('nan', 'NaN', False), ('nan', 'nan', True), ('1', 'sNaN', False), ('1 2', '1', False),
    ('1', '1e999999999999999999999', False), ('Infinity', 'inf', True), ('-0', '0', True),
  ],
)  # fmt: skip
def test_lines_are_stripped_and_their_numbers_compared_as_decimals(expected, printed, same):
  assert comparison.same_output(expected, printed.encode()) == same
  if 'sNaN' not in printed:  # there the runner's own comparison fails, which it counts as wrong
    assert _runners_way(expected, printed) == same


def test_output_that_is_no_text_is_compared_and_differs():
  assert not comparison.same_output('7', b'\xff7')


@pytest.mark.parametrize(
  'expected, reported, python, livecodebench',
  [
    (7, '7', True, True), (2, '2.0', True, True), (12345678901, '12345678902.0', False, False),
    (12345678901, '12345678901.0', True, True), (0.3, '0.30000000000000004', True, False),
    (1.5, f'1{"0" * 400}', False, False), (1e300, f'1{"0" * 300}', True, False),
    (True, '1', False, True), (1, 'true', False, True), (None, 'null', True, True),
    ([1, [2]], '{"tuple": [1, [2]]}', True, True),
    ([1, [2]], '[1, {"tuple": [2]}]', True, False),
    ([1], '{"set": [1]}', False, False), ({'a': 1}, '{"dict": [["a", 1.0]]}', True, True),
    ({'a': 1}, '{"dict": [["b", 1]]}', False, False), ('1', '1', False, False),
    ({'1': 1}, '{"dict": [[1, 1]]}', False, False), ([], 'not JSON', False, False),
    ([], '[' * 100_000, False, False), ({}, '{"dict": 7}', False, False), ([], '', False, False),
    (float('nan'), 'NaN', False, False), ([1, 2], '[1, 2, 3]', False, False),
  ],
)  # fmt: skip
def test_results_are_the_same_by_the_rules_asked_for(expected, reported, python, livecodebench):
  found = [
    comparison.same_result(expected, reported.encode(), rules)
    for rules in ('python', 'livecodebench')
  ]
  assert found == [python, livecodebench]


def test_no_number_that_a_program_returns_stops_the_comparison():
  numbers = [0, -1, 2**63, 10**400, -(10**400), 0.5, 1e308, -1e-3, float('inf'), float('nan')]
  for expected in numbers:
    for got in numbers:
      same = comparison.same_number(expected, got)
      assert same == (expected == got), (expected, got)
