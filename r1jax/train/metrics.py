"""Figures of a run: `metrics.jsonl`, TensorBoard events and the bar on the terminal.

A metric is a float called `family/name`. JSON has no NaN or infinity: such a value is written as
null and the row's `metrics/nonfinite` counts them; TensorBoard gets the finite ones only.
"""

import json
import math
import pathlib
import time

import jax
import rich.console
import rich.live
import rich.progress
import rich.text
import tensorboardX

from r1jax import files

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
  ('lr', 'optimizer/lr', '.2e'),
  ('grad', 'optimizer/grad_norm', '.2f'),
  ('filled', 'packing/filled', '.0%'),
  ('train tok/s', 'speed/train_tokens_per_s', ',.0f'),
)


class MetricsWriter:
  """Appends one row per step to `metrics.jsonl` and to TensorBoard; only process 0 writes.

  A row is on disk, but for a power cut, when `write` returns.
  """

  def __init__(self, workdir, resumed_from=0):
    """Opens the files in `workdir`; drops rows after step `resumed_from`, which will run again."""
    self._jsonl = self._board = None
    if jax.process_index():
      return
    path = pathlib.Path(workdir) / 'metrics.jsonl'
    path.parent.mkdir(parents=True, exist_ok=True)
    again = path.exists()
    if again:
      kept = [row for row in files.read_rows(path) if row['step'] <= resumed_from]
      files.write_rows(path, kept)
    self._jsonl = open(path, 'ab', buffering=0)  # noqa: SIM115 - open as long as the run
    self._board = tensorboardX.SummaryWriter(
      str(path.parent / 'tensorboard'), purge_step=resumed_from + 1 if again else None
    )

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    self.close()

  def write(self, step, metrics):
    """Adds a row: `step` (int) and `metrics` (name -> number or scalar array, fetched here)."""
    if self._jsonl is None:
      return
    values = {name: float(value) for name, value in metrics.items()}
    finite = {name: value for name, value in values.items() if math.isfinite(value)}
    row = {'step': int(step), **{name: finite.get(name) for name in values}}
    if len(finite) < len(values):
      row['metrics/nonfinite'] = len(values) - len(finite)
    self._jsonl.write(f'{json.dumps(row, allow_nan=False)}\n'.encode())
    for name, value in finite.items():
      self._board.add_scalar(name, value, int(step))
    self._board.flush()

  def close(self):
    """Flushes and closes both files."""
    if self._jsonl is not None:
      self._jsonl.close()
      self._board.close()
      self._jsonl = None


class Progress:
  """A bar with the time left and the live figures; plain lines where the output is no terminal.

  Use as a context manager. Only process 0 prints.
  """

  def __init__(self, title, total, start=0, figures=RL_FIGURES, console=None):
    """Prepares the bar.

    Args:
      title: what runs.
      total: number of steps.
      start: steps already done when this run began; they don't count in the pace.
      figures: (label, metric, format) of what to show, each once a step has had it.
      console: rich console; default is one on stdout.
    """
    self._title, self._total, self._start, self._figures = title, total, start, figures
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
      self._live = rich.live.Live(self._bar, console=self.console, refresh_per_second=4)
      self._live.start()
    return self

  def __exit__(self, *exception):
    if self._live:
      self._live.stop()

  def print(self, text):
    """Prints a line above the bar."""
    self.console.print(text, markup=False, soft_wrap=True)

  def update(self, step, metrics):
    """Shows that `step` steps are complete and the latest value of each figure."""
    self._latest |= metrics  # a step that trains on an older rollout has no figures of one
    timing, figures = self._timing(step), self._text()
    if self._live:
      self._bar.update(self._task, completed=step, timing=timing)
      self._live.update(rich.console.Group(self._bar, rich.text.Text(figures)))
      return
    now = time.monotonic()
    if now - self._printed >= 1 or step >= self._total:  # a log file has no use for more
      self._printed = now
      self.print(f'{self._title} {step}/{self._total}  {timing}  {figures}')

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
