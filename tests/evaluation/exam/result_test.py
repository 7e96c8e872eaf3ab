"""Figures agree with counting by hand; comparisons say no more than they may."""

import io
import json

import numpy as np
import pytest
import rich.console

from r1jax.data.problem import Problem
from r1jax.evaluation import passk
from r1jax.evaluation.exam import result
from r1jax.runs import tables

PRINTS = {'questions': 'a', 'prompts': 'b', 'sampler': 'c', 'grader': 'd'}
HEADER = {'benchmark': 'b', 'checkpoint': 'run', 'protocol': {'max_tokens': 9}}
HEADER |= {'fingerprints': PRINTS}


def row(question, sample, kind='correct', answer='1', tokens=4, stopped=True):
  return {
    'question': question,
    'sample': sample,
    'kind': kind,
    'answer': answer,
    'tokens': tokens,
    'stopped': stopped,
    'format': True,
  }


def problems(count):
  return [Problem(f'Q{i}', '1', 'even' if i % 2 == 0 else 'odd', 1) for i in range(count)]


ROWS = [
  row(0, 0), row(0, 1), row(0, 2, 'wrong', '2', 9, False),
  row(1, 0, 'wrong', '3', 8), row(1, 1, 'wrong', '3.0'), row(1, 2, 'correct', '1'),
  row(2, 0, 'verifier_error', None), row(2, 1, 'unparseable', None), row(2, 2, 'correct', '1'),
]  # fmt: skip


def content(rows=ROWS, count=4, samples=3, interval='wilson', **header):
  found = result.marks(problems(count), rows, samples)
  return result.build(HEADER | header, problems(count), found, interval)


def test_figures_are_those_of_counting_by_hand():
  made = content()
  means = {name: one['mean'] for name, one in made['figures'].items()}
  # The fourth question was too long to ask: wrong, and of no length.
  assert means['pass@1'] == pytest.approx((2 / 3 + 1 / 3 + 1 / 2 + 0) / 4)
  assert means['pass@3'] == pytest.approx((1 + 1 + 0) / 3)  # question 2 has two marks only
  assert means['cons@3'] == pytest.approx((1 + 0 + 1 + 0) / 4)
  assert made['figures']['pass@1']['questions'] == 4
  shares = made['shares']
  assert shares['length_mean'] == pytest.approx(np.mean([r['tokens'] for r in ROWS]))
  assert shares['truncated'] == pytest.approx(1 / 9) and shares['not_asked'] == 1
  assert shares['verifier_error'] == shares['unparseable'] == pytest.approx(1 / 9)
  assert shares['length_correct'] == 4
  assert made['apart']['odd']['mean'] == pytest.approx((1 / 3 + 0) / 2)


def test_both_intervals_are_in_the_file_and_the_one_asked_for_leads():
  made = content(interval='bootstrap')
  for one in made['figures'].values():
    assert one['ci95'] == one['ci95_bootstrap']
  first = content()['figures']['pass@1']
  rate_P, count = passk.question_rates([[1, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0]],
                                       [[1] * 3, [1] * 3, [0, 1, 1], [1] * 3])  # fmt: skip
  assert (first['mean'], count) == (pytest.approx(rate_P.mean()), 11)
  assert first['ci95'] != first['ci95_bootstrap']


def test_the_table_shows_figures_lengths_and_what_was_left_out():
  console = rich.console.Console(file=io.StringIO(), width=100)
  console.print(result.table(content()))
  text = console.file.getvalue()
  for part in ('4 questions x 3 samples', 'pass@1', 'cons@3', 'bootstrap', 'even (2)', '37.5%'):
    assert part in text
  for part in ('cut off at 9 tokens', 'too long to ask, counted wrong', 'not marked, left out'):
    assert part in text


def test_names_of_a_file_are_neither_obeyed_nor_taken_for_a_style():
  console = rich.console.Console(file=io.StringIO(), width=100, force_terminal=True)
  made = content()
  made['apart'] = {'\x1b[2J[red]odd': made['apart']['odd']}
  console.print(result.table(made))
  console.print(tables.table('Plan', [('data', '[bold]\x1b]0;a\x07 runs/[x]/a.jsonl')]))
  text = console.file.getvalue()
  assert '\x1b[2J' not in text and '\x1b]0' not in text and '\x07' not in text
  assert '\u241b[2J[red]odd' in text and '[bold]\u241b]0;a\u2407 runs/[x]/a.jsonl' in text


def test_a_result_comes_back_from_its_file_and_other_files_are_refused(tmp_path):
  result.write(tmp_path / 'a.json', content())
  assert result.read(tmp_path / 'a.json') == json.loads(json.dumps(content()))
  for text in ('{}', '[1]', 'no'):
    (tmp_path / 'b.json').write_text(text)
    with pytest.raises(ValueError, match=r'b\.json is no result of an evaluation'):
      result.read(tmp_path / 'b.json')


def scored(rates, checkpoint='run', **prints):
  rows = [
    row(p, g, 'correct' if g < round(8 * rate) else 'wrong')
    for p, rate in enumerate(rates)
    for g in range(8)
  ]
  header = {'checkpoint': checkpoint, 'fingerprints': PRINTS | prints}
  return content(rows, len(rates), 8, **header)


def test_better_is_said_only_of_a_significant_difference():
  rng = np.random.default_rng(0)
  rates = rng.random(60)
  base = scored(rates, 'base')
  up, same = scored(np.clip(rates + 0.2, 0, 1), 'tuned'), scored(rng.permutation(rates), 'other')
  found = result.compare(up, base)
  text = result.judgement(up, base, found)
  assert found.significant and text.startswith('tuned is better than base: +')
  back = result.compare(base, up)
  assert result.judgement(base, up, back).startswith('tuned is better than base: -')
  chance = result.compare(same, base)
  text = result.judgement(same, base, chance)
  assert not chance.significant and 'better' not in text and 'No significant difference' in text


@pytest.mark.parametrize('name', ['prompts', 'sampler', 'grader'])
def test_other_fingerprints_are_not_compared_silently(name):
  one, other = scored([0.5] * 8), scored([0.5] * 8, **{name: 'z'})
  with pytest.raises(ValueError, match=f'differ in {name} as well as in the model.*--mixed'):
    result.compare(one, other)
  assert result.compare(one, other, mixed=True).p == 1


def test_other_questions_are_never_compared():
  with pytest.raises(ValueError, match='different questions'):
    result.compare(scored([0.5] * 8), scored([0.5] * 8, questions='z'), mixed=True)


def test_two_results_of_one_name_are_told_apart():
  one, other = scored([0.9] * 30), scored([0.1] * 30)
  text = result.judgement(one, other, result.compare(one, other))
  assert text.startswith('run (this result) is better than run (the other)')
