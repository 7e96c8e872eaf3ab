"""Processes that run model-written code where it can touch nothing: bubblewrap around a bare
interpreter.

Inside: no network, an empty read-only root with /usr and the interpreter, a private /tmp of
bounded size,
no /proc, an empty environment, its own user, pid, ipc, mount and uts namespaces, no capabilities;
around
the program itself rlimits and a seccomp filter without fork, exec, signals, sockets and ptrace.
"""

import contextlib
import dataclasses
import json
import marshal
import os
import pathlib
import re
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from r1jax.rewards.workers import harness

MARK = (
  'r1jax-sandbox-of-'  # on the command line of every process inside, with the judge's process id
)
INSTALL = 'apt-get install -y bubblewrap'
_SOURCE = pathlib.Path(harness.__file__).read_text()
_REPORT = re.compile(r'([0-9a-f]{32}) (ended|time|output) (-?\d{1,3}) ((?:[0-9a-f]{2})*)\Z')
_START_SECONDS = 20.0
_GRACE_SECONDS = 1.0  # beyond the program's own limit, for the harness to report it


class SandboxError(RuntimeError):
  """The sandbox itself failed; says nothing about the program."""


class ProgramError(Exception):
  """The program made its sandbox end or overstay, or does not compile."""


@dataclasses.dataclass(frozen=True)
class Limits:
  """What one run of a program may use.

  Attributes:
    seconds: wall-clock and (rounded up) processor time.
    memory_mib: address space.
    output_kib: bytes it may write to its output.
    files_mib: size of one file, and of all of its private /tmp together.
    threads: processes and threads.
  """

  seconds: float = 4.0
  memory_mib: int = 512
  output_kib: int = 256
  files_mib: int = 16
  threads: int = 16

  def as_request(self):
    """The limits as the harness expects them: seconds, output bytes and rlimits."""
    size = self.files_mib << 20
    rlimits = {
      'RLIMIT_CPU': int(self.seconds) + 1,
      'RLIMIT_AS': self.memory_mib << 20,
      'RLIMIT_FSIZE': size,
      'RLIMIT_NOFILE': 32,
      'RLIMIT_CORE': 0,
    }
    return {'seconds': self.seconds, 'output': self.output_kib << 10, 'rlimits': rlimits}


def available():
  """Path of bubblewrap, or None."""
  return shutil.which('bwrap')


def running():
  """Process ids of all that sandboxes of this process still run, forked survivors included."""
  mark, found = f'{MARK}{os.getpid()}\0'.encode(), []
  for place in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
    with contextlib.suppress(OSError):  # it ended while we looked
      if place.read_bytes().endswith(mark):
        found.append(int(place.parent.name))
  return found


def require(allow_unsandboxed):
  """Raises SandboxError with the install line when there is no bubblewrap and going without is not
  allowed.
  """
  if available() is None and not allow_unsandboxed:
    raise SandboxError(
      'rewards for code need bubblewrap, which is not installed. Install it:\n'
      f'  {INSTALL}\n'
      'or set allow_unsandboxed=True, which lets model-written code read this machine'
    )
  if available() is None and harness.seccomp_program() is None:
    raise SandboxError(
      f'without bubblewrap programs run under a seccomp filter, '
      f'which there is none of for {os.uname().machine} here. '
      f'Install bubblewrap:\n  {INSTALL}'
    )


def command(limits):
  """The bubblewrap command line that runs the harness."""
  words = [
    available(),
    '--unshare-all',
    '--unshare-user',
    '--disable-userns',
    '--die-with-parent',
    '--new-session',
  ]
  words += [
    '--clearenv',
    '--cap-drop',
    'ALL',
    '--uid',
    '65534',
    '--gid',
    '65534',
    '--hostname',
    'sandbox',
  ]
  for place in ('/usr', '/lib', '/lib64', '/bin'):
    if os.path.islink(place):
      words += ['--symlink', os.readlink(place), place]
    elif os.path.isdir(place):
      words += ['--ro-bind', place, place]
  if not pathlib.Path(sys.base_prefix).is_relative_to('/usr'):
    words += ['--ro-bind', sys.base_prefix, sys.base_prefix]
  for device in ('/dev/null', '/dev/zero', '/dev/urandom'):
    words += ['--dev-bind', device, device]
  words += [
    '--size',
    str(limits.files_mib << 20),
    '--tmpfs',
    '/tmp',
    '--remount-ro',
    '/',
    '--chdir',
    '/tmp',
  ]
  return words


class Sandbox:
  """One started sandbox, waiting for one program; a context manager that leaves nothing behind."""

  def __init__(self, limits, allow_unsandboxed=False):
    require(allow_unsandboxed)
    self._limits = limits
    self._isolated = available() is not None
    self._folder = None if self._isolated else tempfile.mkdtemp(prefix='r1jax-code-')
    python = os.path.realpath(sys._base_executable)
    bare = [python, '-I', '-S', '-B', '-X', 'utf8', '-c', _SOURCE]
    bare += [self._folder or '', f'{MARK}{os.getpid()}']
    info, info_end = os.pipe()
    self._process = subprocess.Popen(
      [*command(limits), '--info-fd', str(info_end), *bare] if self._isolated else bare,
      pass_fds=(info_end,) if self._isolated else (),
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,  # read when it does not start; nothing else writes there
      env={},
      cwd=self._folder,
      start_new_session=True,
    )
    os.close(info_end)
    self._info = os.fdopen(info)
    self._received = bytearray()

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()

  def load(self, program, calls):
    """Hands over the program (str; `calls` when tests call its functions); raises ProgramError
    when it does not compile.
    """
    limits = self._limits.as_request()
    if self._isolated:
      limits['rlimits']['RLIMIT_NPROC'] = self._limits.threads
    try:
      if self._receive(_START_SECONDS) != 'ready':
        raise SandboxError('the sandbox answered out of turn')
    except ProgramError as error:
      told = self._process.communicate(timeout=_GRACE_SECONDS)[1].decode('utf-8', 'replace')
      raise SandboxError(f'the sandbox did not start: {told.strip() or error}') from error
    task = {'program': program, 'limits': limits, 'isolated': self._isolated, 'calls': calls}
    self._send(task)
    reply = self._receive(_START_SECONDS)
    if reply != 'compiled':
      raise ProgramError(reply[:200])

  def run(self, test):
    """Runs one test (dict with `stdin`, or `call` and `args`): (why, exit status, output bytes).

    `why` is ended, time or output. Raises ProgramError when no report with this test's nonce
    arrives.
    """
    nonce = secrets.token_hex(16)
    self._send(test)
    if self._receive(_START_SECONDS) != 'forked':
      raise ProgramError('a forged report')
    self._send(nonce)
    report = self._receive(self._limits.seconds + _GRACE_SECONDS)
    found = _REPORT.match(report)
    if not found or not secrets.compare_digest(found[1], nonce):
      raise ProgramError('a report without the nonce')
    return found[2], int(found[3]), bytes.fromhex(found[4])

  def close(self):
    """Kills everything inside, waits until it is gone and removes its folder."""
    if self._kill_inside():
      self._process.wait()  # bubblewrap itself reaps the namespace, then ends
    with contextlib.suppress(ProcessLookupError):
      os.killpg(self._process.pid, signal.SIGKILL)
    self._process.wait()
    with contextlib.suppress(OSError):  # unsent bytes for a process that is gone
      self._process.stdin.close()
    self._process.stdout.close()
    self._process.stderr.close()
    if self._folder:
      shutil.rmtree(self._folder, ignore_errors=True)

  def _kill_inside(self):
    # The first process of the pid namespace ends only after the kernel has ended all others in it.
    with self._info as info:
      told = info.read()
    if not told:
      return False
    with contextlib.suppress(ProcessLookupError):
      pid = json.loads(told)['child-pid']
      first = os.pidfd_open(pid)
      try:
        if (
          _parent(pid) == self._process.pid
        ):  # else it ended long ago and its number went to another
          signal.pidfd_send_signal(first, signal.SIGKILL)
          select.select([first], [], [])
      finally:
        os.close(first)
    return True

  def _send(self, message):
    try:
      self._process.stdin.write(marshal.dumps(message).hex().encode() + b'\n')
      self._process.stdin.flush()
    except BrokenPipeError:
      raise ProgramError('the program ended its sandbox') from None

  def _receive(self, seconds):
    deadline = time.monotonic() + seconds
    most = 4 * (self._limits.output_kib << 10) + (1 << 16)
    while b'\n' not in self._received:
      left = deadline - time.monotonic()
      if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
        raise ProgramError('no report in time')
      piece = os.read(self._process.stdout.fileno(), 1 << 16)
      self._received += piece
      if not piece or len(self._received) > most:
        raise ProgramError('the program ended its sandbox')
    line, _, self._received = self._received.partition(b'\n')
    return line.decode('ascii', 'replace')


def _parent(pid):
  try:
    return int(pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[1])
  except FileNotFoundError:
    return None
