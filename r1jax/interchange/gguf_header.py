"""The header of a GGUF file, looked at before the library reads it.

The library believes what a header says: after a damaged count it runs through entries that are not
there for hours, until the memory is full.
"""

import mmap
import struct

import gguf
import numpy as np

from r1jax.data import hub_files
from r1jax.interchange import fetched, tensors

MAGIC = b'GGUF'
_VERSIONS = gguf.gguf_reader.READER_SUPPORTED_VERSIONS
# Bytes of a value by the number of its type.
_BYTES = {kind: np.dtype(one).itemsize for kind, one in gguf.GGUFReader.gguf_scalar_to_np.items()}
_STRING, _ARRAY = gguf.GGUFValueType.STRING, gguf.GGUFValueType.ARRAY
# Entries of an array that are believed: the largest vocabularies have a quarter of a million.
_MOST_ENTRIES = 1 << 22
_DAMAGED = 'not a GGUF file that can be read: its {} bytes are truncated or damaged'
_ALIGNMENT, _WIDEST = 'general.alignment', 1 << 16
# The least bytes that a key with its value and a tensor's description take.
_KEY, _TENSOR = 13, 24


def read(path):
  """The library's `gguf.GGUFReader` of a file.

  Args:
    path: pathlib.Path of the file.

  Raises:
    tensors.CheckpointFileError: it is none, or damaged; what to do is said.
    hub_files.HubFileError: there is no file.
  """
  hub_files.check_regular(path)
  _check_begins(path)
  try:
    with path.open('rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
      wrong = _wrong(data)
    if not wrong:
      return gguf.GGUFReader(path)
  except Exception as error:  # damage shows as any kind of error
    size = path.stat().st_size
    raise tensors.CheckpointFileError(
      f'{path}: {_DAMAGED.format(size)}; {fetched.again(path)}'
    ) from error
  raise tensors.CheckpointFileError(f'{path}: {wrong}; {fetched.again(path)}')


def _check_begins(path):
  """Says what a file is that does not begin as a GGUF file does."""
  with path.open('rb') as file:
    head = file.read(64)
  if head.startswith(MAGIC):
    return
  what, _, how = hub_files.impostor(head).partition('; ')
  seen = f'is {what}' if what else f'begins with {head[:8]!r}' if head else 'is empty'
  if not how or fetched.name_of(path):
    how = fetched.again(path)
  raise tensors.CheckpointFileError(f'{path}: not a GGUF file: it {seen}; {how}')


def _wrong(data):
  """What a header says that cannot be or is not read, '' for nothing; struct.error where it ends.

  Args:
    data: the file's bytes, mapped.
  """
  version, tensor_count, key_count = struct.unpack_from('<IQQ', data, len(MAGIC))
  if version & 0xFFFF == 0:
    return 'big-endian, only little-endian GGUF files are read'
  if version not in _VERSIONS:
    return f'GGUF version {version} is not read, only {" and ".join(map(str, _VERSIONS))}'
  if key_count * _KEY + tensor_count * _TENSOR > len(data):
    counted = f'{key_count} keys and {tensor_count} tensors'
    return f'{_DAMAGED.format(len(data))}: its header counts {counted}'
  at = len(MAGIC) + 20
  for _ in range(key_count):
    (size,) = struct.unpack_from('<Q', data, at)
    (kind,) = struct.unpack_from('<I', data, at + 8 + size)
    key = data[at + 8 : at + 8 + size].decode()[:100]
    at, count = at + 12 + size, 1
    if kind == _ARRAY:
      kind, count = struct.unpack_from('<IQ', data, at)
      at += 12
    if kind != _STRING and kind not in _BYTES:
      return f'{key} has values of type {kind}, which are not read'
    if count > _MOST_ENTRIES:
      return f'{key} has {count} entries, at most {_MOST_ENTRIES} are read'
    try:
      end = _behind(data, at, kind, count)
    except struct.error:
      entries = f' of {count} entries' if count > 1 else ''
      return f'{_DAMAGED.format(len(data))}: they end within {key}{entries}'
    if key == _ALIGNMENT and (wrong := _wrong_alignment(data[at:end])):
      return wrong
    at = end
  return ''


def _wrong_alignment(value):
  """What is wrong with the bytes of the distance that tensors begin at multiples of."""
  number = int.from_bytes(value, 'little')
  if number.bit_count() == 1 and number <= _WIDEST:
    return ''
  return f'{_ALIGNMENT}={number} is no power of two up to {_WIDEST}'


def _behind(data, at, kind, count):
  """Where what follows `count` values of a type begins; struct.error beyond the file's end."""
  if kind != _STRING:
    at += count * _BYTES[kind]
  else:
    for _ in range(count):
      at += 8 + struct.unpack_from('<Q', data, at)[0]
  if at > len(data):
    raise struct.error('beyond the end')
  return at
