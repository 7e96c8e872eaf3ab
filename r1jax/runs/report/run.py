"""What a run leaves for its reader: `summary.json`, closing table, transcripts; how it is drawn."""

import dataclasses
import math

import numpy as np
import rich.panel
import rich.table
import rich.text

from r1jax import files, processes, terminal
from r1jax.evaluation import heldout, intervals


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


def length_accuracy(rows):
  """Spearman's correlation of length and accuracy over training steps; None where undefined."""
  both = [
    (row['rollout/length'], row['reward/accuracy'])
    for row in rows
    if row.get('rollout/length') is not None and row.get('reward/accuracy') is not None
  ]
  return intervals.rank_correlation([a for a, _ in both], [b for _, b in both])


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
