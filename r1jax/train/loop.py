"""The loop around every stage: resume, update, log one step late, checkpoint, stop when told to."""

import contextlib
import dataclasses
import os
import signal
import sys
import threading
import time
from typing import Annotated

import jax
import numpy as np

from r1jax import programs, ranges
from r1jax.train import checkpoint, metrics, optimizer, progress


class Interrupted(RuntimeError):  # noqa: N818 - a stop that was asked for, not an error
  """A stop was asked for (SIGTERM or Ctrl-C) and the run is saved; `status` is for the shell."""

  def __init__(self, text, number):
    super().__init__(text)
    self.status = 128 + number


@dataclasses.dataclass(frozen=True)
class LoopConfig:
  """How often a run is saved.

  Attributes:
    checkpoint_every: updates between checkpoints.
    keep: newest checkpoints that stay on disk; at least 2, as one may be torn.
  """

  checkpoint_every: ranges.Count = 50
  keep: Annotated[int, ranges.Range(2)] = 2

  def __post_init__(self):
    ranges.check(self)


class Signals:
  """While entered, SIGTERM and SIGINT only set `asked`; a second one ends the process as usual.

  What happens now is said at once: by whoever has set `shown` and shows `notice`, else by a line.

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
      for number in (signal.SIGTERM, signal.SIGINT):
        self._before[number] = signal.signal(number, self._note)
    return self

  def __exit__(self, *exception):
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def _note(self, number, frame):
    self.asked = signal.Signals(number).name
    self.notice = f'{self.asked}: stopping after this update; again to stop now'
    signal.signal(number, self._before[number])
    # Not by print: the signal may have come in the middle of one. A stage of a graph has another
    # output, and there the first process says that it stops.
    if not self.shown and sys.stdout is sys.__stdout__:
      with contextlib.suppress(OSError):
        os.write(1, f'{self.notice}\n'.encode())


def run(cfg, stage, workdir, ocfg, refresh=lambda always: None):
  """Drives `stage` from its newest checkpoint (or its start) to its last update.

  A stage has: `title`, `total` updates, `figures` for the progress bar, `cycle` updates that make
    a round, `examine_every` updates, `base` (metrics before training), `doing()`
    (what it does beside an update), `start()`,
    `abstract(host)`, `restore(arrays, host)`, `arrays()` and `host()` (together everything that
    makes the run), and `update(step)`, which dispatches update number `step` and returns its
    metrics without waiting for them.
  `refresh(always)` is called after each checkpoint; `always` where the run goes on from one, as its
    last end may have been sudden, and where it was told to stop.

  Raises:
    Interrupted: a signal came; everything is saved.
    CheckpointError, NonFiniteError: with the reason.
  """
  say = print if jax.process_index() == 0 else lambda text: None
  folder = workdir / 'checkpoints'
  with (
    Signals() as signals,
    checkpoint.Checkpoints(folder, cfg.keep, cfg.checkpoint_every, say) as saved,
  ):
    # Signals are caught already: one that comes while this takes its time is not lost.
    found = saved.latest(stage.abstract)
    step = 0
    if found:
      step, arrays, host = found
      stage.restore(arrays, host)
      say(f'resumed from {folder} at update {step} of {stage.total}')
      refresh(True)
    else:
      stage.start()
      # So that a run that is killed in its first update begins from the same numbers.
      saved.save(0, stage.arrays(), stage.host())
    with _reports(stage, step, workdir, signals) as (writer, bar):
      log = lambda row: _log(row, writer, bar, ocfg)
      _updates(stage, step, saved, signals, log, refresh)


@contextlib.contextmanager
def _reports(stage, step, workdir, signals):
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
    metrics.MetricsWriter(workdir, step, bar.print) as writer,
  ):
    signals.shown = bar.live
    yield writer, bar


def _updates(stage, step, saved, signals, log, refresh):
  watch, pending = programs.watch(), None
  while step < stage.total:
    # It is only dispatched: while the device works on it the figures of the last are fetched.
    figures = stage.update(step) | {
      'compile/programs': watch.count,
      'compile/loaded': watch.loaded,
    }
    now = time.monotonic()
    if pending:
      log(pending)
    step += 1
    pending = (step, figures, now)
    # Asked at every update: processes that disagree would wait for each other for ever.
    stop = _agreed(signals.asked)
    if stop or saved.due(step) or step == stage.total:
      log(pending)
      pending = None
      saved.save(step, stage.arrays(), stage.host())
      refresh(False)
    if stop:
      # It is not over before it is on disk: the process ends when this is raised.
      saved.wait()
      refresh(True)
      raise Interrupted(
        f'stopped by {stop} after update {step} of {stage.total}; everything is saved, '
        'the same command goes on from here',
        signal.Signals[stop],
      )


def _agreed(asked):
  """The signal any process was given: all of them stop after the same update."""
  if jax.process_count() == 1:
    return asked
  from jax.experimental import multihost_utils

  # The larger number wins where two differ: any one does, as long as all take the same.
  numbers = multihost_utils.process_allgather(np.int32(signal.Signals[asked] if asked else 0))
  return signal.Signals(int(numbers.max())).name if numbers.any() else ''


def _log(row, writer, bar, ocfg):
  step, figures, now = row
  figures = {name: float(value) for name, value in jax.device_get(figures).items()}
  writer.write(step, figures)
  bar.update(step, figures, now)
  optimizer.check_streak(ocfg, figures)


class _Silent:
  """Stands in for the writer and the progress bar on processes other than the first."""

  def write(self, step, figures):
    """Nothing: process 0 writes."""

  def update(self, step, figures, now):
    """Nothing: process 0 shows."""
