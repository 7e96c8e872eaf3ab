"""The attack tables: what verifiers are tried with, JSON lines that anyone can read and extend.

{"kind": "math", "gold": "18", "completion": "<answer>18 or 20</answer>", "right": false}
{"kind": "math", "gold": "1/2", "answer": "0.5", "right": true}

`kind` is that of the verifier, `gold` as in files of completions to be judged. A `completion` is a
whole reply; an `answer` is a final answer alone, of mathematics. Either is a text or, where a text
repeats itself, a list of its parts: a text, or [text, how often]. `name` may say what is tried.
"""

import dataclasses
import functools
import json
import pathlib

from r1jax.rewards import golds
from r1jax.rewards.verdict import Gold

FOLDER = pathlib.Path(__file__).resolve().parents[2] / 'assets' / 'attacks'
TEXT = ('format', 'language', 'repetition')  # kinds that judge a completion without a gold


@dataclasses.dataclass(frozen=True)
class Row:
  """A line of a table.

  Attributes:
    kind: the verifier, a `name` of `golds.KINDS` or one of TEXT.
    gold: a `verdict.Gold`; None of TEXT.
    completion: the reply, '' where `answer` is given.
    answer: the final answer alone, '' where `completion` is given.
    right: whether it is to be paid.
    name: what is tried; its text where nobody named it.
  """

  kind: str
  gold: Gold | None
  completion: str
  answer: str
  right: bool
  name: str


@functools.cache
def rows():
  """All lines of all tables, a tuple of `Row`; ValueError names the file and line of a bad one."""
  lines = []
  for path in sorted(FOLDER.glob('*.jsonl')):
    for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
      try:
        lines.append(_row(json.loads(line)))
      except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path}, line {number}: {error}') from error
  return tuple(lines)


def attacks():
  """The lines whose completion is not to be paid."""
  return [row for row in rows() if row.completion and not row.right]


def rights():
  """The lines whose completion is to be paid."""
  return [row for row in rows() if row.completion and row.right]


def pairs():
  """(gold, answer, whether they are equal) of the lines that hold an answer alone."""
  return [(row.gold.text, row.answer, row.right) for row in rows() if row.answer]


def _row(record):
  completion, answer = _text(record.get('completion', '')), _text(record.get('answer', ''))
  if 'completion' in record and 'answer' in record or not completion + answer:
    raise ValueError('expected a completion or an answer')
  if not isinstance(record['right'], bool):
    raise ValueError(f"field 'right' holds {record['right']!r:.40}, expected true or false")
  gold = None if record['kind'] in TEXT else golds.graded(record)
  name = record.get('name', (completion or answer)[:60])
  return Row(record['kind'], gold, completion, answer, record['right'], name)


def _text(parts):
  """The text of a list of texts and [text, times], or of a text."""
  if isinstance(parts, str):
    return parts
  return ''.join(part if isinstance(part, str) else part[0] * part[1] for part in parts)
