"""Figures of a run: `metrics.jsonl`, TensorBoard events, and services that are asked for.

A metric is a float called `family/name`. JSON has no NaN or infinity: such a value is written as
null and the row's `metrics/nonfinite` counts them; TensorBoard gets the finite ones only.
"""

import contextlib
import errno
import json
import math
import os
import pathlib
import time

import jax
from tensorboardX import event_file_writer
from tensorboardX.proto import event_pb2, summary_pb2

from r1jax import files
from r1jax.train import sinks


class MetricsWriter:
  """Appends one row per step to `metrics.jsonl` and to the other sinks; only process 0 writes.

  A row is on disk, but for a power cut, when `write` returns. Figures never stop a run: a file that
  cannot be written any more is given up, which is said once.
  """

  def __init__(self, workdir, resumed_from=0, notify=print, others=('tensorboard',)):
    """Opens the files in `workdir`; drops rows after step `resumed_from`, which will run again.

    Args:
      workdir: path.
      resumed_from: number of steps that are complete.
      notify: called with one line of text where a file is given up.
      others: of 'tensorboard' and `sinks.SERVICES`, those that get the rows too.

    Raises:
      ValueError: `metrics.jsonl` is damaged; the message names the line.
      OSError: a file cannot be opened.
    """
    self._files, self._notify = {}, notify
    if jax.process_index():
      return
    path = pathlib.Path(workdir) / 'metrics.jsonl'
    path.parent.mkdir(parents=True, exist_ok=True)
    again = path.exists()
    if again:
      files.write_rows(
        path, [row for row in files.read_metrics(path) if row['step'] <= resumed_from]
      )
    self._files[path] = _Lines(path)
    board = path.parent / 'tensorboard'
    if board.name in others:
      self._files[board] = _Board(board, resumed_from + 1 if again else None)
    for name in (one for one in sinks.SERVICES if one in others):
      if sink := sinks.opened(name, path.parent, notify):
        self._files[name] = sink

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    self.close()

  def write(self, step, metrics):
    """Adds a row: `step` (int) and `metrics` (name -> number or scalar array, fetched here)."""
    if not self._files:
      return
    # JSON has no NaN: null, and a count that an alarm can be set on.
    values = {name: float(value) for name, value in metrics.items()}
    finite = {name: value for name, value in values.items() if math.isfinite(value)}
    row = {'step': int(step), **{name: finite.get(name) for name in values}}
    if len(finite) < len(values):
      row['metrics/nonfinite'] = len(values) - len(finite)
    for path, file in list(self._files.items()):
      try:
        file.write(row, finite)
      except OSError as error:  # a full disk, say: the weights are worth more than their figures
        del self._files[path]
        self._notify(
          f'{path}: cannot be written any more ({error.strerror}); the run goes on without it from '
          f'step {step}, and has it again when it is started anew'
        )

  def close(self):
    """Closes all of them."""
    for file in self._files.values():
      with contextlib.suppress(OSError):  # all rows have been written by `write`
        file.close()
    self._files = {}


class _Lines:
  """`metrics.jsonl`, open at its end."""

  def __init__(self, path):
    self._file = open(path, 'ab', buffering=0)  # noqa: SIM115 - open as long as the run
    self.close = self._file.close

  def write(self, row, finite):
    """Appends the row."""
    line = f'{json.dumps(row, allow_nan=False)}\n'.encode()
    # Without a buffer a disk that fills up takes a part of the line; reading cuts it off.
    if self._file.write(line) < len(line):
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _Board:
  """TensorBoard's events, written by the thread that trains.

  tensorboardX's own `SummaryWriter` hands them to a thread through a queue. That thread dies where
  the clock is set back, the queue fills, and the next event waits for ever.
  """

  def __init__(self, folder, purge_step):
    folder.mkdir(parents=True, exist_ok=True)
    self._events = event_file_writer.EventsWriter(str(folder / 'events'))
    self.close = self._events.close
    if purge_step is not None:  # events from there on belong to a run that was cut off
      start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
      self._add(step=purge_step, session_log=start)
    self._events.flush()

  def write(self, row, finite):
    """Adds an event for each finite value."""
    for name, value in finite.items():
      one = summary_pb2.Summary.Value(tag=name, simple_value=value)
      self._add(step=row['step'], summary=summary_pb2.Summary(value=[one]))
    self._events.flush()

  def _add(self, **content):
    self._events.write_event(event_pb2.Event(wall_time=time.time(), **content))
