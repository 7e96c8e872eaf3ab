"""Checked puzzles: number games against brute force, orders against permutations."""

import itertools

import pytest

from r1jax.rewards import puzzles, service
from r1jax.rewards.verdict import Kind


def _judge(answer, gold):
  return service.judge(f'<answer>{answer}</answer>', gold)


@pytest.mark.parametrize(
  'answer',
  [
    '8/(3-8/3)',
    '8 / (3 - 8 / 3) = 24',
    '8÷(3−8÷3)',
    '$8 \\div (3 - 8 \\div 3)$',
    '\\frac{8}{3-8/3}',
  ],
)
def test_a_solution_of_the_24_game_is_accepted_in_every_notation(answer):
  assert _judge(answer, puzzles.Numbers((3, 3, 8, 8), 24)).kind == Kind.CORRECT


def test_all_expressions_over_three_numbers_are_judged_as_python_computes_them():
  for a, b, c in itertools.permutations((2, 3, 7)):
    for one, two in itertools.product('+-*/', repeat=2):
      text = f'({a}{one}{b}){two}{c}'
      verdict = _judge(text, puzzles.Numbers((2, 3, 7), 13))
      assert (verdict.score == 1) == (abs(eval(text) - 13) < 1e-9), text


def test_countdown_may_leave_numbers_out_and_24_may_not():
  assert _judge('5 * 2', puzzles.Numbers((5, 2, 9), 10, use_all=False)).kind == Kind.CORRECT
  assert _judge('5 * 2', puzzles.Numbers((5, 2, 9), 10)).kind == Kind.WRONG


@pytest.mark.parametrize(
  'answer, kind',
  [
    ('Ann, Bob, Cy', Kind.CORRECT),
    ('ann > bob > cy', Kind.CORRECT),
    ('1. Ann\n2. Bob\n3. Cy', Kind.CORRECT),
    ('Ann -> Bob -> Cy', Kind.CORRECT),
    ('[Ann, Bob, Cy]', Kind.CORRECT),
    ('Bob, Ann, Cy', Kind.WRONG),
    ('Ann, Bob', Kind.UNPARSEABLE),
    ('Ann > Bob < Cy', Kind.UNPARSEABLE),
    ('', Kind.UNPARSEABLE),
  ],
)
def test_an_order_is_compared_thing_by_thing(answer, kind):
  assert _judge(answer, puzzles.Order(('Ann', 'Bob', 'Cy'))).kind == kind


def test_a_puzzle_without_pieces_is_our_error():
  assert _judge('1', puzzles.Numbers((), 1)).kind == Kind.VERIFIER_ERROR
  assert _judge('1', puzzles.Order(())).kind == Kind.VERIFIER_ERROR
