"""The README's tables of whole pipelines, each cell over the runs (one a seed).

python -m benchmarks.results --pipeline runs/r1_0 runs/r1_1 runs/r1_2
"""

import dataclasses
import json

from r1jax.runs.report import picture, published, stages, students

EMPTY = '–'
_EXAMS = ('report_card_', 'scenarios_')  # names of the stages that only ask


@dataclasses.dataclass(frozen=True)
class Run:
  """A finished pipeline: `report.json` and the stages of `manifest.json`."""

  report: dict
  stages: dict


def read(folder):
  """The `Run` in a work directory.

  Raises:
    OSError: it has no report or no manifest.
    ValueError: its report belongs to stages that have changed since.
  """
  manifest = json.loads((folder / 'manifest.json').read_text())['stages']
  report = json.loads((folder / 'report' / 'report.json').read_text())
  # A report outlives its stages where somebody starts one of them again.
  if manifest['report']['status'] != 'done':
    raise ValueError(f'{folder}: a stage has changed since the report; run the pipeline again')
  return Run(report, manifest)


def tables(folders):
  """Markdown of the pipelines in `folders`.

  Raises:
    OSError, ValueError: a folder has no finished pipeline, or another's stages.
  """
  runs = [read(folder) for folder in folders]
  for folder, run in zip(folders, runs):
    # A mean over different pipelines would say nothing.
    if set(run.stages) != set(runs[0].stages):
      raise ValueError(f'{folder} has other stages than {folders[0]}')
  count = f'{len(runs)} runs' if len(runs) > 1 else 'one run'
  told = 'mean over the runs, brackets: lowest and highest' if len(runs) > 1 else count
  parts = [f'Over {count}; cells: {told}.', _stages(runs)]
  for part in (_preferences, _distillation, _comparison):
    found = part(runs)
    parts += [found] if found else []
  return '\n\n'.join([*parts, _seconds(runs)])


def spread(values, form):
  """'mean [lowest, highest]' of what the runs have, each written by `form`."""
  values = [value for value in values if value is not None]
  if not values:
    return EMPTY
  mean = form(sum(values) / len(values))
  # Percent signs once, behind the mean.
  low, high = (form(end(values)).removesuffix('%') for end in (min, max))
  return mean if len(values) == 1 else f'{mean} [{low}, {high}]'


def _percent(share):
  return f'{share:.1%}'


def _tokens(length):
  return f'{length:.1f}'


def _number(count):
  return f'{count:,.0f}'


def _points(share):
  return f'{100 * share:+.1f}'


def _stages(runs):
  columns = {
    'accuracy': lambda card: (card['accuracy']['mean'], _percent),
    'language consistency': lambda card: (card.get('language'), _percent),
    'readable': lambda card: (card['readability']['mean'], _percent),
    'tokens': lambda card: (card['length'], _tokens),
    '"wait" per reply': lambda card: (card['wait'], '{:.2f}'.format),
  }
  # Pipelines without the last stage were asked no general requests.
  asked = any('scenarios' in card for card in runs[0].report['models'].values())
  kinds = picture.SCENARIOS if asked else ()
  lines = []
  for name in runs[0].report['models']:
    # One line a model, each cell over the runs.
    cards = [run.report['models'][name] for run in runs]
    cells = [spread([get(c)[0] for c in cards], get(cards[0])[1]) for get in columns.values()]
    scores = [card.get('scenarios', {}) for card in cards]
    cells += [spread([s[kind]['mean'] for s in scores if kind in s], _percent) for kind in kinds]
    lines.append([cards[0]['title'], *cells])
  return _table(['', *columns, *kinds], lines)


def _preferences(runs):
  """Reward models on held-out pairs, and how often hacking was suspected."""
  lines = []
  for kind in runs[0].report['reward_models']:
    found = [run.report['reward_models'][kind] for run in runs]
    cell = spread([one['accuracy'] for one in found], _percent)
    lines.append([kind, cell, _number(found[0]['pairs'])])
  return _table(['reward model', 'held-out pairs in order', 'pairs'], lines) if lines else ''


def _distillation(runs):
  first = runs[0].report['distillation']
  if not first:
    return ''
  lines = []
  for name, one in first['students'].items():
    found = [run.report['distillation']['students'][name] for run in runs]
    shares = [
      spread([s['shares'][other] and s['shares'][other]['mean'] for s in found], _percent)
      for other in one['shares']
    ]
    lines.append(
      [
        f'{students.TITLES[name]} ({one["family"]})',
        _number(one['parameters']),
        spread([s['base'] and s['base']['mean'] for s in found], _percent),
        spread([s['accuracy']['mean'] for s in found], _percent),
        *shares,
        f'{_scores(one["paper"]["scores"])} ({one["paper"]["student"]})',
      ]
    )
  others = [f'share of {stages.TITLES[other]}’s' for other in one['shares']]
  columns = ['student', 'parameters', 'pass@1 before', 'pass@1', *others, 'paper: AIME, MATH-500']
  return _table(columns, lines)


def _comparison(runs):
  first = runs[0].report['rl_vs_distill']
  if not first:
    return ''
  lines = []
  for role in first['rows']:
    found = [run.report['rl_vs_distill']['rows'][role] for run in runs]
    # The student's own operations, and those with the sampling of its teacher.
    costs = [
      spread([row.get(key) for row in found], stages.operations)
      for key in ('flops', 'with_teacher')
    ]
    shown = _scores(published.RL_VS_DISTILL[role]) if role in published.RL_VS_DISTILL else EMPTY
    accuracy = spread([row['accuracy']['mean'] for row in found], _percent)
    lines.append([students.ROLES[role], accuracy, *costs, shown])
  changes = [run.report['rl_vs_distill']['change'] for run in runs]
  verdicts = ', '.join(change['verdict'] for change in changes)
  told = spread([change['mean'] for change in changes], _points)
  columns = ['student', 'pass@1', 'operations of the student', 'with the teacher’s sampling']
  table = _table([*columns, 'paper, 32B: AIME, MATH-500'], lines)
  return f'{table}\n\nDistilled instead of RL: {told} points (paired test of each run: {verdicts}).'


def _seconds(runs):
  """Seconds of each stage; the exams together."""
  each = [
    {name: row['seconds'] for name, row in run.stages.items() if 'seconds' in row} for run in runs
  ]
  whole = [sum(seconds.values()) for seconds in each]
  # The exams of all models make one line.
  exams = [sum(s for name, s in one.items() if name.startswith(_EXAMS)) for one in each]
  lines = [
    [name, spread([one[name] for one in each], _number)]
    for name in each[0]
    if not name.startswith(_EXAMS)
  ]
  lines += [['exams', spread(exams, _number)], ['**all**', spread(whole, _number)]]
  return _table(['stage', 'seconds'], lines)


def _scores(scores):
  return ', '.join(f'{score:.1f}' for score in scores)


def _table(columns, lines):
  rows = [columns, ['---'] * len(columns), *lines]
  return '\n'.join(f'| {" | ".join(row)} |' for row in rows)
