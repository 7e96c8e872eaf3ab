"""How a course of a run is drawn."""

import numpy as np

from r1jax.runs.show import drawing


def draw(axis, steps, values, share=False):
  """Draws one series pale, its smoothed course and last value; says where there is none.

  `share` fixes the axis to 0 and 1.
  """
  axis.spines[['top', 'right']].set_visible(False)
  axis.grid(axis='y', color='0.9')
  # Steps are whole numbers.
  axis.xaxis.get_major_locator().set_params(integer=True)
  if share:
    axis.set_ylim(-0.02, 1.02)
  if not values:
    axis.text(0.5, 0.5, 'no values', transform=axis.transAxes, ha='center', color='0.5')
    return
  # A short run is drawn as it is; of a long one the noise stays pale behind its mean.
  color, window = '#1f5fa8', max(1, len(values) // 20)
  each = dict(color=color, alpha=0.3 if window > 1 else 1, linewidth=1.4, label='rollouts')
  axis.plot(steps, values, **each)
  if window > 1:
    mean = dict(color=color, linewidth=2, label=f'mean of {2 * window + 1} rollouts')
    axis.plot(steps, _smooth(values, window), **mean)
  axis.annotate(
    drawing.short(values[-1]),
    (steps[-1], values[-1]),
    (4, 0),
    textcoords='offset points',
    fontsize=9,
    va='center',
  )


def reach(axis, *ends):
  """Fits the y axis to its lines and to these values, with a little room at both ends."""
  values = [*ends, *(value for line in axis.lines for value in line.get_ydata())]
  # One value alone is matplotlib's to frame.
  if len(set(values)) > 1:
    room = 0.02 * (max(values) - min(values))
    axis.set_ylim(min(values) - room, max(values) + room)


def _smooth(values, window):
  """Mean over up to `window` steps on either side."""
  # The sum over a window is a difference of two running sums.
  sums = np.cumsum([0.0, *values])
  at = np.arange(len(values))
  # At either end the window is as much of it as there is.
  low = np.maximum(at - window, 0)
  high = np.minimum(at + window + 1, len(values))
  return (sums[high] - sums[low]) / (high - low)
