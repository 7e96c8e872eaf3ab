"""Answers that are checked: what a record means, every malformed one, and a reward at the end."""

import json
import re

import pytest

from r1jax.data import records, template
from r1jax.data.tasks import jsonl
from r1jax.rewards import choice, code, golds, json_value, puzzles, request, service
from r1jax.rewards.code import isolation

CHOICE = {'question': 'Which is even?', 'options': ['3', ' 4 ', '5'], 'answer': 'b'}
GAME = {'question': 'Make 24', 'numbers': [1, 2, 3, 4], 'target': 24}
PROGRAM = {'question': 'Add', 'tests': [{'stdin': '3 4\n', 'stdout': '7\n'}]}
CALL = {'call': 'add', 'args': [3, [4]], 'expected': {'a': [7, None]}}
NO_STDIN, NO_CALL = dict.fromkeys(('stdin', 'stdout')), dict.fromkeys(CALL)
FUNCTION = {'question': 'Add', 'tests': [CALL]}
ORDER = {'question': 'Who is taller?', 'order': ['Ann', 'Bob', 'Cy']}
JSON = {'question': 'Which city?', 'json': {'city': 'Rome', 'count': 2}}


def _nested(depth):
  value = 1
  for _ in range(depth):
    value = [value]
  return value


def _load(tmp_path, *records):
  path = tmp_path / 'some.jsonl'
  path.write_text('\n'.join(json.dumps(record) for record in records))
  return jsonl.load(path)


@pytest.mark.parametrize(
  'record, gold',
  [
    (CHOICE, choice.Letter('B', 'ABC', ('3', '4', '5'))),
    (GAME, puzzles.Numbers((1, 2, 3, 4), 24, True)),
    (GAME | {'use_all': False, 'answer': None}, puzzles.Numbers((1, 2, 3, 4), 24, False)),
    (PROGRAM, code.Tests((code.StdinTest('3 4\n', '7\n'),))),
    (FUNCTION, code.Tests((code.CallTest('add', (3, [4]), {'a': [7, None]}),))),
    # As parquet fills what only other tests have.
    (
      {'question': 'Add', 'tests': [CALL | NO_STDIN, PROGRAM['tests'][0] | NO_CALL]},
      code.Tests(
        (
          code.CallTest('add', (3, [4]), {'a': [7, None]}),
          code.StdinTest('3 4\n', '7\n'),
        )
      ),
    ),
    (
      {'question': 'Say', 'tests': [{'call': 'f', 'args': [], 'expected': None} | NO_STDIN]},
      code.Tests((code.CallTest('f', (), None),)),
    ),
    (ORDER, puzzles.Order(('Ann', 'Bob', 'Cy'))),
    (JSON, json_value.Json('{"city": "Rome", "count": 2}')),
    (JSON | {'json': False}, json_value.Json('false')),
    ({'question': 'Q', 'answer': '7', 'options': None, 'tests': None, 'json': None}, '7'),
  ],
)
def test_the_fields_of_a_record_say_how_it_is_checked(tmp_path, record, gold):
  (problem,) = _load(tmp_path, record)
  assert problem.answer == gold
  assert problem.question.startswith(record['question'])


def test_options_are_lettered_lines_of_the_question(tmp_path):
  (problem,) = _load(tmp_path, CHOICE)
  assert problem.question == 'Which is even?\nA. 3\nB. 4\nC. 5'


@pytest.mark.parametrize(
  'options', [['A. 3', 'B. 4', 'C. 5'], ['(A) 3', '(B) 4', '(C) 5'], ['A) 3', 'B) 4', 'C) 5']]
)
def test_options_that_carry_their_letters_do_not_get_them_twice(tmp_path, options):
  (problem,) = _load(tmp_path, CHOICE | {'options': options})
  assert problem.question == 'Which is even?\nA. 3\nB. 4\nC. 5'
  (named,) = _load(tmp_path, CHOICE | {'options': ['A. Smith', 'Bo. Dean']})
  assert named.question.endswith('\nA. A. Smith\nB. Bo. Dean')


def test_an_option_that_says_what_the_right_one_says_is_right_too(tmp_path):
  (problem,) = _load(tmp_path, CHOICE | {'options': ['4', '3', ' 4 '], 'answer': 'A'})
  scores = [problem.answer.check(f'\\boxed{{{one}}}', template.parse(''), None) for one in 'ABC']
  assert [found.score for found in scores] == [1, 0, 1]
  gold = golds.graded({'kind': 'letter', 'gold': 'C', 'choices': ['4', '3', '4']})
  assert gold.check('\\boxed{A}', template.parse(''), None).score == 1
  assert choice.Letter.graded({'gold': 'C', 'choices': 3}).texts == ()


def test_options_that_carry_letters_in_another_order_are_refused(tmp_path):
  with pytest.raises(ValueError, match='carry the letters BAC in this order, but would be asked'):
    _load(tmp_path, CHOICE | {'options': ['B. 3', 'A. 4', 'C. 5']})


def test_the_letter_stands_in_the_field_that_the_user_names(tmp_path):
  path = tmp_path / 'some.jsonl'
  path.write_text('{"q": "Q", "options": ["a", "b"], "correct": "A"}')
  (problem,) = jsonl.load(path, records.columns('question=q,answer=correct'))
  assert problem.answer == choice.Letter('A', 'AB', ('a', 'b'))


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
    (PROGRAM | {'tests': [NO_CALL | NO_STDIN]}, "test 1 of field 'tests' is {}, expected"),
    (FUNCTION | {'tests': [CALL | {'why': 'x'}]}, "test 1 of field 'tests' is"),
    (ORDER | {'order': ['Ann']}, "field 'order' holds ['Ann'], expected texts"),
    (ORDER | {'order': ['Ann', 2]}, "field 'order' holds ['Ann', 2]"),
    (ORDER | {'order': ['Ann', 'ann']}, "field 'order' holds ['Ann', 'ann']"),
    (JSON | {'json': {'a': float('inf')}}, "field 'json' holds NaN or Infinity"),
    (JSON | {'json': {'a': '\ud800'}}, "field 'json' holds half a surrogate pair"),
    (JSON | {'json': _nested(101)}, "field 'json' holds a value nested more than 100 deep"),
    (JSON | ORDER, 'order and json in one record'),
    (ORDER | {'answer': 'Ann'}, 'answer and order in one record: a question has one kind'),
    (GAME | {'answer': 24}, 'answer and numbers in one record'),
  ],
)
def test_a_malformed_record_is_named_with_its_line(tmp_path, record, why):
  with pytest.raises(records.RecordError, match=rf'some\.jsonl, line 2: {re.escape(why)}'):
    _load(tmp_path, GAME, record)


@pytest.mark.parametrize(
  'record, right, wrong',
  [
    (CHOICE, 'B', 'C'),
    (GAME, '(1 + 3) * (2 + 4)', '1 + 2 + 3 + 4'),
    (ORDER, 'Ann > Bob > Cy', 'Bob > Ann > Cy'),
    (JSON, '{"count": 2, "city": "Rome"}', '{"count": 3, "city": "Rome"}'),
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


def test_every_kind_says_what_it_is_and_asks_for_its_answer_in_its_own_words():
  names = [kind.name for kind in golds.KINDS]
  fields = [kind.field for kind in golds.KINDS if kind.field]
  assert len(set(names)) == len(names) and len(set(fields)) == len(fields) == len(names) - 1
  assert all(kind.instruction for kind in golds.KINDS)


@pytest.mark.parametrize(
  'record, gold',
  [
    ({'kind': 'math', 'gold': '1/2'}, golds.of('1/2')),
    ({'kind': 'math', 'gold': 18}, golds.of('18')),
    ({'kind': 'math', 'gold': 'So $1+4=\\boxed{5}$.'}, golds.of('5')),
    ({'kind': 'math', 'gold': 'First 2.\nThen $\\fbox{3}$.'}, golds.of('3')),
    ({'kind': 'math', 'gold': 'It is $\\boxed{\\frac{4}{6}=\\frac23}$.'}, golds.of('\\frac23')),
    ({'kind': 'math', 'gold': 'So \\boxed{x = 3 + y}.'}, golds.of('x = 3 + y')),
    ({'kind': 'math', 'gold': '48/2 = <<48/2=24>>24.\n#### 24'}, golds.of('24')),
    ({'kind': 'math', 'gold': '### 24'}, golds.of('### 24')),
    ({'kind': 'letter', 'gold': 'b'}, choice.Letter('B')),
    ({'kind': 'letter', 'gold': 'b', 'choices': ['x', 'y']}, choice.Letter('B', 'AB', ('x', 'y'))),
    ({'kind': 'letter', 'gold': 'b', 'choices': 4}, choice.Letter('B', 'ABCD')),
    ({'kind': 'numbers', 'gold': {'numbers': [3, 8], 'target': 24}}, puzzles.Numbers((3, 8), 24)),
    ({'kind': 'order', 'gold': ['Ann', 'Bob']}, puzzles.Order(('Ann', 'Bob'))),
    ({'kind': 'code', 'tests': PROGRAM['tests']}, code.Tests((code.StdinTest('3 4\n', '7\n'),))),
    ({'kind': 'json', 'gold': None}, json_value.Json('null')),
  ],
)
def test_a_record_to_be_judged_holds_its_gold(record, gold):
  assert golds.graded(record) == gold


@pytest.mark.parametrize(
  'record, why',
  [
    ({'gold': '1'}, "field 'kind' holds None, expected one of math, letter"),
    ({'kind': 'math'}, "there is no field 'gold'"),
    ({'kind': 'math', 'gold': None}, "field 'gold' holds None, expected text or a finite number"),
    ({'kind': 'math', 'gold': True}, "field 'gold' holds True, expected text or a finite number"),
    ({'kind': 'letter', 'gold': 'F'}, "field 'gold' holds 'F', expected a letter of ABCDE"),
    ({'kind': 'letter', 'gold': 'C', 'choices': ['x', 'y']}, "field 'gold' holds 'C'"),
    ({'kind': 'letter', 'gold': 'C', 'choices': 2}, "field 'gold' holds 'C'"),
    ({'kind': 'letter', 'gold': 'A', 'choices': True}, "field 'choices' holds True, expected 2 to"),
    ({'kind': 'letter', 'gold': 'A', 'choices': 27}, "field 'choices' holds 27, expected 2 to"),
    ({'kind': 'numbers', 'gold': [1]}, "field 'gold' holds [1], expected numbers"),
    ({'kind': 'order', 'gold': 'Ann'}, "holds 'Ann', expected texts"),
    ({'kind': 'code', 'gold': 1}, "no field 'tests', found ['gold', 'kind']"),
    ({'kind': 'json'}, "no field 'gold', found ['kind']"),
  ],
)
def test_a_record_that_cannot_be_judged_is_refused_with_its_field(record, why):
  with pytest.raises(ValueError, match=re.escape(why)):
    golds.graded(record)


def test_a_request_has_no_right_answer_and_a_number_is_no_gold():
  assert golds.of(request.Query('helpful')).check('hello', template.parse('hello'), None) is None
  with pytest.raises(TypeError, match='no verifier for a gold answer of type int'):
    golds.of(7)
