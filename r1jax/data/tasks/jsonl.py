"""Problems from JSONL files: GSM8K, plain question and answer, or answers that are checked."""

import dataclasses
import json
import math
import pathlib
import re

from r1jax.data.problem import Problem, is_text
from r1jax.rewards import accuracy, golds

# GSM8K ends a worked solution with a line `#### 1,234` (arXiv 2110.14168).
_MARK = '####'
_FINAL = re.compile(r'^####[ \t]*(\S.*?)\s*$', re.MULTILINE)
_CALCULATOR = re.compile(r'<<[^<>]*>>')
# Words of prose. Yes: `Adding`. No: `x`, `\frac`, the `cm` of `5 cm`.
_WORD = re.compile(r'(?<![\\A-Za-z])[^\W\d_]{3,}')
# What a worked solution comes to. Yes: `3+2=5`, `the answer is 5`. No: `a <= b`.
_COMES_TO = re.compile(r'(?<![<>!])=|\banswer is\b|\btherefore\b', re.I)
_WITH_COMMAS = re.compile(r'[-+]?\$?\d{1,3}(,\d{3})+(\.\d+)?')


class JsonlError(ValueError):
  """A file of problems that can't be read; the message names the file and the line."""


def read(path, question_key='question', answer_key='answer'):
  """Yields the problems of a JSONL file one by one, `kind` being the file's stem.

  An answer with a line `#### 18` becomes '18' and its earlier lines the worked steps, without
  GSM8K's calculator marks; of a worked solution without that line, as MATH has them, the last
  `\\boxed{18}` is the answer; another answer of one line is taken as it is. Thousands commas are
  dropped ('1,234' becomes '1234'), blank lines are passed over.

  A record with a field such as `options` or `tests` has no such text as its answer but what a
  verifier checks by: see `r1jax.rewards.golds`. Options become lines of the question. Fields other
  than question and answer are kept in `extra`.

  Args:
    path: file of one JSON object per line, UTF-8.
    question_key: key of the question, a str.
    answer_key: key of the answer, a str or a finite number; the letter, where there are options.

  Raises:
    JsonlError: no problem in the file, or a line that is not UTF-8, not a JSON object, lacks a
      field or has no final answer. OSError where the file can't be opened.
  """
  kind = pathlib.Path(path).stem
  yield from each(path, lambda record: _problem(record, kind, question_key, answer_key))


def each(path, make):
  """Yields `make` of the dict on every line; its ValueError is raised with file and line."""
  path = pathlib.Path(path)
  count = 0
  with path.open('rb') as lines:
    for number, raw in enumerate(lines, 1):
      if not raw.strip():
        continue
      try:
        yield make(record(raw))
      except ValueError as error:
        raise JsonlError(f'{path}, line {number}: {error}') from error
      count += 1
  if not count:
    raise JsonlError(f'{path}: no problem in it, expected one JSON object per line')


def record(raw):
  """The dict of one line (bytes) of a JSONL file; ValueError says what it is instead."""
  try:
    found = json.loads(raw.decode('utf-8-sig'))
  except UnicodeDecodeError as error:
    raise ValueError(f'not UTF-8 (byte {error.start}: {error.reason})') from error
  except json.JSONDecodeError as error:
    raise ValueError(f'not JSON (column {error.colno}: {error.msg})') from error
  except RecursionError as error:
    raise ValueError('not JSON that can be read: nested too deeply') from error
  if not isinstance(found, dict):
    raise ValueError(f'expected a JSON object, found {type(found).__name__}')
  return found


def _unmarked(problem, key, calculated):
  """The problem whose answer has no line `####`: of a worked solution, its last box."""
  answer = problem.answer
  boxed = accuracy.last_box(answer)
  if boxed is not None and boxed.strip():
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    # A box alone, or in dollars, is no solution.
    worked = len(lines) > 1 or _WORD.search(answer.replace('boxed', '').replace(boxed, ''))
    steps = tuple(lines) if worked else ()
    return dataclasses.replace(problem, answer=_without_commas(boxed.strip()), steps=steps)
  told = len(_WORD.findall(answer)) > 3 and _COMES_TO.search(answer)
  if told or '\n' in answer or calculated or _MARK in answer:
    raise ValueError(
      f'no final answer: field {key!r} holds a worked solution ({answer!r:.40}) without '
      f'\\boxed{{...}} or a line "{_MARK} ..."; give the answer alone'
    )
  return dataclasses.replace(problem, answer=_without_commas(answer))


def load(path, question_key='question', answer_key='answer'):
  """All problems of a JSONL file as a list; arguments and errors as in `read`."""
  return list(read(path, question_key, answer_key))


def check_lengths(problems, form, max_prompt):
  """Raises ValueError where a question's rendered prompt has more than `max_prompt` tokens.

  The prompt counts as it is sampled from: beginning-of-sequence id, template, question.
  """
  too_long = []
  for number, problem in enumerate(problems, 1):
    length = len(form.put(problem.question).ids)
    if length > max_prompt:
      too_long.append((number, length, problem.question))
  if too_long:
    number, length, question = too_long[0]
    longest = max(length for _, length, _ in too_long)
    raise ValueError(
      f'question {number} ({question[:60]!r}) has {length} tokens with its prompt, the context '
      f'takes {max_prompt}; too long in all: {len(too_long)}, the longest {longest}'
    )


def _problem(record, kind, question_key, answer_key):
  found = _asked(record, kind, question_key, answer_key)
  extra = {key: value for key, value in record.items() if key not in (question_key, answer_key)}
  return dataclasses.replace(found, extra=extra)


def _asked(record, kind, question_key, answer_key):
  question = text(record, question_key, (str,))
  checked = golds.read(record, answer_key)
  if checked:
    gold, more = checked
    return Problem(question + more, gold, kind, 0)
  answer = text(record, answer_key, (str, int, float))
  worked = _CALCULATOR.sub('', answer)
  found = _FINAL.findall(worked)
  if not found:
    return _unmarked(Problem(question, answer, kind, 0), answer_key, worked != answer)
  lines = worked[: worked.rindex(_MARK)].splitlines()
  steps = tuple(line.strip() for line in lines if line.strip())
  return Problem(question, _without_commas(found[-1]), kind, 0, steps)


def text(record, key, kinds=(str,)):
  """The field `key` of a record as text, stripped; ValueError where it is none of `kinds`."""
  if key not in record:
    raise ValueError(f'no field {key!r}, found {sorted(record)}')
  value = record[key]
  finite = not isinstance(value, float) or math.isfinite(value)
  if not isinstance(value, kinds) or isinstance(value, bool) or not finite:
    raise ValueError(f'field {key!r} holds {value!r:.40}, expected text or a finite number')
  stripped = str(value).strip()
  if not stripped:
    raise ValueError(f'field {key!r} is empty')
  if not is_text(stripped):
    raise ValueError(f'field {key!r} holds half a surrogate pair, which no UTF-8 can write')
  return stripped


def _without_commas(answer):
  return answer.replace(',', '') if _WITH_COMMAS.fullmatch(answer) else answer
