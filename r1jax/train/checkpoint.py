"""Checkpoints of a run: asynchronous, atomic, verified, restorable onto another mesh.

On disk, `step_00000010/` holds `arrays/` (orbax), `host.json` and `manifest.json`. The folder is
written under a name ending in `.tmp`; the manifest (leaves, size and SHA-256 of every file, its own
digest) comes last, then one rename. So a folder with the final name is complete, unless the disk
damaged it afterwards, and that the manifest shows.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import threading

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from r1jax.train import failed_saves
from r1jax.train import leaves as leaves_lib

_STEP = re.compile(r'step_(\d+)')  # Yes: `step_00000020`. No: `step_20.tmp`.
_TMP = '.tmp'
_SUPERSEDED = '.superseded'


class CheckpointError(RuntimeError):
  """A checkpoint that cannot be written or used; the message names the path and the reason."""


class Checkpoints:
  """The checkpoints of one run in one folder; every process of it makes one and calls it alike.

  The folder must be visible to all processes. Saves are made one at a time: a second one waits.
  """

  def __init__(self, folder, keep=2, every=1, notify=print):
    """Opens or creates `folder`; changes nothing that is in it before the first `save`.

    Args:
      folder: path; the `step_*` folders go here.
      keep: how many of the newest checkpoints stay (at least 2, so that a damaged one has an older
        one).
      every: number of steps between saves, for `due`.
      notify: called with one line of text when a damaged checkpoint is passed over.

    Raises:
      CheckpointError: the folder cannot be written.
      ValueError: `keep` or `every` is too small.
    """
    if keep < 2 or every < 1:
      raise ValueError(f'{keep=} must be at least 2 (one may be damaged) and {every=} at least 1')
    self._folder = pathlib.Path(folder).absolute()
    self._keep, self._every, self._notify = keep, every, notify
    self._thread, self._failure, self._damaged, self._opened = None, None, set(), None
    self._orbax = _checkpointer()
    failed_saves.say_once()
    if jax.process_index() == 0:
      try:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._opened = os.open(self._folder, os.O_RDONLY)
      except OSError as error:
        raise CheckpointError(f'{self._folder}: cannot be written ({error.strerror})') from error

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    self.close()

  def due(self, step):
    """Whether a checkpoint is to be saved after `step` (counted from 1) is complete."""
    return step % self._every == 0

  def steps(self):
    """Steps of the finished checkpoints, oldest first, damaged ones included."""
    matches = (_STEP.fullmatch(entry.name) for entry in self._folder.glob('step_*'))
    return sorted(int(match.group(1)) for match in matches if match)

  def save(self, step, arrays, host, kept=()):
    """Starts to save; returns as soon as `arrays` may be donated, changed or deleted.

    Args:
      step: number of complete steps; the checkpoint's name. One that exists is replaced.
      arrays: tree of jax.Array (any sharding, typed keys too) and np.ndarray.
      host: what JSON can hold: iterator state, counters. Process 0's is written.
      kept: steps whose checkpoints stay, however old.

    Raises:
      CheckpointError: the previous save failed.
      TypeError: `host` is not JSON, or a leaf of `arrays` is not an array.
    """
    # First, as it may fail: nothing has been written yet.
    text = json.dumps(host)
    self.wait()
    names, leaves, _ = _flatten(arrays)
    for name, leaf in zip(names, leaves):
      if not isinstance(leaf, (jax.Array, np.ndarray)):
        raise TypeError(
          f'leaf {name!r} is {type(leaf).__name__}; it belongs in `host`, or in an array'
        )
    described = [leaves_lib.describe(leaf) for leaf in leaves]
    stored = {name: leaves_lib.storable(leaf) for name, leaf in zip(names, leaves)}
    final = self._path(step)
    tmp = final.with_name(final.name + _TMP)
    if jax.process_index() == 0:
      self._check_still_there(step)
      try:
        for unfinished in self._folder.glob(f'step_*{_TMP}'):  # of a process that was killed
          shutil.rmtree(unfinished)
        tmp.mkdir()
      except OSError as error:
        raise CheckpointError(f'{tmp}: cannot be written ({error.strerror})') from error
    # All processes write their shards into the folder that the first one makes.
    _barrier('checkpoint folder is there')
    self._orbax.save(tmp / 'arrays', args=ocp.args.PyTreeSave(stored))
    commit = (step, tmp, final, text, list(zip(names, described)), kept)
    self._thread = threading.Thread(target=self._finish, args=commit, name='checkpoint')
    self._thread.start()

  def wait(self):
    """Returns when the save under way, if any, is on disk.

    Raises:
      CheckpointError: that save failed.
    """
    if self._thread is None:
      return
    self._thread.join()
    self._thread = None
    failure, self._failure = self._failure, None
    if failure and not self._still_there():
      # What the save then says is about one of its files, not about the folder.
      raise CheckpointError(
        f'{self._folder} is gone: it was deleted or moved while a checkpoint was saved'
      ) from failure
    if failure:
      left = 'the checkpoints before are whole, the same command goes on from the newest of them'
      raise CheckpointError(
        f'{self._folder}: saving failed ({failed_saves.reason(failure)}); '
        + (left if self.steps() else 'it was the first, so the same command begins anew')
      ) from failure
    _barrier('checkpoint is saved')

  def close(self):
    """Waits for the save under way and releases orbax's threads."""
    try:
      self.wait()
    finally:
      self._orbax.close()
      if self._opened is not None:
        os.close(self._opened)
        self._opened = None

  def latest(self, abstract):
    """The newest undamaged checkpoint, on the mesh of `abstract`.

    Args:
      abstract: tree as passed to `save`, with a jax.ShapeDtypeStruct for each jax.Array (its
        sharding says where the array goes; None or a sharding on an abstract mesh means the mesh
        that is set) and any np.ndarray of that shape and dtype for each np.ndarray. Or a function
        from `host` to such a tree, where some arrays are only sometimes there.

    Returns:
      (step, arrays, host), or None where the folder has no checkpoint.

    Raises:
      CheckpointError: every checkpoint is damaged, or the tree is of another model or config.
    """
    self.wait()
    step = self._newest_intact()
    return None if step is None else (step, *self._read(step, abstract))

  def load(self, step, abstract):
    """(arrays, host) of the checkpoint of `step`; `abstract` and errors as in `latest`."""
    self.wait()
    # Every process looks, as every one reads: what one finds damaged none can use.
    damage = _damage(self._path(step), step)
    if damage:
      raise CheckpointError(f'{self._path(step)} is damaged ({damage})')
    return self._read(step, abstract)

  def _read(self, step, abstract):
    path = self._path(step)
    leaves = _read_manifest(path)['leaves']
    host = json.loads((path / 'host.json').read_text())
    tree = abstract(host) if callable(abstract) else abstract
    return self._restore(path, tree, leaves), host

  def _check_still_there(self, step):
    """Raises CheckpointError where the folder is not the one that was opened.

    Whoever writes next makes the folders again that it needs: the path alone tells nothing.
    """
    if self._still_there():
      return
    raise CheckpointError(
      f'{self._folder} is gone: it was deleted or moved before step {step} was saved; what the run '
      'had written is not there'
    )

  def _still_there(self):
    """Whether the folder is the one that was opened."""
    with contextlib.suppress(FileNotFoundError):
      return os.path.samestat(os.stat(self._folder), os.fstat(self._opened))
    return False

  def _path(self, step):
    return self._folder / f'step_{step:08d}'

  def _newest_intact(self):
    """Step of the newest checkpoint whose files are as written; process 0 decides for all."""
    newest, reasons = -1, []
    if jax.process_index() == 0:
      for step in reversed(self.steps()):
        damage = _damage(self._path(step), step)
        if not damage:
          newest = step
          break
        self._damaged.add(step)
        reasons.append(f'{self._path(step)} is damaged ({damage})')
      # -1 is a folder without any checkpoint, -2 one whose checkpoints are all damaged.
      newest = newest if newest >= 0 or not reasons else -2
    if jax.process_count() > 1:
      newest = int(multihost_utils.broadcast_one_to_all(np.int32(newest)))
    if newest == -2:
      raise CheckpointError('; '.join(reasons or ['damaged']) + '; no older checkpoint is left')
    for reason in reasons:
      self._notify(f'checkpoint {reason}; using an older one, step {newest}')
    return None if newest == -1 else newest

  def _restore(self, path, tree, saved):
    names, leaves, structure = _flatten(tree)
    _check_same_tree(
      path, saved, [(n, leaves_lib.describe(leaf)) for n, leaf in zip(names, leaves)]
    )
    wanted = {name: leaves_lib.stored_form(leaf) for name, leaf in zip(names, leaves)}
    how = {name: leaves_lib.restore_args(leaf) for name, leaf in wanted.items()}
    args = ocp.args.PyTreeRestore(item=wanted, restore_args=how)
    # Each process reads its own shards, also of a mesh that was another when they were written.
    stored = self._orbax.restore(path / 'arrays', args=args)
    values = [leaves_lib.from_stored(stored[name], leaf) for name, leaf in zip(names, leaves)]
    return jax.tree.unflatten(structure, values)

  def _finish(self, *commit):
    """Runs in the thread: everything after the arrays have left the devices."""
    try:
      self._orbax.wait_until_finished()
      if jax.process_index() == 0:
        self._commit(*commit)
    except Exception as error:  # raised in the thread that waits
      self._failure = error
      if jax.process_index() == 0:
        with contextlib.suppress(Exception):  # what is said is why the save failed
          # A full disk would stay so. What is still being written goes with the next save.
          shutil.rmtree(commit[1], ignore_errors=True)

  def _commit(self, step, tmp, final, host, leaves, kept):
    (tmp / 'host.json').write_text(host)
    _write_manifest(tmp, step, leaves)
    for other in self.steps():
      if other >= step or other in self._damaged:  # not part of this run any more
        _move_aside(self._path(other))
    os.rename(tmp, final)
    _sync(self._folder)
    for old in self.steps()[: -self._keep]:
      if old in kept:
        continue
      stale = self._path(old).with_name(self._path(old).name + _TMP)
      os.rename(self._path(old), stale)  # a kill inside rmtree must not leave half of a final name
      shutil.rmtree(stale)


def _checkpointer():
  """Orbax's asynchronous writer of trees of jax.Array and np.ndarray."""
  # One replica writes: to slice an array over its replicas compiles a program per shape.
  handlers = ocp.type_handlers.create_type_handler_registry(
    (jax.Array, ocp.type_handlers.ArrayHandler(use_replica_parallel=False)),
    (np.ndarray, ocp.type_handlers.NumpyHandler()),
  )
  return ocp.AsyncCheckpointer(ocp.PyTreeCheckpointHandler(type_handler_registry=handlers))


def _barrier(name):
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


def _flatten(tree):
  """Names, leaves and structure; names read like `params.layers.w_up`."""
  pairs, structure = jax.tree_util.tree_flatten_with_path(tree)
  names = [jax.tree_util.keystr(path, simple=True, separator='.') for path, _ in pairs]
  if len(set(names)) != len(names):
    twice = next(name for name in names if names.count(name) > 1)
    raise ValueError(f'two leaves of the tree are called {twice!r}')
  return names, [leaf for _, leaf in pairs], structure


def _check_same_tree(path, saved, wanted):
  """Raises CheckpointError at the first leaf in which two lists of (name, description) differ."""
  saved, wanted = dict(map(tuple, saved)), dict(wanted)
  for name in dict.fromkeys([*wanted, *saved]):
    if saved.get(name) != wanted.get(name):
      raise CheckpointError(
        f'{path} is from another model or configuration: {name!r} is {saved.get(name, "absent")} '
        f'there and {wanted.get(name, "absent")} in this run; use another work directory'
      )


def _write_manifest(folder, step, leaves):
  files = {}
  for path in sorted(p for p in folder.rglob('*') if p.is_file()):
    files[path.relative_to(folder).as_posix()] = [path.stat().st_size, _sha256(path)]
  body = json.dumps({'step': step, 'leaves': leaves, 'files': files})
  with open(folder / 'manifest.json', 'w') as out:
    out.write(f'{body}\n{hashlib.sha256(body.encode()).hexdigest()}\n')
    out.flush()
    os.fsync(out.fileno())


def _read_manifest(folder):
  """The manifest of a checkpoint; CheckpointError where it is absent or damaged."""
  try:
    text = (folder / 'manifest.json').read_bytes()
  except OSError as error:
    raise CheckpointError(f'manifest.json: {error.strerror}') from error
  # Two lines: the manifest, and what it must hash to.
  body, _, digest = text.partition(b'\n')
  if digest.strip() != hashlib.sha256(body).hexdigest().encode():
    raise CheckpointError('manifest.json does not match its own digest')
  return json.loads(body)


def _damage(folder, step):
  """What is wrong with a checkpoint's files; '' when they are what was written for that step."""
  try:
    manifest = _read_manifest(folder)
    # A folder that was renamed would resume with the weights of one step and the data of another.
    if manifest['step'] != step:
      return f'it holds step {manifest["step"]}: the folder was renamed'
    for name, (size, digest) in manifest['files'].items():
      path = folder / name
      if path.stat().st_size != size:
        return f'{name} has {path.stat().st_size} bytes of {size}'
      if _sha256(path) != digest:
        return f'{name} has changed since it was written'
  except CheckpointError as error:
    return str(error)
  except OSError as error:
    return f'{error.filename}: {error.strerror}'
  return ''


def _sha256(path):
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _move_aside(path):
  aside = path.with_name(path.name + _SUPERSEDED)
  shutil.rmtree(aside, ignore_errors=True)
  os.rename(path, aside)


def _sync(folder):
  """Makes a rename inside `folder` survive a power cut."""
  handle = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(handle)
  finally:
    os.close(handle)
