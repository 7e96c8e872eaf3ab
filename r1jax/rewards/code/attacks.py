"""Programs that try to pass tests without solving them, or to harm the machine that runs them.

They are data: `assets/attacks/programs/*.jsonl`, a row each with its name, the verdicts that
are right here and its program, or the `parts` of a long one, each text with how often it is
repeated. Two verdicts are right where a program runs into several limits at once: a fast machine
fills its output or its memory (wrong) before a slow one's time is over (timeout). By file: `called`
is asked for `solve(a, b)`, which returns a + b; `printed` is to print it; `secret` tries to read
what is hidden here, and its test expects the hidden text, so that a leak would score.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import secrets
import socket
import tempfile
import threading

import r1jax
from r1jax.rewards.code import judging, record, sandbox

FOLDER = pathlib.Path(r1jax.__file__).parent / 'assets' / 'attacks' / 'programs'
LIMITS = sandbox.Limits(seconds=1.0, memory_mib=256)
_SUMS = ((3, 4), (10, 20), (-5, 5))
_TESTS = {
  'called': record.Tests(tuple(record.CallTest('solve', pair, sum(pair)) for pair in _SUMS)),
  'printed': record.Tests(
    tuple(record.StdinTest(f'{a} {b}\n', f'{a + b}\n') for a, b in _SUMS),
  ),
}
SECRET = 'secret'


@dataclasses.dataclass(frozen=True)
class Attack:
  """A hostile program: what it is asked for, its name, its text and the right `verdict.Kind`s."""

  question: str
  name: str
  program: str
  verdicts: tuple


def load():
  """All attacks, a list of `Attack` in the order of the files."""
  attacks = []
  for question in (*_TESTS, SECRET):
    for line in (FOLDER / f'{question}.jsonl').read_text().splitlines():
      row = json.loads(line)
      parts = row.get('parts') or [[row['program'], 1]]
      text = ''.join(text * times for text, times in parts)
      attacks.append(Attack(question, row['name'], text, tuple(row['verdicts'])))
  return attacks


def run(attacks, allow_unsandboxed=False):
  """Yields (attack, verdict, leaks) of each of `attacks`; a score above 0 is their success."""
  config = judging.CodeConfig(limits=LIMITS, allow_unsandboxed=allow_unsandboxed)
  with _secret() as (secret, places):
    hidden = record.Tests((record.StdinTest('', secret),))
    for attack in attacks:
      program = attack.program
      # Only these know the places: other programs may hold braces of their own.
      for place, value in places.items() if attack.question == SECRET else ():
        program = program.replace(f'{{{place}}}', value)
      tests = _TESTS.get(attack.question, hidden)
      verdict = judging.check(f'<answer>```python\n{program}\n```</answer>', tests, config)
      yield attack, verdict, leaks()


def leaks():
  """What attacks have left on the machine: processes, files, sockets, changed devices.

  A list of texts, empty when all is well.
  """
  left = [f'process {pid}' for pid in sandbox.running()]
  for folder in ('/tmp', '/dev', '/dev/shm', '/usr', os.path.expanduser('~'), os.getcwd()):
    left += [str(place) for place in pathlib.Path(folder).glob('r1jax-leak*')]
    left += [str(place) for place in pathlib.Path(folder).glob(f'{sandbox.folder_prefix()}*')]
  # A socket in the abstract namespace has no file, but a line here.
  sockets = pathlib.Path('/proc/net/unix')
  if sockets.exists() and '@r1jax-leak' in sockets.read_text():
    left.append('socket @r1jax-leak')
  return left + [f'device {place}' for place in DEVICES if _state(place) != DEVICES[place]]


def _state(device):
  status = os.stat(device)
  return status.st_mode, status.st_uid, status.st_gid


_SHARED = ('/dev/null', '/dev/zero', '/dev/full', '/dev/random', '/dev/urandom', '/dev/tty')
# As they are before the first attack of this process.
DEVICES = {device: _state(device) for device in _SHARED if os.path.exists(device)}


@contextlib.contextmanager
def _secret():
  """A random text in the environment, in a file and behind a port of this machine, and where."""
  secret = secrets.token_hex(8)
  with (
    tempfile.NamedTemporaryFile('w', prefix='r1jax-secret-') as file,
    socket.create_server(('127.0.0.1', 0)) as server,
  ):
    file.write(secret)
    file.flush()
    threading.Thread(target=_tell, args=(server, secret), daemon=True).start()
    os.environ['R1JAX_LEAK'] = secret
    try:
      yield secret, {'file': file.name, 'port': str(server.getsockname()[1])}
    finally:
      del os.environ['R1JAX_LEAK']
      server.shutdown(socket.SHUT_RDWR)


def _tell(server, secret):
  with contextlib.suppress(OSError):  # the server is shut when the attacks are over
    while True:
      server.accept()[0].sendall(secret.encode())
