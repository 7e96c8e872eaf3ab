"""One run at a time in a folder: who holds it, and whether that one still lives.

The kernel's lock on FOLDER/run.lock goes with its process, whatever ended that, so a dead holder on
this host is known at once. Many network file systems keep such locks for each host alone: there the
holder touches the file now and then, and whoever finds it untouched for a minute takes it.
"""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import socket
import threading
import time

import jax

NAME = 'run.lock'
BEAT = 10.0  # seconds between two touches of the file
SILENCE = 60.0  # seconds without a touch after which a holder elsewhere counts as dead
_NO_LOCKS = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS}


class LockedError(ValueError):
  """Another run holds the folder; the message says which host and process, and since when."""


class Lost(OSError):  # noqa: N818 - as above
  """The folder was deleted, moved or taken over while the run went on."""


@contextlib.contextmanager
def hold(folder, say=print):
  """Holds a folder that is there; only process 0 does, for all processes of its run.

  Args:
    folder: path.
    say: called with one line of text where something takes a while or cannot be had.

  Yields:
    A function without arguments that raises `Lost` where the folder is not ours any more.

  Raises:
    LockedError: another run holds the folder.
  """
  if jax.process_index() != 0:
    yield lambda: None
    return
  path = pathlib.Path(folder).absolute() / NAME
  file = _take(path, say)
  ended = threading.Event()
  beats = threading.Thread(target=_beat, args=(file, ended), name='run.lock', daemon=True)
  beats.start()
  try:
    yield lambda: _check(path, file)
  finally:
    ended.set()
    beats.join()
    # Only our own: the folder may have been deleted and made again by another run.
    with contextlib.suppress(OSError):
      if _same(path, file):
        path.unlink()
    file.close()


def _take(path, say):
  """The lock file, open and locked, with our name in it."""
  while True:
    file = open(path, 'a+')  # noqa: SIM115 - open as long as the run
    try:
      locked = _lock(path, file, say)
      # Its holder may have removed the file between our opening and our locking it.
      if not _same(path, file):
        file.close()
        continue
      _refuse_living(path, file, locked, say)
      file.seek(0)
      file.truncate()
      holder = {'host': socket.gethostname(), 'pid': os.getpid(), 'since': _now()}
      json.dump(holder, file)
      file.flush()
      return file
    except BaseException:
      file.close()
      raise


def _lock(path, file, say):
  """Whether the kernel's lock is ours; False where the file system has none.

  Raises:
    LockedError: it is another's.
  """
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    raise LockedError(_told(path, _holder(file))) from None
  except OSError as error:
    if error.errno not in _NO_LOCKS:
      raise
    say(f'{path.parent}: its file system has no locks; two runs that begin at once go unnoticed')
    return False
  return True


def _refuse_living(path, file, locked, say):
  """Raises `LockedError` where the file names a holder that may live though the lock is not its."""
  holder = _holder(file)
  if not holder or (locked and holder.get('host') == socket.gethostname()):
    return
  told = _told(path, holder)
  say(f'{told}; looking for up to {SILENCE:.0f} seconds whether it lives')
  # No clock is compared: those of two hosts differ, and one may be set while we look.
  first, end = os.stat(path).st_mtime_ns, time.monotonic() + SILENCE
  while time.monotonic() < end:
    time.sleep(min(1.0, BEAT / 4))
    with open(path):  # a network file system looks anew when a file is opened
      if os.stat(path).st_mtime_ns != first:
        raise LockedError(told)


def _holder(file):
  """What the file says of its holder; {} where it says nothing readable."""
  file.seek(0)
  try:
    holder = json.loads(file.read())
  except ValueError:  # caught while its holder was writing it
    return {}
  return holder if isinstance(holder, dict) else {}


def _told(path, holder):
  names = [f'{name} {holder[name]}' for name in ('host', 'pid', 'since') if name in holder]
  return (
    f'{path.parent} is held by another run ({", ".join(names) or "which is just beginning"}); '
    f'wait for its end, or give another --config.workdir'
  )


def _check(path, file):
  if not _same(path, file):
    raise Lost(
      f'{path.parent} was deleted or moved while the run went on: what it had written is not there'
    )
  holder = _holder(file)
  ours = (socket.gethostname(), os.getpid())
  if (holder.get('host'), holder.get('pid')) != ours:
    raise Lost(f'{path.parent} was taken over while this run stood still: {_told(path, holder)}')


def _same(path, file):
  """Whether the path still leads to the open file."""
  try:
    return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
  except FileNotFoundError:
    return False


def _beat(file, ended):
  while not ended.wait(BEAT):
    with contextlib.suppress(OSError):
      os.utime(file.fileno())


def _now():
  return time.strftime('%Y-%m-%d %H:%M:%S %z')
