"""Answers that are checked: what a record means, every malformed one, and a reward at the end."""

import json
import re

import pytest

from r1jax.data import template
from r1jax.data.tasks import jsonl
from r1jax.rewards import choice, code, puzzles, service
from r1jax.rewards.code import isolation

CHOICE = {'question': 'Which is even?', 'options': ['3', ' 4 ', '5'], 'answer': 'b'}
GAME = {'question': 'Make 24', 'numbers': [1, 2, 3, 4], 'target': 24}
PROGRAM = {'question': 'Add', 'tests': [{'stdin': '3 4\n', 'stdout': '7\n'}]}
CALL = {'call': 'add', 'args': [3, [4]], 'expected': {'a': [7, None]}}
FUNCTION = {'question': 'Add', 'tests': [CALL]}


def _load(tmp_path, *records):
  path = tmp_path / 'some.jsonl'
  path.write_text('\n'.join(json.dumps(record) for record in records))
  return jsonl.load(path)


@pytest.mark.parametrize(
  'record, gold',
  [
    (CHOICE, choice.Letter('B', 'ABC')),
    (GAME, puzzles.Numbers((1, 2, 3, 4), 24, True)),
    (GAME | {'use_all': False, 'answer': 'unread'}, puzzles.Numbers((1, 2, 3, 4), 24, False)),
    (PROGRAM, code.Tests((code.StdinTest('3 4\n', '7\n'),))),
    (FUNCTION, code.Tests((code.CallTest('add', (3, [4]), {'a': [7, None]}),))),
    ({'question': 'Q', 'answer': '7', 'options': None, 'tests': None}, '7'),
  ],
)
def test_the_fields_of_a_record_say_how_it_is_checked(tmp_path, record, gold):
  (problem,) = _load(tmp_path, record)
  assert problem.answer == gold
  assert problem.question.startswith(record['question'])


def test_options_are_lettered_lines_of_the_question(tmp_path):
  (problem,) = _load(tmp_path, CHOICE)
  assert problem.question == 'Which is even?\nA. 3\nB. 4\nC. 5'


def test_the_letter_stands_in_the_field_that_the_user_names(tmp_path):
  path = tmp_path / 'some.jsonl'
  path.write_text('{"q": "Q", "options": ["a", "b"], "correct": "A"}')
  (problem,) = jsonl.load(path, question_key='q', answer_key='correct')
  assert problem.answer == choice.Letter('A', 'AB')


@pytest.mark.parametrize(
  'record, why',
  [
    (CHOICE | {'options': ['4']}, "field 'options' holds ['4'], expected 2 to 26 texts"),
    (CHOICE | {'options': 'ABC'}, "field 'options' holds 'ABC'"),
    (CHOICE | {'options': ['x'] * 27}, "field 'options' holds"),
    (CHOICE | {'options': ['3', 4]}, "option 2 of field 'options' is 4, expected text"),
    (CHOICE | {'options': [' ', '4']}, "option 1 of field 'options' is ' '"),
    (CHOICE | {'options': ['3', '\ud800']}, "option 2 of field 'options' is"),
    (CHOICE | {'answer': 'D'}, "field 'answer' holds 'D', expected a letter of ABC"),
    (CHOICE | {'answer': 'AB'}, "field 'answer' holds 'AB'"),
    (CHOICE | {'answer': ''}, "field 'answer' holds ''"),
    (CHOICE | {'answer': 1}, "field 'answer' holds 1, expected a letter"),
    ({'question': 'Q', 'options': ['3', '4']}, "field 'answer' holds None"),
    (CHOICE | GAME, 'options and numbers in one record'),
    (GAME | {'numbers': []}, "field 'numbers' holds [], expected a list of whole numbers"),
    (GAME | {'numbers': [1, 2.5]}, "field 'numbers' holds [1, 2.5]"),
    (GAME | {'numbers': [1, True]}, "field 'numbers' holds [1, True]"),
    (GAME | {'target': None}, "field 'target' holds None, expected a whole number"),
    (GAME | {'target': '24'}, "field 'target' holds '24'"),
    (GAME | {'use_all': 1}, "field 'use_all' holds 1, expected true or false"),
    (PROGRAM | {'tests': []}, "field 'tests' holds [], expected a list of tests"),
    (PROGRAM | {'tests': {'stdin': ''}}, "field 'tests' holds {'stdin': ''}"),
    (PROGRAM | {'tests': [*PROGRAM['tests'], 'x']}, "test 2 of field 'tests' is 'x', expected"),
    (PROGRAM | {'tests': [{'stdin': '3'}]}, "test 1 of field 'tests' is {'stdin': '3'}"),
    (PROGRAM | {'tests': [{'stdin': '3', 'stdout': 3}]}, 'test 1: stdout is 3, expected text'),
    (FUNCTION | {'tests': [CALL | {'call': 'a.b'}]}, "test 1: call is 'a.b'"),
    (FUNCTION | {'tests': [CALL | {'args': 3}]}, 'test 1: args is 3, expected a list'),
    (FUNCTION | {'tests': [CALL | {'expected': float('nan')}]}, 'test 1: no such number in JSON'),
    (FUNCTION | {'tests': [CALL | {'why': 'x'}]}, "test 1 of field 'tests' is"),
  ],
)
def test_a_malformed_record_is_named_with_its_line(tmp_path, record, why):
  with pytest.raises(jsonl.JsonlError, match=rf'some\.jsonl, line 2: {re.escape(why)}'):
    _load(tmp_path, GAME, record)


@pytest.mark.parametrize(
  'record, right, wrong',
  [
    (CHOICE, 'B', 'C'),
    (GAME, '(1 + 3) * (2 + 4)', '1 + 2 + 3 + 4'),
    pytest.param(
      PROGRAM,
      '\n```python\nprint(sum(map(int, input().split())))\n```\n',
      '\n```python\nprint(8)\n```\n',
      marks=pytest.mark.skipif(
        isolation.available() is None, reason=f'needs bubblewrap: {isolation.INSTALL}'
      ),
    ),
  ],
)
def test_a_completion_is_rewarded_by_the_verifier_of_its_record(tmp_path, record, right, wrong):
  (problem,) = _load(tmp_path, record)
  rewards = service.RewardService()
  reply = lambda text: f'<think> let me see </think> <answer> {text} </answer>'
  try:
    items = [service.Item(reply(text), problem.answer) for text in (right, wrong)]
    found = rewards.submit(items).result()
  finally:
    rewards.close()
  assert template.parse(items[0].completion).well_formed
  assert [reward.total for reward in found] == [2, 1]
  assert all(reward.scored for reward in found)
