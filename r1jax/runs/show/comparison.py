"""Two runs beside each other: what differs in their configs, figures and held-out answers."""

import collections

import rich.padding
import rich.table
import rich.text

from r1jax import terminal
from r1jax.evaluation import intervals
from r1jax.runs.show import reading
from r1jax.runs.show import terminal as shown


def keys(first, second):
  """(key, value of A, value of B) of the keys in which two configs differ, without `workdir`."""
  # Each run has a folder of its own, which says nothing of how it learns.
  one, other = _flat(first.config), _flat(second.config)
  return [
    (key, one.get(key), other.get(key))
    for key in sorted(one.keys() | other.keys())
    if one.get(key) != other.get(key) and key != 'workdir'
  ]


def paired(first, second):
  """B against A on the held-out questions of their newest examinations.

  Returns:
    (`intervals.Difference` of B minus A, update of A, update of B), or None where one of them kept
    no examination, or they asked different questions.
  """
  kept = [run.latest('heldout') for run in (first, second)]
  if None in kept:
    return None
  one, other = (_rates(part.rows()) for part in kept)
  # Pairs of answers to the same question, whichever of the two asked more.
  both = sorted(one.keys() & other.keys())
  if not both:
    return None
  gap = intervals.paired([other[text] for text in both], [one[text] for text in both])
  return gap, kept[0].step, kept[1].step


def told(compared):
  """The comparison in a sentence; it says "better" only where that is shown."""
  gap, first, second = compared
  ends = f'{100 * gap.mean:+.1f} points [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]'
  where = f'B after update {second} minus A after update {first}: {ends} of pass@1'
  test = f'paired permutation test on {gap.questions} questions, p = {gap.p:.2g}'
  if not gap.significant:
    return f'{where}; neither is shown to be better ({test})'
  return f'{where}; {"B" if gap.mean > 0 else "A"} is better ({test})'


def show(first, second, console):
  """Prints it."""
  for mark, run in zip('AB', (first, second)):
    of = f' of {run.total}' if run.total else ''
    name = terminal.plain(str(run.folder))
    console.print(rich.text.Text.assemble((mark, 'bold'), f'  {name}: {run.state}, {run.step}{of}'))
  console.print(rich.text.Text('\nConfig', 'bold'))
  # First what was asked differently, then what came of it.
  differing = keys(first, second)
  if not differing:
    console.print('  the same')
  table = rich.table.Table(box=None, padding=(0, 1), header_style='dim')
  for name in ('key', 'A', 'B'):
    table.add_column(name, overflow='fold')
  for row in differing:
    table.add_row(*(rich.text.Text(terminal.plain(str(cell))) for cell in row))
  if differing:
    console.print(table)
  console.print(rich.text.Text('\nFigures', 'bold'))
  console.print(shown.curves([first, second], console.width))
  console.print(rich.text.Text('\nHeld-out questions, pass@1 [95 %]', 'bold'))
  for mark, run in zip('AB', (first, second)):
    points = shown.heldout(reading.heldout(run))
    line = rich.text.Text.assemble(f'{mark}\n', points)
    console.print(rich.padding.Padding(line, (0, 0, 0, 2)))
  # An interval for each says little of their difference on the same questions: that is tested.
  compared = paired(first, second)
  reason = 'no common held-out questions were kept, so no paired test can be made'
  sentence = told(compared) if compared else reason
  console.print(rich.padding.Padding(sentence, (1, 0, 0, 2)))


def _rates(rows):
  """Question -> share of right replies, where a rule judged any."""
  judged = collections.defaultdict(list)
  for row in rows:
    if reading.accuracy(row) is not None:
      judged[row['question']].append(reading.accuracy(row))
  return {text: sum(right) / len(right) for text, right in judged.items()}


def _flat(config, before=''):
  """A nested dict with dotted keys."""
  flat = {}
  for key, value in config.items():
    inner = (
      _flat(value, f'{before}{key}.') if isinstance(value, dict) else {f'{before}{key}': value}
    )
    flat |= inner
  return flat
