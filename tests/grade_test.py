"""The command `r1jax grade`: records in, the same records with their verdicts out."""

import gzip
import json
import typing

import pytest

from r1jax import grade
from r1jax.rewards import golds, service
from r1jax.rewards.code import isolation
from r1jax.rewards.workers import pool

GAME = {'numbers': [2, 3], 'target': 6}
RECORDS = (
  ({'kind': 'math', 'gold': '1/2', 'completion': 'so \\boxed{0.5}', 'id': 7}, 'correct', '0.5'),
  ({'kind': 'math', 'gold': '14', 'answer': '13', 'question': 'Add'}, 'wrong', '13'),
  ({'kind': 'math', 'gold': '\\sqrt{8}', 'answer': '2\\sqrt{2}'}, 'correct', '2\\sqrt{2}'),
  ({'kind': 'math', 'gold': 3, 'completion': 'I do not know'}, 'unparseable', None),
  ({'kind': 'letter', 'gold': 'B', 'completion': '<answer>(B)</answer>'}, 'correct', 'B'),
  ({'kind': 'letter', 'gold': 'B', 'answer': 'C', 'choices': ['x', 'y']}, 'unparseable', None),
  ({'kind': 'format', 'completion': '<think>a</think><answer>b</answer>'}, 'correct', None),
  ({'kind': 'format', 'completion': 'b'}, 'wrong', None),
  ({'kind': 'language', 'gold': 'zh', 'completion': '<think>we add</think>'}, 'wrong', None),
  ({'kind': 'order', 'gold': ['A', 'B'], 'answer': 'A, B'}, 'correct', 'A, B'),
  ({'kind': 'json', 'gold': {'a': 1}, 'answer': '{"a": 1.0}'}, 'correct', '{"a": 1.0}'),
  (
    {'kind': 'numbers', 'gold': {'numbers': [2, 3], 'target': 6}, 'answer': '2*3'},
    'correct',
    '2*3',
  ),
)
TESTS = [{'stdin': '3 4\n', 'stdout': '7\n'}]


def _file(tmp_path, *records):
  path = tmp_path / 'completions.jsonl'
  path.write_text(''.join(json.dumps(record) + '\n' for record in records))
  return path


def _graded(tmp_path, *records):
  out = tmp_path / 'graded.jsonl'
  assert grade.main([str(_file(tmp_path, *records)), f'--json={out}']) == 0
  return [json.loads(line) for line in out.read_text().splitlines()]


def test_records_keep_their_order_and_columns_and_get_a_verdict(tmp_path, capsys):
  given = [record for record, _, _ in RECORDS]
  found = _graded(tmp_path, *given)
  for (record, verdict, extracted), row in zip(RECORDS, found, strict=True):
    assert record.items() <= row.items()
    assert row.keys() - record.keys() == {'score', 'verdict', 'extracted', 'why'}
    assert (row['verdict'], row['extracted']) == (verdict, extracted)
    assert row['score'] == (verdict == 'correct')
  shown = [line.split() for line in capsys.readouterr().out.splitlines()]
  assert ['math', '4', '2', '1', '1', '0', '0', '0.500'] in shown
  assert ['all', '12', '7', '3', '2', '0', '0', '0.583'] in shown


def test_completions_are_read_where_the_user_says(tmp_path):
  record = {'kind': 'math', 'gold': 7.5, 'completion': 'Some 3 and then 7.5'}
  asked = {'tags': 'unparseable', 'box': 'unparseable', 'last_number': 'correct'}
  # The command's own list, as its --help is to wait for no module, and that of rewards.
  assert tuple(asked) == typing.get_args(typing.get_type_hints(service.RewardConfig)['answer'])
  for answer, verdict in asked.items():
    out = tmp_path / 'out.jsonl'
    assert grade.main([str(_file(tmp_path, record)), f'--json={out}', f'--answer={answer}']) == 0
    assert json.loads(out.read_text())['verdict'] == verdict


def test_what_is_judged_is_not_written_over_and_no_table_is_read_as_lines(tmp_path, capsys):
  file = _file(tmp_path, RECORDS[0][0])
  before = file.read_bytes()
  assert grade.main([str(file), f'--json={file}']) == 1
  assert 'is what is judged' in capsys.readouterr().err and file.read_bytes() == before
  file.write_bytes(gzip.compress(before))
  assert grade.main([str(file)]) == 1
  assert 'looks like gzip (gunzip unpacks it)' in capsys.readouterr().err


@pytest.mark.skipif(isolation.available() is None, reason=f'needs bubblewrap: {isolation.INSTALL}')
def test_a_program_alone_and_a_fenced_one_are_run(tmp_path):
  code = {'kind': 'code', 'tests': TESTS}
  right = code | {'answer': 'print(sum(map(int, input().split())))'}
  wrong = code | {'completion': '```python\nprint(8)\n```'}
  found = _graded(tmp_path, right, wrong)
  assert [row['verdict'] for row in found] == ['correct', 'wrong']
  assert found[1]['extracted'] == 'print(8)\n'


def test_unreadable_lines_are_named_and_nothing_is_judged(tmp_path, capsys):
  path, out = _file(tmp_path, RECORDS[0][0]), tmp_path / 'graded.jsonl'
  bad = ('[', '{"kind": "x", "completion": ""}', '{"kind": "math", "gold": "1"}', '"text"')
  path.write_text(path.read_text() + '\n'.join(bad))
  assert grade.main([str(path), f'--json={out}']) == 1
  printed = capsys.readouterr()
  assert not out.exists() and not printed.out and printed.err.count('\n') == 1
  for line in (
    'completions.jsonl: 4 lines cannot be judged, so none was',
    'line 2: not JSON',
    f"line 3: field 'kind' holds 'x', expected one of {', '.join(golds.NAMES)}, format, language, "
    'repetition',
    "line 4: no field 'completion' or 'answer'",
    'line 5: expected a JSON object, found str',
  ):
    assert line in printed.err


def test_of_many_unreadable_lines_ten_are_told_and_the_rest_counted(tmp_path, capsys):
  assert grade.main([str(_file(tmp_path, *[{'kind': 'math'}] * 15))]) == 1
  error = capsys.readouterr().err
  assert 'line 10: ' in error and 'line 11: ' not in error and error.endswith('; and 5 more\n')


def test_an_answer_given_again_is_judged_once_and_told_to_all(tmp_path, monkeypatch):
  submitted = []
  submit = pool.Pool.submit
  monkeypatch.setattr(
    pool.Pool, 'submit', lambda self, task: submitted.append(task) or submit(self, task)
  )
  right, wrong = (
    {'kind': 'math', 'gold': '\\sqrt{8}', 'answer': answer}
    for answer in ('2\\sqrt{2}', '3\\sqrt{2}')
  )
  found = _graded(tmp_path, right, wrong, right, right, wrong)
  assert [row['score'] for row in found] == [1, 0, 1, 1, 0] and len(submitted) == 2


def test_records_wait_for_a_pool_that_starts_late(tmp_path, monkeypatch):
  monkeypatch.setattr(pool, 'START_SECONDS', 0.01)  # what a pool of rewards would give up after
  record = {'kind': 'math', 'gold': '\\sqrt{8}', 'answer': '2\\sqrt{2}'}
  assert [row['verdict'] for row in _graded(tmp_path, record)] == ['correct']


@pytest.mark.parametrize(
  'argv, why',
  [
    (['nowhere.jsonl'], 'nowhere.jsonl'),
    ([], 'the following arguments are required: FILE.jsonl'),
    (['a.jsonl', '--json=no/folder/b.jsonl'], 'no/folder/b.jsonl'),
    (['a.jsonl', '--jsom=b.jsonl'], 'did you mean --json?'),
  ],
)
def test_what_cannot_be_begun_is_said_in_one_line(argv, why, capsys):
  assert grade.main(argv) == 1
  error = capsys.readouterr().err
  assert why in error and error.count('\n') == 1


@pytest.mark.parametrize(
  'record, why',
  [
    ({'kind': 'format', 'answer': '5'}, "a format is judged of a whole reply: give field 'compl"),
    ({'kind': 'language', 'gold': 'fr', 'completion': ''}, "field 'gold' holds 'fr', expected"),
    ({'kind': 'math', 'gold': '1', 'completion': 5}, "field 'completion' holds 5, expected text"),
    ({'kind': ['math'], 'completion': ''}, "field 'kind' holds ['math'], expected one of"),
  ],
)
def test_a_record_that_cannot_be_judged_says_why(tmp_path, record, why, capsys):
  assert grade.main([str(_file(tmp_path, record))]) == 1
  assert why in capsys.readouterr().err


@pytest.mark.parametrize(
  'answer, completion, score',
  [
    ('tags', '<think>a</think> <answer>b</answer>', 1),
    ('tags', '\\boxed{18}', 0),
    ('box', '\\boxed{18}', 1),
    ('box', '<think>a</think> <answer>b</answer>', 0),
    ('last_number', 'It is 18.', 1),
    ('last_number', 'It is.', 0),
  ],
)
def test_the_form_wanted_is_that_of_the_answer(answer, completion, score, tmp_path):
  path = tmp_path / 'a.jsonl'
  path.write_text(json.dumps({'kind': 'format', 'completion': completion}))
  (record,) = grade.read(path, answer)
  assert grade.judge([record], lambda: None)[0].score == score
