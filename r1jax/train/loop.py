"""The loop around every stage: resume, update, log one step late, checkpoint, stop when told to."""

import contextlib
import dataclasses
import os
import signal
import stat
import sys
import threading
import time
from typing import Annotated, Literal

import jax
import numpy as np

from r1jax import compiler_memory, files, programs, ranges
from r1jax.train import checkpoint, metrics, optimizer, phases, progress

_OUT_OF_TIME = 'loop.minutes'  # a reason to stop beside the names of signals
_JUDGED_BY = 'eval/pass_at_1'  # the higher, the better a checkpoint


class Interrupted(RuntimeError):  # noqa: N818 - a stop that was asked for, not an error
  """A stop was asked for (SIGTERM, Ctrl-C, SIGHUP); the run is saved. `status` is the shell's."""

  def __init__(self, text, number):
    super().__init__(text)
    self.status = 128 + number


class OutOfTime(Interrupted):
  """`loop.minutes` are over and the run is saved: for the shell this is a success."""

  def __init__(self, text):
    super().__init__(text, 0)
    self.status = 0


class LeftError(Exception):
  """A stage has left an update before it changed anything, as `stopping` had a reason."""


@dataclasses.dataclass(frozen=True)
class LoopConfig:
  """How often a run is saved, and when it ends.

  Attributes:
    checkpoint_every: updates between checkpoints.
    keep: newest checkpoints that stay on disk; at least 2, as one may be torn.
    keep_every: updates between checkpoints that stay for good, from which `r1jax replay` runs an
      update again; a multiple of `checkpoint_every`, 0 for none.
    keep_best: keep the checkpoint of the best examination on the way too, whose model becomes
      `model-best/` at the end; needs `evaluation.every`.
    sinks: what gets the figures beside `metrics.jsonl`: 'tensorboard', 'wandb', 'trackio'; the
      latter two are packages to install, and their own variables say whose and where.
    minutes: after which the run saves and ends at the end of its update, to go on by the same
      command; 0 for none. They count from each start; in a graph, from that of each stage.
  """

  checkpoint_every: ranges.Count = 50
  keep: Annotated[int, ranges.Range(2)] = 2
  keep_every: ranges.Size = 0
  keep_best: bool = False
  sinks: tuple[Literal['tensorboard', 'wandb', 'trackio'], ...] = ('tensorboard',)
  minutes: Annotated[float, ranges.Range(0, 1e6)] = 0.0

  def __post_init__(self):
    ranges.check(self)
    ranges.require(
      self,
      self.keep_every % self.checkpoint_every == 0,
      '{keep_every} is no multiple of {checkpoint_every}: nothing is saved there',
    )


@dataclasses.dataclass(frozen=True)
class Best:
  """The best examination on the way: after which update, and its pass@1, 0 to 1."""

  step: int
  value: float


class Signals:
  """While entered, SIGTERM, SIGINT and SIGHUP only set `asked`; a second one ends the process.

  But not a second SIGHUP, which the kernel and the shell may each send. SIGHUP comes where a
  terminal closes or a connection is lost; `nohup` has it ignored. What happens now is said at once:
  by whoever has set `shown` and shows `notice`, else by a line.

  Attributes:
    asked: name of the signal that came; '' before.
    notice: what a user is to know of it; '' before.
    shown: whether somebody shows `notice`.
  """

  def __init__(self):
    self.asked = self.notice = ''
    self.shown = False
    self._before = {}

  def __enter__(self):
    if threading.current_thread() is threading.main_thread():
      # Only the main thread may set handlers; a stage of a test or a notebook may be elsewhere.
      for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
          self._before[number] = signal.signal(number, self._note)
    return self

  def __exit__(self, *exception):
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def _note(self, number, frame):
    self.asked = signal.Signals(number).name
    again = '' if number == signal.SIGHUP else '; again to stop now'
    self.notice = f'{self.asked}: stopping, at the latest after this update{again}'
    signal.signal(number, self._before[number] if again else signal.SIG_IGN)
    if number == signal.SIGHUP:
      leave_terminal()
    # Not by print: the signal may have come in the middle of one. A stage of a graph has another
    # output, and there the first process says that it stops.
    if not self.shown and sys.stdout is sys.__stdout__:
      with contextlib.suppress(OSError):
        os.write(1, f'{self.notice}\n'.encode())


def leave_terminal():
  """Sends what is printed from now on to nobody: what is gone answers with an error."""
  for stream in (1, 2):
    with contextlib.suppress(OSError):  # closed already
      # A terminal that is gone is called none any more, and who reads a pipe is gone with it.
      if not stat.S_ISREG(os.fstat(stream).st_mode):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream)
        os.close(nowhere)


def run(cfg, stage, workdir, ocfg, began=None, refresh=lambda always: None):
  """Drives `stage` from its newest checkpoint (or its start) to its last update.

  A stage has `title`; `total` updates; `cycle`, the updates of a round; `figures` for the progress
    bar; `start()`; `abstract(host)`, `restore(arrays, host)`, `arrays()` and `host()` (together
    everything that makes the run); and `update(step)`, which dispatches update number `step` and
    returns its metrics without waiting for them. `weights` are the policy's, for whoever examines
    or saves it, and `close()` ends what runs beside. `runs.train.Run` gives it `initial` (weights
    to start from), `beside` (the base of adapters), `ledger` (a `ledger.Ledger`), `base` (metrics
    before training), `examine(weights, step)` with `examine_every` updates between two, and
    `doing()`, which says what is being done within an update. The loop gives it `stopping()`, the
    signal to stop, '' for none, by which it may leave an update (`LeftError`); `minutes` is no such
    reason, as a start that left its first rollout would do so at every start.
  `refresh(always)` is called after each checkpoint; with `always` after a resume, as the last start
  may have been killed, and where the run was told to stop.

  Args:
    cfg: `LoopConfig`.
    stage: what is driven.
    workdir: folder of the run.
    ocfg: `optimizer.OptimizerConfig`.
    began: `time.monotonic()` from which `cfg.minutes` count; by default now.

  Returns:
    The `Best` examination, of earlier starts too; None without `cfg.keep_best`.

  Raises:
    Interrupted: a signal came or the time is up; everything is saved.
    CheckpointError, NonFiniteError: with the reason.
  """
  say = print if jax.process_index() == 0 else lambda text: None
  began, folder = time.monotonic() if began is None else began, workdir / 'checkpoints'
  with (
    Signals() as signals,
    checkpoint.Checkpoints(folder, cfg.keep, cfg.checkpoint_every, say) as saved,
  ):
    # Signals are caught already: one that comes while this takes its time is not lost.
    with stage.ledger.phase(phases.LOADING):
      loaded = saved.latest(stage.abstract)
    step, keeper = 0, _Keeper(cfg, stage, saved)
    refresh = _charged(stage, refresh)
    if loaded:
      step, arrays, host = loaded
      stage.restore(arrays, host)
      keeper.restore(step, host)
      _go_on(stage.ledger, host.get('ledger', {}), workdir)
      say(f'resumed from {folder} at update {step} of {stage.total}')
      _say_what_is_lost(step, workdir, say)
      refresh(True)
    else:
      _say_what_is_lost(0, workdir, say)
      stage.start()
      # So that a run that is killed in its first update begins from the same numbers.
      keeper.save(0)
    with _reports(stage, step, workdir, signals, cfg.sinks) as (writer, bar):
      stop = lambda: signals.asked or _over(cfg, began)
      stage.stopping = lambda: signals.asked
      log = lambda row: _log(row, writer, bar, ocfg, stage.ledger)
      _updates(stage, step, keeper, stop, log, refresh)
    return keeper.best


def _say_what_is_lost(step, workdir, say):
  """Tells of figures without their checkpoint, or the other way round, where a run begins."""
  rows = files.read_metrics(workdir / 'metrics.jsonl')
  lost = step - len({row['step'] for row in rows if row['step'] <= step})
  if step and not rows:
    say(f'{workdir}/metrics.jsonl is gone: the figures up to update {step} are lost')
  elif lost > 0:
    say(f'{workdir}/metrics.jsonl has lost the figures of {lost} of the {step} updates')
  if rows and not step:
    say(
      f'{workdir}/checkpoints holds none of an update: begins anew, and what metrics.jsonl has up '
      f'to update {rows[-1].get("step")} is dropped'
    )


def _charged(stage, refresh):
  """`refresh`, whose time is charged to the report."""

  def charged(always):
    with stage.ledger.phase(phases.REPORT):
      refresh(always)

  return charged


def _go_on(spent, earlier, workdir):
  """Adds to a ledger what earlier starts took: up to the checkpoint, and beyond it."""
  spent.add(earlier)
  # Rows beyond the checkpoint, which are about to be dropped, tell how far the last start had come.
  rows = files.read_metrics(workdir / 'metrics.jsonl')
  reached = rows[-1].get('speed/wall_seconds') if rows else None
  spent.add_lost((reached or 0.0) - earlier.get(phases.WHOLE, 0.0))


class _Keeper:
  """What of a run is saved, and when: by count, and where it is the best so far."""

  def __init__(self, cfg, stage, saved):
    self._cfg, self._stage, self._saved, self.best = cfg, stage, saved, None
    self._latest = None  # update after which it was saved last

  def restore(self, step, host):
    """Goes on from a checkpoint, with the best so far that it names."""
    self._latest = step
    if self._cfg.keep_best and host.get('best'):
      self.best = Best(**host['best'])

  def note(self, step, figures):
    """Whether the examination among the figures of an update, if there is one, is the best."""
    value = figures.get(_JUDGED_BY) if self._cfg.keep_best else None
    # Of equal ones the first: nothing was gained by going on.
    if value is None or (self.best and value <= self.best.value):
      return False
    self.best = Best(step, float(value))
    return True

  def due(self, step):
    """Whether an update is saved by count."""
    return self._saved.due(step) or step == self._stage.total

  def save(self, step):
    """Saves the run as it is after `step`, the best so far named in it and kept beside it."""
    best = {'best': dataclasses.asdict(self.best)} if self.best else {}
    kept = {self.best.step} if self.best else set()
    if every := self._cfg.keep_every:
      kept |= {one for one in (*self._saved.steps(), step) if one % every == 0}
    with self._stage.ledger.phase(phases.CHECKPOINTS):
      host = self._stage.host() | best | {'ledger': self._stage.ledger.seconds()}
      self._saved.save(step, self._stage.arrays(), host, kept)
    self._latest = step

  def end(self, step):
    """Saves the run as it is after `step`, if it is not yet, and waits until that is on disk."""
    if step != self._latest:
      self.save(step)
    # It is not over before: the process ends then.
    with self._stage.ledger.phase(phases.CHECKPOINTS):
      self._saved.wait()


def _over(cfg, began):
  """The reason to stop where the time is up, else ''."""
  late = cfg.minutes and time.monotonic() - began >= cfg.minutes * 60
  return _OUT_OF_TIME if late else ''


@contextlib.contextmanager
def _reports(stage, step, workdir, signals, others):
  """The writer of metrics and the progress bar; silent ones but on the first process."""
  if jax.process_index():
    yield _Silent(), _Silent()
    return
  with (
    progress.Progress(
      stage.title,
      stage.total,
      step,
      stage.figures,
      cycle=stage.cycle,
      examine_every=stage.examine_every,
      base=stage.base,
      notice=lambda: signals.notice or stage.doing(),
    ) as bar,
    metrics.MetricsWriter(workdir, step, bar.print, others) as writer,
  ):
    signals.shown = bar.live
    yield writer, bar


def _updates(stage, step, keeper, stop, log, refresh):
  watch, pending = programs.watch(), None
  while step < stage.total:
    # It is only dispatched: while the device works on it the figures of the last are fetched.
    try:
      figures = stage.update(step)
    except LeftError:
      if pending:
        log(pending)
      _leave(stage, keeper, refresh, stage.stopping(), step)
    figures |= {'compile/programs': watch.count, 'compile/loaded': watch.loaded}
    now = time.monotonic()
    if pending:
      log(pending)
    step += 1
    pending = (step, figures, now)
    better = keeper.note(step, figures)
    # Asked at every update: processes that disagree would wait for each other for ever.
    why = _agreed(stop())
    if why or better or keeper.due(step):
      log(pending)
      pending = None
      keeper.save(step)
      refresh(False)
    # After the last update only a signal asks for more than the end that comes anyway.
    if why and (step < stage.total or why != _OUT_OF_TIME):
      _leave(stage, keeper, refresh, why, step)


def _leave(stage, keeper, refresh, why, step):
  """Ends a run before its last update: saved, shown, and said by what is raised."""
  keeper.end(step)
  refresh(True)
  raise _stopped(why, step, stage.total) from None


def _stopped(why, step, total):
  """The exception of a run that ends before its last update."""
  rest = 'everything is saved, the same command goes on from here'
  if why == _OUT_OF_TIME:
    return OutOfTime(f'stopped after update {step} of {total}, as {why} are over; {rest}')
  number = signal.Signals[why]
  return Interrupted(f'stopped by {why} after update {step} of {total}; {rest}', number)


def _agreed(why):
  """Why any process is to stop: all of them stop after the same update."""
  if jax.process_count() == 1:
    return why
  from jax.experimental import multihost_utils

  # The larger number wins where two differ: any one does, as long as all take the same.
  names = {int(one): one.name for one in signal.Signals}
  names |= {0: '', max(names) + 1: _OUT_OF_TIME}
  number = next(number for number, name in names.items() if name == why)
  return names[int(multihost_utils.process_allgather(np.int32(number)).max())]


def _log(row, writer, bar, ocfg, spent):
  step, figures, now = row
  # To fetch them is to wait for the devices.
  with spent.phase(phases.UPDATES):
    figures = {name: float(value) for name, value in jax.device_get(figures).items()}
  figures['speed/wall_seconds'] = spent.seconds()[phases.WHOLE]
  writer.write(step, figures)
  bar.update(step, figures, now)
  if news := compiler_memory.watch().news():
    bar.print(news)
  optimizer.check_streak(ocfg, figures)


class _Silent:
  """Stands in for the writer and the progress bar on processes other than the first."""

  def write(self, step, figures):
    """Nothing: process 0 writes."""

  def update(self, step, figures, now):
    """Nothing: process 0 shows."""

  def print(self, text):
    """Nothing: process 0 says it."""
