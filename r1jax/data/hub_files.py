"""Small files of a hub folder, which strangers made: read whole, with every fault in one line."""

import json
import os
import pathlib
import stat

# Far above what is published (tokenizer.json of 151,936 tokens: 11 MB): a sparse or endless file
# must not fill the memory before anybody has looked at it.
_LARGEST = 256 << 20
# How files begin that stand where another should be, and what they are.
_IMPOSTORS = {
  b'version https://git-lfs': 'a Git LFS pointer, not the file itself; run git lfs pull in its '
  'folder, or hf download',
  b'<!doctype': 'a web page, not the file itself; download it again',
  b'<html': 'a web page, not the file itself; download it again',
  b'entry not found': "the hub's answer that it has no such file; check name and revision",
}


class HubFileError(ValueError):
  """A file that cannot be read as what it should be; the message begins with its path."""


def impostor(head):
  """What a download left in place of a file that begins with `head` (bytes); '' for none known."""
  head = head.lstrip().lower()
  return next((what for begin, what in _IMPOSTORS.items() if head.startswith(begin)), '')


def check_head(path, head):
  """Raises HubFileError where a file's first bytes say that a download left something else."""
  if what := impostor(head):
    raise HubFileError(f'{path}: is {what}')


def inside(folder, name):
  """Path of the file `name` in `folder`, or `folder` itself where that is a file already."""
  path = pathlib.Path(folder)
  return path / name if path.is_dir() else path


def check_regular(path):
  """Raises HubFileError for what is no file: opening a pipe (FIFO) would wait for a writer."""
  try:
    mode = path.stat().st_mode
  except FileNotFoundError as error:
    if path.is_symlink():  # as in the hub's cache, whose files are links
      raise HubFileError(f'{path}: is a link to a file that is gone; download it again') from error
    raise HubFileError(f'{path}: no such file; is this a hub folder?') from error
  except OSError as error:  # a name too long, a loop of links, a folder that is closed to us
    raise HubFileError(f'{path}: {error.strerror}') from error
  if not stat.S_ISREG(mode):
    raise HubFileError(f'{path}: is no regular file')


def read_bytes(path):
  """Contents of a regular file of moderate size."""
  check_regular(path)
  try:
    if path.stat().st_size > _LARGEST:
      raise HubFileError(f'{path}: has {path.stat().st_size} bytes, at most {_LARGEST} are read')
    contents = path.read_bytes()
  except OSError as error:
    raise HubFileError(f'{path}: {error.strerror}') from error
  check_head(path, contents[:64])
  return contents


def read_text(path):
  """Contents of a text file."""
  try:
    return read_bytes(path).decode()
  except UnicodeDecodeError as error:
    raise HubFileError(f'{path}: not UTF-8 text: {error}') from error


def read_json(path, required=False):
  """The JSON object in a file; {} where it is absent and not required."""
  if not required and not os.path.lexists(path):  # a dangling link is a fault, not an absence
    return {}
  try:
    content = json.loads(read_text(path))
  except json.JSONDecodeError as error:
    raise HubFileError(f'{path}: not JSON: {error}') from error
  except (ValueError, RecursionError) as error:  # a number of 5,000 digits, 10,000 brackets
    named = isinstance(error, HubFileError)
    raise HubFileError(str(error) if named else f'{path}: not JSON: {error}') from error
  if not isinstance(content, dict):
    raise HubFileError(f'{path}: expected a JSON object, not {type(content).__name__}')
  return content
