"""Arithmetic in words: answers are right, the split is by operands, everything comes again."""

import re

import pytest

from r1jax.data.tasks import arithmetic

COUNT = 400


def source(kind, split=arithmetic.TRAIN, seed=0):
  cfg = arithmetic.ArithmeticConfig(((kind, 1.0),))
  return arithmetic.Arithmetic(seed, COUNT, cfg, split)


def numbers(text):
  return [int(one) for one in re.findall(r'\d+', text)]


def worked(kind, question):
  """The answer, from the numbers of the question in the order of its words."""
  found = numbers(question)
  if kind in ('one_digit', 'two_with_one', 'two_digits'):
    a, b = found
    if any(sign in question for sign in (' + ', ' plus ', 'Add')):
      return a + b
    return b - a if question.startswith('Subtract') else a - b
  if kind == 'sums_in_words':
    return sum(found)
  first = found[0] * found[1]
  return first + sum(found[2:3]) - sum(found[3:])


@pytest.mark.parametrize('kind', arithmetic.KINDS)
@pytest.mark.parametrize('split', [arithmetic.TRAIN, arithmetic.HELDOUT])
def test_answers_are_right_and_never_negative(kind, split):
  for problem in (source(kind, split)[i] for i in range(COUNT)):
    assert int(problem.answer) == worked(kind, problem.question) >= 0, problem
    assert problem.kind == kind and '{' not in problem.question


@pytest.mark.parametrize('kind', arithmetic.KINDS)
def test_no_operands_of_a_held_out_question_are_trained_on_in_any_order(kind):
  of = lambda split: {
    (frozenset(numbers(p.question)[:2]), tuple(numbers(p.question)[2:]), p.answer)
    for p in (source(kind, split)[i] for i in range(COUNT))
  }
  assert not of(arithmetic.TRAIN) & of(arithmetic.HELDOUT)


def test_swapped_operands_are_the_same_sum_and_not_the_same_difference():
  for a in range(1, 10):
    for b in range(1, 10):
      assert arithmetic.split_of('+', (a, b)) == arithmetic.split_of('+', (b, a))
  pairs = [(a, b) for a in range(30) for b in range(a)]
  apart = [arithmetic.split_of('-', p) != arithmetic.split_of('-', p[::-1]) for p in pairs]
  assert any(apart)


def test_about_a_fifth_of_the_operands_are_held_out():
  pairs = [(a, b) for a in range(60) for b in range(a + 1)]
  held = sum(arithmetic.split_of('+', pair) == arithmetic.HELDOUT for pair in pairs)
  assert 0.15 < held / len(pairs) < 0.25


@pytest.mark.parametrize('kind', ['one_digit', 'two_with_one', 'two_digits'])
@pytest.mark.parametrize('split', [arithmetic.TRAIN, arithmetic.HELDOUT])
def test_half_of_the_questions_ask_for_a_sum_in_both_splits(kind, split):
  asked = [source(kind, split)[i].question for i in range(COUNT)]
  sums = sum(any(sign in text for sign in (' + ', ' plus ', 'Add')) for text in asked)
  # Four standard deviations of 400 fair draws.
  assert abs(sums - COUNT / 2) < 4 * (COUNT / 4) ** 0.5


def test_a_problem_comes_again_and_another_seed_asks_others():
  first, again, other = source('two_steps'), source('two_steps'), source('two_steps', seed=1)
  assert [first[i] for i in range(20)] == [again[i] for i in range(20)]
  assert [first[i] for i in range(20)] != [other[i] for i in range(20)]


def test_a_kind_that_is_not_there_is_refused():
  with pytest.raises(ValueError, match='sums is none of .*one_digit'):
    arithmetic.ArithmeticConfig((('sums', 1.0),))
