"""Curves of runs as SVG: no script, no font, colours from the page."""

import dataclasses
import html

import numpy as np

from r1jax.runs.show import reading
from r1jax.train import glossary

_WIDTH, _HEIGHT = 340, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 54, 26, 22
_LINE = 12.0  # height of a line of text
_REWARD = 'reward/total'
_SIGNS = 7  # of a number, which is what the margins have room for
_POINTS = 200  # of a line; more than that cannot be told apart


@dataclasses.dataclass(frozen=True)
class Panel:
  """One picture.

  Attributes:
    names: metrics, the first drawn as a line, further ones dashed.
    low, high: what the axis reaches at the least; it holds all that is drawn.
    heldout: whether examinations are drawn in it.
  """

  names: tuple[str, ...]
  low: float | None = None
  high: float | None = None
  heldout: bool = False

  @property
  def metric(self):
    """The `glossary.Metric` that it is called after."""
    return glossary.of(self.names[0])

  @property
  def title(self):
    """What it shows, with its unit; a share or a reward needs none."""
    metric = self.metric
    unit = '' if metric.unit in ('share', 'reward') else f', {metric.unit}'
    return f'{metric.label[0].upper()}{metric.label[1:]}{unit}'

  @property
  def told(self):
    """What the metric is, and what is healthy."""
    return f'{self.metric.meaning} Healthy: {self.metric.healthy or "any"}.'


PANELS = (
  Panel(('reward/accuracy',), 0, 1, heldout=True),
  Panel(('reward/format',), 0, 1),
  Panel((_REWARD,)),
  Panel(('rollout/length',), 0),
  Panel(('rollout/truncated',), 0, 1),
  Panel(('rollout/unanimous',), 0, 1),
  Panel(('grpo/kl',), 0),
  Panel(('grpo/entropy',), 0),
  Panel(('grpo/clip_fraction',), 0),
  Panel(('parity/logp_mean', 'parity/logp_max'), 0),
  Panel(('loss/total',)),
)


def panels(runs):
  """SVG texts of the panels for which some run has values."""
  drawn = (panel(runs, one) for one in PANELS)
  return [text for text in drawn if text]


def panel(runs, what):
  """One panel as SVG, '' where no run has values of it; `runs` are `reading.Run`s."""
  courses = [
    (number, dashed, *reading.series(run.rows, name))
    for number, run in enumerate(runs)
    for dashed, name in enumerate(what.names)
  ]
  courses = [course for course in courses if course[3]]
  # Examinations may reach further than rollouts on both sides, so they belong to the frame.
  dots = [(n, reading.heldout(run)) for n, run in enumerate(runs)] if what.heldout else []
  if not courses:
    return ''
  frame = _frame(courses, dots, what, runs)
  parts = [_axes(frame, what)]
  parts += [_line(frame, *course) for course in courses]
  parts += _last_values(frame, courses)
  parts += [_dots(frame, number, points) for number, points in dots]
  # A browser shows the title of a picture under the pointer.
  inside = f'<title>{html.escape(what.told)}</title>{"".join(parts)}'
  label = html.escape(what.title)
  return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{inside}</svg>'


@dataclasses.dataclass(frozen=True)
class _Frame:
  """What the axes span."""

  first: float
  last: float
  low: float
  high: float

  def x(self, step):
    """Where an update stands, in units of the picture from the left."""
    share = (np.asarray(step, float) - self.first) / (self.last - self.first)
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

  def y(self, value):
    """Where a value stands, from the top; one beyond the axis stands at its end."""
    share = (np.asarray(value, float) - self.low) / (self.high - self.low)
    return _HEIGHT - _BOTTOM - np.clip(share, 0, 1) * (_HEIGHT - _TOP - _BOTTOM)


def _frame(courses, dots, what, runs):
  steps = [step for course in courses for step in course[2]]
  steps += [point['step'] for _, points in dots for point in points]
  values = [value for course in courses for value in course[3]]
  values += [end for end in (what.low, what.high) if end is not None]
  if what.names == (_REWARD,):
    values += [end for run in runs for end in run.reward_ends or ()]
  low, high = min(values), max(values)
  # A course that does not move still needs an axis: it lies in the middle, nothing at the foot.
  if low == high:
    low, high = low - abs(low) / 2, high + (abs(high) / 2 or 1.0)
  first, last = min(steps), max(steps)
  return _Frame(first, last if last > first else first + 1, low, high)


def _axes(frame, what):
  parts = [f'<text class="title" x="0" y="13">{html.escape(what.title)}</text>']
  ticks = np.linspace(frame.low, frame.high, 3)
  for value, text in zip(ticks, _apart(ticks)):
    y = frame.y(value)
    parts.append(
      f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
      f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    )
  for step, anchor in ((frame.first, 'start'), (frame.last, 'end')):
    x, text = frame.x(step), f'{step:g}'
    parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{text}</text>')
  return ''.join(parts)


def _line(frame, number, dashed, steps, values):
  """A course: its mean over neighbours, one standard deviation around it."""
  step_N, mean_N, spread_N = smooth(steps, values)
  x_N = frame.x(step_N)
  line = _path(x_N, frame.y(mean_N))
  parts = []
  # A second metric of a panel has no band: it would hide that of the first.
  if not dashed and len(mean_N) > 2:
    up, down = frame.y(mean_N + spread_N), frame.y(mean_N - spread_N)
    # Forth above, back below.
    closed = lambda forth, back: np.concatenate([forth, back[::-1]])
    around = _path(closed(x_N, x_N), closed(up, down))
    parts.append(f'<path class="band f{number}" d="{around}Z"/>')
  style = f'line s{number}{" dashed" if dashed else ""}'
  parts.append(f'<path class="{style}" d="{line}"/>')
  return ''.join(parts)


def _last_values(frame, courses):
  """The last value of each course beside the frame, none over another."""
  ends = []
  for number, _, steps, values in courses:
    _, mean_N, _ = smooth(steps, values)
    height = float(frame.y(mean_N[-1]))
    ends.append((height, number, short(values[-1])))
  # From the bottom up; a text that would lie over the one below it is moved up.
  room, texts = _HEIGHT - _BOTTOM + 4.0, []
  for y, number, text in sorted(ends, reverse=True):
    room = min(y + 4, room)
    x = frame.x(frame.last) + 7
    texts.append(f'<text class="f{number}" x="{x:.1f}" y="{room:.1f}">{text}</text>')
    room -= _LINE
  return texts


def _dots(frame, number, points):
  parts = []
  for point in points:
    x, y = frame.x(point['step']), frame.y(point['mean'])
    told = f'held out, after update {point["step"]}: {point["mean"]:.1%}'
    if point['low'] is not None:
      told += f' [{point["low"]:.1%}, {point["high"]:.1%}]'
      ends = f'y1="{frame.y(point["low"]):.1f}" y2="{frame.y(point["high"]):.1f}"'
      parts.append(f'<line class="interval s{number}" x1="{x:.1f}" x2="{x:.1f}" {ends}/>')
    dot = f'<circle class="f{number}" cx="{x:.1f}" cy="{y:.1f}" r="3.5">'
    parts.append(f'{dot}<title>{told}</title></circle>')
  return ''.join(parts)


def smooth(steps, values):
  """(steps, means, standard deviations) of a course over its neighbours, at most 200 points each.

  A short course is left as it is: its deviations are 0.
  """
  step_N, value_N = np.asarray(steps, float), np.asarray(values, float)
  window = max(0, len(value_N) // 25)
  at_N = np.arange(len(value_N))
  # Running sums: at either end the window is as much of it as there is.
  low_N = np.maximum(at_N - window, 0)
  high_N = np.minimum(at_N + window + 1, len(value_N))
  sums = [np.concatenate([[0.0], np.cumsum(part)]) for part in (value_N, value_N**2)]
  mean_N, square_N = ((total[high_N] - total[low_N]) / (high_N - low_N) for total in sums)
  spread_N = np.sqrt(np.maximum(square_N - mean_N**2, 0))
  evenly = np.linspace(0, len(value_N) - 1, min(_POINTS, len(value_N)))
  chosen = np.unique(evenly.astype(int))
  return step_N[chosen], mean_N[chosen], spread_N[chosen]


def _path(x_N, y_N):
  return 'M' + 'L'.join(f'{x:.1f} {y:.1f}' for x, y in zip(x_N, y_N))


def _apart(values):
  """Short texts of numbers, of so few digits that no two are alike, where there is room."""
  for digits in range(3, 7):
    texts = [short(value, digits) for value in values]
    if len(set(texts)) == len(texts):
      break
  return texts


def short(value, digits=3):
  """A number in seven signs at most: 3.1e-5, 0.953, 27.9, 25,100, -1.5e20; `digits` if they fit."""
  value += 0.0  # the sign of -0.0 says nothing
  size = abs(value)
  # From 999.5 on three digits would be written with an exponent.
  plain = f'{value:.{digits}g}' if size < 999.5 else f'{value:,.0f}'
  if len(plain) <= _SIGNS and not 0 < size < 1e-3:
    return plain
  # A decimal goes where the exponent leaves no room for it.
  for decimals in (1, 0):
    mantissa, exponent = f'{value:.{decimals}e}'.split('e')
    text = f'{mantissa}e{int(exponent)}'
    if len(text) <= _SIGNS:
      break
  return text
