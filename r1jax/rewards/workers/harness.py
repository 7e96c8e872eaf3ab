"""Runs inside the sandbox: forks one child per test and passes its output to the judge outside.

Standard library only: `sandbox` hands this file's source to a bare interpreter. No expected
output ever
comes in here, and the nonce that a report must carry comes only after the child has been forked,
so the
program under test can read neither from its memory.

Lines come in (marshal, in hex) and go out (words): ready -> program -> compiled -> (test ->
forked -> nonce
-> report)*. Only modules that are quick to import are used: this start-up is most of a short
program's cost.
"""

import ctypes
import marshal
import os
import resource
import select
import signal
import struct
import sys
import time

# Each name with its number on x86_64 and aarch64; None where the architecture has no such call.
_DENIED = {
  'fork': (57, None), 'vfork': (58, None), 'execve': (59, 221), 'execveat': (322, 281),
  'ptrace': (101, 117),
  'process_vm_readv': (310, 270), 'process_vm_writev': (311, 271), 'kill': (62, 129),
  'tkill': (200, 130),
  'tgkill': (234, 131), 'rt_sigqueueinfo': (129, 138), 'rt_tgsigqueueinfo': (297, 240),
  'pidfd_send_signal': (424, 424), 'pidfd_open': (434, 434), 'pidfd_getfd': (438, 438),
  'socket': (41, 198),
  'socketpair': (53, 199), 'unshare': (272, 97), 'setns': (308, 268), 'mount': (165, 40),
  'umount2': (166, 39),
  'memfd_create': (319, 279), 'memfd_secret': (447, 447), 'shmget': (29, 194), 'msgget': (68, 186),
  'semget': (64, 190), 'mq_open': (240, 180), 'keyctl': (250, 219), 'add_key': (248, 217),
  'request_key': (249, 218), 'bpf': (321, 280), 'perf_event_open': (298, 241),
  'userfaultfd': (323, 282),
  'io_uring_setup': (425, 425), 'io_uring_enter': (426, 426), 'chroot': (161, 51),
  'setsid': (112, 157), 'setpgid': (109, 154),
}  # fmt: skip
_MACHINES = {'x86_64': (0, 0xC000003E), 'aarch64': (1, 0xC00000B7)}
_CLONE, _CLONE3, _CLONE_THREAD = (56, 220), 435, 0x10000
_EPERM, _ENOSYS = 1, 38
_LOAD, _EQUAL, _AT_LEAST, _BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 4, 22, 38
_RESULT_FD = 3
_libc = ctypes.CDLL(None, use_errno=True)


def seccomp_program():
  """The filter as bytes of `sock_filter`s, or None on an architecture without a table."""
  if os.uname().machine not in _MACHINES:
    return None
  column, audit = _MACHINES[os.uname().machine]
  steps = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, audit), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
  steps += [(_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _FAIL | _EPERM)]  # the x32 calls
  for numbers in _DENIED.values():
    if numbers[column] is not None:
      steps += [(_EQUAL, 0, 1, numbers[column]), (_RETURN, 0, 0, _FAIL | _EPERM)]
  # glibc falls back from clone3, whose flags a filter cannot see, to clone, whose flags it can.
  steps += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _FAIL | _ENOSYS)]
  steps += [(_EQUAL, 0, 3, _CLONE[column]), (_LOAD, 0, 0, 16)]
  steps += [(_BITS, 1, 0, _CLONE_THREAD), (_RETURN, 0, 0, _FAIL | _EPERM), (_RETURN, 0, 0, _ALLOW)]
  return b''.join(struct.pack('HBBI', *step) for step in steps)


def main():
  """Serves one program and its tests, then ends."""
  _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
  channel_in, channel_out = sys.stdin.buffer, sys.stdout.buffer
  _send(channel_out, 'ready')
  task = _received(channel_in.readline())
  if task['calls']:
    import json  # noqa: F401 - before the forks, and only where results of calls are to be written
  try:
    code = compile(task['program'], '<program>', 'exec', dont_inherit=True)
  except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
    _send(channel_out, f'{type(error).__name__}: {error}'[:200])
    return
  _send(channel_out, 'compiled')
  for line in channel_in:
    test = _received(line)
    read_end, write_end = os.pipe()
    pid = os.fork()
    if not pid:
      _child(code, test, write_end, task['limits'])
    os.close(write_end)
    _send(channel_out, 'forked')
    nonce = _received(channel_in.readline())
    report = _watch(pid, read_end, task['limits'])
    _sweep(task['isolated'])
    _send(channel_out, f'{nonce} {report}')


def _send(channel, message):
  channel.write(message.replace('\n', ' ').encode('ascii', 'replace') + b'\n')
  channel.flush()


def _received(line):
  return marshal.loads(bytes.fromhex(line.decode()))


def _watch(pid, read_end, limits):
  """Collects the child's output until it ends, runs out of time or writes too much."""
  ended = os.pidfd_open(pid)
  os.set_blocking(read_end, False)
  poller = select.poll()
  for descriptor in (ended, read_end):
    poller.register(descriptor, select.POLLIN)
  deadline, output, why = time.monotonic() + limits['seconds'], bytearray(), ''
  while not why:
    ready = dict(poller.poll(max(0.0, deadline - time.monotonic()) * 1000))
    if read_end in ready:
      piece = _read(read_end)
      output += piece or b''
      if piece == b'':
        poller.unregister(read_end)
    elif ended in ready:
      why = 'ended'
    if len(output) > limits['output']:
      why = 'output'
    elif not why and time.monotonic() >= deadline:
      why = 'time'
  if why != 'ended':
    os.kill(pid, signal.SIGKILL)
  status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
  os.close(ended)
  os.close(read_end)
  return f'{why} {status} {output[: limits["output"]].hex()}'


def _read(descriptor):
  try:
    return os.read(descriptor, 1 << 16)
  except BlockingIOError:
    return None


def _sweep(isolated):
  """Ends whatever the child left running: in its own pid namespace that is everything else."""
  if not isolated:
    return  # the filter let the child start nothing
  try:
    os.kill(-1, signal.SIGKILL)
  except ProcessLookupError:
    return
  try:
    while os.waitpid(-1, os.WNOHANG)[0]:
      pass
  except ChildProcessError:
    return


def _child(code, test, write_end, limits):
  status = 1
  try:
    _descriptors(test, write_end)
    _limit(limits)
    status = _run(code, test)
  finally:
    os._exit(status)  # an exception ends here too, as status 1


def _descriptors(test, write_end):
  source = os.memfd_create('stdin')
  with os.fdopen(os.dup(source), 'wb') as file:
    file.write(test.get('stdin', '').encode())
  os.lseek(source, 0, os.SEEK_SET)
  null = os.open(os.devnull, os.O_WRONLY)
  result = os.dup(write_end)
  ends = [source, result if 'call' not in test else null, null, result]
  ends = [os.dup2(end, 10 + i) for i, end in enumerate(ends)]
  for place, end in enumerate(ends):
    os.dup2(end, place)
  os.closerange(_RESULT_FD + ('call' in test), 4096)
  sys.stdin = open(0, encoding='utf-8', closefd=False)  # noqa: SIM115 - it lives as long as we
  written = {'mode': 'w', 'encoding': 'utf-8', 'errors': 'replace', 'closefd': False}
  sys.stdout, sys.stderr = open(1, **written), open(2, **written)  # noqa: SIM115 - as above


def _limit(limits):
  for name, value in limits['rlimits'].items():
    resource.setrlimit(getattr(resource, name), (value, value))
  filters = seccomp_program()
  if filters is None:
    return
  kept = ctypes.create_string_buffer(filters)
  program = struct.pack('HxxxxxxP', len(filters) // 8, ctypes.addressof(kept))
  held = ctypes.create_string_buffer(program)
  if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or _libc.prctl(
    _PR_SET_SECCOMP, 2, ctypes.c_void_p(ctypes.addressof(held)), 0, 0
  ):
    raise OSError(ctypes.get_errno(), 'the kernel refused the seccomp filter')


def _run(code, test):
  space = {'__name__': '__main__', '__builtins__': __builtins__}
  try:
    exec(code, space)  # the one place where model-written code runs: in the sandboxed child
    if 'call' in test:
      import json

      value = space[test['call']](*test['args'])
      report = json.dumps(_plain(value, 0)).encode()
      while report:
        report = report[os.write(_RESULT_FD, report) :]
  except SystemExit as stop:
    code = 0 if stop.code is None else stop.code
    return _flushed(code if isinstance(code, int) else 1)
  return _flushed(0)


def _flushed(status):
  sys.stdout.flush()
  return status & 0xFF


def _plain(value, depth):
  """`value` as JSON, sets and keys marked; the judge trusts nothing but the resulting text."""
  if depth > 50:
    raise ValueError('a result nested too deeply')
  if value is None or isinstance(value, (bool, int, float, str)):
    return value
  if isinstance(value, (list, tuple)):
    return [_plain(item, depth + 1) for item in value]
  if isinstance(value, (set, frozenset)):
    return {'set': [_plain(item, depth + 1) for item in value]}
  if isinstance(value, dict):
    return {'dict': [[_plain(k, depth + 1), _plain(v, depth + 1)] for k, v in value.items()]}
  raise TypeError(f'a result of type {type(value).__name__}')


def _leave(folder):
  """Removes the private folder of a run without bubblewrap, also when the judge was killed."""
  os.chdir('/')
  for place, folders, files in os.walk(folder, topdown=False):
    for name in files:
      os.unlink(os.path.join(place, name))
    for name in folders:
      inner = os.path.join(place, name)
      os.unlink(inner) if os.path.islink(inner) else os.rmdir(inner)
  os.rmdir(folder)


if __name__ == '__main__':
  try:
    main()
  finally:
    if sys.argv[1]:
      _leave(sys.argv[1])
