"""The folder of a run: what it was asked to do, by which code, and whether it may go on."""

import contextlib
import functools
import importlib.metadata
import json
import pathlib
import shutil
import subprocess

import jax

import r1jax
from r1jax import files
from r1jax.runs import lock
from r1jax.runs.graph import fingerprint

# What may differ when a run goes on: it changes where, how often or how long, not what is computed.
_FREE = (
  'workdir', 'mesh', 'loop', 'runtime.cache', 'rl.updates', 'rl.rollout_mesh', 'rl.samples_every',
  'rl.samples_mib', 'pretrain.updates',
)  # fmt: skip
_PACKAGES = (
  'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'grain', 'numpy', 'sentencepiece',
  'tokenizers', 'math-verify', 'ml-collections',
)  # fmt: skip


# Keys that name a file that is learned from; of a folder, the file in it that is read.
_DATA = {
  'data.path': '',
  'data.heldout_path': '',
  'data.few_shot': '',
  'sft.path': '',
  'reward_model.path': '',
  'general.path': '',
  'rejection.path': '',
  'distill.equal_to': 'metrics.jsonl',
}


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
  learned = data_digests(config)
  with _writing(folder):
    folder.mkdir(parents=True, exist_ok=True)
    if _holds(folder, 'checkpoints/step_*'):
      _check_same(folder, _saved(folder / 'config.json'), content)
    if _holds(folder, 'checkpoints/step_*', 'samples/part_*'):
      _check_data(folder, _saved(folder / 'data.json'), learned, config)
    for name, value in (('config', content), ('versions', versions()), ('data', learned)):
      files.write_atomically(folder / f'{name}.json', json.dumps(value, indent=2) + '\n')
  return folder


def data_digests(config):
  """Config key -> SHA-256 of the file of data that it names, where that is there.

  A folder of TFDS data sets is no such file: it is made from the seed, by whoever comes first.
  """
  found = {}
  for key, inside in _DATA.items():
    section, _, name = key.partition('.')
    place = config.get(section, {}).get(name, '')
    path = pathlib.Path(place or '', inside)
    # The name of a missing file is refused by whoever reads it, with a better reason.
    if place and path.is_file():
      status = path.stat()
      found[key] = _digest(path, status.st_size, status.st_mtime_ns)
  return found


@functools.cache
def _digest(path, size, changed):
  """Of a file as it was then: a graph asks for the same file once per stage."""
  return fingerprint.digest(path)


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


def _check_data(folder, saved, now, config):
  """Raises ValueError where a file is not what the run has learned from so far."""
  for key in sorted(saved.keys() & now.keys()):
    if saved[key] != now[key]:
      section, _, name = key.partition('.')
      raise ValueError(
        f'{config[section][name]} (config.{key}) has changed since {folder} began to learn from '
        f'it: its SHA-256 was {saved[key]:.12}, now it is {now[key]:.12}; put the old data back, '
        'or give another --config.workdir'
      )


def _check_same(folder, saved, now, where=''):
  # A key of one of the two only is a difference too: the code has gained or lost it.
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
