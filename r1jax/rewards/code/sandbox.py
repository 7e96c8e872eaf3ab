"""Processes that run model-written code where it can touch nothing: a bare interpreter in
bubblewrap (`isolation`), around the program itself rlimits and a seccomp filter (`filters`).
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
from typing import Annotated

from r1jax import ranges
from r1jax.rewards.code import canary, filters, harness, isolation, prelude

# On the command line of every process inside, with the judge's process id.
MARK = 'r1jax-sandbox-of-'
_SOURCE = pathlib.Path(harness.__file__).read_text()
# A report: nonce, why, exit status, output in hex. Yes: `00..00 ended -9 37`. No: `ended 0 7`.
_REPORT = re.compile(r'([0-9a-f]{32}) (ended|time|output) (-?\d{1,3}) ((?:[0-9a-f]{2})*)\Z')
_START_SECONDS = 10.0  # to start, and to compile a program
_GRACE_SECONDS = 1.0  # beyond the program's own limit, for the harness to report it
_STACK_BYTES = 64 << 20  # half of the gap that the kernel keeps free below a stack


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

  seconds: Annotated[float, ranges.Range(0, 1e6, above=True)] = 4.0
  memory_mib: Annotated[int, ranges.Range(16, 1 << 20)] = 512
  output_kib: Annotated[int, ranges.Range(1, 1 << 20)] = 256
  files_mib: Annotated[int, ranges.Range(1, 1 << 20)] = 16
  threads: Annotated[int, ranges.Range(1, 1 << 16)] = 16

  def __post_init__(self):
    ranges.check(self)

  def as_request(self):
    """The limits as the harness expects them: seconds, output bytes and rlimits."""
    size = self.files_mib << 20
    rlimits = {
      'RLIMIT_CPU': int(self.seconds) + 1,
      'RLIMIT_AS': self.memory_mib << 20,
      'RLIMIT_STACK': _STACK_BYTES,
      'RLIMIT_FSIZE': size,
      'RLIMIT_NOFILE': 32,
      'RLIMIT_CORE': 0,
    }
    return {'seconds': self.seconds, 'output': self.output_kib << 10, 'rlimits': rlimits}


def running():
  """Process ids of all that sandboxes of this process still run, forked survivors included."""
  mark, processes = f'{MARK}{os.getpid()}\0'.encode(), []
  for place in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
    with contextlib.suppress(OSError):  # it ended while we looked
      if place.read_bytes().endswith(mark):
        processes.append(int(place.parent.name))
  return processes


def folder_prefix():
  """How the name of a temporary folder of this process's unisolated sandboxes begins."""
  return f'r1jax-code-{os.getpid()}-'


def require(allow_unsandboxed):
  """Raises SandboxError, with what to do, where programs cannot be run as they are asked to."""
  lacking = isolation.lacking()
  if lacking:
    raise SandboxError(
      f'rewards for code need Linux: this system ({sys.platform}) has no {lacking}, by which '
      'programs are held. Train on Linux, in WSL2 or in a container; other rewards work here'
    )
  bubblewrap = isolation.available()
  if bubblewrap:
    try:
      isolation.way(bubblewrap)
    except isolation.NoWayError as error:
      raise SandboxError(str(error)) from error
    return
  if not allow_unsandboxed:
    raise SandboxError(
      'rewards for code need bubblewrap, which is not installed. Install it:\n'
      f'  {isolation.INSTALL}\n'
      'or set allow_unsandboxed=True, which lets model-written code read, overwrite and delete '
      'every file that you can'
    )
  if filters.program() is None:
    raise SandboxError(
      f'without bubblewrap programs run under a seccomp filter, '
      f'which there is none of for {os.uname().machine} here. '
      f'Install bubblewrap:\n  {isolation.INSTALL}'
    )


class Sandbox:
  """One started sandbox, waiting for one program; a context manager that leaves nothing behind."""

  def __init__(self, limits, allow_unsandboxed=False):
    require(allow_unsandboxed)
    self._limits = limits
    self._isolated = isolation.available() is not None
    self._folder = None if self._isolated else tempfile.mkdtemp(prefix=folder_prefix())
    self._received = bytearray()
    self._start()

  def _start(self):
    around, user, owner, descriptors = [], '', {}, ()
    info, info_end = os.pipe()
    if self._isolated:
      bubblewrap, number = isolation.available(), isolation.new_user()
      way = isolation.way(bubblewrap)
      around = isolation.command(bubblewrap, way, self._limits.files_mib << 20)
      around += ['--info-fd', str(info_end)]
      owner, descriptors = isolation.owner(way, number), (info_end,)
      user = str(number) if way.inside else ''
    bare = [isolation.interpreter(), '-I', '-S', '-B', '-X', 'utf8', '-c', _SOURCE]
    self._process = subprocess.Popen(
      [*around, *bare, self._folder or '', user, f'{MARK}{os.getpid()}'],
      pass_fds=descriptors,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,  # read when it does not start; nothing else writes there
      env={},
      cwd=self._folder,
      start_new_session=True,
      **owner,
    )
    os.close(info_end)
    self._info = os.fdopen(info)

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()

  def load(self, program, calls, rules='python'):
    """Proves the sandbox by the canary, then hands over a program.

    Args:
      program: str.
      calls: whether tests call its functions.
      rules: `python` or `livecodebench` (`record.Tests`).

    Raises:
      SandboxError: it did not start, or the canary was judged wrong.
      ProgramError: the program does not compile.
    """
    self._prove(calls)
    task = self._task(calls, self._limits.as_request())
    self._hand_over(program, task | {'rules': rules, 'prelude': prelude.names()})

  def _prove(self, calls):
    limits = dataclasses.replace(self._limits, seconds=canary.SECONDS).as_request()
    try:
      if self._receive(_START_SECONDS) != 'ready':
        raise SandboxError('the sandbox answered out of turn')
    except ProgramError as error:
      self._process.kill()  # one that hangs has its words in the pipe already
      told = self._process.communicate(timeout=_START_SECONDS)[1].decode('utf-8', 'replace')
      raise SandboxError(f'the sandbox did not start: {told.strip() or error}') from error
    try:
      self._hand_over(canary.PROGRAM, self._task(calls, limits))
      wrong = canary.verdict(*self._answer(canary.CALL if calls else canary.STDIN, canary.SECONDS))
    except ProgramError as error:
      wrong = str(error)
    if wrong:
      closed = isolation.closed_devices()
      hint = f'; not open to all: {", ".join(closed)}, mend it by chmod 666' if closed else ''
      raise SandboxError(f'the sandbox does not work, a right program gave: {wrong}{hint}')

  def _task(self, calls, limits):
    if self._isolated:
      limits['rlimits']['RLIMIT_NPROC'] = self._limits.threads
    return {
      'calls': calls,
      'rules': 'python',
      'limits': limits | {'filter': filters.program()},
      'isolated': self._isolated,
      'prelude': {},
      'recursion': prelude.RECURSION_LIMIT,
      'digits': prelude.LONGEST_INT,
      'packages': isolation.PACKAGES,
    }

  def _hand_over(self, program, task):
    self._send(task | {'program': program})
    reply = self._receive(_START_SECONDS)
    if reply != 'compiled':
      raise ProgramError(reply[:200])

  def run(self, test):
    """Runs one test (dict with `stdin`, or `call` and `args`): (why, exit status, output bytes).

    `why` is ended, time or output. Raises ProgramError when no report with its nonce arrives.
    """
    return self._answer(test, self._limits.seconds)

  def _answer(self, test, seconds):
    nonce = secrets.token_hex(16)
    self._send(test)
    if self._receive(_START_SECONDS) != 'forked':
      raise ProgramError('a forged report')
    self._send(nonce)
    report = self._receive(seconds + _GRACE_SECONDS)
    fields = _REPORT.match(report)
    if not fields or not secrets.compare_digest(fields[1], nonce):
      raise ProgramError('a report without the nonce')
    return fields[2], int(fields[3]), bytes.fromhex(fields[4])

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
        # If it ended long ago, its number may have gone to a process of somebody else.
        if _parent(pid) == self._process.pid:
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
