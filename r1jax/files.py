"""Files of a run: written whole or not at all, read back without a torn end."""

import hashlib
import json
import math
import os
import pathlib
import shutil
import tempfile

_MENDED = 'remove that line, or move the file away, to go on'


def cache():
  """Our folder in the user's cache, XDG_CACHE_HOME or ~/.cache."""
  root = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
  return pathlib.Path(root).expanduser() / 'r1jax'


def kept_folder(kind, name, identity, fill):
  """A folder in our cache that is filled once for an identity, and used again from then on.

  Args:
    kind: folder of the cache that it stands in.
    name: what its own name begins with, for people.
    identity: text of all that its content depends on.
    fill: writes the content into a new folder, a Path that it is given; its errors leave nothing.
  """
  shelf = cache() / kind
  kept = shelf / f'{name[:60]}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}'
  if kept.exists():
    return kept
  shelf.mkdir(parents=True, exist_ok=True)
  # Several processes may fill one at once: each has a folder of its own, and the first one's stays.
  made = pathlib.Path(tempfile.mkdtemp(dir=shelf))
  try:
    fill(made)
    made.rename(kept)
  except BaseException as error:
    shutil.rmtree(made)
    if not (isinstance(error, OSError) and kept.exists()):
      raise
  return kept


def write_atomically(path, data):
  """Writes bytes or text so that `path` has the old content or the new one, never a part."""
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  tmp = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
  try:
    with open(tmp, 'wb') as out:
      out.write(data.encode() if isinstance(data, str) else data)
      out.flush()
      # Without it a crash of the machine may leave the new name with no content.
      os.fsync(out.fileno())
    os.replace(tmp, path)
  except OSError as error:
    tmp.unlink(missing_ok=True)
    # A full disk is told without the file that did not fit.
    if error.errno and not error.filename:
      raise OSError(error.errno, error.strerror, str(path)) from error
    raise


def write_json(path, content):
  """Writes a JSON object as `write_atomically` does; NaN and infinity are errors, JSON has none."""
  text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
  write_atomically(path, text + '\n')


def write_rows(path, rows):
  """Writes JSON objects, one per line, as `write_atomically` does."""
  lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
  write_atomically(path, ''.join(f'{line}\n' for line in lines))


def read_json(path):
  """The JSON object in a file; ValueError names the file where it holds none."""
  try:
    content = json.loads(pathlib.Path(path).read_bytes())
  except ValueError as error:  # of JSON and of UTF-8
    raise ValueError(f'{path} is not JSON ({error}); restore it, or move it away') from error
  if not isinstance(content, dict):
    raise ValueError(f'{path} holds {content!r:.40}, no JSON object; restore it, or move it away')
  return content


def read_rows(path, whole=False):
  """JSON objects of a file of one per line, oldest first, without a torn last line.

  Args:
    path: of the file; where there is none the list is empty.
    whole: whether it is written whole or not at all, so that a torn last line is damage too.

  Raises:
    ValueError: with the line number at a damaged line.
  """
  path = pathlib.Path(path)
  if not path.exists():
    return []
  rows = []
  *lines, torn = path.read_bytes().split(b'\n')
  if whole and torn:
    raise ValueError(f'{path}: its end is cut off; restore it, or delete it to go without')
  # Else what follows the last newline was being written when the process was killed.
  for number, line in enumerate(lines, 1):
    try:
      row = json.loads(line)
    except ValueError as error:
      raise ValueError(f'{path}:{number}: damaged ({error}); {_MENDED}') from error
    if not isinstance(row, dict):
      raise ValueError(f'{path}:{number}: damaged ({row!r:.40} is no JSON object); {_MENDED}')
    rows.append(row)
  return rows


def read_metrics(path):
  """Rows of a run's `metrics.jsonl`: each its step and numbers, None where one is not finite.

  Returns and errors as of `read_rows`; the line of what is no such row is named too.
  """
  rows = read_rows(path)
  for number, row in enumerate(rows, 1):
    step = row.get('step')
    is_figure = lambda value: value is None or isinstance(value, (int, float))
    wrong = [name for name, value in row.items() if not is_figure(value)]
    if type(step) is not int or wrong:
      what = f'{wrong[0]!r} is {row[wrong[0]]!r:.40}' if wrong else f"'step' is {step!r}"
      raise ValueError(f'{path}:{number}: damaged ({what}); {_MENDED}')
  finite = lambda value: value if value is not None and math.isfinite(value) else None
  return [{name: finite(value) for name, value in row.items()} for row in rows]
