"""What each stage changed: `report.json` with every figure, `report.html` and `report.png`.

Nothing in the three files depends on time or place: the same pipeline gives the same bytes.
"""

import json
import pathlib

import jax
import jinja2
import rich.console
import rich.table

from r1jax.evaluation import paper, report, report_card
from r1jax.train import metrics

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
# R1-Zero's curves: metric, title, whether it is a share.
CURVES = (
  ('reward/accuracy', 'Accuracy of rollouts', True),
  ('rollout/length', 'Tokens a reply', False),
  ('rollout/language', 'Language consistency', True),
  ('rollout/wait', '“wait” a reply', False),
  ('rollout/reflection', 'Words of reflection a reply', False),
  ('grpo/entropy', 'Entropy, nats a token', False),
)
_TEMPLATE = pathlib.Path(__file__).resolve().parent.parent / 'assets' / 'report.html.jinja'
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
    inputs: stage -> its folder: `r1_zero`, `r1` where there is one, the data sets, and for each
      model `exam_NAME` and, where there are reward models, `scenarios_NAME`.

  Returns:
    what -> file name, for the manifest.
  """
  names = {'report': 'report.json', 'page': 'report.html', 'picture': 'report.png'}
  if jax.process_index():
    return names
  folder.mkdir(parents=True, exist_ok=True)
  content = gather(inputs)
  _plot(content, folder / names['picture'])
  text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + '\n'
  metrics.write_atomically(folder / names['report'], text)
  metrics.write_atomically(folder / names['page'], page(content))
  return names


def gather(inputs):
  """Every figure of the report, from the stages' folders."""
  cards, data = {}, {}
  for name, folder in inputs.items():
    if name.startswith('exam_'):
      cards[name.removeprefix('exam_')] = json.loads((folder / 'exam.json').read_text())
    elif (folder / 'data.array_record').exists():
      data[name] = json.loads((folder / 'summary.json').read_text())
  for name in cards:
    if f'scenarios_{name}' in inputs:
      path = inputs[f'scenarios_{name}'] / 'summary.json'
      cards[name]['scenarios'] = json.loads(path.read_text())
  rows = metrics.read(inputs['r1_zero'] / 'metrics.jsonl')
  general = _general(inputs['r1']) if 'r1' in inputs else {}
  curves = {}
  for name, _, _ in CURVES:
    steps, values = report.series(rows, name)
    curves[name] = {'steps': steps, 'values': values}
  return {
    'models': {name: {'title': TITLES[name], 'how': HOW[name], **cards[name]} for name in cards},
    'general': general,
    'claims': claims(cards),
    'r1_zero': curves,
    'data': data,
    'paper': {'models': list(paper.MODELS), 'stages': paper.STAGES},
  }


def _general(folder):
  """Scores of the reward models on held-out general requests before and after the last stage."""
  found = json.loads((folder / 'summary.json').read_text())['general']
  return {'dev3': found['before'], 'r1': found['after']}


def claims(cards):
  """The paper's claims whose two models are there, its scores and ours, and what ours say."""
  found = []
  for text, benchmark, before, after in _CLAIMS:
    if before not in cards or after not in cards:
      continue
    scores = (
      paper.change(benchmark, before, after) if benchmark else (paper.BEFORE_RL, paper.AFTER_RL)
    )
    mean, low, high = report_card.difference(cards[before]['rates'], cards[after]['rates'])
    found.append(
      {
        'claim': text,
        'before': before,
        'after': after,
        'paper': {'benchmark': benchmark or 'AIME 2024', 'before': scores[0], 'after': scores[1]},
        'ours': {
          'before': cards[before]['accuracy']['mean'],
          'after': cards[after]['accuracy']['mean'],
          'change': mean,
          'low': low,
          'high': high,
        },
        'verdict': 'higher' if low > 0 else 'lower' if high < 0 else 'no difference shown',
      }
    )
  return found


def page(content):
  """The HTML page; it needs no other file than `report.png` beside it."""
  environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
  environment.filters['percent'] = lambda share: f'{100 * share:.1f} %'
  environment.filters['points'] = lambda share: f'{100 * share:+.1f}'
  domains = sorted({name for card in content['models'].values() for name in card['domains']})
  languages = sorted({name for card in content['models'].values() for name in card['languages']})
  return environment.from_string(_TEMPLATE.read_text()).render(
    **content, domain_names=domains, language_names=languages, titles=TITLES
  )


def show(folder):
  """Prints the table of stages and where the report is."""
  if jax.process_index():
    return
  content = json.loads((folder / 'report.json').read_text())
  table = rich.table.Table(title='What each stage changed', title_justify='left')
  columns = ('', 'accuracy [95 %]', 'language', 'readable', 'tokens', '"wait"')
  for number, name in enumerate(columns):
    table.add_column(name, justify='right' if number else 'left')
  for card in content['models'].values():
    accuracy = card['accuracy']
    table.add_row(
      card['title'],
      f'{accuracy["mean"]:.1%} [{accuracy["low"]:.1%}, {accuracy["high"]:.1%}]',
      f'{card["language"]:.1%}' if 'language' in card else '–',
      f'{card["readability"]["mean"]:.1%}',
      f'{card["length"]:.1f}',
      f'{card["wait"]:.2f}',
    )
  console = rich.console.Console()
  console.print(table)
  console.print(f'Report: {folder}/report.html (and report.png, report.json)')


def _plot(content, path):
  from matplotlib import figure  # a quarter of a second, which only the end of a run pays

  drawing = figure.Figure(figsize=(11, 9.6))
  axes = drawing.subplots(3, 3).ravel()
  _bars(axes[:3], content['models'])
  for axis, (name, title, share) in zip(axes[3:], CURVES):
    curve = content['r1_zero'][name]
    report.draw(axis, curve['steps'], curve['values'], share)
    axis.set_title(f'R1-Zero: {title}', loc='left', fontsize=10, fontweight='bold')
    axis.set_xlabel('update')
  drawing.tight_layout()
  tmp = path.with_suffix('.tmp.png')
  drawing.savefig(tmp, dpi=110, metadata={'Software': None})
  tmp.replace(path)


def _bars(axes, cards):
  """Accuracy with its interval, language and readability, and length, stage by stage."""
  titles = [card['title'] for card in cards.values()]
  places = range(len(titles))
  means = [card['accuracy']['mean'] for card in cards.values()]
  ends = [
    [mean - card['accuracy']['low'] for mean, card in zip(means, cards.values())],
    [card['accuracy']['high'] - mean for mean, card in zip(means, cards.values())],
  ]
  axes[0].bar(places, means, yerr=ends, color='#1f5fa8', capsize=3)
  axes[0].set_title('Accuracy, held out', loc='left', fontsize=10, fontweight='bold')
  shares = (
    ('language', [card.get('language', 0.0) for card in cards.values()], '#2a9d8f'),
    ('readable', [card['readability']['mean'] for card in cards.values()], '#e9a23b'),
  )
  for number, (label, values, color) in enumerate(shares):
    axes[1].bar([p + 0.4 * number - 0.2 for p in places], values, 0.4, label=label, color=color)
  axes[1].set_title('Language and readability', loc='left', fontsize=10, fontweight='bold')
  axes[1].legend(fontsize=8, loc='upper center', bbox_to_anchor=(0.5, -0.1), ncols=2)
  axes[2].bar(places, [card['length'] for card in cards.values()], color='#8d99ae')
  axes[2].set_title('Tokens a reply', loc='left', fontsize=10, fontweight='bold')
  for axis in axes:
    axis.set_xticks(list(places), titles, fontsize=8)
    axis.spines[['top', 'right']].set_visible(False)
  for axis in axes[:2]:
    axis.set_ylim(0, 1.02)
