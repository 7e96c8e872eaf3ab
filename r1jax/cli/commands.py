"""The command `r1jax`: one table of what it can do, each row a module with a `main(argv)`.

Nothing here imports JAX, so help and mistyped flags are answered at once. `python -m r1jax train`
and `python -m r1jax.main` do what `r1jax train` does.
"""

import contextlib
import dataclasses
import difflib
import functools
import importlib
import os
import signal
import sys
import threading

import r1jax
from r1jax import files, terminal


@dataclasses.dataclass(frozen=True)
class Command:
  """What can be done.

  Attributes:
    module: its `main(argv)` does it and returns the exit status; it imports JAX only in there.
    sentence: what it does, for the list of commands.
  """

  module: str
  sentence: str


COMMANDS = {
  'train': Command('r1jax.main', 'run an experiment, or go on with one that was stopped'),
  'fetch': Command('r1jax.fetch', 'bring a model that somebody else made'),
  'show': Command('r1jax.show', 'see a run, also while it goes on, or compare two'),
  'doctor': Command('r1jax.doctor', 'be told what is wrong with a run'),
  'rescore': Command('r1jax.rescore', 'judge the kept replies of a run by another reward'),
  'replay': Command('r1jax.replay', 'run an update again and see what it is made of'),
  'chat': Command('r1jax.chat', 'talk to a model'),
  'evaluate': Command('r1jax.evaluate', 'examine a model on benchmarks, compare two results'),
  'grade': Command('r1jax.grade', 'judge completions of any trainer by our verifiers'),
  'export': Command('r1jax.export', 'hand a model on, as a hub folder or a GGUF file'),
  'plan': Command('r1jax.plan', 'tell what a job needs and takes on a machine that is not here'),
  'config': Command('r1jax.cli.show_config', 'list experiments, and every key of a config'),
}
_LOOK = 0.1  # seconds between two looks for a signal
STOPPED = 130  # exit status after Ctrl-C, as shells have it


def main(argv=None):
  """Does the command that `argv` (by default the program's arguments) names; returns its status."""
  try:
    return _do(*((sys.argv[1:] if argv is None else argv) or ['--help']))
  except BrokenPipeError:
    return _unread()
  finally:
    # Help, too, may be longer than what somebody reads of it.
    with contextlib.suppress(ValueError):  # closed
      try:
        sys.stdout.flush()
      except BrokenPipeError:
        _unread()


def _do(name, *rest):
  if name in ('-h', '--help', 'help'):
    print(_help())
    return 0
  if name == '--version':
    print(f'r1jax {r1jax.__version__}')
    return 0
  if name not in COMMANDS:
    near = difflib.get_close_matches(name, COMMANDS, 1)
    hint = f': did you mean {near[0]}?' if near else f'; there are {", ".join(COMMANDS)}'
    return fail(f'unknown command {name}{hint}')
  # Only now, as help and mistyped names need none of these modules.
  with quiet():
    module = importlib.import_module(COMMANDS[name].module)
  return module.main(list(rest))


def _help():
  width = max(map(len, COMMANDS))
  rows = [f'  {name:{width}}  {command.sentence}' for name, command in COMMANDS.items()]
  return '\n'.join([
    f"r1jax {r1jax.__version__}: DeepSeek-R1's recipe in JAX",
    '',
    'usage: r1jax COMMAND [--flag=value ...]',
    '',
    'commands:',
    *rows,
    '',
    'examples:',
    '  r1jax train --config=r1_zero',
    '  r1jax chat --checkpoint=runs/r1_zero_tiny',
    '',
    'r1jax COMMAND --help shows its flags.',
  ])  # fmt: skip


def fail(error, status=1):
  """Prints one line on stderr; returns the exit status."""
  print(f'error: {terminal.plain(line(error))}', file=sys.stderr)
  return status


def line(error):
  """What an error says, on one line."""
  text = str(error)
  # Python says "[Errno 2] No such file or directory: 'x'": the file first, and no number.
  if isinstance(error, OSError) and error.filename and error.strerror:
    text = f'{error.filename}: {error.strerror}'
  # Nobody knows the folder that a GGUF file or an adapter is unpacked into.
  if str(files.cache()) in text:
    from r1jax.interchange import checkpoints  # takes a moment, which few errors need

    text = checkpoints.in_users_words(text)
  return ' '.join(text.split())


def ended(work, expected=tuple, stopped=''):
  """Does a command's work and returns its exit status: every error of use is one line.

  Args:
    work: () -> exit status, or anything false for 0.
    expected: () -> further exceptions that are errors of use. Asked after one has come, as their
      modules are slow to import.
    stopped: what Ctrl-C is answered with; '' says nothing.
  """
  try:
    return work() or 0
  except BrokenPipeError:  # whoever read has seen enough
    return _unread()
  except KeyboardInterrupt:
    if stopped:
      print(stopped, file=sys.stderr)
    return STOPPED
  except Exception as error:
    if isinstance(error, (ValueError, OSError, *expected())):
      return fail(error)
    raise


def stop_where_unread():
  """From now on a reader of standard output who leaves stops the process as a closed terminal does.

  So `r1jax train ... | head` saves what it has. Where SIGHUP is ignored (nohup) it goes on.
  """
  stream = sys.stdout

  def heard(act):
    def acted(*arguments):
      try:
        return act(*arguments)
      except BrokenPipeError:
        _unread()
        with contextlib.suppress(OSError):
          os.write(2, b'standard output is closed: stopping\n')
        signal.raise_signal(signal.SIGHUP)
        return None

    return acted

  with contextlib.suppress(AttributeError):  # a stand-in of tests or notebooks
    stream.write, stream.flush = heard(stream.write), heard(stream.flush)


def _unread():
  """What to do where nobody reads standard output any more: nothing, quietly; returns 1."""
  # Else Python complains at its end of what it could not flush.
  os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
  return 1


@contextlib.contextmanager
def quiet():
  """While modules are imported in here, Ctrl-C ends the process at once, in one line.

  The exception that Python raises otherwise leaves compiled modules half made: tracebacks of a
  page, or a crash. XLA's log is silent from then on.
  """
  # What fails is raised, and its alarm of a slow compilation, an error of that log, is none.
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  ours = threading.current_thread() is threading.main_thread()
  # Another handler than Python's own belongs to somebody who knows better (nohup, a notebook).
  if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
    yield
    return
  _heed_interrupts()
  signal.signal(signal.SIGINT, _leave)
  try:
    yield
  finally:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def ended_in_a_line(line):
  """While entered, SIGTERM and Ctrl-C end the process at once, with this line on stderr.

  A handler of Python's would wait for the end of what is compiled, and compilers have handlers of
  their own, which print their stacks. So the signals are blocked and a thread looks for them; what
  threads begin in here inherit that.
  """
  if threading.current_thread() is not threading.main_thread():
    yield
    return
  signals, done = {signal.SIGTERM, signal.SIGINT}, threading.Event()
  before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)

  def look():
    while not done.wait(_LOOK):
      for number in signal.sigpending() & signals:
        # Past Python's own buffers, and the exit past its handlers: either may wait for a lock.
        os.write(2, f'{line}\n'.encode())
        os._exit(128 + number)

  watch = threading.Thread(target=look, name='signals', daemon=True)
  watch.start()
  try:
    yield
  finally:
    done.set()
    watch.join()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


@functools.cache
def _heed_interrupts():
  """From now on no Ctrl-C is lost that comes while a callback of the garbage collector runs.

  Python prints and forgets what is raised there, and JAX has such a callback; so it comes again.
  """
  hook, main_thread = sys.unraisablehook, threading.main_thread().ident

  def report(unraisable):
    if not isinstance(unraisable.exc_value, KeyboardInterrupt):
      hook(unraisable)
      return
    # A little later: raised in here it would be forgotten again.
    threading.Timer(_LOOK, signal.pthread_kill, (main_thread, signal.SIGINT)).start()

  sys.unraisablehook = report


def _leave(number, frame):
  os.write(2, b'stopped before anything was done\n')
  os._exit(STOPPED)
