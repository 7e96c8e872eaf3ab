"""A run on a terminal: its state, its curves, what is wrong, worst questions, latest replies."""

import collections
import time

import rich.box
import rich.console
import rich.padding
import rich.table
import rich.text

from r1jax import terminal
from r1jax.runs.doctor.finding import FEWEST
from r1jax.runs.report import ending
from r1jax.runs.show import questions, reading
from r1jax.train import glossary, phases

_LEVELS = '▁▂▃▄▅▆▇█'
_NARROW, _WIDE = 20, 48  # signs of a sparkline
_ROOMY = 80  # columns of a terminal that takes all four figures beside the narrowest course
_WORST, _CHARACTERS = 5, 600
# Metrics that are drawn where the run has them.
CURVES = (
  'reward/accuracy', 'reward/format', 'rollout/level', 'reward/total', 'rollout/length',
  'rollout/truncated', 'rollout/unanimous', 'grpo/kl', 'grpo/entropy', 'grpo/clip_fraction',
  'parity/logp_mean', 'loss/total', 'optimizer/lr',
)  # fmt: skip


def show(run, findings, console, replies=2):
  """Prints all of it.

  Args:
    run: `reading.Run`.
    findings: of the doctor.
    console: `rich.console.Console`.
    replies: how many right and how many wrong replies of the newest rollout.
  """
  console.print(_head(run))
  console.print(curves([run], console.width))
  points = reading.heldout(run)
  if points:
    console.print(_heading('Held-out questions, pass@1 [95 %]'))
    console.print(rich.padding.Padding(heldout(points), (0, 0, 0, 2)))
  if ending.there(run.summary):
    _end(run.summary, console)
  told(findings, console, run)
  # Supervised runs keep examinations only.
  newest = run.latest('step') or run.latest('heldout')
  if not newest:
    return
  rows = newest.rows()
  console.print(_heading(f'{_title(newest)}: {len(rows)} replies'))
  for line in verdicts(rows):
    console.print(rich.padding.Padding(_text(line), (0, 0, 0, 2)))
  _worst(run, console)
  for row in picked(rows, replies):
    console.print(_reply(row))


def _end(summary, console):
  """Whether the policy is better than the base, a gain and a failure, where the time went."""
  console.print()
  console.print(ending.table(summary))
  for line in ending.told(summary):
    console.print(rich.padding.Padding(_text(line), (0, 0, 0, 2)))
  for panel in ending.examples(summary):
    console.print(panel)
  if phases.rows(summary.get('seconds', {})):
    console.print(ending.seconds(summary['seconds']))


def told(findings, console, run):
  """Prints what the doctor has found in a `reading.Run`."""
  console.print(_heading('Doctor'))
  if not findings and len(run.rows) < FEWEST:
    console.print(f'  nothing yet: most of its rules look at {FEWEST} updates and more')
  elif not findings:
    console.print('  nothing is wrong that its rules know', style='green')
  for one in findings:
    line = rich.text.Text.assemble((one.name, 'bold red'), ': ', _text(one.seen))
    console.print(rich.padding.Padding(line, (0, 0, 0, 2)))
    console.print(rich.padding.Padding(_text(f'-> {one.do}', 'yellow'), (0, 0, 0, 4)))


def curves(runs, width):
  """A table with a sparkline for each metric that a run has: its first and last mean, and course.

  Args:
    runs: one or two of `reading.Run`, to be shown below each other.
    width: of the console, in signs.
  """
  table = rich.table.Table(box=None, padding=(0, 1), show_header=True, header_style='dim')
  table.add_column('', no_wrap=True)
  # The course shows where least and most are, should there be no room to say what they are.
  columns = ('first', 'last', 'least', 'most')[: 4 if width >= _ROOMY else 2]
  for name in columns:
    table.add_column(name, justify='right')
  table.add_column('course', no_wrap=True)
  signs = max(_NARROW, min(_WIDE, width - 62))
  for metric in map(glossary.of, CURVES):
    for number, run in enumerate(runs):
      _, values = reading.series(run.rows, metric.name)
      if not values:
        continue
      mark = f' {"AB"[number]}' if len(runs) > 1 else ''
      figures = (values[0], values[-1], min(values), max(values))[: len(columns)]
      cells = (format(value, metric.form) for value in figures)
      table.add_row(f'{metric.label}{mark}', *cells, sparkline(values, signs), end_section=False)
  return table


def sparkline(values, signs):
  """At most `signs` characters whose heights are means of the values, from least to most."""
  count = min(signs, len(values))
  # Each sign stands for an equal part of the course.
  bounds = [len(values) * n // count for n in range(count + 1)]
  parts = [values[begin:end] for begin, end in zip(bounds, bounds[1:])]
  means = [sum(part) / len(part) for part in parts]
  low, high = min(means), max(means)
  if high <= low:
    return _LEVELS[0] * count
  scale = (len(_LEVELS) - 1) / (high - low)
  return ''.join(_LEVELS[round((mean - low) * scale)] for mean in means)


def heldout(points):
  """Text of examinations, an update and its figure each."""
  parts = []
  for point in points:
    ends = '' if point['low'] is None else f' [{100 * point["low"]:.1f}, {100 * point["high"]:.1f}]'
    name = f'update {point["step"]}' if point['step'] else 'base'
    parts.append(f'{name} {point["mean"]:.1%}{ends}')
  # At many updates the first and the latest tell enough.
  shown = parts if len(parts) <= 8 else [*parts[:1], '…', *parts[-6:]]
  return rich.text.Text('\n'.join(shown))


def verdicts(rows):
  """Lines that count the verdicts of replies, each with its commonest reason."""
  counts = collections.Counter(map(reading.verdict, rows))
  for kind, count in counts.most_common():
    same = [row for row in rows if reading.verdict(row) == kind]
    # A right answer has a reason too where its format is wrong.
    reasons = collections.Counter(filter(None, map(reading.why, same)))
    text = f'{count:5}  {kind}'
    if reasons and kind != 'correct':
      reason, times = reasons.most_common(1)[0]
      text += f', most often ({times}): {reason}'
    yield text


def picked(rows, count):
  """`count` right replies and as many wrong ones, of different questions; of a kind for which there
  are none the other's.
  """
  wrong, right = [], []
  for row in rows:
    part = right if reading.accuracy(row) else wrong
    if row['question'] not in {other['question'] for other in part}:
      part.append(row)
  return right[:count] + wrong[:count]


def _head(run):
  # Clocks of two machines differ: nothing is of the future.
  age = max(0, time.time() - run.changed)
  of = f' of {run.total}' if run.total else ''
  when = time.strftime('%Y-%m-%d %H:%M', time.localtime(run.changed))
  ago = f'{age:.0f} s ago' if age < 120 else f'{age / 60:.0f} min ago' if age < 7200 else when
  commit = run.versions.get('commit', '')
  facts = [run.config.get('stage', ''), f'seed {run.config.get("seed", 0)}']
  facts += [f'checkpoint {run.config["checkpoint"]}'] if run.config.get('checkpoint') else []
  facts += [f'commit {commit}'] if commit else []
  color = {'running': 'green', 'finished': 'blue'}.get(run.state, 'yellow')
  return rich.text.Text.assemble(
    (terminal.plain(run.name), 'bold'),
    '  ',
    (run.state, color),
    f' at update {run.step}{of}, last figures {ago}\n',
    (terminal.plain(', '.join(facts)), 'dim'),
    '\n',
  )


def _worst(run, console):
  """The questions that fail most often now."""
  newest = [run.latest(name) for name in ('step', 'heldout')]
  rows = [row for kept in newest if kept for row in kept.rows()]
  # What is always right is no news.
  failing = [one for one in questions.worst(rows) if one.right < one.asked][:_WORST]
  if not failing:
    return
  console.print(_heading('Worst questions now'))
  table = rich.table.Table(box=None, padding=(0, 1), header_style='dim')
  for name, how in (
    ('right', 'right'),
    ('question', 'left'),
    ('expected', 'left'),
    ('said', 'left'),
  ):
    table.add_column(name, justify=how, overflow='fold')
  for one in failing:
    said = '' if one.commonest is None else f'{one.commonest} ({one.times} x)'
    share = f'{one.right}/{one.asked}'
    cells = (_line(one.text, 120), one.expected or '', said)
    table.add_row(share, *map(_text, cells))
  console.print(table)


def _reply(row):
  """One reply: what was asked, what was said, and what that earned and why."""
  right = reading.accuracy(row)
  color = 'green' if right else 'dim' if right is None else 'red'
  facts = [reading.verdict(row)]
  facts += [f'reward {row["reward"]:.2f}'] if row['reward'] is not None else []
  facts += [f'advantage {row["advantage"]:+.2f}'] if row['advantage'] is not None else []
  facts += [f'{row["length"]} tokens'] if row['length'] else []
  facts += ['cut off'] if row['truncated'] else []
  answers = (('expected', row['expected']), ('read', row['extracted']))
  facts += [f'{name} {text}' for name, text in answers if text is not None]
  why = reading.why(row)
  parts = [_text(f'\n{_line(row["question"], 160)}\n', 'bold')]
  parts += [_text(row['completion'][:_CHARACTERS] or '(empty)'), _text('\n')]
  parts += [_text(', '.join(facts), color), _text(f'\n{why}', 'dim') if why else _text('')]
  text = rich.text.Text.assemble(*parts)
  return rich.padding.Padding(text, (0, 0, 0, 2))


def _title(kept):
  where = 'newest kept rollout' if kept.name == 'step' else 'newest examination'
  return f'{where}, after update {kept.step}'


def _line(text, most):
  """The end of a text in one line: what is asked stands behind a template."""
  flat = ' '.join(text.split())
  return flat if len(flat) <= most else f'…{flat[-most:]}'


def _heading(text):
  return rich.text.Text(f'\n{text}', 'bold')


def _text(text, style=''):
  # What a model or a file says is no markup, and holds nothing that a terminal obeys.
  return rich.text.Text(terminal.plain(str(text)), style)
