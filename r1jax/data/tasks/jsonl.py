"""Problems from files: GSM8K, plain question and answer, or answers that are checked."""

import dataclasses
import pathlib
import re

from r1jax.data import records
from r1jax.data.problem import Problem
from r1jax.rewards import accuracy, golds
from r1jax.rewards.math import value

_FIELDS = ('question', 'answer')
_MARK = '####'
# How GSM8K ends a worked solution (arXiv 2110.14168). Yes: `#### 1,234`. No: `### 5`, `####`.
_FINAL = re.compile(r'^####[ \t]*(\S.*?)\s*$', re.MULTILINE)
# A note of GSM8K's for a calculator. Yes: `<<3+2=5>>`. No: `<3+2=5>`, `a << b`.
_CALCULATOR = re.compile(r'<<[^<>]*>>')
# Words of prose. Yes: `Adding`. No: `x`, `\frac`, the `cm` of `5 cm`.
_WORD = re.compile(r'(?<![\\A-Za-z])[^\W\d_]{3,}')
# What a worked solution comes to. Yes: `3+2=5`, `the answer is 5`. No: `a <= b`.
_COMES_TO = re.compile(r'(?<![<>!])=|\banswer is\b|\btherefore\b', re.I)
# A sentence about a result. Yes: `We have 0.`, `Thus we get x`. No: `we`, `haven`.
_WE_SAY = re.compile(r'\bwe (?:have|get|find|see|obtain|conclude)\b', re.I)
# Yes: `1,234`, `-$1,234.5`. No: `1234`, `1,23`.
_WITH_COMMAS = re.compile(r'[-+]?\$?\d{1,3}(,\d{3})+(\.\d+)?')


def read(path, columns=records.AS_NAMED, split='', limit=0):
  """Yields the problems of a file one by one, `kind` being the file's stem.

  An answer with a line `#### 18` becomes '18' and its earlier lines the worked steps, without
  GSM8K's calculator marks; of a worked solution without that line, as MATH has them, the last
  `\\boxed{18}` is the answer; another answer of one line is taken as it is. Thousands commas are
  dropped ('1,234' becomes '1234'), blank lines are passed over.

  A record with a field such as `options` or `tests` has no such text as its answer but what a
  verifier checks by: see `r1jax.rewards.golds`. Options become lines of the question. What a
  record holds beside question and answer stays with the problem, as `extra`.

  Args:
    path: file of one JSON object per line (UTF-8), a parquet file, or a folder of either.
    columns: `records.Columns`: `question` is a str; `answer` a str or a finite number, or the
      letter, where there are options.
    split, limit: as in `records.each`.

  Raises:
    RecordError: no record in the file, or one that can't be read, lacks a field or has no final
      answer that a reply could be compared with. OSError where the file can't be opened.
  """
  kind = pathlib.Path(path).stem
  make = lambda record: _problem(columns.named(record), kind)
  yield from records.each(path, make, split, limit, columns.wanted(_FIELDS))


def _unmarked(problem, calculated):
  """The problem whose answer has no line `####`: of a worked solution, its last box."""
  answer = problem.answer
  boxed = accuracy.last_box(answer)
  if boxed is not None and boxed.strip():
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    # A box alone, or in dollars, is no solution.
    worked = len(lines) > 1 or _WORD.search(answer.replace('boxed', '').replace(boxed, ''))
    steps = tuple(lines) if worked else ()
    return dataclasses.replace(problem, answer=_without_commas(boxed.strip()), steps=steps)
  told = len(_WORD.findall(answer)) > 3 and _COMES_TO.search(answer) or _WE_SAY.search(answer)
  if told or '\n' in answer or calculated or _MARK in answer:
    raise ValueError(
      f'no final answer: the answer is a worked solution ({answer!r:.40}) without '
      f'\\boxed{{...}} or a line "{_MARK} ..."; give the answer alone'
    )
  return dataclasses.replace(problem, answer=_without_commas(answer))


def load(path, columns=records.AS_NAMED, split='', limit=0):
  """All problems of a file as a list; arguments and errors as in `read`."""
  return list(read(path, columns, split, limit))


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
      f'question {number} ({question[:60]!r}) has {length} tokens with its prompt, '
      f'data.max_prompt={max_prompt}; too long in all: {len(too_long)}, the longest {longest}'
    )


def _problem(record, kind):
  """The `Problem` of a record; ValueError says what is wrong with it."""
  question = records.text(record, 'question')
  extra = {name: value for name, value in record.items() if name not in _FIELDS}
  choices = record.get('choices')
  if choices and isinstance(choices, (list, dict)) and record.get('options') is None:
    raise ValueError(
      "has choices, which the question does not show: data.columns='options=choices' (a list of "
      "texts, the answer a letter) makes them its options, data.columns='level', say, reads only "
      'the columns that it names; for r1jax evaluate rename the column in the file'
    )
  checked = golds.read(record, 'answer')
  if checked:
    gold, more = checked
    return Problem(question + more, gold, kind, 0, extra=extra)
  problem = _solved(Problem(question, '', kind, 0, extra=extra), record)
  why = value.unreadable(problem.answer)
  if why:
    raise ValueError(
      f"field 'answer' holds {problem.answer!r:.40}, which no reply can be compared with: {why}; "
      'give the final answer alone, as text or a number'
    )
  return problem


def _solved(problem, record):
  """The problem with the final answer, and the worked steps, of the record's field `answer`."""
  answer = records.text(record, 'answer', (str, int, float))
  worked = _CALCULATOR.sub('', answer)
  finals = _FINAL.findall(worked)
  if not finals:
    return _unmarked(dataclasses.replace(problem, answer=answer), worked != answer)
  lines = worked[: worked.rindex(_MARK)].splitlines()
  steps = tuple(line.strip() for line in lines if line.strip())
  return dataclasses.replace(problem, answer=_without_commas(finals[-1]), steps=steps)


def _without_commas(answer):
  return answer.replace(',', '') if _WITH_COMMAS.fullmatch(answer) else answer
