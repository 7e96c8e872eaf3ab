"""Files of a run: written whole or not at all, read back without a torn end."""

import json
import os
import pathlib


def write_atomically(path, data):
  """Writes bytes or text so that `path` has the old content or the new one, never a part."""
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  tmp = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
  with open(tmp, 'wb') as out:
    out.write(data.encode() if isinstance(data, str) else data)
    out.flush()
    # Without it a crash of the machine may leave the new name with no content.
    os.fsync(out.fileno())
  os.replace(tmp, path)


def write_json(path, content):
  """Writes a JSON object as `write_atomically` does; NaN and infinity are errors, JSON has none."""
  text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
  write_atomically(path, text + '\n')


def write_rows(path, rows):
  """Writes JSON objects, one per line, as `write_atomically` does."""
  lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
  write_atomically(path, ''.join(f'{line}\n' for line in lines))


def read_json(path):
  """The JSON value of a file."""
  return json.loads(pathlib.Path(path).read_text())


def read_rows(path):
  """JSON values of a file of one per line, oldest first, without a torn last line.

  Returns [] where there is no such file; raises ValueError with the line number at a damaged line.
  """
  path = pathlib.Path(path)
  if not path.exists():
    return []
  rows = []
  # What follows the last newline was being written when the process was killed.
  for number, line in enumerate(path.read_bytes().split(b'\n')[:-1], 1):
    try:
      rows.append(json.loads(line))
    except ValueError as error:
      raise ValueError(
        f'{path}:{number}: damaged ({error}); move the file away to go on'
      ) from error
  return rows
