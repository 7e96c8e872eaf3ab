"""A pool of killable worker processes: started by exec, so safe beside JAX's threads.

One thread of the caller serves all workers through `selectors`. A worker that passes its deadline
is killed and its item is a timeout; one that dies is replaced and its item is tried once more. The
deadline of a check that only computes is processor time, as on a busy machine the clock says little
about an answer; where the system does not tell that time, it is the clock's.
"""

import atexit
import base64
import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import pickle
import selectors
import signal
import subprocess
import sys
import threading
import time

from r1jax.rewards.verdict import Kind, Verdict

OWN_BYTES = 1 << 30  # address space of the worker of `own`
START_SECONDS = 60.0  # a loaded machine may import slowly; a worker that takes longer is a failure
_WORKER = 'r1jax.rewards.workers.serve'
_OWN_WORKER = 'r1jax.rewards.workers.serve_function'
# Checks that never wait. A program may sleep, and a user's function may ask another machine.
_COMPUTING = ('math', 'language', 'repetition')
_CLOCK, _CLOCK_SECONDS = 10.0, 20.0  # times their deadline, and at least: how long they may take
_LONGEST = 300  # characters that are told of why a worker did not start
_PACKAGE_ROOT = str(pathlib.Path(__file__).resolve().parents[3])


@dataclasses.dataclass
class _Job:
  line: bytes
  seconds: float
  computes: bool
  late: Kind
  future: concurrent.futures.Future
  tries: int = 0


@dataclasses.dataclass
class _Worker:
  process: subprocess.Popen
  job: _Job | None = None
  deadline: float = 0.0  # by the clock; when to look at a worker that computes
  last: float = 0.0  # later than this it is never
  spent: float | None = None  # processor time before its job
  ready: bool = False
  received: bytearray = dataclasses.field(default_factory=bytearray)


@dataclasses.dataclass(frozen=True)
class Program:
  """What a worker process runs.

  Attributes:
    module: its `main` talks to the pool as `workers.protocol` has it.
    limit: config key of its memory, for messages.
    environment: variables that it gets beside those that all workers get.
  """

  module: str
  limit: str
  environment: dict = dataclasses.field(default_factory=dict)


class Pool:
  """`workers` processes that each judge one item at a time, none larger than `memory_bytes`.

  Items wait for workers to start; one not ready in `start_seconds` (START_SECONDS) is replaced.
  `program` is by default that of our own checks.
  """

  def __init__(self, workers, memory_bytes, program=None, start_seconds=None):
    if workers < 1:
      raise ValueError(f'a pool needs at least one worker, got {workers}')
    self._program = program or Program(_WORKER, 'reward.worker_gib')
    self._memory_bytes = memory_bytes
    self._start_seconds = start_seconds or START_SECONDS
    self._jobs = collections.deque()
    self._lock = threading.Lock()
    self._selector = selectors.DefaultSelector()
    self._wake_read, self._wake_write = os.pipe()
    os.set_blocking(self._wake_read, False)
    os.set_blocking(self._wake_write, False)
    self._selector.register(self._wake_read, selectors.EVENT_READ)
    self._closing = self._shut_down = False
    self.restarts = 0  # workers replaced since the start
    self._unstarted = 0  # consecutive workers that died before they were ready
    self._why = ''  # the latest of them did
    self._count = workers
    self._workers = []
    self._thread = threading.Thread(target=self._serve, name='rewards', daemon=True)
    self._thread.start()
    atexit.register(self.close)

  def submit(self, task):
    """A Future of the Verdict of a `verdict.Task`.

    Of a check that judges a list it is a tuple of them, and one Verdict where none was made: of a
    call that was late, or whose worker died.
    """
    future = concurrent.futures.Future()
    line = base64.b64encode(pickle.dumps((task.check, task.arguments))) + b'\n'
    with self._lock:
      if self._closing:
        raise ValueError('the reward pool is closed')
      self._jobs.append(_Job(line, task.seconds, task.check in _COMPUTING, task.late, future))
      self._wake()
    return future

  def pids(self):
    """Process ids of the workers alive now."""
    return [worker.process.pid for worker in self._workers]

  def close(self):
    """Stops and reaps every worker; items not yet judged end as verifier errors."""
    with self._lock:
      self._closing = True
      self._wake()
    self._thread.join()
    atexit.unregister(self.close)

  def _wake(self):
    if self._shut_down:
      return
    with contextlib.suppress(BlockingIOError):  # full: a wake-up is already pending
      os.write(self._wake_write, b'.')

  def _start(self):
    environment = self._program.environment | {
      'PATH': os.environ.get('PATH', os.defpath),
      'PYTHONHASHSEED': '0',
      'LC_ALL': 'C.UTF-8',
    }
    process = subprocess.Popen(
      [
        sys.executable,
        '-P',
        '-m',
        self._program.module,
        str(self._memory_bytes),
        str(os.getpid()),
      ],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,  # until it is ready: then it says nothing more
      env=environment | {'PYTHONPATH': _paths(environment)},
      start_new_session=True,
    )
    os.set_blocking(process.stderr.fileno(), False)
    worker = _Worker(process, deadline=time.monotonic() + self._start_seconds)
    self._selector.register(process.stdout, selectors.EVENT_READ, worker)
    return worker

  def _serve(self):
    why = 'the reward pool was closed'
    try:
      self._loop()
    except Exception as error:  # nobody else would tell those who wait
      why = f'the reward pool failed: {type(error).__name__}: {error}'
      raise
    finally:
      self._shut(why)

  def _loop(self):
    # Started by this thread: a worker dies with the thread that started it (PR_SET_PDEATHSIG).
    for _ in range(self._count):
      self._workers.append(self._start())
    while not self._closing:
      self._assign()
      self._wait()
      self._expire()

  def _wait(self):
    for key, _ in self._selector.select(self._patience()):
      if key.data is not None:
        self._receive(key.data)
        continue
      with contextlib.suppress(BlockingIOError):
        os.read(self._wake_read, 4096)

  def _assign(self):
    for worker in list(self._workers):
      if worker.job is None and worker.ready and self._jobs:
        with self._lock:
          worker.job = self._jobs.popleft()
        _begin(worker)
        try:
          worker.process.stdin.write(worker.job.line)
          worker.process.stdin.flush()
        except OSError:
          self._lost(worker)

  def _patience(self):
    busy = [w.deadline for w in self._workers if w.job or not w.ready]
    return max(0.0, min(busy) - time.monotonic()) if busy else None

  def _receive(self, worker):
    piece = os.read(worker.process.stdout.fileno(), 1 << 16)
    if not piece:
      self._lost(worker)
      return
    worker.received += piece
    if not worker.received.endswith(b'\n'):
      return
    reply, worker.received = json.loads(worker.received), bytearray()
    if not worker.ready:
      worker.ready, self._unstarted = True, 0
      return
    job, worker.job = worker.job, None
    job.future.set_result(_verdicts(reply))

  def _expire(self):
    now = time.monotonic()
    for worker in list(self._workers):
      if worker.deadline > now:
        continue
      if worker.job:
        left = _left(worker)
        if left > 0:
          worker.deadline = min(now + left, worker.last)
          continue
        job, worker.job = worker.job, None
        job.future.set_result(Verdict(0.0, job.late, f'over {job.seconds:g} s'))
        self._replace(worker)
      elif not worker.ready:
        self._lost(worker)

  def _lost(self, worker):
    job, worker.job = worker.job, None
    if not worker.ready:
      self._unstarted += 1
      limit = f'at most {self._memory_bytes / 2**30:g} GiB ({self._program.limit})'
      why = _why_not_ready(worker, self._program.module, self._start_seconds)
      self._why = f'{why}, {limit}'
    if job and job.tries:
      why = f'the worker died twice on this item, exit status {worker.process.wait()}'
      job.future.set_result(Verdict(0.0, Kind.VERIFIER_ERROR, why))
    elif job:
      job.tries += 1
      with self._lock:
        self._jobs.appendleft(job)
    self._replace(worker)

  def _replace(self, worker):
    self._selector.unregister(worker.process.stdout)
    _kill(worker)
    if self._unstarted >= 3:
      self._fail_waiting(f'reward workers do not start: {self._why}')
    time.sleep(min(1.0, 0.1 * self._unstarted))
    self.restarts += 1
    self._workers[self._workers.index(worker)] = self._start()

  def _fail_waiting(self, why):
    with self._lock:
      waiting, self._jobs = self._jobs, collections.deque()
    for job in waiting:
      job.future.set_result(Verdict(0.0, Kind.VERIFIER_ERROR, why))

  def _shut(self, why):
    self._closing = True
    for worker in self._workers:
      if worker.job:
        worker.job.future.set_result(Verdict(0.0, Kind.VERIFIER_ERROR, why))
    self._fail_waiting(why)
    _kill_all(self._workers)
    self._selector.close()
    with self._lock:
      self._shut_down = True
      os.close(self._wake_read)
      os.close(self._wake_write)


@functools.cache
def own():
  """The pool of this process for single checks, of one worker; it ends with the process."""
  return Pool(workers=1, memory_bytes=OWN_BYTES)


def own_function(environment):
  """The `Program` that calls a user's function, with the user's variables."""
  return Program(_OWN_WORKER, 'reward.function_gib', dict(environment))


def _paths(environment):
  """PYTHONPATH of a worker: our package first, then what its environment says."""
  return os.pathsep.join(filter(None, [_PACKAGE_ROOT, environment.get('PYTHONPATH')]))


def _begin(worker):
  """Sets the deadlines of a worker that is handed its job now."""
  now, job = time.monotonic(), worker.job
  worker.deadline = worker.last = now + job.seconds
  worker.spent = _processor_seconds(worker.process.pid) if job.computes else None
  if worker.spent is not None:
    worker.last = now + max(_CLOCK * job.seconds, _CLOCK_SECONDS)


def _left(worker):
  """Seconds that a worker past its deadline has yet to compute, 0 where it is over."""
  spent = None if worker.spent is None else _processor_seconds(worker.process.pid)
  if spent is None or worker.last <= time.monotonic():
    return 0.0
  left = worker.job.seconds - (spent - worker.spent)
  # The kernel counts in ticks of 10 ms: looking more often shows nothing new.
  return max(left, 0.02) if left > 0 else 0.0


def _processor_seconds(pid):
  """Processor time that a process has taken, or None where the system does not say (macOS)."""
  try:
    fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
  except OSError:
    return None
  return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')  # of user and of system


def _verdicts(reply):
  """The Verdict that a worker wrote, or the tuple of them."""
  if reply and isinstance(reply[0], list):
    return tuple(map(_verdicts, reply))
  score, kind, why = reply
  return Verdict(score, Kind(kind), why)


def _why_not_ready(worker, module, seconds):
  """Why a worker died, or was too late, before it was ready: in its own words where it has any."""
  if worker.process.poll() is None and worker.deadline <= time.monotonic():
    return f'not ready after {seconds:.0f} seconds; is the machine overloaded?'
  status = worker.process.wait()
  told = (worker.process.stderr.read() or b'').decode(errors='replace').strip()
  # The last line of a traceback is the error itself.
  reason = told.splitlines()[-1][:_LONGEST] if told else 'it said nothing'
  how = f'killed by {signal.Signals(-status).name}' if status < 0 else f'exit status {status}'
  return f'{reason} ({how} of `{sys.executable} -P -m {module}`)'


def _kill_all(workers):
  for worker in workers:
    _kill(worker)


def _kill(worker):
  with contextlib.suppress(ProcessLookupError):
    os.killpg(worker.process.pid, signal.SIGKILL)
  worker.process.wait()
  with contextlib.suppress(OSError):  # an unsent line in the buffer of a dead worker's pipe
    worker.process.stdin.close()
  worker.process.stdout.close()
  worker.process.stderr.close()
