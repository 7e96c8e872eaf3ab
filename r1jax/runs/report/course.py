"""`report.png` of an RL run: accuracy, length, reward, KL and entropy over its updates."""

import math
import pathlib
import time

from r1jax.runs.report import curve
from r1jax.runs.show import reading

_BLUE, _ORANGE = '#1f5fa8', '#c2571a'


def plot(run, path):
  """Draws a `show.reading.Run`, which may be going on, into a PNG; it is replaced whole."""
  # A quarter of a second, which only those who draw pay.
  from matplotlib import figure

  drawing = figure.Figure(figsize=(10, 6.8))
  axes = drawing.subplots(2, 2)
  last = max([1, run.step, run.total if run.alive else 0])
  for axis, panel in zip(axes.ravel(), (_accuracy, _length, _reward, _policy)):
    panel(axis, run)
    axis.set_xlabel('update', fontsize=9)
    axis.set_xlim(-0.02 * last, 1.16 * last)  # the last value is written behind its point
  drawing.suptitle(title(run), x=0.01, ha='left', fontsize=10, color='0.3')
  drawing.tight_layout()
  tmp = pathlib.Path(path).with_suffix('.tmp.png')
  drawing.savefig(tmp, dpi=130)
  # Who looks meanwhile sees the last picture or the next one, never half of it.
  tmp.replace(path)


def title(run):
  """Which run this is, how far it is, and when that was."""
  of = f' of {run.total}' if run.total else ''
  when = time.strftime('%Y-%m-%d %H:%M', time.localtime(run.changed))
  seed = run.config.get('seed', 0)
  return f'{run.name}   {run.config.get("stage", "")}, seed {seed}   update {run.step}{of}, {when}'


def _accuracy(axis, run):
  """Rollouts pale, their smoothed course dark, examinations as dots with intervals."""
  _draw(axis, run, 'Accuracy', 'reward/accuracy', 'share of replies')
  axis.set_ylim(-0.02, 1.02)
  points = reading.heldout(run)
  if points:
    ends = [_ends(point) for point in points]
    style = dict(fmt='o', color=_ORANGE, markersize=4, capsize=3, zorder=3, clip_on=False)
    steps, means = ([point[name] for point in points] for name in ('step', 'mean'))
    axis.errorbar(steps, means, yerr=list(zip(*ends)), label='held-out questions, 95 %', **style)
  handles, _ = axis.get_legend_handles_labels()
  if handles:
    axis.legend(fontsize=8, frameon=False, loc='best')


def _length(axis, run):
  _draw(axis, run, 'Response length', 'rollout/length', 'tokens')
  curve.reach(axis, 0.0)


def _reward(axis, run):
  """The axis spans what can be earned, where that is known: pictures can be held side by side."""
  _draw(axis, run, 'Reward', 'reward/total', 'sum of its parts')
  steps, values = reading.series(run.rows, 'reward/format')
  weight = run.value('reward.format')
  if values and weight:
    style = dict(color=_ORANGE, linewidth=1.4, label='its part for the format')
    axis.plot(steps, [weight * value for value in values], **style)
    axis.legend(fontsize=8, frameon=False, loc='best')
  curve.reach(axis, *(run.reward_ends or ()))


def _policy(axis, run):
  """Entropy, and KL where there is a reference, each on an axis of its own."""
  _draw(axis, run, '', 'grpo/entropy', 'entropy, nats per token')
  curve.reach(axis, 0.0)
  axis.yaxis.label.set_color(_BLUE)
  steps, divergence = reading.series(run.rows, 'grpo/kl')
  heading = 'Entropy and KL to the reference' if divergence else 'Entropy'
  axis.set_title(heading, loc='left', fontsize=11, fontweight='bold')
  if not divergence:
    return
  other = axis.twinx()
  other.spines[['top', 'left']].set_visible(False)
  other.plot(steps, divergence, color=_ORANGE, linewidth=1.2, alpha=0.8)
  other.set_ylabel('KL, nats per token', color=_ORANGE)
  curve.reach(other, 0.0)  # one estimate of it, k1, may be negative


def _draw(axis, run, heading, name, label):
  steps, values = reading.series(run.rows, name)
  curve.draw(axis, steps, values)
  axis.set_title(heading, loc='left', fontsize=11, fontweight='bold')
  axis.set_ylabel(label, fontsize=9)


def _ends(point):
  """How far an interval reaches below and above its mean; nowhere where nobody wrote it down."""
  if point['low'] is None:
    return math.nan, math.nan
  below, above = point['mean'] - point['low'], point['high'] - point['mean']
  return max(0.0, below), max(0.0, above)
