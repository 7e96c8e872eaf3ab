"""Records of data files that others made: JSONL, parquet, or a folder of either as the hub has it.

A record is a dict. What is wrong with one is said with its file and line (of JSONL) or row (of
parquet), counted from 1.
"""

import dataclasses
import decimal
import errno
import json
import math
import os
import pathlib
import re

import numpy as np

from r1jax.data import hub_files
from r1jax.data.problem import is_text

PARQUET, JSONL = '.parquet', '.jsonl'
# A shard and its split. Yes: `train-00000-of-00010`, `test-00000-of-00001-a09b7`. No: `train`.
_SHARD = re.compile(r'(.+?)-(\d+)-of-(\d+)(-[0-9a-f]+)?')
# A type of parquet that holds floats of less than 64 bits. Yes: `halffloat`, `list<item: float>`.
# No: `double`.
_NARROW = re.compile(r'\b(?:half)?float\b')
# How files begin that are no JSONL, and what they are.
_KINDS = {
  b'\x1f\x8b': 'gzip (gunzip unpacks it)',
  b'\x28\xb5\x2f\xfd': 'zstd (unzstd unpacks it)',
  b'PK\x03\x04': 'zip (unzip unpacks it)',
  b'PAR1': 'parquet (name it .parquet)',
  b'[': 'a JSON array (jq -c ".[]" makes lines of it)',
}
_TABLES = ('.csv', '.tsv')
# The header of a table. Yes: `question,answer`, `"q"\t"a"`. No: `{"a": 1, "b": 2}`, `3`.
_HEADER = re.compile(rb'"?[A-Za-z][\w ]*"?([,;\t]"?[A-Za-z][\w ]*"?)+')
_BATCH = 256  # rows that are Python objects at once; a row of traces may have a megabyte


class RecordError(ValueError):
  """Data that can't be read; the message names the file, and the line or row."""


def is_records(path):
  """Whether `path` is a folder or a file that `each` reads, by its name."""
  path = pathlib.Path(path)
  return path.is_dir() or path.suffix in (PARQUET, JSONL, '.json')


def files(path, split=''):
  """The files that `each` reads, in order: `path` itself, or the shards of one split of a folder.

  The parquet files of a folder are taken, or where it has none its .jsonl files; where it has
  neither, those of the one folder in it, or in the one folder in that. A split is how a file's name
  begins (`train-00000-of-00002.parquet`, `train.jsonl`) or, of a number, its folder's name.

  Args:
    path: file or folder.
    split: name of the split; '' takes the only one there is, or 'train'.

  Raises:
    RecordError: there is no such split, a shard of it is missing or there twice, it is there in
      both forms, or the folder leaves open what is meant (it names what is there).
  """
  path = pathlib.Path(path)
  if not path.is_dir():
    if split and path.exists() and split != _split(path):
      raise RecordError(f'{path}: no split {split!r}, as this is one file: leave the split empty')
    return [path]
  folder = _holding(path, split)
  shards = _shards(folder)
  there = sorted({_split(one) for one in shards})
  wanted = split or (there[0] if len(there) == 1 else 'train')
  if wanted not in there:
    raise RecordError(f'{path}: no split {wanted!r}, there are {", ".join(there)}')
  chosen = [one for one in shards if _split(one) == wanted]
  _check_whole(chosen, path)
  other = [one for one in _of_form(folder, JSONL) if one not in chosen and _split(one) == wanted]
  if other:
    names = f'{chosen[0].name} and {other[0].name}'
    raise RecordError(f'{folder}: {wanted} is there twice, {names}: give one of the files')
  return chosen


def splits(path):
  """Names of the splits in a folder, sorted; () of a file. Errors as in `files`."""
  path = pathlib.Path(path)
  if not path.is_dir():
    return ()
  return tuple(sorted({_split(one) for one in _shards(_holding(path))}))


def _holding(path, split=''):
  """The folder of the shards: `path`, or the one in it that has any or is called `split`."""
  if _shards(path):
    return path
  # Hub folders keep their files in data/, or in a folder for each configuration or split.
  inner = {one.name: one for one in _folders(path) if _shards(one)}
  # The hub's own conversion has a folder for each configuration, and in it one for each split.
  folders = [] if inner else _folders(path)
  deeper = [one for one in folders if any(map(_shards, _folders(one)))]
  if len(deeper) == 1:
    return _holding(deeper[0], split)
  inner |= {one.name: one for one in deeper}
  if split not in inner and len(inner) != 1:
    told = f'data in {", ".join(inner)}: give one of them' if inner else 'no .parquet or .jsonl'
    raise RecordError(f'{path}: {told}')
  return inner.get(split) or next(iter(inner.values()))


def _folders(path):
  """Folders in a folder, sorted; what is hidden belongs to git or a downloader."""
  return sorted(one for one in path.iterdir() if one.is_dir() and one.name[0] != '.')


def _shards(folder):
  """Data files that lie in a folder itself, sorted: of parquet, else of JSONL."""
  return _of_form(folder, PARQUET) or _of_form(folder, JSONL)


def _of_form(folder, ending):
  return sorted(p for p in folder.iterdir() if p.suffix == ending and p.name[0] != '.')


def _split(file):
  """Name of the split that a data file belongs to."""
  shard = _SHARD.fullmatch(file.stem)
  if shard:
    return shard[1]
  # The hub's own conversion: default/train/0000.parquet.
  return file.parent.name if file.stem.isdigit() else file.stem


def _check_whole(of_split, path):
  """Raises RecordError where shards of a split are missing, or two sets of them lie there."""
  shards = [_SHARD.fullmatch(one.stem) for one in of_split]
  numbers = [int(shard[2]) for shard in shards if shard]
  if not numbers:
    return
  sets = {shard and shard[3] for shard in shards}
  if len(sets) > 1 or len(set(numbers)) < len(numbers):
    names = ', '.join(one.name for one in of_split[:4])
    raise RecordError(
      f'{path}: two sets of files of one split ({names}), whose records would be read twice: leave '
      'one set there'
    )
  count = int(shards[0][3])
  # A few are counted from 1.
  begin = int(0 not in numbers and count in numbers)
  missing = [n for n in range(begin, begin + count) if n not in numbers]
  if missing:
    first, digits = of_split[0].name, len(shards[0][2])
    name = f'{shards[0][1]}-{missing[0]:0{digits}}-of-{shards[0][3]}{of_split[0].suffix}'
    more = f' and {len(missing) - 1} more' if len(missing) > 1 else ''
    raise RecordError(
      f'{path}: {name}{more} is missing beside {first}: download the rest (the same hf download '
      'goes on), or give one file'
    )


def each(path, make, split='', limit=0, wanted=None):
  """Yields `make` of every record; a ValueError of it is raised with file and line or row.

  Args:
    path: JSONL or parquet file, or a folder of them: see `files`.
    make: dict -> what is yielded.
    split: of a folder.
    limit: most records that are read; 0 for all.
    wanted: columns that are read, where they are there; None for all.

  Raises:
    RecordError: no record, a file that can't be read, or one that `make` refuses. OSError where a
      file can't be opened.
  """
  for _, made in placed(path, make, split, limit, wanted):
    yield made


def placed(path, make, split='', limit=0, wanted=None):
  """As `each`, with the place of each record before it, such as 'train.jsonl, line 3'."""
  count = 0
  for file in files(path, split):
    rows = _parquet(file, wanted) if file.suffix == PARQUET else _jsonl(file, wanted)
    for where, load in rows:
      try:
        made = make(load())
      except ValueError as error:
        raise RecordError(f'{file}, {where}: {error}') from error
      yield f'{file}, {where}', made
      count += 1
      # Asked here, so that the record after the last is not even read.
      if count == limit:
        return
  if not count:
    raise RecordError(f'{path}: no record in it, expected one JSON object per line, or rows')


def first(path, split=''):
  """The first record of a file or folder, whole; errors as in `each`."""
  return next(each(path, dict, split, limit=1))


def _jsonl(path, wanted):
  """(place, () -> dict) of each line that is not blank."""
  with path.open('rb') as lines:
    for number, raw in enumerate(lines, 1):
      if raw.strip():
        yield f'line {number}', lambda raw=raw: _only(_line_of(path, raw), wanted)


def _line_of(path, raw):
  """`line`, of a file: where it is none of JSONL at all, the error says what it looks like."""
  try:
    return line(raw)
  except ValueError as error:
    kind = other_kind(path)
    if not kind:
      raise
    told = f'the file looks like {kind}; wanted is one JSON object per line, or .parquet'
    raise ValueError(told) from error


def other_kind(path):
  """What a file looks like by its name and first line, where that is no JSONL; '' where it may be.

  Such as 'CSV (write its rows as JSON)'.
  """
  with path.open('rb') as file:
    first = file.readline(1 << 16).removeprefix(b'\xef\xbb\xbf').strip()
  kinds = (kind for sign, kind in _KINDS.items() if first.startswith(sign))
  magic = hub_files.impostor(first) or next(kinds, '')
  if magic or path.suffix in _TABLES or _HEADER.fullmatch(first):
    return magic or 'CSV (write each row as an object)'
  # The first line of pretty-printed JSON.
  return 'one JSON object over several lines (jq -c . makes it one line)' if first == b'{' else ''


def _only(record, wanted):
  return record if wanted is None else {k: v for k, v in record.items() if k in wanted}


def _parquet(path, wanted):
  """(place, () -> dict) of each row."""
  import pyarrow  # takes a fifth of a second, which commands that read no parquet save

  if not path.exists():
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
  number = 0
  try:
    for number, row in enumerate(_rows(path, wanted), 1):
      yield f'row {number}', lambda row=row: row
  # OSError is pyarrow's for damage inside a file.
  except (pyarrow.ArrowException, OSError) as error:
    raise RecordError(f'{path}: {_damage(path, error, number)}') from error


def _rows(path, wanted):
  """The rows of a parquet file as dicts."""
  from pyarrow import parquet

  with parquet.ParquetFile(path) as file:
    schema = file.schema_arrow
    there = [name for name in schema.names if wanted is None or name in wanted]
    fields = [field for field in schema if field.name in there]
    narrow = {f.name: f.type for f in fields if _NARROW.search(str(f.type))}
    for batch in file.iter_batches(_BATCH, columns=there):
      for row in batch.to_pylist():
        yield row | {name: _shortest(row[name], kind) for name, kind in narrow.items()}


def _shortest(value, kind):
  """A parquet value with 0.1 for a float32 of 0.1, which as a double is 0.10000000149011612."""
  from pyarrow import types

  if value is None:
    return None
  if types.is_float16(kind) or types.is_float32(kind):
    return float(str((np.float16 if types.is_float16(kind) else np.float32)(value)))
  if types.is_struct(kind):
    return {field.name: _shortest(value[field.name], field.type) for field in kind}
  if types.is_list(kind) or types.is_large_list(kind):
    return [_shortest(one, kind.value_type) for one in value]
  return value


def _damage(path, error, number):
  """What is wrong with a file that is no parquet, in one line."""
  with path.open('rb') as file:
    if what := hub_files.impostor(file.read(64)):
      return what
  after = f' after row {number}' if number else ''
  return f'cannot be read as parquet{after} ({" ".join(str(error).split())[:200]})'


def line(raw):
  """The dict of one line (bytes) of a JSONL file; ValueError says what it is instead."""
  try:
    record = json.loads(raw.decode('utf-8-sig'), object_pairs_hook=_once)
  except UnicodeDecodeError as error:
    raise ValueError(f'not UTF-8 (byte {error.start}: {error.reason})') from error
  except json.JSONDecodeError as error:
    raise ValueError(f'not JSON (column {error.colno}: {error.msg})') from error
  except _TwiceError:
    raise
  except ValueError as error:  # Python refuses to make a whole number of so many digits
    raise ValueError('holds a whole number of thousands of digits') from error
  except RecursionError as error:
    raise ValueError('not JSON that can be read: nested too deeply') from error
  if not isinstance(record, dict):
    raise ValueError(f'expected a JSON object, found {type(record).__name__}')
  return record


class _TwiceError(ValueError):
  """A key that stands twice in one object."""


def _once(pairs):
  """The dict of an object's (key, value) pairs, of which JSON's own reader would drop some."""
  fields = dict(pairs)
  if len(fields) < len(pairs):
    keys = [key for key, _ in pairs]
    twice = next(key for key in keys if keys.count(key) > 1)
    raise _TwiceError(f'has the field {twice!r:.40} twice in one object: which of them counts?')
  return fields


@dataclasses.dataclass(frozen=True)
class Columns:
  """What the columns of a file are called.

  Attributes:
    names: field -> column, of those whose column has another name.
    kept: further columns; where there are any, the others are not read.
  """

  names: dict = dataclasses.field(default_factory=dict)
  kept: tuple = ()

  def wanted(self, fields):
    """Columns to be read for `fields`; None for all."""
    if not self.kept:
      return None
    named = {self.names.get(field, field) for field in (*fields, *self.names)}
    return named | set(self.kept)

  def named(self, record):
    """The record under the names of its fields; ValueError says which column is not there."""
    missing = [column for column in self.names.values() if column not in record]
    if missing:
      raise ValueError(f'no column {missing[0]!r}, there are {", ".join(sorted(record))}')
    taken = set(self.names.values())
    rest = {name: value for name, value in record.items() if name not in taken}
    return rest | {field: record[column] for field, column in self.names.items()}


AS_NAMED = Columns()  # fields are called what their columns are


def columns(text):
  """The `Columns` of a text such as 'question=problem,answer=final,level'.

  Raises:
    ValueError: a part of it is neither FIELD=COLUMN nor COLUMN, or names a field again.
  """
  names, kept = {}, []
  for part in filter(None, (part.strip() for part in text.split(','))):
    field, sign, column = (piece.strip() for piece in part.partition('='))
    if not field or (sign and not column) or field in (*names, *kept):
      raise ValueError(f'{part!r} is no new FIELD=COLUMN, as in question=problem,answer=final')
    if sign:
      names[field] = column
    else:
      kept.append(field)
  return Columns({f: c for f, c in names.items() if f != c}, tuple(kept))


def text(record, key, kinds=(str,)):
  """The field `key` of a record as text, stripped; ValueError where it is none of `kinds`."""
  if key not in record:
    raise ValueError(f'no field {key!r}, found {sorted(record)}')
  value = record[key]
  # A column of parquet may hold decimals.
  kinds_read = (*kinds, decimal.Decimal) if float in kinds else kinds
  finite = not isinstance(value, (float, decimal.Decimal)) or math.isfinite(value)
  if not isinstance(value, kinds_read) or isinstance(value, bool) or not finite:
    wanted = {(str,): '', (str, int): ' or a whole number'}.get(kinds, ' or a finite number')
    raise ValueError(f'field {key!r} holds {value!r:.40}, expected text{wanted}')
  stripped = str(value).strip()
  if not stripped:
    raise ValueError(f'field {key!r} is empty')
  if not is_text(stripped):
    raise ValueError(f'field {key!r} holds half a surrogate pair, which no UTF-8 can write')
  return stripped
