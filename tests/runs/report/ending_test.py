"""What a run leaves behind is complete, exact and readable."""

import io
import json
import math

import numpy as np
import pytest
import rich.console

from r1jax.evaluation import heldout, intervals
from r1jax.rewards import verdict
from r1jax.runs.report import run


def _evaluation(mean, length):
  return heldout.Evaluation(
    intervals.Estimate(mean, mean - 0.05, mean + 0.05, 100, 400), 0.9, length
  )


def _summary(**changes):
  fields = dict(
    before=_evaluation(0.2, 15.5),
    after=_evaluation(0.9, 43.25),
    seconds={'load': 1.23456, 'train': 300.0},
    seed=2,
    final_params_sha256='ab',
    length_accuracy_rank_correlation=0.97,
  )
  return run.Summary(**{**fields, **changes})


def _rows(steps):
  rng = np.random.default_rng(0)
  rows = []
  for step in range(1, steps + 1):
    grown = 1 / (1 + math.exp(-6 * (step / steps - 0.4)))
    accuracy = 0.16 + 0.75 * grown + 0.03 * rng.normal()
    shape = min(1.0, 0.6 + 0.4 * grown)
    rows.append({
      'step': step, 'reward/accuracy': accuracy, 'reward/format': shape,
      'reward/total': accuracy + shape, 'rollout/length': 15 + 30 * grown + rng.normal(),
    })  # fmt: skip
  return rows


def test_the_summary_has_the_keys_and_values_that_readers_rely_on(tmp_path):
  path = tmp_path / 'summary.json'
  returned = run.write_summary(path, _summary())
  content = json.loads(path.read_text())
  assert content == returned
  assert list(content) == [
    'before', 'after', 'seconds', 'peak_rss_gib', 'seed', 'final_params_sha256',
    'length_accuracy_rank_correlation',
  ]  # fmt: skip
  assert content['before'] == {
    'pass@1': 0.2, 'ci95': [pytest.approx(0.15), 0.25], 'format_rate': 0.9, 'mean_length': 15.5,
    'questions': 100, 'samples': 400,
  }  # fmt: skip
  assert content['seconds'] == {'load': 1.235, 'train': 300.0} and content['seed'] == 2
  assert 0.01 < content['peak_rss_gib'] < 100


def test_an_undefined_correlation_is_null_and_nan_is_refused(tmp_path):
  path = tmp_path / 'summary.json'
  run.write_summary(path, _summary(length_accuracy_rank_correlation=None))
  before = path.read_text()
  assert json.loads(before)['length_accuracy_rank_correlation'] is None
  with pytest.raises(ValueError, match='JSON'):
    run.write_summary(path, _summary(after=_evaluation(0.9, math.nan)))
  assert path.read_text() == before


def test_smoothing_is_the_mean_of_the_neighbours():
  found = run._smooth([1.0, 2.0, 6.0, 7.0], 1)
  np.testing.assert_allclose(found, [1.5, 3, 5, 6.5])


def test_length_and_accuracy_rising_together_correlate():
  assert run.length_accuracy(_rows(60)) > 0.8
  assert run.length_accuracy([]) is None
  rows = [{'step': n, 'rollout/length': n, 'reward/accuracy': -n} for n in range(5)]
  assert run.length_accuracy([*rows, {'step': 6, 'rollout/length': None}]) == pytest.approx(-1)


def _printed(*renderables, width=90):
  console = rich.console.Console(file=io.StringIO(), width=width)
  for one in renderables:
    console.print(one)
  return console.file.getvalue()


def test_the_table_shows_before_after_interval_and_change():
  text = _printed(run.table(_evaluation(0.2, 15.5), _evaluation(0.9, 43.25)))
  for part in ('20.0% [15.0, 25.0]', '90.0% [85.0, 95.0]', '+70.0 points', 'x 2.79', '15.5'):
    assert part in text
  assert '100 held-out questions, 400 samples' in text


def test_a_table_of_empty_replies_has_no_ratio():
  assert 'x nan' in _printed(run.table(_evaluation(0.2, 0.0), _evaluation(0.9, 3.0)))


def test_transcripts_show_the_models_text_as_it_is():
  wrong = verdict.Verdict(0.0, verdict.Kind.WRONG, '5 is not 4')
  right = verdict.Verdict(1.0, verdict.Kind.CORRECT)
  shown = run.transcripts('2 [b]+[/b] 2?', ('[red]<answer>5</answer>', wrong), ('', right))
  text = _printed(*shown)
  for part in ('2 [b]+[/b] 2?', '[red]<answer>5</answer>', 'before: wrong (5 is not 4)', '(empty)'):
    assert part in text
  assert 'after: correct' in text


def test_transcripts_hold_nothing_that_a_terminal_obeys():
  found = verdict.Verdict(0.0, verdict.Kind.WRONG, 'gold\x1b[31m')
  shown = run.transcripts('two\x1b[2J\nlines', ('\x9b0mA\x07', found), ('\x1b]0;t\x07', found))
  text = _printed(*shown)
  assert not set(text) & {'\x1b', '\x07', '\x9b'} and '␛[2J' in text and 'gold␛[31m' in text
