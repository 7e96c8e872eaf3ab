"""The folder of a run: what it was asked to do, by which code, and whether it may go on."""

import contextlib
import importlib.metadata
import json
import pathlib
import shutil
import subprocess

import jax

import r1jax
from r1jax import files
from r1jax.runs import learned, lock

# What may differ when a run goes on: it changes where, how often or how long, not what is computed.
_FREE = (
  'workdir', 'mesh', 'loop', 'runtime.cache', 'rl.updates', 'rl.rollout_mesh', 'rl.samples_every',
  'rl.samples_mib', 'pretrain.updates',
)  # fmt: skip
# And where replies have been drawn but nothing learned: what is made of them, and how many.
_CURATED = ('filter', 'cold_start', 'rejection', 'samples.most_per_question', 'samples.heldout',
            'samples.questions')  # fmt: skip
_PACKAGES = (
  'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'grain', 'numpy', 'sentencepiece',
  'tokenizers', 'math-verify', 'ml-collections',
)  # fmt: skip


@contextlib.contextmanager
def opened(path, config):
  """The folder, prepared and held by this run alone; yields its path.

  Raises:
    lock.Held: another run holds it.
    lock.Lost: it was deleted or moved under the run, which is said at its end.
    ValueError: as `prepare`.
  """
  folder = pathlib.Path(path)
  if jax.process_index() == 0:
    with _writing(folder):
      folder.mkdir(parents=True, exist_ok=True)
  with contextlib.ExitStack() as held:
    with _writing(folder):
      check = held.enter_context(lock.hold(folder))
    yield prepare(folder, config)
    check()


def prepare(path, config):
  """Creates the folder, writes `config.json`, `versions.json`, `data.json`; returns its path.

  Raises:
    ValueError: the folder cannot be written, or holds a run with another config (it says which
      key) or from data that has changed since (it says which file).
  """
  folder = pathlib.Path(path)
  if jax.process_index() != 0:
    return folder
  # Through JSON and back, as what it is compared with: tuples are lists there.
  content = json.loads(config.to_json_best_effort())
  data = learned.digests(config)
  with _writing(folder):
    folder.mkdir(parents=True, exist_ok=True)
    drawn = _holds(folder, 'samples/part_*')
    if drawn or _holds(folder, 'checkpoints/step_*'):
      free = _FREE + (_CURATED if drawn else ())
      _check_same(folder, _saved(folder / 'config.json'), content, free)
      learned.check_same(folder, _saved(folder / 'data.json'), data, config)
    for name, value in (('config', content), ('versions', versions()), ('data', data)):
      files.write_atomically(folder / f'{name}.json', json.dumps(value, indent=2) + '\n')
  return folder


def _holds(folder, *patterns):
  """Whether a run would find something to go on from."""
  return any(any(folder.glob(pattern)) for pattern in patterns)


@contextlib.contextmanager
def _writing(folder):
  try:
    yield
  # It comes out of the body of `opened` and is no fault of writing.
  except lock.Lost:
    raise
  except OSError as error:
    where = error.filename or folder
    raise ValueError(
      f'work directory {folder} cannot be written: {error.strerror} ({where})'
    ) from error


def _saved(file):
  """The object of a JSON file that an earlier start has written; {} where there is none."""
  return files.read_json(file) if file.exists() else {}


def versions():
  """Versions of the code (and its commit, in a checkout) and of the packages it ran with."""
  here = pathlib.Path(r1jax.__file__).parent
  commit = ''
  # An installed copy stands in no checkout, and then git says nothing.
  if shutil.which('git'):
    command = ['git', 'describe', '--always', '--dirty']
    found = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    commit = found.stdout.strip()
  packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
  return {'r1jax': r1jax.__version__, 'commit': commit} | packages


def _check_same(folder, saved, now, free, where=''):
  # A key of one of the two only is a difference too: the code has gained or lost it.
  for key in sorted(saved.keys() | now.keys()):
    if f'{where}{key}' in free:
      continue
    old, new = saved.get(key), now.get(key)
    if isinstance(old, dict) and isinstance(new, dict):
      _check_same(folder, old, new, free, f'{where}{key}.')
    elif old != new and not learned.same_model(f'{where}{key}', old, new):
      raise ValueError(
        f'{folder} holds a run with config.{where}{key}={old!r}, now it is {new!r}; go on with the '
        'old value, or give another --config.workdir'
      )
