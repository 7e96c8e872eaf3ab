"""A pipeline as a graph of stages: each one keyed, made once, listed in one manifest.

A stage's key is the SHA-256 of its config, of the code that it runs and of the keys of what it
reads. Its folder WORKDIR/NAME holds `stage.json`, which says for which key the folder is and, once
the stage is finished, what it has made. So a stage that is finished is skipped, one that was
interrupted goes on from its own checkpoints, and a change makes just what depends on it again: the
folder of another key is moved to WORKDIR/superseded, from where it comes back if its key does.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import time
from collections.abc import Callable

import jax
from jax.experimental import multihost_utils

from r1jax import files
from r1jax.evaluation import prospects
from r1jax.rewards import service
from r1jax.runs import workdir
from r1jax.runs.graph import fingerprint
from r1jax.train import checkpoint, optimizer

# What a stage raises with a reason that is all a user needs: no traceback helps.
EXPECTED = (
  ValueError,
  checkpoint.CheckpointError,
  optimizer.NonFiniteError,
  prospects.NothingToLearnError,
  service.VerifierFailure,
  OSError,
)
DONE, BEGUN, WAITING, GIVEN = 'done', 'begun', 'waiting', 'given'
_RECORD = 'stage.json'


@dataclasses.dataclass(frozen=True)
class Made:
  """What a finished stage leaves.

  Attributes:
    outputs: what it is ('model', 'data', 'metrics', 'samples', ...) -> path within the folder.
    figures: what the stage says of itself, as JSON holds it; the same whenever it is made again.
  """

  outputs: dict[str, str]
  figures: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Node:
  """A stage of the graph.

  Attributes:
    name: of the stage and of its folder.
    needs: names of the stages (or given folders) that it reads.
    section: all that it is told, as JSON holds it.
    code: the module that does it; a change there or in what it imports makes the stage again.
    make: (folder, name -> folder of each need) -> `Made`; goes on where it was interrupted.
    check: raises ValueError where the section cannot be used; called before any stage is made.
  """

  name: str
  needs: tuple[str, ...]
  section: dict
  code: str
  make: Callable
  check: Callable = lambda: None


class StageError(ValueError):
  """A graph that does not work out, or a finished stage whose files have changed."""


class Graph:
  """Nodes in an order in which each stands after what it needs, in one work directory."""

  def __init__(self, folder, nodes, given=None, say=print):
    """Reads nothing yet; `given` is name -> folder of what the pipeline starts from."""
    self.folder = pathlib.Path(folder)
    self.nodes, self.given = tuple(nodes), dict(given or {})
    self._versions = workdir.versions()
    self.say = say if jax.process_index() == 0 else lambda text: None
    known = set(self.given)
    for node in self.nodes:
      missing = [name for name in node.needs if name not in known]
      if missing or node.name in known:
        why = f'needs {missing[0]!r}, which comes later or never' if missing else 'is there twice'
        raise StageError(f'stage {node.name!r} {why}')
      known.add(node.name)
    # What is given counts by its content: it may be copied or moved, and may not change.
    self.keys = {name: fingerprint.digest(path) for name, path in self.given.items()}
    for node in self.nodes:
      self.keys[node.name] = _key(node, self.keys)

  def run(self, until=''):
    """Makes all stages, or those named in `until` (comma-separated) and what they need.

    Returns:
      The manifest, as it is written to `manifest.json` after every change.

    Raises:
      StageError: a name that no stage has; an output that is not as it was made.
      Whatever a stage raises; what it has saved stays.
    """
    chosen = self.chosen(until)
    for node in self.nodes:
      if node.name not in chosen:
        continue
      if self.finished(node):
        self.say(f'{node.name}: done')
      else:
        self.make(node)
    return self.write_manifest()

  def place(self, name):
    """Folder of a stage, or of what was given under that name."""
    return self.given.get(name, self.folder / name)

  def write_manifest(self):
    """Writes `manifest.json`: key, status, seconds, outputs and figures of every stage."""
    rows = {}
    for name, path in self.given.items():
      rows[name] = {'key': self.keys[name], 'status': GIVEN, 'folder': str(path)}
    for node in self.nodes:
      record = self._record(node)
      rows[node.name] = {
        'key': self.keys[node.name],
        'status': record.get('status', WAITING),
        'needs': list(node.needs),
        'seconds': round(record.get('seconds', 0.0), 3),
        'outputs': record.get('outputs', {}),
        'figures': record.get('figures', {}),
      }
    manifest = {'versions': self._versions, 'stages': rows}
    if jax.process_index() == 0:
      text = json.dumps(manifest, indent=2, ensure_ascii=False) + '\n'
      files.write_atomically(self.folder / 'manifest.json', text)
    return manifest

  def check(self, until=''):
    """Raises ValueError where a stage that `run` would make is told what it cannot use."""
    chosen = self.chosen(until)
    for node in self.nodes:
      if node.name in chosen:
        node.check()

  def chosen(self, until=''):
    """Names of the stages that `run` would make or find finished."""
    return needed(self.nodes, until)

  def finished(self, node):
    """Whether the stage is done; its outputs are compared with what was made."""
    record = self._record(node)
    if not record and jax.process_index() == 0:
      self._clear(node)
    _barrier(f'{node.name} has its folder')
    record = self._record(node)
    # Begun but not done: its folder stays, the stage goes on from its own checkpoints.
    if record.get('status') != DONE:
      return False
    # Hours of later stages may build on it: a file that was changed by hand is noticed first.
    for what, made in record['outputs'].items():
      path = self.folder / node.name / made['path']
      if not path.exists() or fingerprint.digest(path) != made['sha256']:
        state = 'has changed' if path.exists() else 'is gone'
        raise StageError(
          f'{path} ({what} of the finished stage {node.name}) {state}; '
          f'remove {self.folder / node.name} to make it again'
        )
    return True

  def make(self, node):
    """Makes a stage whose needs are finished, from where an earlier attempt ended."""
    folder, key = self.folder / node.name, self.keys[node.name]
    # Before the record is written anew: it tells when the attempt before began.
    spent = _spent(folder, self._record(node))
    self.say(f'{node.name}: {"goes on" if self._record(node) else "begins"}')
    began = time.time()
    record = {'key': key, 'status': BEGUN, 'seconds': spent, 'began': began}
    self._write_record(folder, record)
    self.write_manifest()
    made = node.make(folder, {name: self.place(name) for name in node.needs})
    _barrier(f'{node.name} is made')
    if jax.process_index() == 0:
      outputs = {
        what: {'path': path, 'sha256': fingerprint.digest(folder / path)}
        for what, path in made.outputs.items()
      }
      record = {
        'key': key,
        'status': DONE,
        'seconds': spent + time.time() - began,
        'outputs': outputs,
        'figures': made.figures,
      }
      self._write_record(folder, record)
    _barrier(f'{node.name} is recorded')
    self.write_manifest()

  def _record(self, node):
    """`stage.json` of the stage where it is for this key, else {}."""
    record = _read(self.folder / node.name)
    return record if record.get('key') == self.keys[node.name] else {}

  def _clear(self, node):
    """Moves a folder of another key away and brings one of this key back; each is one rename."""
    folder, aside = self.folder / node.name, self.folder / 'superseded'
    if folder.exists():
      # Twelve digits of the key tell folders of one stage apart and stay readable.
      old = _read(folder).get('key', 'unknown')
      aside.mkdir(exist_ok=True)
      target = aside / f'{node.name}-{old[:12]}'
      # The same key may have been moved away before, unfinished.
      number = 1
      while target.exists():
        number += 1
        target = aside / f'{node.name}-{old[:12]}-{number}'
      os.rename(folder, target)
      self.say(f'{node.name}: its config, code or input has changed; the old folder is {target}')
    # A change that was taken back finds what was made before it.
    before = aside / f'{node.name}-{self.keys[node.name][:12]}'
    if _read(before).get('key') == self.keys[node.name]:
      os.rename(before, folder)
      self.say(f'{node.name}: {before} is for this config, code and input and is used again')

  def _write_record(self, folder, record):
    if jax.process_index() == 0:
      text = json.dumps(record, indent=2, ensure_ascii=False) + '\n'
      files.write_atomically(folder / _RECORD, text)


def needed(nodes, until=''):
  """Names of the stages in `until` (comma-separated; '' for all) and of what they need.

  Raises:
    StageError: a name that no stage has.
  """
  wanted = [name.strip() for name in until.split(',') if name.strip()]
  known = {node.name: node for node in nodes}
  unknown = [name for name in wanted if name not in known]
  if unknown:
    raise StageError(f'no stage {unknown[0]!r}; the stages are {", ".join(known)}')
  chosen, waiting = set(), wanted or list(known)
  # What is needed of what is needed, and so on; names of given folders end it.
  while waiting:
    name = waiting.pop()
    if name in known and name not in chosen:
      chosen.add(name)
      waiting += known[name].needs
  return chosen


def _key(node, keys):
  content = {
    'section': node.section,
    # A change of code makes the stage again, like one of its config.
    'code': fingerprint.code(node.code),
    'needs': {name: keys[name] for name in node.needs},
  }
  return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _read(folder):
  """The record of a stage's folder; {} where there is none."""
  path = folder / _RECORD
  try:
    return json.loads(path.read_text()) if path.exists() else {}
  except ValueError as error:
    raise StageError(
      f'{path}: damaged ({error}); remove {folder} to make the stage again'
    ) from error


def _spent(folder, record):
  """Seconds of earlier attempts: an attempt that was killed lasted to its latest written file."""
  if not record:
    return 0.0
  # A killed process leaves no word of its end; its files have their times.
  latest = record['began']
  for path in folder.rglob('*'):
    with contextlib.suppress(FileNotFoundError):
      latest = max(latest, path.stat().st_mtime)
  return record['seconds'] + latest - record['began']


def _barrier(name):
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)
