"""What a run leaves for its reader: `summary.json`, `report.png`, closing table, transcripts."""

import dataclasses
import math
import pathlib

import numpy as np
import rich.panel
import rich.table
import rich.text

from r1jax import files, processes, terminal
from r1jax.evaluation import heldout, intervals

# Panels of report.png: title, metric, axis label, whether it is a share from 0 to 1.
PANELS = (
  ('Accuracy', 'reward/accuracy', 'share of rollouts', True),
  ('Response length', 'rollout/length', 'tokens', False),
  ('Format', 'reward/format', 'share of rollouts', True),
  ('Reward', 'reward/total', 'accuracy + format', False),
)


@dataclasses.dataclass(frozen=True)
class Summary:
  """A whole run.

  Attributes:
    before, after: evaluations of the base and of the trained policy on the same held-out questions.
    seconds: phase -> wall time.
    seed: of the run.
    final_params_sha256: `params.sha256` of the trained weights.
    length_accuracy_rank_correlation: over training steps (`length_accuracy`); None where undefined.
  """

  before: heldout.Evaluation
  after: heldout.Evaluation
  seconds: dict[str, float]
  seed: int
  final_params_sha256: str
  length_accuracy_rank_correlation: float | None


def write_summary(path, summary):
  """Writes `summary` and the peak memory as JSON, whole or not at all; returns the object."""
  content = {
    'before': summary.before.as_json(),
    'after': summary.after.as_json(),
    'seconds': {phase: round(value, 3) for phase, value in summary.seconds.items()},
    'peak_rss_gib': round(processes.peak_gib(), 3),
    'seed': summary.seed,
    'final_params_sha256': summary.final_params_sha256,
    'length_accuracy_rank_correlation': summary.length_accuracy_rank_correlation,
  }
  files.write_json(path, content)
  return content


def series(rows, name):
  """Steps and finite values of one metric in `metrics.read`'s rows."""
  # Not every row has every metric: one rollout serves several updates, and what is
  # not finite is null.
  found = [(row['step'], row[name]) for row in rows if row.get(name) is not None]
  return [step for step, _ in found], [value for _, value in found]


def length_accuracy(rows):
  """Spearman's correlation of length and accuracy over training steps; None where undefined."""
  both = [
    (row['rollout/length'], row['reward/accuracy'])
    for row in rows
    if row.get('rollout/length') is not None and row.get('reward/accuracy') is not None
  ]
  return intervals.rank_correlation([a for a, _ in both], [b for _, b in both])


def plot(rows, path, panels=PANELS):
  """Draws the course of training, one panel per metric, into a PNG.

  Args:
    rows: of `metrics.read`.
    path: where the picture goes; replaced whole.
    panels: (title, metric, label, whether it is a share); the panel of a metric without values
      says that there are none.
  """
  # A quarter of a second, which only the end of a run pays.
  from matplotlib import figure

  columns = 2 if len(panels) > 1 else 1
  drawing = figure.Figure(figsize=(5 * columns, 3.1 * math.ceil(len(panels) / columns)))
  axes = drawing.subplots(math.ceil(len(panels) / columns), columns, squeeze=False).ravel()
  for axis, (title, name, label, share) in zip(axes, panels):
    draw(axis, *series(rows, name), share)
    axis.set_title(title, loc='left', fontsize=11, fontweight='bold')
    axis.set_ylabel(label)
    axis.set_xlabel('step')
  for axis in axes[len(panels) :]:
    axis.set_axis_off()
  drawing.tight_layout()
  tmp = pathlib.Path(path).with_suffix('.tmp.png')
  drawing.savefig(tmp, dpi=130)
  # Who looks meanwhile sees the last picture or the next one, never half of it.
  tmp.replace(path)


def draw(axis, steps, values, share):
  """Draws one series with its smoothed course and last value; says where there is none."""
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
  axis.plot(steps, values, color=color, alpha=0.3 if window > 1 else 1, linewidth=1.4)
  if window > 1:
    axis.plot(steps, _smooth(values, window), color=color, linewidth=2)
  axis.annotate(
    f'{values[-1]:.3g}',
    (steps[-1], values[-1]),
    (4, 0),
    textcoords='offset points',
    fontsize=9,
    va='center',
  )


def _smooth(values, window):
  """Mean over up to `window` steps on either side."""
  # The sum over a window is a difference of two running sums.
  sums = np.cumsum([0.0, *values])
  at = np.arange(len(values))
  # At either end the window is as much of it as there is.
  low, high = np.maximum(at - window, 0), np.minimum(at + window + 1, len(values))
  return (sums[high] - sums[low]) / (high - low)


def table(before, after):
  """The closing table, for `rich.console.Console.print`."""
  count = f'{after.pass_at_1.questions} held-out questions, {after.pass_at_1.samples} samples'
  drawn = rich.table.Table(title=f'Before and after ({count})', title_justify='left')
  drawn.add_column('')
  for name in ('before', 'after', 'change'):
    drawn.add_column(name, justify='right')
  # A length may grow many times, so it is told as a ratio; shares change by points.
  ratio = after.mean_length / before.mean_length if before.mean_length else math.nan
  gain, form = after.pass_at_1.mean - before.pass_at_1.mean, after.format_rate - before.format_rate
  drawn.add_row(
    'pass@1 [95 % CI]', str(before.pass_at_1), str(after.pass_at_1), f'{100 * gain:+.1f} points'
  )
  drawn.add_row(
    'format rate',
    f'{before.format_rate:.1%}',
    f'{after.format_rate:.1%}',
    f'{100 * form:+.1f} points',
  )
  drawn.add_row(
    'length, tokens',
    f'{before.mean_length:.1f}',
    f'{after.mean_length:.1f}',
    f'x {ratio:.2f}',
  )
  return drawn


def transcripts(question, before, after):
  """What the two policies answered to one question, for printing.

  Args:
    question: text.
    before, after: (completion, verdict of its accuracy, verdict.Verdict).

  Returns:
    list of rich panels; text of the model is never markup, and holds no control characters.
  """
  shown = [rich.panel.Panel(_text(question), title='question', title_align='left')]
  for name, (completion, found) in (('before', before), ('after', after)):
    title = _text(f'{name}: {found.kind}' + (f' ({found.why})' if found.why else ''))
    color = 'green' if found.score > 0.5 else 'red'
    text = _text(completion or '(empty)')
    shown.append(rich.panel.Panel(text, title=title, title_align='left', border_style=color))
  return shown


def _text(text):
  return rich.text.Text(terminal.plain(text))
