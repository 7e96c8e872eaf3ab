"""What a run does now, for people: a bar with the time left, or lines of a log.

From the first second something is said: what is being done, since when, and which function XLA
compiles, as that is what the first minutes of a run mostly are.
"""

import contextlib
import math
import statistics
import threading
import time

import jax
import rich.console
import rich.live
import rich.progress
import rich.text

from r1jax import programs, terminal
from r1jax.train import glossary, phases

# Metrics of a reinforcement-learning step that the bar shows; a log line shows as many of the first
# ones as fit.
RL_FIGURES = (
  'reward/total', 'reward/accuracy', 'eval/pass_at_1', 'rollout/length', 'grpo/entropy',
  'reward/format', 'grpo/kl', 'grpo/clip_fraction', 'speed/rollout_tokens_per_s',
  'speed/train_tokens_per_s',
)  # fmt: skip


def rl_figures(parts):
  """`RL_FIGURES` with further parts of the reward, given by name, behind the accuracy."""
  added = (f'reward/{name}' for name in parts)
  return (*RL_FIGURES[:2], *added, *RL_FIGURES[2:])


# Those of a step of supervised learning.
SFT_FIGURES = (
  'loss/total', 'eval/loss', 'optimizer/lr', 'optimizer/grad_norm', 'packing/filled',
  'speed/train_tokens_per_s',
)  # fmt: skip
_EXAMINING = 'speed/eval_seconds'
_LATEST = 9  # rounds that the pace is the median of: an odd few, so that a change shows soon
_LONG = 3.0  # seconds of one compilation after which a log says so
_EVERY = 30.0  # seconds between two lines of a log on the same thing


class Pace:
  """How long the rest takes, by the latest whole rounds of updates.

  A round is a rollout and the updates on it. Rounds in which something was compiled tell nothing of
  the others, and an examination is counted where one is due.
  """

  def __init__(self, total, start, now, cycle=1, examine_every=0):
    """`cycle` updates are a round; `now` is the time in seconds at which update `start` is done."""
    self._total, self._cycle, self._every = total, cycle, examine_every
    self._rounds, self._examination = [], 0.0
    self._began, self._examined, self._programs, self._whole = now, 0.0, None, True
    # A run that goes on may begin in the middle of a round.
    self._step = start

  def add(self, step, now, metrics):
    """Hears that `step` updates are done."""
    compiled = metrics.get('compile/programs')
    if compiled != self._programs:
      self._whole = self._whole and self._programs is None and compiled is None
    self._programs = compiled
    if _EXAMINING in metrics:
      self._examination = metrics[_EXAMINING]
      self._examined += metrics[_EXAMINING]
    if step % self._cycle and step < self._total:
      return
    done = step - self._step
    if done == self._cycle and self._whole:
      self._rounds.append(now - self._began - self._examined)
    self._step, self._began, self._examined, self._whole = step, now, 0.0, True

  def left(self, step):
    """Seconds from update `step` to the end; None before two whole rounds."""
    if step >= self._total:
      return 0.0
    if len(self._rounds) < 2:
      return None
    one = statistics.median(self._rounds[-_LATEST:]) / self._cycle
    due = (self._total // self._every - step // self._every) if self._every else 0
    return one * (self._total - step) + due * self._examination


class _Display:
  """Something that is being done, on standard output: live on a terminal, else lines of a log.

  Use as a context manager. Only process 0 prints. A subclass has `_shown()`, what a terminal shows.
  """

  def __init__(self, console, state=None):
    self.console = console or _console()
    self._live, self._log = None, _Log(self.print, state)

  def _begin(self, **options):
    if not self.console.is_terminal:
      self._log.start()
      return
    show = dict(console=self.console, refresh_per_second=4, get_renderable=self._shown)
    self._live = rich.live.Live(**show, **options)
    self._live.start()

  def __exit__(self, *exception):
    self._log.stop()
    if self._live:
      self._live.stop()

  def print(self, text):
    """Prints a line, on a terminal above what is live."""
    self.console.print(terminal.plain(text), markup=False, soft_wrap=True)


class Progress(_Display):
  """A bar with the time left and the live figures; plain lines where the output is no terminal."""

  def __init__(
    self, title, total, start=0, figures=RL_FIGURES, *, cycle=1, examine_every=0, base=(),
    console=None, notice=str,
  ):  # fmt: skip
    """Prepares the bar.

    Args:
      title: what runs.
      total: number of steps.
      start: steps already done when this run began; they don't count in the pace.
      figures: names of the metrics to show, each once a step has had it.
      cycle: steps of a round, see `Pace`.
      examine_every: steps between examinations; 0 for none.
      base: metric -> value before training, of which the change is shown.
      console: rich console; default is one on stdout.
      notice: () -> text that a terminal shows below the figures, '' for none.
    """
    super().__init__(console, self._state)
    self._title, self._total, self._start, self._figures = title, total, start, figures
    self._cycle, self._every, self._base = cycle, examine_every, dict(base)
    self._notice = notice
    self._bar = rich.progress.Progress(
      rich.progress.TextColumn('{task.description}'),
      rich.progress.BarColumn(bar_width=None),
      rich.progress.MofNCompleteColumn(),
      rich.progress.TextColumn('{task.fields[timing]}'),
      console=self.console,
      expand=True,
    )
    self._task = self._bar.add_task(title, total=total, completed=start, timing='')
    self._latest, self._step = {}, start
    self._began = self._heard = -math.inf
    self._pace, self._watch = None, programs.watch()

  def __enter__(self):
    self._began = self._heard = time.monotonic()
    self._pace = Pace(self._total, self._start, self._began, self._cycle, self._every)
    self._begin()
    return self

  def update(self, step, metrics, now=None):
    """Shows that `step` steps are complete, at time `now`, and the latest value of each figure."""
    self._latest |= metrics  # a step that trains on an older rollout has no figures of one
    self._step, self._heard = step, time.monotonic() if now is None else now
    self._pace.add(step, self._heard, metrics)
    if self._live:
      self._bar.update(self._task, completed=step)
      self._live.refresh()
      return
    self._log.told()
    head = f'{self._title} {step}/{self._total}  {self._timing(self._heard)}'
    self.print(self._fitting([head, *self._texts()])[0])

  @property
  def live(self):
    """Whether it is a bar on a terminal, which shows a notice by itself."""
    return self._live is not None

  def _shown(self):
    """Bar, figures and notice; the thread that draws the bar asks for it four times a second."""
    self._bar.update(self._task, timing=self._timing(time.monotonic()))
    lines = filter(None, (*self._fitting(self._texts()), _compiling(self._watch), self._notice()))
    return rich.console.Group(self._bar, *map(rich.text.Text, lines))

  def _state(self):
    """What is being done since the last step; '' where nobody says."""
    told = self._notice()
    return told and f'{self._title} {self._step}/{self._total}: {told}'

  def _texts(self):
    """Each known figure with its label."""
    texts = []
    for name in self._figures:
      if name not in self._latest:
        continue
      metric, value = glossary.of(name), float(self._latest[name])
      change = f' ({value - self._base[name]:+{metric.form}})' if name in self._base else ''
      texts.append(f'{metric.short} {value:{metric.form}}{change}')
    return texts

  def _fitting(self, texts):
    """The texts in lines of the console's width."""
    lines = ['']
    for text in texts:
      longer = f'{lines[-1]}  {text}' if lines[-1] else text
      if lines[-1] and len(longer) > self.console.width:
        lines.append(text)
      else:
        lines[-1] = longer
    return lines

  def _timing(self, now):
    left = self._pace.left(self._step)
    # Between two steps the time that passes is no longer left.
    rest = (
      'estimating' if left is None else f'{phases.clock(max(left - now + self._heard, 0.0))} left'
    )
    return f'{phases.clock(now - self._began)} + {rest}'


class Status(_Display):
  """One thing that is being done before or after the steps, with a clock and a count.

  A terminal forgets it at its end.
  """

  def __init__(self, what, total=0, console=None):
    """`total` is what `advance` counts to; 0 where there is nothing to count."""
    super().__init__(console, self._text)
    self._what, self._total, self._done = what, total, 0
    self._began, self._watch = -math.inf, programs.watch()

  def __enter__(self):
    self._began = time.monotonic()
    if not self.console.is_terminal:
      self.print(self._what)
    self._begin(transient=True)
    return self

  def advance(self, count):
    """Counts what is done."""
    self._done += count

  def _shown(self):
    return rich.text.Text(self._text())

  def _text(self):
    count = f' {self._done:,}/{self._total:,}' if self._total else ''
    compiling = f', {text}' if (text := _compiling(self._watch)) else ''
    return f'{self._what}{count} ({phases.clock(time.monotonic() - self._began)}{compiling})'


class _Log:
  """The thread that writes into a log file what a terminal's bar would show as it goes on."""

  def __init__(self, say, state=None):
    """`say` prints a line; `state` tells what is being done, '' where nothing is to be said."""
    self._say, self._state = say, state or str
    self._said = time.monotonic()
    self._ended = threading.Event()
    self._thread = threading.Thread(target=self._run, name='log', daemon=True)

  def start(self):
    """Begins to look."""
    self._thread.start()

  def stop(self):
    """Ends the thread."""
    self._ended.set()
    if self._thread.is_alive():
      self._thread.join()

  def told(self):
    """Hears that a line was printed, so that the next one can wait."""
    self._said = time.monotonic()

  def _run(self):
    watch, told = programs.watch(), None
    self.told()
    while not self._ended.wait(0.5):
      now, compiling = time.monotonic(), watch.compiling()
      if told and (not compiling or compiling[0] != told[0]):
        self._say(f'compiled {told[0]} in {phases.clock(now - told[1])}')
        told, self._said = None, now
      if compiling and not told and compiling[1] >= _LONG:
        told, self._said = (compiling[0], now - compiling[1]), now
        self._say(f'compiling {compiling[0]} ...')
      elif now - self._said >= _EVERY and (state := self._state()):
        self._said = now
        self._say(state)


def _console():
  """Standard output, of the first process alone."""
  return rich.console.Console(quiet=jax.process_index() > 0, highlight=False)


def _compiling(watch):
  """What XLA compiles, for people; '' where that is nothing or takes no time."""
  with contextlib.suppress(TypeError):
    name, seconds = watch.compiling()
    if seconds >= 1:
      return f'compiling {name} {phases.clock(seconds)}'
  return ''
