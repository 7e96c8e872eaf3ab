"""The processes of one job: how they join, share what is no array, and stop together.

JAX's own watch notices a lost process by missing heartbeats and then aborts the others with a dump
of its internals; a collective that waits for the lost one says nothing at all. So every process
keeps a connection to process 0, the hub, besides. The kernel closes it with the process, whatever
ended that; a host that is gone, or a process that is frozen, misses its beats. The hub passes on
who was lost, and each process says so in one line and exits, wherever its own threads are stuck.
"""

import atexit
import contextlib
import ctypes
import faulthandler
import functools
import json
import os
import resource
import signal
import socket
import sys
import threading
import time

import jax
import numpy as np
from jax.experimental import multihost_utils

from r1jax import admission, terminal

LOST = 75  # exit status after a loss, EX_TEMPFAIL: the same command may well succeed
SILENCE = 30.0  # seconds without a beat after which a process counts as lost
_BEAT = 5.0
_JAX_SILENCE = 50  # JAX's own watch steps in where ours could not be set up
_PATIENCE = 3.0  # an error here may only be the echo of another process's end: wait for that word
_BLOCK = 1 << 18  # bytes that processes hand each other at a time
_HELLO = 320  # bytes of the hub's address as it is told to the others

_lifeline = None
_forgotten = 0.0  # GiB: the highest of the kernel's marks that were set back


def join(coordinator=None, count=None, number=None):
  """Joins the processes of a job, by default those that JAX finds on a TPU slice or a cluster.

  Args:
    coordinator: host:port of process 0.
    count, number: how many processes there are, and which one this is.

  Raises:
    ValueError: the coordinator does not answer, or there is none; the secret cannot be read.
  """
  global _lifeline
  secret = admission.secret()
  settings = dict(heartbeat_timeout_seconds=_JAX_SILENCE)
  # By default JAX listens on all interfaces, whatever address the others are told.
  if coordinator and number == 0 and admission.is_ours(_host(coordinator)):
    settings['coordinator_bind_address'] = coordinator
  try:
    jax.distributed.initialize(coordinator, count, number, **settings)
  except (RuntimeError, ValueError) as error:
    if coordinator is None:
      raise ValueError(f'--distributed found no cluster: {error}; give --coordinator') from error
    raise ValueError(
      f'process {number} of {count} cannot reach --coordinator={coordinator}: {error}'
    ) from error
  if jax.process_count() > 1:
    if not secret and jax.process_index() == 0:
      print(
        f'note: without {admission.SECRET} whoever reaches the port of process 0 may join this job '
        'or end it (docs/scale.md)',
        file=sys.stderr,
      )
    _delay_aborts()
    _lifeline = _Lifeline(coordinator, secret)


def leave():
  """Tells the others that this process has done its part; nothing where it is the only one."""
  if _lifeline:
    _lifeline.leave()


def abandon(reason, status, report):
  """Ends this process for an error of its own and takes the others with it; alone, does nothing.

  Where another process was lost first, the error is an echo of that, and only that is said.

  Args:
    reason: what the others say.
    status: exit status of all of them.
    report: what this one writes to stderr.
  """
  if not _lifeline:
    return
  time.sleep(_PATIENCE)
  _lifeline.abandon(' '.join(reason.split()), status, report)


@functools.cache
def settle_at_exit():
  """From now on this process ends only when it has settled."""
  atexit.register(settle)


def settle():
  """Waits for all that is still computed: XLA's CPU threads may crash in a process that ends.

  Of several processes one may be gone, and what waits for it never be done: there, does nothing.
  """
  if jax.process_count() > 1:
    return
  for array in jax.live_arrays():
    with contextlib.suppress(RuntimeError):  # its computation failed, which was said elsewhere
      array.block_until_ready()


def gather(value):
  """What every process passed, in their order: what JSON holds; all processes call it alike.

  Nothing else, as a pickle from the network would be a program that runs here.
  """
  if jax.process_count() == 1:
    return [value]
  data = np.frombuffer(json.dumps(value).encode(), np.uint8)
  sizes = multihost_utils.process_allgather(np.int32(data.size)).reshape(-1)
  blocks = []
  for first in range(0, int(sizes.max()), _BLOCK):
    block = np.zeros(_BLOCK, np.uint8)  # of one size, so that one program is compiled
    part = data[first : first + _BLOCK]
    block[: part.size] = part
    blocks.append(multihost_utils.process_allgather(block))
  rows = np.concatenate(blocks, axis=1)
  return [json.loads(row[:size].tobytes()) for row, size in zip(rows, sizes)]


def share(count):
  """The slice of `count` things that is this process's part of the work."""
  number, processes = jax.process_index(), jax.process_count()
  # Parts differ by one thing at most, and together are all of them.
  return slice(number * count // processes, (number + 1) * count // processes)


class _Lifeline:
  """The connections by which processes notice that one of them is lost."""

  def __init__(self, coordinator, secret):
    self._secret = secret
    self._number, self._count = jax.process_index(), jax.process_count()
    self._lock, self._peers = threading.Lock(), {}
    if self._number == 0:
      self._open(coordinator)
    else:
      self._connect()
    for peer in self._peers:
      threading.Thread(target=self._listen, args=(peer,), daemon=True).start()
    threading.Thread(target=self._beat, daemon=True).start()

  def leave(self):
    """The end of this process is no loss any more."""
    self._tell('bye')

  def abandon(self, reason, status, report):
    """Ends all processes for an error of this one."""
    with self._lock:  # of two reasons the first one counts
      self._send(f'stop {status} process {self._number} of {self._count} stopped: {reason}')
      _say(report)
      _exit(status)

  def _open(self, coordinator):
    """Listens, tells the others where, and waits until all of them are connected."""
    named = _host(coordinator) if coordinator else _outward_address()
    with admission.Door(named, self._count, self._secret) as door:
      hosts = ' '.join(dict.fromkeys([named, _outward_address(), socket.gethostname()]))
      text = f'{door.port} {door.token} {hosts}'.encode()[:_HELLO].ljust(_HELLO)
      multihost_utils.broadcast_one_to_all(np.frombuffer(text, np.uint8))
      self._peers = door.admit(SILENCE)
    if door.refused:
      _note(f'{door.refused} connections to {named}:{door.port} showed no right token: dropped')
    missing = sorted(set(range(1, self._count)) - self._peers.keys())
    if missing:
      self._cannot_watch(f'processes {missing}')

  def _connect(self):
    told = multihost_utils.broadcast_one_to_all(np.zeros(_HELLO, np.uint8))
    text = np.asarray(told).astype(np.uint8).tobytes().decode()
    port, token, *hosts = text.split()
    for host in hosts:
      with contextlib.suppress(OSError):
        connection = socket.create_connection((host, int(port)), timeout=_BEAT)
        connection.settimeout(SILENCE)
        if admission.introduce(connection, token, self._number, self._secret):
          self._peers[0] = connection
          return
        connection.close()
    self._cannot_watch('process 0')

  def _cannot_watch(self, whom):
    _note(
      f'process {self._number} has no connection to {whom}: if it is lost, only JAX will notice, '
      f'within {_JAX_SILENCE} seconds and with a dump of its own'
    )

  def _beat(self):
    # A frozen process closes nothing: only its missing beats tell.
    while True:
      time.sleep(_BEAT)
      self._tell('beat')

  def _tell(self, line):
    with self._lock:
      self._send(line)

  def _send(self, line):
    for connection in self._peers.values():
      with contextlib.suppress(OSError):
        connection.sendall(f'{line}\n'.encode())

  def _listen(self, peer):
    """Reads what a peer says until it leaves, tells all to stop, or is lost."""
    why = 'its connection closed: it was killed, it crashed, or its host is gone'
    try:
      for line in self._peers[peer].makefile('r', errors='replace'):
        # A connection that closes after this is no loss.
        if line == 'bye\n':
          return
        if line.startswith('stop '):
          _, status, reason = line.rstrip('\n').split(' ', 2)
          self._stop(int(status), reason)
    except TimeoutError:
      why = f'nothing was heard of it for {SILENCE:.0f} seconds: it is frozen, or its host is gone'
    except OSError:
      pass
    self._stop(LOST, f'process {peer} of {self._count} was lost; {why}')

  def _stop(self, status, reason):
    with self._lock:
      self._send(f'stop {status} {reason}')
      text = f'error: {reason}; all processes stop here'
      if status == LOST:
        text += '. Start the same command again on every host: it goes on from the last checkpoint'
      _say(text)
      _exit(status)


def _host(address):
  """HOST of HOST:PORT; an IPv6 address stands in brackets there."""
  return address.rsplit(':', 1)[0].strip('[]')


def _note(text):
  print(text, file=sys.stderr, flush=True)


def _delay_aborts():
  """Makes an abort take six seconds, in which the lifeline can say why.

  JAX's client aborts at once where process 0 is lost. A handler is called with the number of its
  signal, so `sleep` itself will do: SIGABRT is 6. No Python may run there, as any lock may be held.
  """
  libc = ctypes.CDLL(None)
  traced = faulthandler.is_enabled()
  faulthandler.disable()
  libc.signal(signal.SIGABRT, ctypes.cast(libc.sleep, ctypes.c_void_p))
  if traced:
    faulthandler.enable()  # prints its trace, then calls the handler before it


def _say(text):
  """The last words on stderr: what other threads write from now on is lost.

  JAX's threads report the same loss at the same moment and may be within a line of theirs.
  """
  own = os.dup(2)
  os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
  os.write(
    own, f'\n{terminal.plain(text)}\n'.encode()
  )  # not by sys.stderr, whose lock a stuck thread may hold


def _exit(status):
  """Ends the process at once: to leave in order would wait for those that are lost."""
  flush = threading.Thread(target=sys.stdout.flush, daemon=True)  # a stuck thread may hold its lock
  flush.start()
  flush.join(1.0)
  os._exit(status)


def _outward_address():
  """This host's address on the network it talks to others by; no packet is sent."""
  with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
    probe.connect(('10.255.255.255', 1))
    return probe.getsockname()[0]
  return 'localhost'


def peak_gib():
  """Highest resident memory of this process so far, GiB."""
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  now = peak / (2**30 if sys.platform == 'darwin' else 2**20)  # macOS counts bytes, Linux KiB
  return max(now, _forgotten)


def forget_peak():
  """Sets the kernel's high-water mark back to what is held now; `peak_gib` goes on knowing it.

  Returns:
    Whether it could: only Linux has it, and only where /proc may be written.
  """
  global _forgotten
  peak = peak_gib()
  try:
    file = os.open('/proc/self/clear_refs', os.O_WRONLY)  # which makes no file where there is none
  except OSError:
    return False
  try:
    os.write(file, b'5')
  except OSError:
    return False
  finally:
    os.close(file)
  _forgotten = max(peak, _forgotten)
  return True
