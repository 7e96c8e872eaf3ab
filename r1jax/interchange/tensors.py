"""Safetensors files read and written piece by piece, so that no tensor has to be whole in memory.

A file is an 8-byte length, a JSON header (name -> dtype, shape, offsets) and the tensors' bytes.
"""

import contextlib
import dataclasses
import json
import math
import os
import pathlib

import ml_dtypes
import numpy as np

from r1jax.data import hub_files

CHUNK_BYTES = 32 << 20  # of a file that are on the host at a time
HEADER_BYTES = 100 << 20  # the format's own limit: a damaged length must not fill the memory
INDEX = 'model.safetensors.index.json'
SINGLE = 'model.safetensors'
GGUF = 'model.gguf'  # in the folder of an unpacked GGUF file, a link to that file
DTYPES = {
  'F64': np.float64,
  'F32': np.float32,
  'F16': np.float16,
  'BF16': ml_dtypes.bfloat16,
  'F8_E4M3': ml_dtypes.float8_e4m3fn,
  'F8_E5M2': ml_dtypes.float8_e5m2,
  'I64': np.int64,
  'I32': np.int32,
  'I16': np.int16,
  'I8': np.int8,
  'U8': np.uint8,
  'BOOL': np.bool_,
}
NAMES = {np.dtype(kind): name for name, kind in DTYPES.items()}


# What JSON of the wrong form raises: no JSON, brackets without end, a value of another type.
_MALFORMED = (ValueError, RecursionError, AttributeError, KeyError, TypeError, OverflowError)


class CheckpointFileError(ValueError):
  """A checkpoint that cannot be read as what it should be; the message names file and tensor."""


@dataclasses.dataclass(frozen=True)
class Tensor:
  """Where a tensor lies.

  Attributes:
    name, file, dtype (as in the header, 'BF16'), shape: what it is.
    offset: of its first byte in the file.
  """

  name: str
  file: pathlib.Path
  dtype: str
  shape: tuple[int, ...]
  offset: int

  @property
  def rows(self):
    """Length of the leading axis (1 for a scalar)."""
    return self.shape[0] if self.shape else 1

  @property
  def row_bytes(self):
    """Bytes of one entry of the leading axis."""
    return np.dtype(DTYPES[self.dtype]).itemsize * math.prod(self.shape[1:])

  @property
  def nbytes(self):
    """Bytes of all of it."""
    return self.rows * self.row_bytes

  def read(self, start=0, stop=None):
    """Rows `start:stop` as a NumPy array in the file's own type."""
    stop = self.rows if stop is None else stop
    shape = (stop - start, *self.shape[1:]) if self.shape else ()
    out = np.empty(shape, DTYPES[self.dtype])
    with open(self.file, 'rb') as file:
      file.seek(self.offset + start * self.row_bytes)
      got = file.readinto(out.reshape(-1).view(np.uint8))
    if got != out.nbytes:
      raise CheckpointFileError(
        f'{self.file}: {self.name} ends after {got} of {out.nbytes} bytes: the file is truncated'
      )
    return out

  def chunks(self, start=0, stop=None, multiple=1):
    """Yields (first row, rows) of about CHUNK_BYTES, their number a multiple of `multiple`."""
    stop = self.rows if stop is None else stop
    step = max(CHUNK_BYTES // max(self.row_bytes, 1) // multiple, 1) * multiple
    for first in range(start, stop, step):
      yield first, self.read(first, min(first + step, stop))


def read_header(path):
  """The tensors of one file, name -> `Tensor`.

  Raises:
    CheckpointFileError: not a safetensors file, truncated, or longer than its header says.
  """
  path = pathlib.Path(path)
  try:
    hub_files.check_regular(path)
    size = path.stat().st_size
    with open(path, 'rb') as file:
      hub_files.check_head(path, file.read(64))
      file.seek(0)
      length = int.from_bytes(file.read(8), 'little')
      if size < 8 or length > min(size - 8, HEADER_BYTES):
        raise CheckpointFileError(f'{path}: {size} bytes hold no header of {length}: truncated?')
      header = json.loads(file.read(length))
    header.pop('__metadata__', None)
    by_name = {name: _tensor(path, name, entry, 8 + length) for name, entry in header.items()}
  except hub_files.HubFileError as error:
    raise CheckpointFileError(str(error)) from error
  except CheckpointFileError:
    raise
  except _MALFORMED as error:
    raise CheckpointFileError(f'{path}: its header is not that of a safetensors file') from error
  # The data must be covered without holes: an offset that is off reads another tensor's weights.
  end = 8 + length
  for tensor in sorted(by_name.values(), key=lambda t: (t.offset, t.nbytes)):
    if tensor.offset != end:
      raise CheckpointFileError(
        f'{path}: {tensor.name} begins at byte {tensor.offset}, the one before it ends at {end}'
      )
    end += tensor.nbytes
  if end != size:
    raise CheckpointFileError(f'{path}: has {size} bytes, its header describes {end}: truncated?')
  return by_name


def _tensor(path, name, entry, data):
  shape, (start, stop) = tuple(entry['shape']), entry['data_offsets']
  if not all(type(number) is int for number in (*shape, start, stop)):
    raise TypeError(f'{name}: {shape}, {start}, {stop} are not all whole numbers')
  if entry['dtype'] not in DTYPES:
    raise CheckpointFileError(f'{path}: {name} has the unknown type {entry["dtype"]!r}')
  tensor = Tensor(name, path, entry['dtype'], shape, data + start)
  if stop - start != tensor.nbytes or min(shape, default=0) < 0:
    raise CheckpointFileError(
      f'{path}: {name} is {tensor.dtype}{list(shape)} but has {stop - start} bytes'
    )
  return tensor


def read_folder(folder):
  """All tensors of a checkpoint folder, name -> `Tensor`, from its single file or its index.

  Where there are both, a fine-tune was saved over a base in shards: the single file is the new one,
  and transformers reads it too (`leftover` says so).
  """
  folder = pathlib.Path(folder)
  index = folder / INDEX
  # A link whose file is gone is there, and is named where it is read.
  if os.path.lexists(folder / SINGLE):
    return read_header(folder / SINGLE)
  if not os.path.lexists(index):
    raise CheckpointFileError(f'{folder}: holds neither {INDEX} nor {SINGLE}{_instead(folder)}')
  where = _weight_map(index)
  # Index and files must agree both ways: a shard of another checkpoint has other names.
  headers = {}
  for name in sorted(set(where.values())):
    if not os.path.lexists(folder / name):
      raise CheckpointFileError(f'{folder / name}: no such file, but {INDEX} names it')
    headers[name] = read_header(folder / name)
  for name, file in where.items():
    if name not in headers[file]:
      raise CheckpointFileError(f'{folder / file}: lacks {name}, which {INDEX} places there')
  for file, header in headers.items():
    for name in header:
      if where.get(name) != file:
        raise CheckpointFileError(
          f'{folder / file}: holds {name}, which {INDEX} does not place there'
        )
  return {name: headers[file][name] for name, file in where.items()}


def _instead(folder):
  """What a folder without an index has in its place, and what to do; '' where it has nothing."""
  shards = sorted(path.name for path in folder.glob('*.safetensors'))
  if len(shards) == 1:
    return f', only {shards[0]}: name it {SINGLE} if it is all of the weights'
  more = ', ...' if shards[2:] else ''
  return f', only {", ".join(shards[:2])}{more}: download the index too' if shards else ''


def leftover(folder):
  """The index that is not read because of a single file beside it, as one line, '' without one."""
  folder = pathlib.Path(folder)
  if not ((folder / SINGLE).exists() and (folder / INDEX).exists()):
    return ''
  return f'{folder}: {SINGLE} is read, as transformers does; {INDEX} and its shards are not'


def _weight_map(index):
  """Tensor name -> file name of an index; every file must lie in the index's own folder.

  'model-00001-of-00002.safetensors' passes; '../x', '/etc/shadow', 'a/b' and '..' are refused.
  """
  try:
    where = dict(hub_files.read_json(index)['weight_map'])
  except hub_files.HubFileError as error:
    raise CheckpointFileError(f'{index}: has no readable weight_map: {error}') from error
  except _MALFORMED as error:
    raise CheckpointFileError(f'{index}: has no readable weight_map') from error
  for tensor, file in where.items():
    if not isinstance(file, str):
      raise CheckpointFileError(f'{index}: has no readable weight_map: {tensor} is in {file!r}')
    if file in ('', '.', '..') or set(file) & set('/\\\0'):
      raise CheckpointFileError(f'{index}: {tensor} is in {file!r}, no file of this folder')
  return where


def write(path, contents, metadata=None):
  """Writes one file, tensor by tensor; it appears under its name only when complete.

  Args:
    path: of the file.
    contents: list of (name, dtype as 'BF16', shape, function that returns the array).
    metadata: str -> str, for the header.
  """
  header, offset = {'__metadata__': {'format': 'pt'} | (metadata or {})}, 0
  for name, dtype, shape, _ in contents:
    size = np.dtype(DTYPES[dtype]).itemsize * math.prod(shape)
    header[name] = {'dtype': dtype, 'shape': list(shape), 'data_offsets': [offset, offset + size]}
    offset += size
  raw = json.dumps(header, separators=(',', ':')).encode()
  # Spaces up to eight bytes, as the format asks, so that the data is aligned.
  raw += b' ' * (-len(raw) % 8)
  with replacing(path) as file:
    file.write(len(raw).to_bytes(8, 'little') + raw)
    for name, dtype, shape, get in contents:
      array = np.ascontiguousarray(get())
      if array.shape != tuple(shape) or NAMES[array.dtype] != dtype:
        raise ValueError(f'{name}: {array.dtype}{array.shape} is not the {dtype}{shape} announced')
      file.write(array.reshape(-1).view(np.uint8).data)


@contextlib.contextmanager
def replacing(path):
  """A binary file that takes the name `path` once everything is written and on disk."""
  path = pathlib.Path(path)
  part = path.with_name(path.name + '.part')
  with whole_or_nothing(part):
    with open(part, 'wb') as file:
      yield file
      # Before the name: after a power cut a file of this name is whole or absent.
      file.flush()
      os.fsync(file.fileno())
    os.replace(part, path)


@contextlib.contextmanager
def whole_or_nothing(part):
  """Where what is done inside fails, the file `part` is removed and a full disk names it."""
  try:
    yield
  except BaseException as error:
    part.unlink(missing_ok=True)
    # A write to a full disk fails without saying where.
    if isinstance(error, OSError) and error.filename is None:
      # NumPy's own error has no number: it says how much was written and not why.
      full = '' if error.errno else '; is the disk full?'
      raise OSError(f'{part}: {error}{full}') from error
    raise


def write_json(path, contents):
  """Writes a JSON file that appears under its name only when complete."""
  with replacing(path) as file:
    file.write(json.dumps(contents, indent=2, ensure_ascii=False).encode() + b'\n')
