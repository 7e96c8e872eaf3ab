"""Damaged lines of JSONL: of records to be judged and of questions. Each is read or refused."""

import copy
import json
import random

import pytest

from r1jax import grade
from r1jax.data.tasks import jsonl

# What stands where something else is expected.
ODD = (
  None, True, 0, -1, 1.5, float('inf'), float('nan'), 10**400, '', '\ud800', '\x00', 'a' * 5000, [],
  [[]], {}, {'a': 1}, [None], [1, 2, 3], '\\frac{' * 300, '\\boxed{', '<think>', '</answer>',
  '9' * 5000, '#### ', '\u202e7', '\uff19', '```', '[' * 400, [{'call': 1}], [{'stdin': 1}],
)  # fmt: skip
JUDGED = (
  {'kind': 'math', 'gold': '1/2', 'completion': 'so \\boxed{0.5}'},
  {'kind': 'letter', 'gold': 'B', 'answer': 'B', 'choices': ['x', 'y']},
  {'kind': 'order', 'gold': ['A', 'B'], 'answer': 'A, B'},
  {'kind': 'json', 'gold': {'a': 1}, 'answer': '{"a": 1}'},
  {'kind': 'numbers', 'gold': {'numbers': [2, 3], 'target': 6}, 'answer': '2*3'},
  {'kind': 'format', 'completion': '<think>a</think><answer>b</answer>'},
  {'kind': 'language', 'gold': 'en', 'completion': '<think>we add</think>'},
  {'kind': 'code', 'tests': [{'stdin': '1', 'stdout': '1'}], 'answer': 'print(1)'},
)
ASKED = (
  {'question': 'Add', 'answer': '3+4\n#### 7'},
  {'question': 'Which?', 'options': ['3', '4'], 'answer': 'B'},
  {'question': 'Make 24', 'numbers': [1, 2, 3, 4], 'target': 24},
  {'question': 'Who?', 'order': ['Ann', 'Bob']},
  {'question': 'Add', 'tests': [{'call': 'add', 'args': [3, 4], 'expected': 7}]},
  {'question': 'Where?', 'json': {'city': 'Rome'}},
)


def _places(value, at=()):
  """The paths of all values inside a JSON value."""
  items = value.items() if isinstance(value, dict) else enumerate(value)
  for key, inner in list(items):
    yield (*at, key)
    if isinstance(inner, (dict, list)):
      yield from _places(inner, (*at, key))


def _damaged(record, source):
  record = copy.deepcopy(record)
  *outer, last = source.choice(list(_places(record)))
  inside = record
  for key in outer:
    inside = inside[key]
  if source.random() < 0.2:
    del inside[last]
  else:
    inside[last] = source.choice(ODD)
  line = bytearray(json.dumps(record, ensure_ascii=False).encode('utf-8', 'surrogatepass'))
  for _ in range(source.choice((0, 0, 1, 3))):
    at = source.randrange(len(line))
    line[at : at + source.randrange(4)] = bytes([source.randrange(256)]) * source.randrange(3)
  return bytes(line).replace(b'\n', b' ')


@pytest.mark.parametrize('records, read', [(JUDGED, grade.read), (ASKED, jsonl.load)])
def test_a_damaged_line_is_read_or_refused_in_one_line(tmp_path, records, read):
  source, path, refused = random.Random(0), tmp_path / 'some.jsonl', 0
  for _ in range(500):
    path.write_bytes(_damaged(source.choice(records), source) + b'\n')
    try:
      read(path)
    except ValueError as error:
      refused += 1
      assert '\n' not in str(error), path.read_bytes()
  assert 100 < refused < 500


def test_damaged_records_that_can_be_read_get_a_verdict_each(tmp_path):
  source, path, lines = random.Random(1), tmp_path / 'some.jsonl', []
  while len(lines) < 60:
    line = _damaged(source.choice(JUDGED[:-1]), source)
    path.write_bytes(line)
    try:
      grade.read(path)
    except ValueError:
      continue
    lines.append(line)
  path.write_bytes(b'\n'.join(lines))
  out = tmp_path / 'out.jsonl'
  assert grade.main([str(path), f'--json={out}']) == 0
  assert len(out.read_text().splitlines()) == 60
