"""The end of a run: better or not, by how much of it form alone, one gain and one failure.

All that is printed is made from `summary.json`, so a run that has ended long ago says the same as
one that ends now; `outcome` makes what that holds. No JAX in here.
"""

import math
import pathlib
import shlex

import rich.box
import rich.console
import rich.panel
import rich.table
import rich.text

from r1jax import terminal
from r1jax.train import phases

# What every version has written of an examination.
_EXAMINED = {'pass@1', 'ci95', 'format_rate', 'mean_length', 'questions', 'samples'}
BETTER, WORSE, UNSHOWN = 'better', 'worse', 'not shown to be better'


def show(summary, folder, console=None):
  """Prints the end of an RL run from its `summary.json`: table, verdict, examples, seconds, files.

  Args:
    summary: the object; of an older version what it lacks is left out.
    folder: of the run.
    console: `rich.console.Console`; by default standard output.
  """
  console = console or rich.console.Console(highlight=False)
  console.print(table(summary))
  for line in told(summary):
    console.print(rich.text.Text(line))
  for panel in examples(summary):
    console.print(panel)
  console.print(seconds(summary['seconds']))
  quoted = shlex.quote(str(folder))
  events = pathlib.Path(folder) / 'tensorboard'
  curves = f', tensorboard --logdir {quoted}' if events.exists() else ''
  text = (
    f'Files in {folder}: report.html, report.png, summary.json, metrics.jsonl (and TensorBoard '
    f'events), samples/, checkpoints/, model/ (weights, config, tokenizer)\n'
    f'Next: r1jax show {quoted}, r1jax chat --checkpoint={quoted}{curves}'
  )
  console.print(rich.text.Text(terminal.plain(text)))


def there(summary):
  """Whether a `summary.json` is of a run that has examined its policy before and after."""
  both = (summary.get('before'), summary.get('after'))
  return all(isinstance(one, dict) and one.keys() >= _EXAMINED for one in both)


def table(summary):
  """Before, after and change of accuracy, of accuracy whatever the form, of format and length."""
  after = summary['after']
  count = f'{after["questions"]} held-out questions, {after["samples"]} replies'
  drawn = rich.table.Table(
    title=f'Before and after ({count})', title_justify='left', box=rich.box.SIMPLE_HEAD
  )
  # On a narrow terminal an interval goes below its figure; names of rows and figures stay whole.
  drawn.add_column('', no_wrap=True)
  for name in ('before', 'after', 'change [95 %]'):
    drawn.add_column(name, justify='right')
  for row in lines(summary):
    drawn.add_row(*row)
  return drawn


def lines(summary):
  """The rows of the table, texts: what, before, after, change."""
  before, after = summary['before'], summary['after']
  change = summary.get('change', {})
  rows = [('pass@1', _estimate(before, 'pass@1'), _estimate(after, 'pass@1'),
           _points(change.get('pass@1'), after['pass@1'] - before['pass@1']))]  # fmt: skip
  if 'content' in before and 'content' in after:
    one, other = before['content'], after['content']
    gain = _points(change.get('content'), other['mean'] - one['mean'])
    rows.append(('in any form', _estimate(one, 'mean'), _estimate(other, 'mean'), gain))
  form = after['format_rate'] - before['format_rate']
  rows.append(
    ('format', f'{before["format_rate"]:.1%}', f'{after["format_rate"]:.1%}', _points(None, form))
  )
  # A length may grow many times, so it is told as a ratio; shares change by points.
  ratio = after['mean_length'] / before['mean_length'] if before['mean_length'] else math.nan
  lengths = (f'{one["mean_length"]:.1f}' for one in (before, after))
  rows.append(('tokens', *lengths, f'x {ratio:.2f}'))
  return rows


def _estimate(estimates, name):
  low, high = estimates['ci95']
  return f'{estimates[name]:.1%} [{100 * low:.1f}, {100 * high:.1f}]'


def _points(change, mean):
  if not change:
    return f'{100 * mean:+.1f} points'
  low, high = change['ci95']
  return f'{100 * change["mean"]:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]'


def told(summary):
  """Sentences: whether it is better, and how much of the gain is form."""
  change = summary.get('change', {})
  strict, inner = change.get('pass@1'), change.get('content')
  if not strict:
    return []
  test = f'paired permutation test on the same {strict["questions"]} questions, p = {_p(strict)}'
  sentences = [f'The trained policy is {strict["verdict"]} ({test}).']
  rest = 100 * (strict['mean'] - inner['mean']) if inner else 0.0
  # Where the last number counts, every form does already.
  if rest and strict['verdict'] == BETTER:
    whole = f'Of {100 * strict["mean"]:+.1f} points {rest:+.1f} are form alone: '
    same = 'answers that were known and not written where they are asked for'
    sentences.append(
      f'{whole}{same}. Right in any form it is {inner["verdict"]} (p = {_p(inner)}).'
    )
  return sentences


def _p(change):
  return f'{change["p"]:.2g}'


def examples(summary):
  """Panels of the examples; text of the model is never markup, and holds no control characters."""
  for one in summary.get('examples', ()):
    parts = [
      _text(f'{one["chosen"]}\n', 'dim'),
      _text(one['question'], 'bold'),
      _text(f'  expected {one["expected"]}', 'dim'),
    ]
    for name in ('before', 'after'):
      said = one[name]
      color = 'green' if said['kind'] == 'correct' else 'red'
      read = 'no answer read' if said['read'] is None else f'read {said["read"]}'
      why = f' ({said["why"]})' if said['why'] and said['read'] is None else ''
      parts += [_text(f'\n{name}: {said["kind"]}, {read}{why}\n', color)]
      parts += [_text(said['completion'].strip() or '(empty)')]
    body = rich.text.Text.assemble(*parts)
    yield rich.panel.Panel(body, title=title(one), title_align='left')


def title(one):
  """What an example is of."""
  if one['what'] == 'gained':
    return 'gained'
  return 'lost' if one['before']['kind'] == 'correct' else 'still wrong'


def seconds(spent):
  """A table of where the wall time went; `spent` as of `ledger.Ledger.seconds`."""
  whole = spent.get(phases.WHOLE, 0.0)
  drawn = rich.table.Table(
    title=f'Where {phases.clock(whole)} went', title_justify='left', box=None, show_header=False
  )
  drawn.add_column('')
  drawn.add_column('', justify='right')
  drawn.add_column('', justify='right')
  for what, value, share in phases.rows(spent):
    drawn.add_row(what, f'{value:,.1f} s', f'{share:.0%}')
  return drawn


def _text(text, style=''):
  return rich.text.Text(terminal.plain(text), style)
