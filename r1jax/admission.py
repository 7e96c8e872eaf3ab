"""Who may join the processes of a job: a listener for them alone, and how each proves itself.

The token that all processes are told is new for each job. Where it could be overheard, as JAX's own
service is open to whoever reaches its port, a secret that only the job's hosts have is part of each
proof: an HMAC of the token and the process's number, which shows neither.
"""

import contextlib
import hmac
import os
import pathlib
import secrets
import socket
import threading
import time

SECRET, SECRET_FILE = 'R1JAX_SECRET', 'R1JAX_SECRET_FILE'
_FEWEST = 16  # characters of a secret
_HELLO_SECONDS = 10.0  # within which a connection says who it is
_LINE = 256  # bytes of what it says


def secret():
  """The secret of the job as bytes, from R1JAX_SECRET or the file R1JAX_SECRET_FILE; b'' for none.

  Raises:
    ValueError: the file cannot be read or others may read it; the secret is short.
  """
  name, text = SECRET, os.environ.get(SECRET, '')
  path = os.environ.get(SECRET_FILE, '')
  if path:
    name, text = f'{SECRET_FILE}={path}', _private(path)
  if (path or text) and len(text.strip()) < _FEWEST:
    raise ValueError(f'{name} holds {len(text.strip())} characters; a secret has {_FEWEST} or more')
  return text.strip().encode()


def _private(path):
  try:
    with open(path) as file:
      mode = os.fstat(file.fileno()).st_mode & 0o777
      if mode & 0o077:
        raise ValueError(
          f'{SECRET_FILE}={path} has mode {mode:o}: others may read it; chmod 600 {path}'
        )
      return pathlib.Path(path).read_text()
  except (OSError, UnicodeDecodeError) as error:
    raise ValueError(f'{SECRET_FILE}={path} cannot be read: {error}') from error


def is_ours(host):
  """Whether `host` is an address of this machine, so that one can listen there."""
  with contextlib.suppress(OSError), _listen(host, 1):
    return True
  return False


class Door:
  """Listens for the other processes of a job; bound to one address of this machine.

  Attributes:
    port: where it listens.
    token: what a proof is about.
    refused: connections that gave no right proof.
  """

  def __init__(self, host, count, key=b''):
    """Begins to listen, on all interfaces only where `host` is no address of this machine.

    Args:
      host: name or address that the others are told.
      count: processes of the job; this is number 0.
      key: `secret()`.
    """
    self._listener = _listen(host if is_ours(host) else '', count)
    self._count, self._key, self._peers = count, key, {}
    self._lock, self._full = threading.Lock(), threading.Event()
    self.port, self.token = self._listener.getsockname()[1], secrets.token_hex(16)
    self.refused = 0

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    self._listener.close()

  def admit(self, seconds):
    """Number -> connection of those that came within so many seconds; returns once all are there.

    Each is heard by a thread of its own: one that says nothing keeps no other waiting.
    """
    end = time.monotonic() + seconds
    # Short, as the last of them may be let in by a thread while we wait for one more.
    self._listener.settimeout(0.1)
    while not self._full.is_set() and time.monotonic() < end:
      with contextlib.suppress(TimeoutError):
        connection = self._listener.accept()[0]
        threading.Thread(target=self._hear, args=(connection,), daemon=True).start()
    with self._lock:
      self._full.set()  # who comes later is not let in
      return dict(self._peers)

  def _hear(self, connection):
    connection.settimeout(_HELLO_SECONDS)
    number = self._proven(_line(connection))
    with self._lock:
      free = number is not None and number not in self._peers and not self._full.is_set()
      if free:
        with contextlib.suppress(OSError):
          connection.sendall(f'{proof(self._key, self.token, "hub", number)}\n'.encode())
        self._peers[number] = connection
        if len(self._peers) == self._count - 1:
          self._full.set()
        return
      self.refused += 1
    connection.close()

  def _proven(self, line):
    """The number of a process that has proven it; None for everything else."""
    number, _, shown = line.partition(' ')
    if not (number.isascii() and number.isdigit() and 0 < int(number) < self._count):
      return None
    right = proof(self._key, self.token, 'process', int(number))
    # In the same time for every wrong proof: how long it takes tells nothing of the right one.
    return int(number) if hmac.compare_digest(shown.encode(), right.encode()) else None


def introduce(connection, token, number, key=b''):
  """Proves to the door that this is process `number`; whether the door has proven itself too."""
  connection.sendall(f'{number} {proof(key, token, "process", number)}\n'.encode())
  # Of another role than ours: a stranger could send our own proof back.
  right = proof(key, token, 'hub', number)
  return hmac.compare_digest(_line(connection).encode(), right.encode())


def proof(key, token, role, number):
  """Hex digits that only a holder of `key` can give for this token, role and number."""
  return hmac.digest(key, f'{token} {role} {number}'.encode(), 'sha256').hex()


def _line(connection):
  """The line that a connection says, byte by byte as what follows is for others; '' for none."""
  said = b''
  with contextlib.suppress(OSError):
    while len(said) < _LINE and (byte := connection.recv(1)) not in (b'', b'\n'):
      said += byte
  return said.decode(errors='replace')


def _listen(host, count):
  """A listener on a free port of `host`, '' for all interfaces; OSError where it is not ours."""
  family = socket.AF_INET
  if host:
    family = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0][0]
  return socket.create_server((host, 0), family=family, backlog=max(count, 16))
