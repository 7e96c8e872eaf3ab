"""Which part of a completion is its final answer."""

import pytest

from r1jax.data import chat_template
from r1jax.rewards import accuracy, service
from r1jax.rewards.verdict import Kind

CASES = (
  ('<think>a</think> <answer>7</answer>', 'correct'),
  ('<answer>7</answer>', 'correct'),
  ('<answer>5</answer> <answer>7</answer>', 'correct'),
  ('<answer>7</answer> <answer>5</answer>', 'wrong'),
  ('<think>a</think> so \\boxed{7}', 'correct'),
  ('\\boxed{5} no, \\boxed{7}', 'correct'),
  ('\\boxed{7} no, \\boxed{5}', 'wrong'),
  ('<think>a</think> <answer>it is \\boxed{7}</answer>', 'correct'),
  ('\\boxed{7} <answer>5</answer>', 'wrong'),
  ('<think>\\boxed{7}</think> \\boxed{5}', 'wrong'),
  ('<think><answer>7</answer></think>', 'unparseable'),
  ('<think>\\boxed{7}</think>', 'unparseable'),
  ('<think>never closed <answer>7</answer>', 'unparseable'),
  ('thought opened by the prompt: \\boxed{5} </think> \\boxed{7}', 'correct'),
  ('7', 'unparseable'),
  ('', 'unparseable'),
  ('\\boxed{7', 'unparseable'),
  # A thought that is opened again.
  ('<think>x</think> \\boxed{6} <think>\\boxed{7}', 'wrong'),
  ('<think>x</think> \\boxed{7} <think>\\boxed{6}', 'correct'),
  ('<think>x</think> \\boxed{7} <think>\\boxed{6}</think>', 'correct'),
  ('<think>x</think> \\boxed{6} <think>\\boxed{7}</think>', 'wrong'),
  ('<think>x</think> <think>\\boxed{7}', 'unparseable'),
  ('<think>x</think> <think>y</think> \\boxed{7}', 'correct'),
  ('<think>a <think> b </think> \\boxed{7} </think>', 'unparseable'),
  ('<think>x</think> <think><answer>7</answer>', 'unparseable'),
  ('<think>x</think> <answer>7</answer> <think><answer>6</answer>', 'correct'),
  ('<think>x</think> <answer><think>\\boxed{7}</answer>', 'unparseable'),
  ('<think>x</think> <answer>7<think>6</think></answer>', 'correct'),
  # One that the prompt opened.
  ('I try <answer>7</answer> </think> I cannot say', 'unparseable'),
  ('I try <answer>6</answer> </think> <answer>7</answer>', 'correct'),
  ('I try \\boxed{6} </think> \\boxed{7} <think>\\boxed{6}', 'correct'),
  # One in other letters.
  ('<THINK>\\boxed{7}</THINK>', 'unparseable'),
  ('<Think>\\boxed{6}</Think> \\boxed{7}', 'correct'),
  ('<thinking>\\boxed{7}</thinking> \\boxed{6}', 'wrong'),
  ('<thinking><answer>7</answer>', 'unparseable'),
  ('<thinking>x</think> \\boxed{7}', 'correct'),
  ('<think>x</thinking> \\boxed{7}', 'unparseable'),
  ('\\boxed{6} </thinking> \\boxed{7}', 'correct'),
  ('<thinker>\\boxed{7}', 'correct'),
  ('<answer></answer>', 'unparseable'),
)


@pytest.mark.parametrize('completion, kind', CASES)
def test_the_last_answer_outside_the_thought_counts(completion, kind):
  verdict = service.judge(completion, '7')
  assert verdict.kind == kind
  assert verdict.score == (kind == 'correct')


def test_nested_braces_stay_inside_the_box():
  assert accuracy.last_box('a \\boxed{\\frac{1}{\\sqrt{2}}} b') == '\\frac{1}{\\sqrt{2}}'
  assert accuracy.last_box('\\boxed{\\{1,2\\}}') == '\\{1,2\\}'


@pytest.mark.parametrize(
  'unit',
  [
    'x',
    '9',
    '<think>',
    '</think>',
    '<think>1</think>2',
    '<answer>',
    '\\boxed{',
    '\\boxed{1}',
    '{',
    '\U0001f600',
  ],
)
def test_a_million_characters_get_a_defined_verdict(unit):
  completion = unit * (1_000_000 // len(unit))  # in quadratic time this test would not end
  for text in (completion, f'<answer>{completion}</answer>'):
    assert service.judge(text, '7').kind in (Kind.UNPARSEABLE, Kind.WRONG)


@pytest.mark.parametrize('line_end', ['', '\\n'])
def test_a_box_in_a_thought_that_the_prompt_opened_and_nobody_closed_is_no_answer(line_end):
  # DeepSeek-V3.1's template ends in `<think>` without a line end.
  form = chat_template.HubTemplate(
    "{{ messages[0]['content'] }}{% if add_generation_prompt %}{{ '<think>"
    + line_end
    + "' }}{% endif %}"
  )
  opened = chat_template.prefill(form.render([{'role': 'user', 'content': 'What is 2 + 2?'}]))
  cut = opened + 'First guess \\boxed{4}, but let me check again and again'
  assert service.judge(cut, '4').kind == Kind.UNPARSEABLE
  assert service.judge(f'{cut}</think> It is \\boxed{{4}}.', '4').kind == Kind.CORRECT
  assert service.judge('First guess \\boxed{4}', '4').kind == Kind.CORRECT
