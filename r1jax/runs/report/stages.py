"""What each stage changed: `report.json` with every figure, `report.html` and `report.png`.

Nothing in the three files depends on time or place: the same pipeline gives the same bytes.
"""

import pathlib

import jax
import jinja2
import rich.box
import rich.console
import rich.table

from r1jax import files
from r1jax.evaluation import report_card
from r1jax.runs.report import picture, published, students
from r1jax.runs.show import reading

TITLES = {
  'base': 'Base',
  'r1_zero': 'R1-Zero',
  'dev1': 'Dev1',
  'dev2': 'Dev2',
  'dev3': 'Dev3',
  'r1': 'R1',
}
HOW = {
  'base': 'pre-trained',
  'r1_zero': 'RL from the base, rule rewards',
  'dev1': 'SFT of the base on cold-start data',
  'dev2': 'RL, rule + language rewards',
  'dev3': 'SFT of the base on Dev2’s samples + general data',
  'r1': 'RL for all scenarios',
}
_TEMPLATE = pathlib.Path(__file__).resolve().parents[2] / 'assets' / 'report.html.jinja'
# A claim of the paper: text, its benchmark there, the two stages.
_CLAIMS = (
  ('RL alone lifts accuracy from the base', None, 'base', 'r1_zero'),
  ('cold-start SFT is below R1-Zero', 'AIME 2024', 'r1_zero', 'dev1'),
  ('reasoning RL makes up for it', 'AIME 2024', 'dev1', 'dev2'),
  ('SFT from the base on Dev2’s samples keeps it', 'AIME 2024', 'dev2', 'dev3'),
  ('RL for all scenarios keeps reasoning', 'AIME 2024', 'dev3', 'r1'),
  ('R1 reasons as well as R1-Zero', 'AIME 2024', 'r1_zero', 'r1'),
)


def write(folder, inputs):
  """Writes the three files into `folder`.

  Args:
    folder: path.
    inputs: stage -> its folder: all of the pipeline, for each model `report_card_NAME` and, where
      there are reward models, `scenarios_NAME`.

  Returns:
    what -> file name, for the manifest.
  """
  names = {'report': 'report.json', 'page': 'report.html', 'picture': 'report.png'}
  # Every process needs the names for its manifest; the first one writes.
  if jax.process_index():
    return names
  folder.mkdir(parents=True, exist_ok=True)
  content = gather(inputs)
  picture.draw(content, folder / names['picture'])
  files.write_json(folder / names['report'], content)
  files.write_atomically(folder / names['page'], page(content))
  return names


def gather(inputs):
  """Every figure of the report, from the stages' folders."""
  cards, data = {}, {}
  # 1. Report cards of the models, and what is counted of each data set.
  for name, folder in inputs.items():
    if name.startswith('report_card_'):
      cards[name.removeprefix('report_card_')] = files.read_json(folder / 'report_card.json')
    elif (folder / 'data.array_record').exists():
      data[name] = _summary(folder)
  # 2. Scores of general requests, for the models that were asked.
  for name in cards:
    if f'scenarios_{name}' in inputs:
      cards[name]['scenarios'] = _summary(inputs[f'scenarios_{name}'])
  # 3. The course of R1-Zero, update by update.
  rows = files.read_metrics(inputs['r1_zero'] / 'metrics.jsonl') if 'r1_zero' in inputs else []
  curves = {}
  for name in picture.CURVES:
    steps, values = reading.series(rows, name)
    curves[name] = {'steps': steps, 'values': values}
  # In the paper's order, whatever order the folders have.
  examined = [name for name in TITLES if name in cards]
  headed = lambda name: {'title': TITLES[name], 'how': HOW[name], **cards[name]}
  return {
    'models': {name: headed(name) for name in examined},
    'hacking': _hacking(inputs['r1']) if 'r1' in inputs else {},
    'reward_models': _reward_models(inputs),
    'claims': claims(cards),
    'r1_zero': curves,
    'distillation': students.distilled(inputs, cards),
    'rl_vs_distill': students.compared(inputs, cards),
    'students': {n: cards[n] for n in students.TITLES if n in cards},
    'data': data,
    'paper': {
      'models': list(published.MODELS),
      'stages': published.STAGES,
      'students': published.STUDENTS,
    },
  }


def _hacking(folder):
  """What the last stage's watch for reward hacking saw."""
  watched = [
    row for row in files.read_metrics(folder / 'metrics.jsonl') if 'hacking/suspected' in row
  ]
  summary = {
    'rollouts': len(watched),
    'suspected': sum(row['hacking/suspected'] > 0 for row in watched),
  }
  # Of the last rollout, when there is most to compare.
  if watched:
    names = ('hacking/accuracy_drop', 'hacking/accuracy_error', 'hacking/preference_gain')
    summary |= {name.removeprefix('hacking/'): watched[-1][name] for name in names}
  return summary


def _reward_models(inputs):
  """Kind -> accuracy on held-out pairs."""
  summaries = {name: _summary(inputs[name]) for name in ('helpful', 'harmless') if name in inputs}
  keys = ('accuracy', 'ci95', 'pairs')
  return {name: {key: summary[key] for key in keys} for name, summary in summaries.items()}


def _summary(folder):
  return files.read_json(folder / 'summary.json')


def claims(cards):
  """The paper's claims whose two models are there, its scores and ours, and what ours say."""
  claims = []
  for text, benchmark, before, after in _CLAIMS:
    # A run may have been asked for some of the stages only.
    if before not in cards or after not in cards:
      continue
    # The base is in no column of Table 3.
    scores = (published.BEFORE_RL, published.AFTER_RL)
    if benchmark:
      scores = published.change(benchmark, before, after)
    # Paired, as all stages answer the same held-out questions.
    change = report_card.difference(cards[before]['rates'], cards[after]['rates']).as_json()
    claims.append(
      {
        'claim': text,
        'before': before,
        'after': after,
        'paper': {'benchmark': benchmark or 'AIME 2024', 'before': scores[0], 'after': scores[1]},
        'ours': {
          'before': cards[before]['accuracy']['mean'],
          'after': cards[after]['accuracy']['mean'],
          'change': change['mean'],
          'ci95': change['ci95'],
        },
        'verdict': change['verdict'],
      }
    )
  return claims


def page(content):
  """The HTML page; it needs no other file than `report.png` beside it."""
  # Escaped, as texts of a model may be among them.
  environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
  environment.filters['percent'] = lambda share: f'{100 * share:.1f} %'
  environment.filters['points'] = lambda share: f'{100 * share:+.1f}'
  environment.filters['operations'] = operations
  domains = sorted({name for card in content['models'].values() for name in card['domains']})
  languages = sorted({name for card in content['models'].values() for name in card['languages']})
  last = students.last(content['models'])
  return environment.from_string(_TEMPLATE.read_text()).render(
    **content,
    domain_names=domains,
    language_names=languages,
    titles=TITLES | students.TITLES,
    how_of_students=students.HOW,
    compared_titles=students.ROLES,
    last=last,
    asked=any('scenarios' in card for card in content['models'].values()),
    scenario_names=picture.SCENARIOS,
  )


def operations(count):
  """A number of floating-point operations for reading: 1.53 x 10^12 as '1.53 TFLOP'."""
  for size, unit in ((1e21, 'ZFLOP'), (1e18, 'EFLOP'), (1e15, 'PFLOP'), (1e12, 'TFLOP')):
    if count >= size:
      return f'{count / size:.3g} {unit}'
  return f'{count / 1e9:.3g} GFLOP'


def show(folder):
  """Prints the tables of stages and students and where the report is."""
  if jax.process_index():
    return
  content = files.read_json(folder / 'report.json')
  console = rich.console.Console()
  console.print(_stages(content['models']))
  if content['distillation']:
    console.print(_students(content['distillation']))
  if content['rl_vs_distill']:
    console.print(_comparison(content['rl_vs_distill']))
  console.print(f'Report: {folder}/report.html (and report.png, report.json)')


def _stages(models):
  rows = [
    (
      card['title'],
      _interval(card['accuracy']),
      f'{card["language"]:.1%}' if 'language' in card else '–',
      f'{card["readability"]["mean"]:.1%}',
      f'{card["length"]:.1f}',
      f'{card["wait"]:.2f}',
    )
    for card in models.values()
  ]
  columns = ('', 'accuracy [95 %]', 'language', 'readable', 'tokens', '"wait"')
  return _table('What each stage changed', columns, rows)


def _students(distillation):
  rows = [
    (
      students.TITLES[name],
      _interval(one['accuracy']),
      *(_share(TITLES[other], share) for other, share in one['shares'].items()),
    )
    for name, one in distillation['students'].items()
  ]
  # One column for each model that is compared with, whose name stands in the cells.
  columns = ('', 'pass@1 [95 %]', *[''] * (max(map(len, rows)) - 2))
  return _table('Students', columns, rows)


def _share(title, share):
  return f'{share["mean"]:.0%} of {title}' if share else f'{title} answers nothing'


def _comparison(comparison):
  rows = [
    (
      students.ROLES[role],
      _interval(row['accuracy']),
      operations(row['flops']) if 'flops' in row else '',
      operations(row['with_teacher']) if 'flops' in row else '',
    )
    for role, row in comparison['rows'].items()
  ]
  columns = ('', 'pass@1 [95 %]', 'student', 'with the teacher')
  return _table('RL against distillation at equal operations', columns, rows)


def _interval(estimate):
  low, high = estimate['ci95']
  return f'{estimate["mean"]:.1%} [{low:.1%}, {high:.1%}]'


def _table(title, columns, rows):
  table = rich.table.Table(title=title, box=rich.box.SIMPLE, title_justify='left')
  for number, name in enumerate(columns):
    table.add_column(name, justify='right' if number else 'left')
  for row in rows:
    table.add_row(*row)
  return table
