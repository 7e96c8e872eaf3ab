"""Stages side by side: those of a graph that do not wait for each other, each made by a process.

A stage of a small model keeps about one core busy, whatever the machine has. So each worker has
its own share of the cores and makes one stage after another, which keeps what it has compiled. The
results are those of one process: who makes a stage is not part of its key.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from multiprocessing import connection

import jax

from r1jax import cores
from r1jax.runs import lock
from r1jax.runs.graph import graph
from r1jax.train import loop

_TICK = 0.5  # seconds between looks at whether a signal has come


@dataclasses.dataclass
class _Worker:
  """A process, the pipe to it, and the name of the stage that it makes ('' where it waits)."""

  process: multiprocessing.Process
  pipe: connection.Connection
  stage: str = ''


def run(build, config, until='', say=print):
  """Makes the stages of the graph `build(config)` as `Graph.run` does, several side by side.

  Args:
    build: a module's function, ConfigDict -> `graph.Graph`: every process calls it.
    config: `config.workers` is the most processes; where JAX has an accelerator, or several
      processes already, or there are fewer cores, it becomes fewer, which is said.
    until: as in `Graph.run`.
    say: hears what happens, a line at a time.

  Returns:
    The graph; its manifest is written.

  Raises:
    ValueError: `config.workers` is under 1.
    lock.LockedError: another run makes this graph.
    loop.Interrupted: a signal came; what stages save is saved.
    graph.StageError: a stage failed (the others are stopped), or as `Graph.run`.
    Where one process makes all: what `Graph.run` raises.
  """
  if config.workers < 1:
    raise ValueError(f'{config.workers=} must be at least 1')
  made = build(config)
  made.check(until)
  made.folder.mkdir(parents=True, exist_ok=True)
  with lock.hold(made.folder, say) as check:
    _run(build, config, made, until, say)
    check()
  return made


def _run(build, config, made, until, say):
  """In this process, or by workers."""
  own = cores.available()
  most, why = _most(own)
  # Fewer than asked for is said: the run takes that much longer.
  if most < config.workers and jax.process_index() == 0:
    say(f'workers={config.workers} is asked for, {most} can be had here: {why}')
  count = min(most, config.workers)
  if count == 1:
    made.run(until)
    return
  # Each worker builds the graph anew from it: functions of nodes do not pickle either.
  plain = config.copy_and_resolve_references()  # references do not pickle
  shares = [own[number::count] for number in range(count)]
  with _crew(build, plain, shares) as crew, loop.Signals() as signals:
    _supervise(made, crew, until, signals, say)
  made.write_manifest()


def _most(own):
  """(Most workers this machine can have, why no more): an accelerator belongs to one process."""
  if jax.process_count() > 1:
    return 1, f'{jax.process_count()} processes make each stage together'
  if jax.default_backend() != 'cpu':
    return 1, f'one process holds the {jax.default_backend()}'
  return len(own), f'one for each core, {len(own)} in all'


def _supervise(made, crew, until, signals, say):
  """Hands out stages until all chosen ones are finished."""
  chosen = made.chosen(until)
  waiting = [node for node in made.nodes if node.name in chosen]
  finished = set(made.given)
  while waiting or any(worker.stage for worker in crew):
    for worker in crew:
      if not worker.stage:
        _hand_out(made, worker, waiting, finished, say)
    busy = {worker.pipe: worker for worker in crew if worker.stage}
    # A pipe is ready when its worker has made its stage, has failed, or is gone.
    ready = connection.wait(list(busy), _TICK) if busy else ()
    if signals.asked:
      raise loop.Interrupted(
        f'stopped by {signals.asked}; what the stages save is saved, the same command goes on',
        signal.Signals[signals.asked],
      )
    for pipe in ready:
      finished.add(_taken(busy[pipe]))
      say(f'{busy[pipe].stage}: made')
      busy[pipe].stage = ''
      made.write_manifest()


def _hand_out(made, worker, waiting, finished, say):
  """Gives a worker the first stage that waits for nothing; passes over what is finished."""
  # In the graph's order: what others wait for stands first.
  for node in tuple(waiting):
    if not finished.issuperset(node.needs):
      continue
    waiting.remove(node)
    if made.finished(node):
      say(f'{node.name}: done')
      finished.add(node.name)
      continue
    worker.stage = node.name
    worker.pipe.send(node.name)
    return


def _taken(worker):
  """The name of the stage that a worker has made; StageError, or OutOfTime, where it has not."""
  try:
    fault = worker.pipe.recv()
  except (EOFError, ConnectionResetError):  # the latter where it had not read all
    worker.process.join(_TICK)
    fault = f'its process ended with status {worker.process.exitcode} (-9: out of memory?)'
  if isinstance(fault, loop.OutOfTime):
    raise loop.OutOfTime(f'stage {worker.stage}: {fault}')
  if fault:
    raise graph.StageError(f'stage {worker.stage}: {fault}')
  return worker.stage


@contextlib.contextmanager
def _crew(build, config, shares):
  """Starts a worker on each share of the cores; at the end, those still busy save first."""
  spawn, crew = multiprocessing.get_context('spawn'), []
  try:
    for share in shares:
      ours, theirs = spawn.Pipe()
      process = spawn.Process(target=_work, args=(build, config, theirs))
      with _on(share):
        process.start()
      # Our copy of its end: while that is open, its death would not close the pipe.
      theirs.close()
      crew.append(_Worker(process, ours))
    yield crew
  finally:
    try:
      _stop(crew)
    finally:  # a second Ctrl-C waits for nobody
      for worker in crew:
        worker.process.kill()


def _stop(crew):
  """Ends the workers: asks the busy ones, and waits until they have saved.

  A stage that catches the signal saves and ends, but not its worker: that finds its pipe closed.
  """
  for worker in crew:
    if worker.stage:
      worker.process.terminate()
    else:
      worker.process.kill()
    worker.pipe.close()
  for worker in crew:
    worker.process.join()


@contextlib.contextmanager
def _on(share):
  """What is started inside runs on this share of the cores, where the system can say so."""
  if not hasattr(os, 'sched_setaffinity'):
    yield
    return
  before = os.sched_getaffinity(0)
  os.sched_setaffinity(0, share)
  try:
    yield
  finally:
    os.sched_setaffinity(0, before)


def _work(build, config, pipe):
  """The process of a worker: makes the stages that it is told; sends '' or what went wrong.

  It ends when the first process has closed the pipe.
  """
  # Ctrl-C and the end of a terminal reach all: the first process passes them on.
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: loop.leave_terminal())
  threading.Thread(target=_end_with_parent, daemon=True).start()
  sys.stdout = out = _Labelled(sys.stdout)
  made = build(config)
  by_name = {node.name: node for node in made.nodes}
  with contextlib.suppress(EOFError, OSError):
    while True:
      out.label = pipe.recv()
      pipe.send(_fault(made, by_name[out.label]))


def _fault(made, node):
  """Makes a stage; '' or why it is not made, as text or as what ends the whole graph."""
  try:
    made.make(node)
  except loop.OutOfTime as stop:
    return stop
  except (loop.Interrupted, *graph.EXPECTED) as error:
    return str(error)
  except Exception as error:
    traceback.print_exc()
    return f'{type(error).__name__}: {error}'
  return ''


def _end_with_parent():
  """Ends this process as soon as the first one is gone, whatever ended that."""
  connection.wait([multiprocessing.parent_process().sentinel])
  os._exit(1)


class _Labelled:
  """Standard output whose lines begin with the stage they are of; whole lines only."""

  def __init__(self, out):
    self._out, self._open, self.label = out, '', ''

  def write(self, text):
    """Keeps what has no end of line yet."""
    # Two workers share the terminal: half a line of one may not run into one of the other.
    *lines, self._open = (self._open + text).split('\n')
    self._out.write(''.join(f'{self.label:>12} | {line}'.rstrip() + '\n' for line in lines))
    return len(text)

  def flush(self):
    """Passes on what is whole."""
    self._out.flush()

  def isatty(self):
    """No terminal: lines instead of a bar, of which there would be several."""
    return False
