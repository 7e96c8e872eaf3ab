"""The folder of a run: what it was asked to do, by which code, and whether it may go on."""

import importlib.metadata
import json
import pathlib
import shutil
import subprocess

import jax

import r1jax
from r1jax import files

# What may differ when a run goes on: it changes where, how often or how long, not what is computed.
_FREE = ('workdir', 'mesh', 'loop', 'rl.updates', 'rl.rollout_mesh', 'pretrain.updates')
_PACKAGES = (
  'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'grain', 'numpy', 'sentencepiece',
  'tokenizers', 'math-verify', 'ml-collections',
)  # fmt: skip


def prepare(path, config):
  """Creates the folder and writes `config.json` and `versions.json`; returns its path.

  Raises:
    ValueError: the folder cannot be written, or holds a run with another config (it says which
      key).
  """
  folder = pathlib.Path(path)
  if jax.process_index() != 0:
    return folder
  content = json.loads(config.to_json_best_effort())
  try:
    folder.mkdir(parents=True, exist_ok=True)
    saved = folder / 'config.json'
    begun = any((folder / 'checkpoints').glob('step_*'))
    if begun and saved.exists():
      _check_same(folder, json.loads(saved.read_text()), content)
    files.write_atomically(saved, json.dumps(content, indent=2) + '\n')
    files.write_atomically(folder / 'versions.json', json.dumps(versions(), indent=2) + '\n')
  except OSError as error:
    raise ValueError(f'work directory {folder} cannot be written: {error.strerror}') from error
  except json.JSONDecodeError as error:
    raise ValueError(f'{folder}/config.json is not JSON ({error}); use another workdir') from error
  return folder


def versions():
  """Versions of the code (and its commit, in a checkout) and of the packages it ran with."""
  here = pathlib.Path(r1jax.__file__).parent
  commit = ''
  if shutil.which('git'):
    command = ['git', 'describe', '--always', '--dirty']
    found = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    commit = found.stdout.strip()
  packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
  return {'r1jax': r1jax.__version__, 'commit': commit} | packages


def _check_same(folder, saved, now, where=''):
  for key in sorted(saved.keys() | now.keys()):
    if f'{where}{key}' in _FREE:
      continue
    old, new = saved.get(key), now.get(key)
    if isinstance(old, dict) and isinstance(new, dict):
      _check_same(folder, old, new, f'{where}{key}.')
    elif old != new:
      raise ValueError(
        f'{folder} holds a run with config.{where}{key}={old!r}, now it is {new!r}; go on with the '
        'old value, or give another --config.workdir'
      )
