"""Runs inside the sandbox: forks one child per test and passes its output to the judge outside.

Standard library only: `sandbox` hands this file's source to a bare interpreter. No expected output
ever comes in here, and the nonce that a report must carry comes only after the child has been
forked, so the program under test can read neither from its memory.

Lines come in (marshal, in hex) and go out (words): ready, then for each program (program ->
compiled, then (test -> forked, nonce -> report) any number of times). Only modules that are quick
to import are used: this start-up is most of a short program's cost.
"""

import builtins
import ctypes
import marshal
import os
import resource
import select
import signal
import struct
import sys
import time

_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 4, 22, 38
_RESULT_FD = 3
# Where a program may use any name, so that all of the prelude is imported for it.
_ANY_NAME = {'eval', 'exec', 'compile', 'globals', 'locals', 'vars', 'dir', '__import__'}
_libc = ctypes.CDLL(None, use_errno=True)


def main():
  """Serves the canary and one program with their tests, then ends."""
  _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
  channel_in, channel_out = sys.stdin.buffer, sys.stdout.buffer
  _send(channel_out, 'ready')
  task = code = None
  for line in channel_in:
    request = _received(line)
    if 'program' in request:
      task = request
      code, said = _compiled(task)
      _send(channel_out, said)
      continue
    read_end, write_end = os.pipe()
    pid = os.fork()
    if not pid:
      _child(code, task, request, write_end)
    os.close(write_end)
    _send(channel_out, 'forked')
    nonce = _received(channel_in.readline())
    report = _watch(pid, read_end, task['limits'])
    _sweep(task['isolated'])
    _send(channel_out, f'{nonce} {report}')


def _become(user):
  """Gives up root for good; `isolation` keeps the right to do so, and only where it is needed."""
  if user:
    os.setgroups([])
    os.setgid(int(user))
    os.setuid(int(user))


def _send(channel, message):
  channel.write(message.replace('\n', ' ').encode('ascii', 'replace') + b'\n')
  channel.flush()


def _received(line):
  return marshal.loads(bytes.fromhex(line.decode()))


def _compiled(task):
  """(code, 'compiled') of the task's program, or (None, what is wrong with it)."""
  # What each child would import again is imported here, once, before the forks.
  if task['calls']:
    import json  # noqa: F401 - only where results of calls are to be written
  try:
    code = compile(task['program'], '<program>', 'exec', dont_inherit=True)
    task['prelude'] = _bindings(task['program'], task['prelude'])
  except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
    return None, f'{type(error).__name__}: {error}'[:200]
  return code, 'compiled'


def _bindings(program, prelude):
  """The part of the prelude that `program` can look up: name -> (module, attribute or '')."""
  import _symtable  # symtable itself takes longer to import than a short program to run

  used, waiting = set(), [_symtable.symtable(program, '<program>', 'exec')]
  while waiting:
    table = waiting.pop()
    waiting += table.children
    outer = {_symtable.GLOBAL_IMPLICIT, _symtable.GLOBAL_EXPLICIT}
    if table.type == _symtable.TYPE_MODULE:
      outer.add(_symtable.LOCAL)  # assigned to somewhere, but perhaps looked up before
    for name, flags in table.symbols.items():
      scope = flags >> _symtable.SCOPE_OFF & _symtable.SCOPE_MASK
      if scope in outer and flags & _symtable.USE:
        used.add(name)
  if used & _ANY_NAME:
    used = prelude.keys()
  wanted = {name: prelude[name] for name in used if name in prelude}
  return {name: (__import__(module), attribute) for name, (module, attribute) in wanted.items()}


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


def _child(code, task, test, write_end):
  status = 1
  try:
    _descriptors(test, write_end)
    _interpreter(task)
    _limit(task['limits'])
    status = _run(code, test, task)
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


def _interpreter(task):
  """Makes the interpreter that of `python program.py`, as far as a program can tell."""
  sys.stdin = sys.__stdin__ = open(0, encoding='utf-8', closefd=False)  # noqa: SIM115 - for ever
  written = {'mode': 'w', 'encoding': 'utf-8', 'errors': 'replace', 'closefd': False}
  sys.stdout = sys.__stdout__ = open(1, **written)  # noqa: SIM115 - as above
  sys.stderr = sys.__stderr__ = open(2, **written)  # noqa: SIM115 - as above
  sys.argv = ['program.py']
  sys.path.append(task['packages'])
  os.environ.update(OMP_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1')
  sys.setrecursionlimit(task['recursion'])
  if hasattr(sys, 'set_int_max_str_digits'):
    sys.set_int_max_str_digits(task['digits'])
  # The site module, which is not loaded here, gives programs both; LiveCodeBench takes quit away.
  builtins.exit = _stop
  builtins.quit = None if task['rules'] == 'livecodebench' else _stop


def _stop(status=None):
  raise SystemExit(status)


def _limit(limits):
  for name, value in limits['rlimits'].items():
    kind = getattr(resource, name)
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard - (name == 'RLIMIT_CPU'))
    # At the soft limit of time a signal says why the program ends; the hard one just kills it.
    most = value + 1 if name == 'RLIMIT_CPU' else value
    resource.setrlimit(kind, (value, most))
  filters = limits['filter']
  if filters is None:
    return
  kept = ctypes.create_string_buffer(filters)
  program = struct.pack('HxxxxxxP', len(filters) // 8, ctypes.addressof(kept))
  held = ctypes.create_string_buffer(program)
  if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or _libc.prctl(
    _PR_SET_SECCOMP, 2, ctypes.c_void_p(ctypes.addressof(held)), 0, 0
  ):
    raise OSError(ctypes.get_errno(), 'the kernel refused the seccomp filter')


def _run(code, test, task):
  # A function's module is imported, as its tests do: what stands below `if __name__ ==` is not run.
  name = 'solution' if 'call' in test else '__main__'
  module = type(sys)(name)
  sys.modules['__main__'] = sys.modules[name] = module
  space = module.__dict__
  space['__builtins__'] = builtins
  for name, (source, attribute) in task['prelude'].items():
    if not attribute or hasattr(source, attribute):
      space[name] = getattr(source, attribute) if attribute else source
  try:
    exec(code, space)  # the one place where model-written code runs: in the sandboxed child
    if 'call' in test:
      _report(_function(space, test['call'])(*test['args']))
      return 0
    return _ended(None)
  except SystemExit as stop:
    if 'call' in test:
      return 1  # it ended without a result
    status = _ended(stop.code)
    return 0 if task['rules'] == 'livecodebench' else status


def _function(space, name):
  # LeetCode's sites, and LiveCodeBench with them, call a method of the class Solution.
  solution = space.get('Solution')
  return getattr(solution(), name) if hasattr(solution, name) else space[name]


def _report(value):
  import json

  report = json.dumps(_plain(value, 0)).encode()
  while report:
    report = report[os.write(_RESULT_FD, report) :]


def _ended(code):
  """Exit status of a program that ended with `code`, after what Python does at its end."""
  status = 0 if code is None else code if isinstance(code, int) else 1
  if 'threading' in sys.modules:
    sys.modules['threading']._shutdown()  # waits for threads that are no daemons
  if 'atexit' in sys.modules:
    sys.modules['atexit']._run_exitfuncs()
  for stream in (sys.stdout, sys.__stdout__):
    if not getattr(stream, 'closed', False):
      stream.flush()
  return status & 0xFF


def _plain(value, depth):
  """`value` as JSON, tuples, sets and keys marked; the judge trusts nothing but the text."""
  if depth > 50:
    raise ValueError('a result nested too deeply')
  if value is None or isinstance(value, (bool, int, float, str)):
    return value
  if isinstance(value, list):
    return [_plain(item, depth + 1) for item in value]
  if isinstance(value, tuple):
    return {'tuple': [_plain(item, depth + 1) for item in value]}
  if isinstance(value, (set, frozenset)):
    return {'set': [_plain(item, depth + 1) for item in value]}
  if isinstance(value, dict):
    return {'dict': [[_plain(k, depth + 1), _plain(v, depth + 1)] for k, v in value.items()]}
  # NumPy's scalars, fractions and decimals.
  if type(value).__name__ in ('bool', 'bool_'):
    return bool(value)
  if hasattr(type(value), '__index__'):
    return int(type(value).__index__(value))
  if hasattr(type(value), '__float__') and not hasattr(type(value), '__len__'):
    return float(value)
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
    _become(sys.argv[2])
    main()
  finally:
    if sys.argv[1]:
      _leave(sys.argv[1])
