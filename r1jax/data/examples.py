"""Data sets of supervised examples: one array_record file, one JSON object a record."""

import dataclasses
import json
import os
import pathlib

import numpy as np
from array_record.python import array_record_module

_FIELDS = ('question', 'reply', 'language', 'domain', 'provenance')


@dataclasses.dataclass(frozen=True)
class Example:
  """A question and the reply that a model is to learn.

  Attributes:
    question: text that goes into the R1-Zero template.
    reply: text that is learned, tags included; an end-of-sequence token follows.
    language: 'en' or 'zh', the language asked in.
    domain: family of the question, such as 'symbols' or 'writing'.
    provenance: where the reply comes from: the stage, the model's digest, index of the question and
      of the sample, ...; what JSON holds.
  """

  question: str
  reply: str
  language: str
  domain: str
  provenance: dict

  @property
  def where(self):
    """What to call it in a message."""
    return f'the example {self.question[:60]!r}'

  def tokens(self, form):
    """[`Tokens`] of what is learned of it."""
    return [encode(self, form)]


@dataclasses.dataclass(frozen=True)
class Tokens:
  """Ids of a text, int32 [T], and which of them are learned, bool [T]."""

  ids: np.ndarray
  learned: np.ndarray


def encode(example, form):
  """`Tokens` of an example as `prompts.Form` puts it: prompt, reply, and the id that ends it."""
  ids, begin = form.example(example.question, example.reply)
  return Tokens(ids, np.arange(len(ids)) >= begin)


def write(path, examples):
  """Writes the examples as one array_record file, whole or not at all; the order is kept.

  Raises:
    ValueError: there is none.
  """
  examples = list(examples)
  if not examples:
    raise ValueError(f'no example is left for {path}')
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  # Written beside and moved: a reader finds the whole file or none.
  tmp = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
  # One record a group, so that each can be read on its own.
  writer = array_record_module.ArrayRecordWriter(str(tmp), 'group_size:1')
  for example in examples:
    writer.write(json.dumps(dataclasses.asdict(example), ensure_ascii=False).encode())
  writer.close()
  os.replace(tmp, path)


class Examples:
  """A file that `write` wrote, as a random-access source (`len`, `[i]`), held in memory."""

  def __init__(self, path):
    """Reads the file.

    Raises:
      ValueError: there is no such file, or it is no data set of examples.
    """
    if not pathlib.Path(path).is_file():
      raise ValueError(f'{path}: no such data set; it is an array_record file of examples')
    try:
      reader = array_record_module.ArrayRecordReader(str(path))
      records = [json.loads(record) for record in reader.read_all()]
      reader.close()
      self._examples = [Example(**{name: r[name] for name in _FIELDS}) for r in records]
    # RuntimeError is array_record's for a file of another kind.
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
      raise ValueError(f'{path}: not a data set of examples ({error!r:.200})') from error

  def __len__(self):
    return len(self._examples)

  def __getitem__(self, index):
    return self._examples[index]
