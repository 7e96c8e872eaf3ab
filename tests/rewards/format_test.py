"""The format reward, by a table of borderline cases."""

import pytest

from r1jax.rewards import format
from r1jax.rewards.attacks import table
from r1jax.rewards.verdict import Kind

GOOD = (
  '<think>a</think><answer>1</answer>',
  '<think>a</think> <answer>1</answer>',
  '\n <think>\na\n</think>\n\n<answer>\n1\n</answer>\n',
  '<think></think> <answer>1</answer>',
  '<think>x < y > z</think> <answer><b>1</b></answer>',
)
BAD = (
  ('', 'expected 1'),
  ('1', 'expected 1'),
  ('<answer>1</answer>', '<think>'),
  ('<think>a</think>', '<answer>'),
  ('<think>a</think> <answer></answer>', 'empty answer'),
  ('so <think>a</think> <answer>1</answer>', 'before <think>'),
  ('<think>a</think> so <answer>1</answer>', 'between'),
  ('<think>a</think> <answer>1</answer>.', 'after'),
  ('<answer>1</answer><think>a</think>', 'order'),
  ('<think>a <answer>1</think></answer>', 'order'),
)


@pytest.mark.parametrize('completion', GOOD)
def test_the_format_of_the_template_is_paid(completion):
  assert format.check(completion).score == 1


@pytest.mark.parametrize('completion, why', BAD)
def test_anything_else_is_not_paid_and_the_reason_is_told(completion, why):
  verdict = format.check(completion)
  assert (verdict.score, verdict.kind) == (0, Kind.WRONG)
  assert why in verdict.why


def test_attacks_on_the_format_are_not_paid():
  rows = [row for row in table.attacks() if row.kind == 'format']
  assert len(rows) >= 12
  for row in rows:
    assert format.check(row.completion).score == 0, row.name
