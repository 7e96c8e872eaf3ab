"""Models of huggingface.co, `org/name` or `org/name@revision`, by huggingface_hub and its cache.

What is in the cache is taken as it is, without asking whether there is a newer one: a run that goes
on meets the model that it began with. HF_HOME, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE are heeded.
"""

import json
import pathlib
import re

_INDEX = 'model.safetensors.index.json'
# What a model's folder is read for; weights of other formats stay where they are.
_WANTED = (
  '*.json', '*.safetensors', '*.jinja', '*.model', 'merges.txt', 'vocab.txt', 'LICENSE*',
)  # fmt: skip
_UNWANTED = ('*/*',)  # folders hold the same weights for other programs
# Yes: `Qwen/Qwen2.5-0.5B`, `a/b@main`. No: `runs/a/b`, `/a/b`, `./a`, `~/a`, `a/b.gguf`.
_NAME = re.compile(r'(?P<org>\w[\w.-]*)/(?P<name>\w[\w.-]*)(?<!\.gguf)(?:@(?P<revision>[\w./-]+))?')


def repository(place):
  """What the user named without its revision: 'org/name' of 'org/name@main'; others as they are."""
  return str(place).partition('@')[0] if is_name(place) else str(place)


def is_name(place):
  """Whether a place can only be a model of the hub: `org/name`, and no folder `org` is here."""
  parts = _NAME.fullmatch(str(place))
  return bool(parts) and not pathlib.Path(parts['org']).exists()


def folder(place, say=print):
  """The folder of a model in huggingface_hub's cache, downloaded where it is not there yet.

  Args:
    place: `org/name`, or `org/name@revision` with a branch, a tag or a commit.
    say: hears what is downloaded.

  Raises:
    ValueError: there is no such model, it may not be read, or the hub is not reached; in one line.
  """
  there = cached(place)
  if there:
    return there
  say(f'{place}: from the hub into its cache, once')
  path = _asked(place, local_files_only=False)
  if not _whole(path):
    raise ValueError(f'{place} has no *.safetensors with a config.json, in which models are read')
  return path


def cached(place):
  """The folder of a model that is whole in the cache, else None."""
  from huggingface_hub import errors  # takes a quarter of a second, which few commands need

  try:
    path = _snapshot(place, local_files_only=True)
  except (OSError, errors.HFValidationError):  # not there, or a part of it
    return None
  return path if _whole(path) else None


def file(place, name, folder):
  """One file of a repository of the hub, downloaded into `folder` and not into the cache.

  Args:
    place: `org/name@revision`.
    name: of the file.
    folder: made where absent.

  Raises:
    ValueError: the hub does not give it; in one line.
  """
  import huggingface_hub

  asked = _NAME.fullmatch(place)
  repository = f'{asked["org"]}/{asked["name"]}'
  try:
    path = huggingface_hub.hf_hub_download(
      repository, name, revision=asked['revision'], local_dir=folder
    )
  except Exception as error:  # no network, no such file, a full disk
    raise ValueError(f'{repository} does not give {name} ({_reason(error)})') from error
  return pathlib.Path(path)


def commit(place):
  """Commit of a model in the cache, 40 hexadecimal digits; '' where it is no model of the hub."""
  path = cached(place) if is_name(place) else None
  return path.name if path else ''


def _asked(place, **how):
  """`_snapshot`, with each of its many errors in one line."""
  from huggingface_hub import errors

  try:
    return _snapshot(place, **how)
  except errors.GatedRepoError as error:
    raise ValueError(
      f'{place} is open to those only who accepted its terms: do so on its page, then '
      'hf auth login, or set HF_TOKEN'
    ) from error
  except errors.RevisionNotFoundError as error:
    raise ValueError(f'{place}: the model is there, this revision of it is not') from error
  except errors.RepositoryNotFoundError as error:
    raise ValueError(
      f'{place}: no such folder here and no such model on the hub, or a private one without '
      'hf auth login'
    ) from error
  # No network, a hub that is down, a full disk: all that can happen on the way.
  except Exception as error:
    reason = _reason(error)
    raise ValueError(
      f'{place}: no such folder here, and the hub does not give it ({reason}); is there a network? '
      'A model that was downloaded elsewhere is named by its folder'
    ) from error


def _reason(error):
  """The innermost cause in a few words: what wraps it is a paragraph."""
  while error.__cause__:
    error = error.__cause__
  return f'{type(error).__name__}: {" ".join(str(error).split()):.120}'


def _snapshot(place, **how):
  import huggingface_hub

  name = _NAME.fullmatch(place)
  path = huggingface_hub.snapshot_download(
    f'{name["org"]}/{name["name"]}',
    revision=name['revision'],
    allow_patterns=list(_WANTED),
    ignore_patterns=list(_UNWANTED),
    **how,
  )
  return pathlib.Path(path)


def _whole(path):
  """Whether a folder has a config and all of its weights: another program may have left a part."""
  if not (path / 'config.json').exists():
    return False
  if not (path / _INDEX).exists():
    return any(path.glob('*.safetensors'))
  try:
    shards = set(json.loads((path / _INDEX).read_text())['weight_map'].values())
  # A damaged index is refused by whoever reads it, with the reason.
  except (ValueError, KeyError, TypeError, AttributeError):
    return True
  return all((path / str(shard)).exists() for shard in shards)
