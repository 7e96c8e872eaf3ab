"""The files of `samples/`: which there are, how they are read, which give way; no JAX in here."""

import dataclasses
import pathlib
import re
import zipfile
import zlib

import numpy as np

from r1jax import files
from r1jax.data import template

FOLDER = 'samples'
ROLLOUT, HELDOUT = 'step', 'heldout'
# Yes: `step_000010.jsonl`, `heldout_000000.npz`. No: `part_000003.jsonl`, `.step_000010.jsonl.tmp`.
_NAME = re.compile(r'(step|heldout)_(\d+)\.(jsonl|npz)')


@dataclasses.dataclass(frozen=True)
class Kept:
  """A file of replies.

  Attributes:
    step: updates before it.
    name: `ROLLOUT` or `HELDOUT`.
    path: of the rows.
  """

  step: int
  name: str
  path: pathlib.Path

  def rows(self):
    """Its rows, each with at least the keys that every reader uses; ValueError names damage."""
    rows = files.read_rows(self.path, whole=True)
    return [_whole(row, number, self.step) for number, row in enumerate(rows)]

  def tokens(self):
    """Its `Tokens`, None where there are none beside it."""
    return Tokens(self.path) if self.path.with_suffix('.npz').exists() else None


class Tokens:
  """What is told of each token of the rows of a file, by the row's `index`.

  Arrays of a row: `token`, ids int32 [T]; `sampler_logp` and, of rollouts, `trainer_logp`, float32
  [T] in nats; `text_end`, int32 [T], characters of the completion up to the end of each token.
  """

  def __init__(self, path):
    """Reads the file beside `path`, that of the rows; ValueError where it is damaged or missing."""
    path = pathlib.Path(path).with_suffix('.npz')
    try:
      with np.load(path) as file:
        self._arrays = {name: file[name] for name in file.files}
      self._first = self._arrays.pop('first')
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
      raise ValueError(f'{path}: no tokens can be read ({error})') from error

  def __len__(self):
    return len(self._first) - 1

  def of(self, index):
    """name -> array of the row `index`."""
    here = slice(self._first[index], self._first[index + 1])
    return {name: values[here] for name, values in self._arrays.items()}


def found(folder):
  """The `Kept` files of a folder in order."""
  listed = _listed(folder)
  return [Kept(step, name, path) for step, name, path in listed if path.suffix == '.jsonl']


def thin(folder, most):
  """Deletes steps until all files take at most `most` bytes: never the first nor the last step.

  What stays lies on a grid that doubles: the step goes that fewest powers of two divide, of those
  the oldest. To close the smallest gap instead would always take the newest but one.
  """
  paths = {}
  for step, _, path in _listed(folder):
    paths.setdefault(step, []).append(path)
  size = {step: sum(path.stat().st_size for path in paths[step]) for step in paths}
  steps = sorted(paths)
  while sum(size[step] for step in steps) > most and len(steps) > 2:
    # n & -n is the largest power of two that divides n.
    gone = min(steps[1:-1], key=lambda step: (step & -step, step))
    steps.remove(gone)
    # Rows first: where they are, their tokens are too.
    for path in sorted(paths[gone]):
      path.unlink(missing_ok=True)


def _listed(folder):
  paths = pathlib.Path(folder).glob('*')
  names = ((path, _NAME.fullmatch(path.name)) for path in paths)
  return sorted((int(match[2]), match[1], path) for path, match in names if match)


def _whole(row, number, step):
  """A row with every key that is read, so that the folder of an older version opens too."""
  prompt = row.get('prompt', '')
  asked = prompt.removeprefix(template.TEMPLATE_HEAD).removesuffix(template.TEMPLATE_TAIL)
  usual = {'step': step, 'index': number, 'question': asked, 'kind': '', 'expected': None}
  usual |= {'extracted': None, 'rewards': {}, 'advantage': None, 'truncated': None}
  usual |= {'length': len(row.get('tokens', ())) or None, 'completion': '', 'group': prompt}
  usual |= {'logp_gap_mean': None, 'logp_gap_max': None, 'version': None, 'sample': None}
  return usual | {'reward': None} | row
