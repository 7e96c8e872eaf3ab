"""Where a model is: a hub folder, a run's work directory, or the model that ships with r1jax."""

import pathlib

ASSETS = pathlib.Path(__file__).resolve().parent.parent / 'assets'


def open(path):
  """Folder with config.json, weights and tokenizer for what the user named.

  Args:
    path: a hub folder, a work directory (its `model/`), or 'tiny' for the shipped base.

  Raises:
    ValueError: there is no model there.
  """
  if str(path) == 'tiny':
    return ASSETS / 'tiny_base'
  folder = pathlib.Path(path)
  for candidate in (folder, folder / 'model'):
    if (candidate / 'config.json').exists() and list(candidate.glob('*.safetensors')):
      return candidate
  raise ValueError(
    f'{folder}: no config.json with *.safetensors here or in model/; give a hub folder, the work '
    "directory of a finished run, or 'tiny'"
  )
