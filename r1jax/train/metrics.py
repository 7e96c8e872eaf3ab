"""Figures of a run: `metrics.jsonl`, TensorBoard events and the bar on the terminal.

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
import rich.console
import rich.live
import rich.progress
import rich.text
from tensorboardX import event_file_writer
from tensorboardX.proto import event_pb2, summary_pb2

from r1jax import files, terminal

# What the bar shows of a reinforcement-learning step: label, metric, format.
RL_FIGURES = (
  ('reward', 'reward/total', '.2f'),
  ('acc', 'reward/accuracy', '.2f'),
  ('format', 'reward/format', '.2f'),
  ('length', 'rollout/length', '.1f'),
  ('KL', 'grpo/kl', '.4f'),
  ('entropy', 'grpo/entropy', '.2f'),
  ('clip', 'grpo/clip_fraction', '.3f'),
  ('rollout tok/s', 'speed/rollout_tokens_per_s', ',.0f'),
  ('train tok/s', 'speed/train_tokens_per_s', ',.0f'),
)
# What it shows of a step of supervised learning.
SFT_FIGURES = (
  ('loss', 'loss/total', '.3f'),
  ('held out', 'eval/loss', '.3f'),
  ('lr', 'optimizer/lr', '.2e'),
  ('grad', 'optimizer/grad_norm', '.2f'),
  ('filled', 'packing/filled', '.0%'),
  ('train tok/s', 'speed/train_tokens_per_s', ',.0f'),
)


class MetricsWriter:
  """Appends one row per step to `metrics.jsonl` and to TensorBoard; only process 0 writes.

  A row is on disk, but for a power cut, when `write` returns. Figures never stop a run: a file that
  cannot be written any more is given up, which is said once.
  """

  def __init__(self, workdir, resumed_from=0, notify=print):
    """Opens the files in `workdir`; drops rows after step `resumed_from`, which will run again.

    Args:
      workdir: path.
      resumed_from: number of steps that are complete.
      notify: called with one line of text where a file is given up.

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
      files.write_rows(path, [row for row in _rows(path) if row['step'] <= resumed_from])
    self._files[path] = _Lines(path)
    board = path.parent / 'tensorboard'
    self._files[board] = _Board(board, resumed_from + 1 if again else None)

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
    """Closes both files."""
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


def _rows(path):
  """Rows of `metrics.jsonl`, each with its step and numbers; ValueError names the line."""
  rows = files.read_rows(path)
  for number, row in enumerate(rows, 1):
    step = row.get('step')
    wrong = [name for name, value in row.items() if not isinstance(value, (int, float, type(None)))]
    if type(step) is not int or wrong:
      what = f'{wrong[0]!r} is {row[wrong[0]]!r:.40}' if wrong else f"'step' is {step!r}"
      raise ValueError(f'{path}:{number}: damaged ({what}); move the file away to go on')
  return rows


class Progress:
  """A bar with the time left and the live figures; plain lines where the output is no terminal.

  Use as a context manager. Only process 0 prints.
  """

  def __init__(self, title, total, start=0, figures=RL_FIGURES, console=None, notice=str):
    """Prepares the bar.

    Args:
      title: what runs.
      total: number of steps.
      start: steps already done when this run began; they don't count in the pace.
      figures: (label, metric, format) of what to show, each once a step has had it.
      console: rich console; default is one on stdout.
      notice: () -> text that a terminal shows below the figures, '' for none.
    """
    self._title, self._total, self._start, self._figures = title, total, start, figures
    self._notice = notice
    self.console = console or rich.console.Console(quiet=jax.process_index() > 0, highlight=False)
    self._bar = rich.progress.Progress(
      rich.progress.TextColumn('{task.description}'),
      rich.progress.BarColumn(bar_width=None),
      rich.progress.MofNCompleteColumn(),
      rich.progress.TextColumn('{task.fields[timing]}'),
      console=self.console,
      expand=True,
    )
    self._task = self._bar.add_task(title, total=total, completed=start, timing='')
    self._live, self._latest = None, {}
    self._began = self._printed = -math.inf

  def __enter__(self):
    self._began = time.monotonic()
    if self.console.is_terminal:
      show = dict(console=self.console, refresh_per_second=4, get_renderable=self._shown)
      self._live = rich.live.Live(**show)
      self._live.start()
    return self

  def __exit__(self, *exception):
    if self._live:
      self._live.stop()

  def print(self, text):
    """Prints a line above the bar."""
    self.console.print(terminal.plain(text), markup=False, soft_wrap=True)

  def update(self, step, metrics):
    """Shows that `step` steps are complete and the latest value of each figure."""
    self._latest |= metrics  # a step that trains on an older rollout has no figures of one
    timing = self._timing(step)
    if self._live:
      self._bar.update(self._task, completed=step, timing=timing)
      self._live.refresh()
      return
    # No terminal: lines for a log file, of which one per second is enough.
    now = time.monotonic()
    if now - self._printed >= 1 or step >= self._total:  # a log file has no use for more
      self._printed = now
      self.print(f'{self._title} {step}/{self._total}  {timing}  {self._text()}')

  @property
  def live(self):
    """Whether it is a bar on a terminal, which shows a notice by itself."""
    return self._live is not None

  def _shown(self):
    """Bar, figures and notice; the thread that draws the bar asks for it four times a second."""
    lines = filter(None, (self._text(), self._notice()))
    return rich.console.Group(self._bar, *map(rich.text.Text, lines))

  def _text(self):
    known = self._latest
    shown = [(label, known[name], form) for label, name, form in self._figures if name in known]
    return '  '.join(f'{label} {float(value):{form}}' for label, value, form in shown)

  def _timing(self, step):
    spent = time.monotonic() - self._began
    done = step - self._start
    left = spent / done * (self._total - step) if done > 0 else 0.0
    return f'{_clock(spent)} + {_clock(left)} left'


def _clock(seconds):
  """Duration as h:mm:ss or m:ss."""
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours}:{minutes:02d}:{seconds:02d}' if hours else f'{minutes}:{seconds:02d}'
