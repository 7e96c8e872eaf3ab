"""What a run learns from: the files and models of its config, and whether they are the same."""

import functools
import hashlib
import pathlib

from r1jax.data import records, source
from r1jax.interchange import hub_download
from r1jax.rewards import functions as reward_functions
from r1jax.runs.graph import fingerprint

# Keys that may name a model of the hub, whose commit is kept as a file's digest is.
_MODELS = ('checkpoint', 'distill.teacher')
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


def digests(config):
  """Config key -> SHA-256 of the data that it names, where that is there, or a model's commit.

  Of a folder of shards those count that are read. A folder of TFDS data sets has none: it is made
  from the seed, by whoever comes first.
  """
  digests = {}
  for key, path in _places(config).items():
    # The name of a missing file is refused by whoever reads it, with a better reason.
    if path.is_file():
      digests[key] = _of_file(path)
    elif path.is_dir() and (shards := _shards(config, key, path)):
      names = ''.join(f'{one.name} {_of_file(one)}\n' for one in shards)
      digests[key] = hashlib.sha256(names.encode()).hexdigest()
  commits = {key: hub_download.commit(_value(config, key)) for key in _MODELS}
  return digests | {key: commit for key, commit in commits.items() if commit}


def check_same(folder, saved, now, config):
  """Raises ValueError where a file or model is not what the run has learned from so far.

  Args:
    folder: of the run.
    saved, now: what `digests` gave at its start and gives now.
    config: of the run.
  """
  for key in sorted(saved.keys() & now.keys()):
    if saved[key] != now[key] and key in _MODELS:
      place = hub_download.repository(_value(config, key))
      raise ValueError(
        f'{place} (config.{key}) is now at commit {now[key]}, {folder} began from {saved[key]}: go '
        f'on with --config.{key}={place}@{saved[key]}'
      )
    if saved[key] != now[key]:
      path, key_alone = _places(config)[key], key.partition(':')[0]
      raise ValueError(
        f'{path} (config.{key_alone}) has changed since {folder} began to learn from '
        f'it: its SHA-256 was {saved[key]:.12}, now it is {now[key]:.12}; put the old data back, '
        'or give another --config.workdir'
      )


def same_model(key, old, new):
  """Whether two values of a key name one model of the hub; its commit is what `digests` keeps."""
  return key in _MODELS and hub_download.repository(old) == hub_download.repository(new)


def _value(config, key):
  """The value of a dotted key; '' where the stage has no such key."""
  section, _, name = key.rpartition('.')
  return (config.get(section, {}) if section else config).get(name, '')


def _places(config):
  """Config key -> file or folder that it names; of one that names several, `key:FILE` for each."""
  places = {}
  for key, inside in _DATA.items():
    if place := _value(config, key):
      places[key] = pathlib.Path(place, inside)
  # The user's own rewards are what a run learns from as much as its questions are.
  for place in reward_functions.files(_value(config, 'reward.function')):
    places[f'reward.function:{place}'] = pathlib.Path(place)
  return places


def _shards(config, key, path):
  """The data files of a folder that the run reads; none of a folder of another kind."""
  held = key == 'data.heldout_path'
  try:
    # As in `data.source`, so that a split that nobody reads may change.
    split = (
      source.heldout_split(config.data) if held else _value(config, f'{key.split(".")[0]}.split')
    )
    return records.files(path, split)
  except records.RecordError:
    return []


def _of_file(path):
  status = path.stat()
  return _digest(path, status.st_size, status.st_mtime_ns)


@functools.cache
def _digest(path, size, changed):
  """Of a file as it was then: a graph asks for the same file once per stage."""
  return fingerprint.digest(path)
