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

from r1jax.pipeline import stages
from r1jax.train import loop

_DONE, _STOPPED, _FAILED = 'done', 'stopped', 'failed'
_TICK = 0.5  # seconds between looks at whether a signal has come


@dataclasses.dataclass
class _Worker:
  """A process, the pipe to it, and the name of the stage that it makes ('' where it waits)."""

  process: multiprocessing.Process
  pipe: connection.Connection
  stage: str = ''


def run(build, count, until='', say=print):
  """Makes the stages of the graph `build()` as `Graph.run` does, up to `count` at a time.

  Args:
    build: () -> `stages.Graph`, the same one in every process; must pickle.
    count: processes; where JAX has an accelerator, or several processes already, or there are
      fewer cores, it becomes fewer, which is said.
    until: as in `Graph.run`.
    say: hears what happens, a line at a time.

  Returns:
    The graph; its manifest is written.

  Raises:
    loop.Interrupted: a signal came; what stages save is saved.
    stages.StageError: a stage failed (the others are stopped), or as `Graph.run`.
    ValueError: `count` is under 1.
    Where one process makes all: what `Graph.run` raises.
  """
  if count < 1:
    raise ValueError(f'config.workers={count} must be at least 1')
  graph, cores = build(), _cores()
  possible = _possible(cores, count)
  if possible < count and jax.process_index() == 0:
    say(f'{count} workers are asked for, {possible} can be had here: {_why(cores)}')
  if possible == 1:
    graph.run(until)
    return graph
  with _crew(build, possible, cores) as crew, loop.Signals() as signals:
    _supervise(graph, crew, until, signals, say)
  graph.write_manifest()
  return graph


def _possible(cores, count):
  """How many workers this machine can have: an accelerator belongs to one process."""
  alone = jax.default_backend() != 'cpu' or jax.process_count() > 1
  return 1 if alone else max(1, min(count, len(cores)))


def _why(cores):
  if jax.process_count() > 1:
    return f'{jax.process_count()} processes make each stage together'
  if jax.default_backend() != 'cpu':
    return f'one process holds the {jax.default_backend()}'
  return f'there are {len(cores)} cores'


def _supervise(graph, crew, until, signals, say):
  """Hands out stages until all chosen ones are finished."""
  waiting = [node for node in graph.nodes if node.name in graph.chosen(until)]
  finished = set(graph.given)
  while waiting or any(worker.stage for worker in crew):
    for worker in crew:
      if not worker.stage:
        _hand_out(graph, worker, waiting, finished, say)
    busy = {worker.pipe: worker for worker in crew if worker.stage}
    ready = connection.wait(list(busy), _TICK) if busy else ()
    if signals.asked:
      _stop(crew)
      raise loop.Interrupted(
        f'stopped by {signals.asked}; what the stages save is saved, the same command goes on',
        signal.Signals[signals.asked],
      )
    for pipe in ready:
      name, busy[pipe].stage = busy[pipe].stage, ''
      _take(pipe, name, busy[pipe].process, crew)
      finished.add(name)
      say(f'{name}: made')
      graph.write_manifest()


def _hand_out(graph, worker, waiting, finished, say):
  """Gives a worker the first stage that waits for nothing; passes over what is finished."""
  for node in tuple(waiting):
    if not finished.issuperset(node.needs):
      continue
    waiting.remove(node)
    if graph.finished(node):
      say(f'{node.name}: done')
      finished.add(node.name)
      continue
    worker.stage = node.name
    worker.pipe.send(node.name)
    return


def _take(pipe, name, process, crew):
  """Reads what became of a stage; of a failure, stops the others and raises StageError."""
  try:
    state, text = pipe.recv()
  except EOFError:
    process.join(_TICK)
    state, text = _FAILED, f'its process ended with status {process.exitcode} (-9: out of memory?)'
  if state != _DONE:
    _stop([worker for worker in crew if worker.stage])
    raise stages.StageError(f'stage {name}: {text}')


def _stop(crew):
  """Asks every busy worker to save and end, and waits for that."""
  for worker in crew:
    if worker.process.is_alive():
      os.kill(worker.process.pid, signal.SIGTERM)
  for worker in crew:
    worker.process.join()


@contextlib.contextmanager
def _crew(build, count, cores):
  """Starts the workers, each on its share of the cores; ends them."""
  spawn, crew = multiprocessing.get_context('spawn'), []
  try:
    for number in range(count):
      ours, theirs = spawn.Pipe()
      process = spawn.Process(target=_work, args=(build, theirs))
      with _on(cores[number::count]):
        process.start()
      theirs.close()
      crew.append(_Worker(process, ours))
    yield crew
  finally:
    for worker in crew:
      worker.pipe.close()  # an idle worker ends at that
    for worker in crew:
      worker.process.join(_TICK)
      worker.process.kill()


def _cores():
  """Numbers of the cores that this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return sorted(os.sched_getaffinity(0))
  return list(range(os.cpu_count() or 1))


@contextlib.contextmanager
def _on(cores):
  """What is started inside runs on these cores, where the system can say so."""
  if not hasattr(os, 'sched_setaffinity'):
    yield
    return
  before = os.sched_getaffinity(0)
  os.sched_setaffinity(0, cores)
  try:
    yield
  finally:
    os.sched_setaffinity(0, before)


def _work(build, pipe):
  """The process of a worker: makes the stages that it is told until the pipe closes."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all: the first process passes it on
  threading.Thread(target=_end_with_parent, daemon=True).start()
  out = sys.stdout = sys.stderr = _Labelled(sys.stdout)
  graph = build()
  by_name = {node.name: node for node in graph.nodes}
  with contextlib.suppress(EOFError):
    while True:
      out.label = pipe.recv()
      pipe.send(_made(graph, by_name[out.label]))


def _made(graph, node):
  """(state, text) of making a stage."""
  try:
    graph.make(node)
  except loop.Interrupted as stop:
    return _STOPPED, str(stop)
  except (ValueError, OSError) as error:
    return _FAILED, str(error)
  except Exception as error:
    traceback.print_exc()
    return _FAILED, f'{type(error).__name__}: {error}'
  return _DONE, ''


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
    *lines, self._open = (self._open + text).split('\n')
    self._out.write(''.join(f'{self.label:>12} | {line}'.rstrip() + '\n' for line in lines))
    return len(text)

  def flush(self):
    """Passes on what is whole."""
    self._out.flush()

  def isatty(self):
    """No terminal: lines instead of a bar, of which there would be several."""
    return False
