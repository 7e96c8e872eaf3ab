"""The end of a run says what was shown and no more, and where its examples come from."""

import io
import math

import numpy as np
import pytest
import rich.console

from r1jax.data import problem
from r1jax.evaluation import heldout, intervals, prospects
from r1jax.rewards import verdict
from r1jax.runs.report import curve, ending, outcome

RIGHT = verdict.Verdict(1.0, verdict.Kind.CORRECT)
WRONG = verdict.Verdict(0.0, verdict.Kind.WRONG, 'expected 4, got 5')


def _result(rates, contents=(), texts=None, first=None):
  """A `heldout.Result` with these rates; the first reply to a question is right where `first`."""
  rates = tuple(map(float, rates))
  first = first if first is not None else [rate > 0.5 for rate in rates]
  known = [rate for rate in rates if not math.isnan(rate)]
  estimate = intervals.estimate(known, 4 * len(known))
  inner = intervals.estimate(contents, 4 * len(contents)) if contents else None
  return heldout.Result(
    heldout.Evaluation(estimate, 0.9, 15.5, inner),
    {},
    prospects.Prospects(0, 0, 0, 0, 0, 0),
    tuple(texts or ('<answer>5</answer>' for _ in rates)),
    tuple({'accuracy': RIGHT if good else WRONG} for good in first),
    rates,
    tuple(contents),
  )


def _problems(count):
  return [problem.Problem(f'question {n}', '4', 'sum', 1) for n in range(count)]


def _printed(*renderables, width=80):
  console = rich.console.Console(file=io.StringIO(), width=width)
  for one in renderables:
    console.print(one)
  return console.file.getvalue()


def test_a_gain_is_better_only_where_the_paired_test_shows_it():
  before = _result([0.0, 0.25, 0.0, 0.5] * 8)
  clear, faint = _result([0.75, 0.75, 0.5, 1.0] * 8), _result([0.25, *before.rates[1:]])
  found = outcome.of(before, clear, _problems(32), 'tags')
  assert found['change']['pass@1']['verdict'] == 'better'
  assert ending.told(found)[0].startswith('The trained policy is better (paired permutation')
  # Against a count of sign flips by hand: all 32 gaps are positive, so two of 2^32 are as far out.
  assert found['change']['pass@1']['p'] < 1e-4
  rates = np.array(before.rates), np.array(clear.rates)
  assert found['change']['pass@1']['mean'] == pytest.approx((rates[1] - rates[0]).mean())
  short = outcome.of(before, faint, _problems(32), 'tags')
  assert 'not shown to be better' in ending.told(short)[0]
  lost = outcome.of(clear, before, _problems(32), 'tags')
  assert 'is worse' in ending.told(lost)[0]


def test_what_of_a_gain_is_form_alone_is_said():
  before = _result([0.25] * 20, contents=[0.5] * 20)
  after = _result([0.75] * 20, contents=[0.75] * 20)
  found = outcome.of(before, after, _problems(20), 'tags')
  assert 'Of +50.0 points +25.0 are form alone' in ending.told(found)[1]
  rows = {row[0]: row[1:] for row in ending.lines(found)}
  assert rows['pass@1'][0].startswith('25.0% [') and rows['in any form'][0].startswith('50.0% [')
  assert rows['in any form'][2].startswith('+25.0 [')
  assert rows['tokens'][2] == 'x 1.00'
  # Where no form is asked for there is nothing to be said of it.
  same = outcome.of(
    _result([0.25] * 20, contents=[0.25] * 20),
    _result([0.75] * 20, contents=[0.75] * 20),
    _problems(20),
    'last_number',
  )
  assert len(ending.told(same)) == 1


def test_a_question_that_no_verifier_could_judge_is_in_no_pair():
  found = outcome.of(_result([0.0, math.nan, 0.0]), _result([1.0, 1.0, 0.5]), _problems(3), 'tags')
  assert found['change']['pass@1']['questions'] == 2


def test_examples_are_a_gain_that_is_worked_out_and_a_failure_and_say_how_they_were_chosen():
  texts = ('<answer>5</answer>', '<answer>4</answer>', '2 + 2 = 4 <answer>4</answer>', 'what')
  before = _result([0, 0, 0, 0], texts=('<answer>5</answer>',) * 4)
  after = _result([0, 1, 1, 0], texts=texts)
  gained, failed = outcome.of(before, after, _problems(4), 'tags')['examples']
  assert gained['question'] == 'question 2' and gained['after']['read'] == '4'
  assert gained['before']['read'] == '5' and gained['expected'] == '4'
  assert '1 wrong before and worked out right after' in gained['chosen']
  assert failed['question'] == 'question 0' and '2 wrong after' in failed['chosen']
  shown = _printed(*ending.examples({'examples': [gained, failed]}))
  for part in ('expected 4', 'before: wrong, read 5', 'after: correct, read 4', 'still wrong'):
    assert part in shown
  # Of gains those come first whose answer the base had in no form.
  texts = ('2 + 2 = 4 <answer>4</answer>',) * 3
  before = _result([0, 0, 0], contents=(0.25, 1.0, 0.0), texts=('5',) * 3)
  gained = outcome.of(before, _result([1, 1, 1], texts=texts), _problems(3), 'tags')['examples'][0]
  assert gained['question'] == 'question 2'
  assert '1 wrong in any form before and worked out right after' in gained['chosen']
  # Nothing was gained and nothing fails: nothing is made up.
  whole = _result([1, 1])
  assert outcome.of(whole, whole, _problems(2), 'tags')['examples'] == []


def test_an_answer_that_was_lost_is_called_so():
  found = outcome.of(_result([1.0]), _result([0.0]), _problems(1), 'tags')
  assert ending.title(found['examples'][0]) == 'lost'


def test_the_table_fits_eighty_columns_and_an_older_summary_is_shown_without_what_it_lacks():
  one = _result([0.25] * 9, contents=[0.5] * 9)
  found = outcome.of(one, _result([0.5] * 9, contents=[0.5] * 9), _problems(9), 'tags')
  assert max(map(len, _printed(ending.table(found)).splitlines())) <= 80
  del found['change'], found['examples']
  text = _printed(ending.table(found), *ending.told(found), *ending.examples(found))
  assert '+25.0 points' in text


def test_examples_hold_nothing_that_a_terminal_obeys():
  said = {
    'completion': '[red]\x1b[2J\x9b0mA\x07',
    'read': None,
    'kind': 'wrong',
    'why': 'g\x1b[31m',
  }
  one = {'what': 'gained', 'chosen': 'the first', 'question': '[b]?\x1b]0;t\x07', 'expected': '4'}
  text = _printed(*ending.examples({'examples': [one | {'before': said, 'after': said}]}))
  assert not set(text) & {'\x1b', '\x07', '\x9b'}
  assert '[red]␛[2J' in text and '[b]?' in text and 'g␛[31m' in text


def test_smoothing_is_the_mean_of_the_neighbours():
  found = curve._smooth([1.0, 2.0, 6.0, 7.0], 1)
  np.testing.assert_allclose(found, [1.5, 3, 5, 6.5])


def test_length_and_accuracy_rising_together_correlate():
  rows = [{'rollout/length': 10 + n, 'reward/accuracy': n / 60} for n in range(60)]
  assert outcome.length_accuracy(rows) == pytest.approx(1)
  assert outcome.length_accuracy([]) is None
  rows = [{'step': n, 'rollout/length': n, 'reward/accuracy': -n} for n in range(5)]
  assert outcome.length_accuracy([*rows, {'step': 6, 'rollout/length': None}]) == pytest.approx(-1)
