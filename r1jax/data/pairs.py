"""Pairs of replies of which one is preferred: what reward models learn from (reference §1.4)."""

import dataclasses
import json
import pathlib

from r1jax.data import splits
from r1jax.data.problem import Problem
from r1jax.rewards import request


@dataclasses.dataclass(frozen=True)
class Pair:
  """Two replies to a request; of a safety pair `chosen` is the safe one."""

  question: str
  chosen: str
  rejected: str


def load(path):
  """The pairs of a JSONL file of {"question", "chosen", "rejected"}, a list of `Pair`.

  Raises:
    ValueError: the file is empty or a line is not a pair (it names the line).
  """
  path, pairs = pathlib.Path(path), []
  for number, line in _lines(path):
    pairs.append(_pair(line, f'{path}:{number}'))
  if not pairs:
    raise ValueError(f'{path}: holds no pair')
  return pairs


def _pair(line, where):
  try:
    record = json.loads(line)
  except json.JSONDecodeError as error:
    raise ValueError(f'{where}: not JSON ({error.msg})') from error
  fields = [f.name for f in dataclasses.fields(Pair)]
  if not isinstance(record, dict) or not all(isinstance(record.get(f), str) for f in fields):
    raise ValueError(f'{where}: expected an object with the texts {", ".join(fields)}')
  # A loss on equal texts is log 2 whatever is learned.
  if record['chosen'] == record['rejected']:
    raise ValueError(f'{where}: the two replies are the same, so neither is preferred')
  return Pair(*(record[f] for f in fields))


def load_requests(path):
  """The requests of a JSONL file: a list of `Problem`, each answer a `request.Query`.

  A line holds {"question", "kind"}; "language", where it is not 'en'; and "wanted", the reply,
  where the request leaves no other, for evaluation.

  Raises:
    ValueError: the file is empty or a line is not a request (it names the line).
  """
  path, requests = pathlib.Path(path), []
  for number, line in _lines(path):
    try:
      record = json.loads(line)
      gold, question = (
        request.Query(record['kind'], record.get('wanted', '')),
        record['question'],
      )
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
      raise ValueError(f'{path}:{number}: not a request with question and kind: {error}') from error
    # What the language reward wants the thought in.
    speaks = record.get('language', 'en')
    requests.append(Problem(question, gold, gold.kind, 0, language=speaks))
  if not requests:
    raise ValueError(f'{path}: holds no request')
  return requests


def split(records, where):
  """(training, held-out) records of a file: a hash of the question decides, one in sixteen.

  Raises:
    ValueError: one of them is empty.
  """
  held = [record for record in records if _held(record.question)]
  train = [record for record in records if not _held(record.question)]
  if not train or not held:
    raise ValueError(
      f'{where}: {len(train)} to train on and {len(held)} held out, by a hash of the question; '
      'both are needed: give a larger file'
    )
  return train, held


def _held(question):
  # Salted: which training questions of a world are held out here is no matter of its own split.
  return splits.number(question, 1, 'preference') % 16 == 0


def _lines(path):
  if not path.is_file():
    raise ValueError(f'{path}: no such file; give JSONL of one object a line')
  # Numbers are those of the file, blank lines counted.
  lines = enumerate(path.read_text(encoding='utf-8').splitlines(), 1)
  return [(number, line) for number, line in lines if line.strip()]
