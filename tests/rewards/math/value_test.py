"""The comparison of answers: the labelled set, its own properties, and what it costs."""

import fractions
import random
import subprocess
import sys

import pytest

from r1jax.rewards import score_card
from r1jax.rewards.attacks import table
from r1jax.rewards.math import notation, quantity, value
from r1jax.rewards.verdict import Kind
from tests import shared_data


def test_the_hand_written_pairs_are_at_least_four_hundred_and_cover_both_outcomes():
  found = table.pairs()
  assert len(found) >= 400
  assert min(sum(e for *_, e in found), sum(not e for *_, e in found)) >= 150
  assert len({(g, a) for g, a, _ in found}) == len(found)


@pytest.mark.parametrize('gold', sorted({gold for gold, *_ in table.pairs()}))
def test_no_pair_is_judged_wrongly(gold):
  for _, answer, equal in (pair for pair in table.pairs() if pair[0] == gold):
    verdict = value.equal(gold, answer)
    assert (verdict.kind == Kind.CORRECT) == equal, (gold, answer, verdict)
    assert verdict.kind not in (Kind.VERIFIER_ERROR, Kind.TIMEOUT), (gold, answer, verdict)


def test_every_gold_answer_equals_itself():
  for gold in {gold for gold, *_ in table.pairs()}:
    assert value.equal(gold, gold).score == 1, gold
    assert not value.unreadable(gold), gold


@pytest.mark.parametrize(
  'gold',
  ['<answer>5</answer>', '\\boxed{5', '\\boxed{}', '\\frac{1}{2', '$$', '?', '5' * 501, '5\x00'],
)
def test_a_gold_that_is_refused_unread_is_one_that_no_comparison_can_read(gold):
  assert value.unreadable(gold) and value.equal(gold, '7').kind == Kind.VERIFIER_ERROR


def test_pairs_derived_from_gsm8k_are_judged_rightly():
  cases = score_card.labelled(shared_data.path('gsm8k/test.jsonl'))[len(table.pairs()) :]
  wrong = [case for case in cases if (value.equal(case[0], case[1]).score == 1) != case[2]]
  assert len(cases) > 1000 and not wrong, wrong


def test_exact_reading_agrees_with_python_fractions():
  source = random.Random(0)
  for _ in range(500):
    number = fractions.Fraction(
      source.randrange(-(10**6), 10**6), source.choice((1, 2, 5, 8, 3, 7))
    )
    for text in (str(number), f'{number.numerator:,}/{number.denominator}', f'${number}$'):
      read = quantity.read(notation.clean(text))
      assert read is not None and read.value == number, text


@pytest.mark.parametrize(
  'gold, answer', [('1/3', '0.3333'), ('\\pi', '3.14'), ('1000000', '1000001'), ('2.5', '2.5001')]
)
def test_the_tolerance_is_no_wider_than_stated(gold, answer):
  assert value.equal(gold, answer).kind == Kind.WRONG


@pytest.mark.parametrize(
  'gold, answer', [('1/3', '0.33333'), ('\\pi', '3.1416'), ('0.3', '0.30000000000000004')]
)
def test_the_tolerance_is_as_wide_as_stated(gold, answer):
  assert value.equal(gold, answer).kind == Kind.CORRECT


@pytest.mark.parametrize('gold', ['', '\\frac{', '\\begin{foo}', '(1,2', '3 + \\unknowncommand{'])
def test_a_gold_answer_that_cannot_be_read_is_our_error_not_a_zero(gold):
  assert value.equal(gold, '\\sqrt{2}').kind == Kind.VERIFIER_ERROR


def test_a_costly_comparison_times_out_and_the_next_one_works():
  # A plain number is never worked out: what is costly stands against a formula.
  assert value.equal('5', '(((9!)!)!)!').kind == Kind.WRONG
  assert value.equal('\\sqrt{5}', '(((9!)!)!)!').kind in (Kind.TIMEOUT, Kind.UNPARSEABLE)
  assert value.equal('\\sqrt{12}', '2\\sqrt{3}').kind == Kind.CORRECT


def test_comparing_brings_neither_sympy_nor_jax_into_the_calling_process():
  code = (
    'import sys; from r1jax.rewards.math import value; '
    'assert value.equal("\\\\sqrt{12}", "2\\\\sqrt{3}").score; '
    'print(sorted({"jax", "sympy", "numpy"} & set(sys.modules)))'
  )
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
  assert done.stdout.strip() == '[]', done.stderr
