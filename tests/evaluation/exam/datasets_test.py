"""Benchmarks in their published formats: what a line means, and every way it can be wrong."""

import base64
import csv
import datetime
import json
import pickle
import re
import zlib

import pytest

from r1jax.data import records
from r1jax.evaluation.exam import datasets
from r1jax.rewards import choice, code
from tests import shared_data

MATH = {'problem': 'Add', 'solution': 's', 'answer': '\\frac{1}{2}', 'subject': 'Algebra'}
MATH |= {'level': 2, 'unique_id': 'test/1.json'}
STDIN = [{'input': '1 2\n', 'output': '3\n', 'testtype': 'stdin'}]
CALLS = [{'input': '[1, 2]\n3', 'output': '"x"', 'testtype': 'functional'}]
PROGRAM = {
  'question_title': 'T',
  'question_content': 'Add two numbers',
  'platform': 'atcoder',
  'contest_date': '2024-09-01T00:00:00',
  'starter_code': '',
  'difficulty': 'easy',
  'public_test_cases': json.dumps(STDIN),
  'private_test_cases': json.dumps(STDIN),
  'metadata': '{}',
}
HEADER = ['Question', 'Correct Answer', 'Incorrect Answer 1', 'Incorrect Answer 2']
HEADER += ['Incorrect Answer 3', 'High-level domain', 'Record ID']


def _packed(value):
  return base64.b64encode(zlib.compress(pickle.dumps(value))).decode()


def _squeezed(data):
  return base64.b64encode(zlib.compress(data)).decode()


def _jsonl(tmp_path, *records):
  path = tmp_path / 'test.jsonl'
  path.write_text('\n'.join(json.dumps(record) for record in records))
  return path


def _csv(tmp_path, *rows, header=None):
  path = tmp_path / 'gpqa_diamond.csv'
  with path.open('w', newline='') as file:
    csv.writer(file).writerows([header or HEADER, *rows])
  return path


def test_gsm8k_is_its_test_set():
  found = datasets.gsm8k(shared_data.path('gsm8k/test.jsonl'))
  assert len(found) == 1319 and found[0].answer == '18' and {p.kind for p in found} == {'gsm8k'}


def test_math500_keeps_subject_and_level(tmp_path):
  (found,) = datasets.math500(_jsonl(tmp_path, MATH))
  assert (found.question, found.answer) == ('Add', '\\frac{1}{2}')
  assert (found.kind, found.level) == ('Algebra', 2)


@pytest.mark.parametrize(
  'record',
  [
    {'id': 60, 'problem': 'Q', 'solution': 's', 'answer': '025', 'url': 'u', 'year': '2024'},
    {'ID': '2024-I-1', 'Problem': 'Q', 'Solution': 's', 'Answer': 25},
    {'question': 'Q', 'answer': '25'},
  ],
)
def test_aime_is_read_in_each_of_its_published_forms(tmp_path, record):
  (found,) = datasets.aime(_jsonl(tmp_path, record))
  assert (found.question, found.answer) == ('Q', '25')


@pytest.mark.parametrize(
  'answer, number',
  [('336^\\circ', '336'), ('$70^{\\circ}$', '70'), ('25 degrees', '25'), ('007', '7')],
)
def test_the_unit_of_an_aime_answer_is_left_out(tmp_path, answer, number):
  (found,) = datasets.aime(_jsonl(tmp_path, {'problem': 'Q', 'answer': answer}))
  assert found.answer == number


def test_gpqa_options_stand_in_an_order_that_never_changes_and_is_not_always_the_same(tmp_path):
  rows = [
    [f'Question {n}\nof two lines', 'yes', 'no', 'maybe', 'never', 'Physics', 'rec']
    for n in range(24)
  ]
  found = datasets.gpqa(_csv(tmp_path, *rows))
  assert found == datasets.gpqa(_csv(tmp_path, *rows))
  assert {p.answer.letter for p in found} == set('ABCD')
  for problem in found:
    assert isinstance(problem.answer, choice.Letter) and problem.kind == 'Physics'
    assert f'\n{problem.answer.letter}. yes' in problem.question
    assert sorted(line[3:] for line in problem.question.splitlines()[2:]) == sorted(
      ('yes', 'no', 'maybe', 'never')
    )


def test_livecodebench_takes_public_and_packed_private_tests(tmp_path):
  hidden = [{'input': '5 6\n', 'output': '11\n', 'testtype': 'stdin'}]
  path = _jsonl(tmp_path, PROGRAM | {'private_test_cases': _packed(json.dumps(hidden))})
  (found,) = datasets.livecodebench(path)
  assert found.answer == code.Tests(
    (code.StdinTest('1 2\n', '3\n'), code.StdinTest('5 6\n', '11\n')), rules='livecodebench'
  )
  assert 'standard input' in found.question and found.kind == 'easy'


def test_livecodebench_functions_get_their_arguments_line_by_line(tmp_path):
  record = PROGRAM | {
    'public_test_cases': json.dumps(CALLS),
    'private_test_cases': '[]',
    'metadata': '{"func_name": "solve"}',
    'starter_code': 'class Solution:\n    def solve(self, a, b):\n        ',
  }
  (found,) = datasets.livecodebench(_jsonl(tmp_path, record))
  assert found.answer.tests == (code.CallTest('solve', ([1, 2], 3), 'x'),)
  assert 'def solve(self, a, b):' in found.question and 'standard input' not in found.question


def test_livecodebench_keeps_the_contests_of_the_dates_given(tmp_path):
  records = [PROGRAM | {'contest_date': f'2024-0{m}-01T00:00:00'} for m in (7, 8, 9)]
  dates = (datetime.date(2024, 8, 1), datetime.date(2024, 8, 31))
  path = _jsonl(tmp_path, *records)
  assert [len(datasets.livecodebench(path, d)) for d in (None, dates)] == [3, 1]


def test_packed_tests_that_swell_beyond_all_measure_are_refused_unread(tmp_path, monkeypatch):
  monkeypatch.setattr(datasets, 'LARGEST_TESTS', 1 << 20)
  record = PROGRAM | {'private_test_cases': _packed('[]' + ' ' * (1 << 21))}
  with pytest.raises(records.RecordError, match='unpacks to more than 1 MiB'):
    datasets.livecodebench(_jsonl(tmp_path, record))


class _Evil:
  def __reduce__(self):
    return (print, ('taken over',))


@pytest.mark.parametrize(
  'load, record, why',
  [
    ('math500', MATH | {'answer': ''}, "field 'answer' is empty"),
    ('math500', MATH | {'level': '2'}, "field 'level' holds '2', expected 1 to 5"),
    ('math500', {'problem': 'Q', 'level': 1}, "no field 'answer'"),
    ('aime', {'problem': 'Q', 'answer': '1000'}, "the answer is '1000', expected a whole number"),
    ('aime', {'problem': 'Q', 'answer': '3/4'}, "the answer is '3/4', expected a whole number"),
    ('aime', {'problem': 'Q', 'answer': '-3^\\circ'}, 'expected a whole number'),
    ('aime', {'problem': 'Q', 'answer': '3 or 4'}, 'expected a whole number'),
    ('aime', {'text': 'Q', 'answer': '1'}, "no field 'problem', 'Problem' or 'question'"),
    ('livecodebench', PROGRAM | {'contest_date': 'x'}, "field 'contest_date' holds 'x'"),
    ('livecodebench', PROGRAM | {'public_test_cases': '[{]'}, 'public_test_cases is not JSON'),
    ('livecodebench', PROGRAM | {'private_test_cases': 'zzz'}, 'neither JSON nor packed tests'),
    ('livecodebench', PROGRAM | {'private_test_cases': _packed([1])}, 'packs list, expected text'),
    ('livecodebench', PROGRAM | {'private_test_cases': _squeezed(b'')}, 'nor packed tests'),
    ('livecodebench', PROGRAM | {'private_test_cases': _squeezed(b'\x80')}, 'nor packed tests'),
    ('livecodebench', PROGRAM | {'private_test_cases': _squeezed(b'0.')}, 'nor packed tests'),
    ('livecodebench', PROGRAM | {'private_test_cases': _squeezed(b'h\x07.')}, 'nor packed tests'),
    ('livecodebench', PROGRAM | {'private_test_cases': _packed(_Evil())}, 'it asks for builtins'),
    ('livecodebench', PROGRAM | {'public_test_cases': '[{"input": 1}]'}, "a test is {'input': 1}"),
    ('livecodebench', PROGRAM | {'public_test_cases': json.dumps(CALLS)}, 'names no func_name'),
    (
      'livecodebench',
      PROGRAM | {'public_test_cases': '[]', 'private_test_cases': '[]'},
      'no test in',
    ),
  ],
)
def test_a_malformed_line_is_named_with_its_number(tmp_path, capsys, load, record, why):
  good = {'math500': MATH, 'aime': {'problem': 'Q', 'answer': 1}, 'livecodebench': PROGRAM}[load]
  with pytest.raises(records.RecordError, match=rf'test\.jsonl, line 2: .*{re.escape(why)}'):
    getattr(datasets, load)(_jsonl(tmp_path, good, record))
  assert 'taken over' not in capsys.readouterr().out


def test_a_malformed_row_of_gpqa_is_named_with_its_line(tmp_path):
  good = ['Q', 'a', 'b', 'c', 'd', 'Physics', 'rec']
  for row, why in (
    (['Q', 'a', 'b', '', 'd', 'P', 'r'], "line 3: field 'Incorrect Answer 2' is empty"),
    (['Q', 'a', 'b'], 'line 3: not as many fields'),
  ):
    with pytest.raises(records.RecordError, match=why):
      datasets.gpqa(_csv(tmp_path, good, row))
  with pytest.raises(records.RecordError, match="line 2: no field 'Correct Answer'"):
    datasets.gpqa(_csv(tmp_path, ['Q', 'a'], header=['Question', 'Answer']))
  with pytest.raises(records.RecordError, match='no question in it'):
    datasets.gpqa(_csv(tmp_path))
