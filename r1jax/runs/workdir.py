"""The folder of a run: what it was asked to do, by which code, and whether it may go on."""

import contextlib
import hashlib
import importlib.metadata
import json
import pathlib
import shutil
import subprocess

import jax

import r1jax
from r1jax import files
from r1jax.runs import learned, lock
from r1jax.train import loop

SUMMARY, STOPPED = 'summary.json', 'stopped.json'
# What may differ when a run goes on: it changes where, how often or how long, not what is computed.
_FREE = (
  'workdir', 'mesh', 'loop', 'runtime.cache', 'rl.updates', 'rl.rollout_mesh', 'rl.samples_every',
  'rl.samples_mib', 'pretrain.updates',
)  # fmt: skip
# Of these, what changes how far a run goes or what it leaves.
_UNTIL = ('rl.updates', 'pretrain.updates', 'loop.keep_best')
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
    lock.LockedError: another run holds it.
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
    with _noting(prepare(folder, config)) as prepared:
      yield prepared
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
      if not (folder / 'config.json').exists():
        raise ValueError(
          f'{folder} holds what a run has made, but its config.json is gone, so nothing says which '
          'run: put it back, or give another --config.workdir'
        )
      free = _FREE + (_CURATED if drawn else ())
      _check_same(folder, _saved(folder / 'config.json'), content, free)
      learned.check_same(folder, _saved(folder / 'data.json'), data, config)
    (folder / STOPPED).unlink(missing_ok=True)
    for name, value in (('config', content), ('versions', versions()), ('data', data)):
      files.write_atomically(folder / f'{name}.json', json.dumps(value, indent=2) + '\n')
  return folder


@contextlib.contextmanager
def _noting(folder):
  """Keeps why a run ends before its end, for whoever looks; the next start drops that."""
  try:
    yield folder
  except Exception as error:
    if not isinstance(error, loop.Interrupted) and jax.process_index() == 0:
      with contextlib.suppress(OSError):  # the disk may be the reason
        why = ' '.join(str(error).split()) or type(error).__name__
        files.write_json(folder / STOPPED, {'why': why})
    raise


def asked(config):
  """SHA-256 of all in a config that decides what a run leaves at its end."""
  flat = _flat(json.loads(config.to_json_best_effort()))
  kept = {
    key: value
    for key, value in flat.items()
    if key in _UNTIL or not any(key == free or key.startswith(f'{free}.') for free in _FREE)
  }
  return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def ended(path, config):
  """`summary.json` of a run that has ended just as `config` asks, from the same data; else None."""
  folder = pathlib.Path(path)
  try:
    summary = files.read_json(folder / SUMMARY)
    same = _saved(folder / 'data.json') == learned.digests(config)
  except (OSError, ValueError):  # not there, or damaged: the run goes on as far as it can
    return None
  whole = same and summary.get('asked') == asked(config) and (folder / 'model').is_dir()
  return summary if whole else None


def end(folder, config, updates, seconds):
  """Notes in `summary.json` that the run has ended, as what, and what that took."""
  path = pathlib.Path(folder) / SUMMARY
  took = {phase: round(value, 3) for phase, value in seconds.items()}
  told = {'updates': updates, 'seconds': took, 'asked': asked(config)}
  files.write_json(path, files.read_json(path) | told)


def _flat(value, before=''):
  """A nested dict as one with dotted keys."""
  if not isinstance(value, dict):
    return {before[:-1]: value}
  flat = {}
  for name, part in value.items():
    flat |= _flat(part, f'{before}{name}.')
  return flat


def begun(path):
  """Whether a folder holds a run that goes on, or has ended, by the config that is there."""
  folder = pathlib.Path(path)
  return (folder / 'config.json').exists() and _holds(folder, 'checkpoints/step_*', SUMMARY)


def check(folder, saved, config):
  """Raises ValueError, with the key, where `saved`, the config of a folder's run, is another."""
  _check_same(folder, saved, json.loads(config.to_json_best_effort()), _FREE)


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
    described = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    commit = described.stdout.strip()
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
