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
  folder = find(path)
  if folder:
    return folder
  if is_run(path):
    raise ValueError(
      f'{path}: this run has not ended; the model of its newest checkpoint is written by '
      f'python -m r1jax.export --checkpoint={path} --output=DIR'
    )
  raise ValueError(
    f'{path}: no config.json with *.safetensors here or in model/; give a hub folder, the work '
    "directory of a finished run, or 'tiny'"
  )


def find(path):
  """What `open` returns, or None where there is no model."""
  if str(path) == 'tiny':
    return ASSETS / 'tiny_base'
  folder = pathlib.Path(path)
  for candidate in (folder, folder / 'model'):
    if (candidate / 'config.json').exists() and list(candidate.glob('*.safetensors')):
      return candidate
  return None


def is_run(path):
  """Whether the folder is the work directory of a run that has saved a checkpoint."""
  folder = pathlib.Path(path)
  return (folder / 'config.json').exists() and any((folder / 'checkpoints').glob('step_*'))
