"""Benchmarks in the files they are published in, read into `Problem`s.

A malformed line is an error that names the file and the line. `kind` is what results are told apart
by: the subject of MATH-500, the domain of GPQA, the difficulty of LiveCodeBench.
"""

import base64
import csv
import datetime
import hashlib
import io
import json
import pathlib
import pickle
import re
import struct
import zlib

import numpy as np

from r1jax.data import records
from r1jax.data.problem import Problem
from r1jax.data.tasks import jsonl
from r1jax.rewards import code, golds
from r1jax.rewards.math import notation, quantity

LARGEST_TESTS = 256 << 20  # bytes that the private tests of one question may unpack to
# What reading a damaged base64, zlib or pickle raises.
_DAMAGED = (
  ValueError, TypeError, LookupError, AttributeError, EOFError, MemoryError, OverflowError,
  RecursionError, zlib.error, pickle.UnpicklingError, struct.error,
)  # fmt: skip
# Digits, and a unit that is no digit. Yes: `336`, `336^\circ`, `33 cm`. No: `-3`, `3.5`, `3/4`.
_WHOLE = re.compile(r'\d{1,4}(?![\d.,/])', re.ASCII)
_WRONG = ('Incorrect Answer 1', 'Incorrect Answer 2', 'Incorrect Answer 3')


def gsm8k(path):
  """GSM8K (`question`, `answer` that ends in `#### 18`)."""
  problems = jsonl.load(path)
  return [Problem(p.question, p.answer, 'gsm8k', 0, p.steps) for p in problems]


def math500(path):
  """MATH-500 (`problem`, `answer`, `subject`, `level` from 1 to 5)."""

  def one(record):
    level = record.get('level')
    # Not isinstance, to which true is a whole number too.
    if type(level) is not int or not 1 <= level <= 5:
      raise ValueError(f"field 'level' holds {level!r:.40}, expected 1 to 5")
    answer, subject = records.text(record, 'answer'), records.text(record, 'subject')
    return Problem(records.text(record, 'problem'), answer, subject, level)

  return list(records.each(path, one))


def aime(path):
  """AIME (`problem` or `Problem` or `question`, and `answer` or `Answer`, a number 0 to 999).

  A unit behind the number, such as the degrees of AIME 2025's `336^\\circ`, is left out.
  """

  def one(record):
    names = [name for name in ('problem', 'Problem', 'question') if name in record]
    if not names:
      raise ValueError(f"no field 'problem', 'Problem' or 'question', found {sorted(record)}")
    answer = records.text(record, 'Answer' if 'Answer' in record else 'answer', (str, int))
    number = quantity.read(notation.clean(answer))
    if not _WHOLE.match(notation.clean(answer)) or number is None or number.value > 999:
      raise ValueError(f'the answer is {answer!r:.40}, expected a whole number from 0 to 999')
    # Some files write 25 as '025'.
    return Problem(records.text(record, names[0]), str(number.value), 'aime', 0)

  return list(records.each(path, one))


def gpqa(path):
  """GPQA (CSV: `Question`, `Correct Answer`, `Incorrect Answer 1` to `3`, `High-level domain`).

  The four options stand in an order that a hash of the question decides, always the same one.
  """
  path, problems = pathlib.Path(path), []
  try:
    # A byte-order mark would become part of the first column's name; -sig takes it off.
    text = path.read_bytes().decode('utf-8-sig')
  except UnicodeDecodeError as error:
    raise records.RecordError(f'{path}: not UTF-8 (byte {error.start}: {error.reason})') from error
  rows = csv.DictReader(io.StringIO(text, newline=''), strict=True)
  try:
    for row in rows:
      problems.append(_choice(row))
  except (ValueError, csv.Error) as error:
    raise records.RecordError(f'{path}, line {rows.line_num}: {error}') from error
  if not problems:
    raise records.RecordError(f'{path}: no question in it')
  return problems


def _choice(row):
  # csv puts surplus fields under the key None and fills missing ones with None.
  if None in row or None in row.values():
    raise ValueError(f'not as many fields as the header names ({len(row) - (None in row)})')
  question, right = records.text(row, 'Question'), records.text(row, 'Correct Answer')
  options = [right, *(records.text(row, name) for name in _WRONG)]
  # In the file the right answer comes first. Python's own hash changes from process to process.
  digest = hashlib.blake2s(question.encode(), digest_size=8).digest()
  order = np.random.default_rng(int.from_bytes(digest, 'big')).permutation(4).tolist()
  record = {'options': [options[i] for i in order], 'answer': 'ABCD'[order.index(0)]}
  gold, lines = golds.read(record, 'answer')
  return Problem(question + lines, gold, row.get('High-level domain') or 'gpqa', 0)


def livecodebench(path, dates=None):
  """LiveCodeBench's code generation (`question_content`, `starter_code`, `contest_date`,
  `public_test_cases`, `private_test_cases`, `metadata`), all tests of both kinds.

  Programs are judged by the rules of its published runner (`code.Tests`), but as whole programs
  with a real standard input, each test in a fresh process.

  Args:
    path: one of the files test.jsonl, test2.jsonl, ...
    dates: (first, last) `datetime.date` of the contests to keep; None keeps all.
  """

  def one(record):
    held = records.text(record, 'contest_date')
    try:
      day = datetime.datetime.fromisoformat(held).date()
    except ValueError as error:
      raise ValueError(f"field 'contest_date' holds {held!r:.40}, expected a date") from error
    # Looked at first: unpacking the tests is what takes long.
    return _program(record) if not dates or dates[0] <= day <= dates[1] else None

  return [problem for problem in records.each(path, one) if problem]


def _program(record):
  tests = _tests(record, 'public_test_cases') + _tests(record, 'private_test_cases')
  if not tests:
    raise ValueError('no test in public_test_cases or private_test_cases')
  metadata = _json(record.get('metadata') or '{}', 'metadata')
  made = tuple(_test(test, metadata) for test in tests)
  question, starter = records.text(record, 'question_content'), record.get('starter_code') or ''
  if starter.strip():
    question += f'\n\nComplete this program:\n```python\n{starter.rstrip()}\n```'
  else:
    question += '\n\nThe program reads standard input and prints to standard output.'
  gold = code.Tests(made, rules='livecodebench')
  return Problem(question, gold, records.text(record, 'difficulty'), 0)


def _tests(record, key):
  held = records.text(record, key)
  # A JSON list begins with a bracket, which base64 has not.
  if held[0] != '[':
    held = _unpacked(held, key)
  tests = _json(held, key)
  if not isinstance(tests, list):
    raise ValueError(f'field {key!r} holds {type(tests).__name__}, expected a list of tests')
  return tests


def _unpacked(held, key):
  """The text in base64(zlib(pickle(text))), as private tests are published."""
  try:
    packed, unzipped = base64.b64decode(held, validate=True), zlib.decompressobj()
    # No more than that: a small file can be made to unpack to more than any memory.
    pickled = unzipped.decompress(packed, LARGEST_TESTS)
    if not unzipped.eof:
      raise ValueError(f'it is cut short, or unpacks to more than {LARGEST_TESTS >> 20} MiB')
    text = _TextOnly(io.BytesIO(pickled)).load()
  except _DAMAGED as error:
    raise ValueError(f'field {key!r} is neither JSON nor packed tests: {error}') from error
  if not isinstance(text, str):
    raise ValueError(f'field {key!r} packs {type(text).__name__}, expected text')
  return text


class _TextOnly(pickle.Unpickler):
  """Reads plain values; a pickle that asks for code of any kind is refused."""

  def find_class(self, module, name):
    """Refuses."""
    raise pickle.UnpicklingError(f'it asks for {module}.{name}')


def _test(test, metadata):
  if not isinstance(test, dict) or not all(isinstance(test.get(k), str) for k in _TEST):
    raise ValueError(f'a test is {test!r:.60}, expected texts {", ".join(_TEST)}')
  if test['testtype'] == 'stdin':
    return code.StdinTest(test['input'], test['output'])
  if test['testtype'] != 'functional':
    raise ValueError(f'testtype is {test["testtype"]!r:.40}, expected stdin or functional')
  name = metadata.get('func_name') if isinstance(metadata, dict) else None
  if not isinstance(name, str) or not name.isidentifier():
    raise ValueError(f'functional tests, but metadata names no func_name: {metadata!r:.60}')
  # Each line is one argument in JSON.
  arguments = [_json(line, 'input') for line in test['input'].split('\n') if line.strip()]
  return code.CallTest(name, tuple(arguments), _json(test['output'], 'output'))


_TEST = ('input', 'output', 'testtype')


def _json(text, name):
  try:
    return json.loads(text)
  except (json.JSONDecodeError, TypeError, RecursionError) as error:
    raise ValueError(f'{name} is not JSON: {error}') from error
