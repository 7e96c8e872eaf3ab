"""`report.png` of the stages: bars stage by stage, students beside them, R1-Zero's curves."""

from r1jax.runs.report import curve as curve_lib
from r1jax.runs.report import students
from r1jax.train import glossary

# Metrics of R1-Zero's curves.
CURVES = (
  'reward/accuracy', 'rollout/length', 'rollout/language', 'rollout/wait', 'rollout/reflection',
  'grpo/entropy',
)  # fmt: skip
# Scores of general requests, see `scenarios.ask`.
SCENARIOS = ('helpful', 'harmless', 'wanted')
_BLUE, _GREEN, _ORANGE, _GREY = '#1f5fa8', '#2a9d8f', '#e9a23b', '#8d99ae'


def draw(content, path):
  """Draws the figures of `stage_report.gather` into a PNG, replaced whole."""
  from matplotlib import figure  # a quarter of a second, which only the end of a run pays

  # The last row holds what this pipeline has: students, a comparison, general requests.
  asked = [card for card in content['models'].values() if 'scenarios' in card]
  last = (
    (_students, content['distillation']),
    (_compared, content['rl_vs_distill']),
    (_preferences, asked),
  )
  last = [(panel, part) for panel, part in last if part]
  rows = 4 if last else 3
  drawing = figure.Figure(figsize=(11, 3.2 * rows))
  axes = drawing.subplots(rows, 3).ravel()
  _bars(axes[:3], content['models'])
  for axis, metric in zip(axes[3:9], map(glossary.of, CURVES)):
    curve = content['r1_zero'][metric.name]
    share = metric.unit == 'share'
    curve_lib.draw(axis, curve['steps'], curve['values'], share)
    title = metric.label if share else f'{metric.label}, {metric.unit}'
    axis.set_title(f'R1-Zero: {title}', loc='left', fontsize=10, fontweight='bold')
    axis.set_xlabel('update')
  for axis, (panel, part) in zip(axes[9:], last):
    panel(axis, part)
  for axis in axes[9 + len(last) :]:
    axis.set_axis_off()
  drawing.tight_layout()
  tmp = path.with_suffix('.tmp.png')
  # matplotlib's version is left out, so that the same figures give the same bytes.
  drawing.savefig(tmp, dpi=110, metadata={'Software': None})
  tmp.replace(path)


def _bars(axes, cards):
  """Accuracy with its interval, language and readability, and length, stage by stage."""
  titles = [card['title'] for card in cards.values()]
  places = range(len(titles))
  _accuracies(axes[0], titles, [card['accuracy'] for card in cards.values()])
  _title(axes[0], 'Accuracy, held out')
  shares = (
    ('language', [card.get('language', 0.0) for card in cards.values()], _GREEN),
    ('readable', [card['readability']['mean'] for card in cards.values()], _ORANGE),
  )
  for number, (label, values, color) in enumerate(shares):
    # Two bars for each stage, on either side of its tick.
    beside = [place + 0.4 * number - 0.2 for place in places]
    axes[1].bar(beside, values, 0.4, label=label, color=color)
  _title(axes[1], 'Language and readability')
  axes[1].legend(fontsize=8, loc='upper center', bbox_to_anchor=(0.5, -0.1), ncols=2)
  axes[2].bar(places, [card['length'] for card in cards.values()], color=_GREY)
  _title(axes[2], 'Tokens a reply')
  for axis in axes[1:]:
    _ticks(axis, titles)
  axes[1].set_ylim(0, 1.02)


def _students(axis, distillation):
  """The teacher and its students."""
  _title(axis, 'Distillation')
  names = ['teacher\nDev2']
  names += [students.TITLES[name].replace('-', '\n') for name in distillation['students']]
  models = [distillation['teacher'], *distillation['students'].values()]
  _accuracies(axis, names, [one['accuracy'] for one in models])


def _compared(axis, comparison):
  """The base, after RL and after distillation of as many operations."""
  _title(axis, 'RL against distillation')
  names = ['base', 'RL', 'distilled', 'teacher\nDev2']
  _accuracies(axis, names, [row['accuracy'] for row in comparison['rows'].values()])


def _preferences(axis, asked):
  """What reward models and references say of replies to general requests, stage by stage."""
  _title(axis, 'General requests, held out')
  for number, (kind, color) in enumerate(zip(SCENARIOS, (_BLUE, _GREEN, _ORANGE))):
    scores = [card['scenarios'].get(kind) for card in asked]
    # A stage without this score leaves its place empty.
    places = [p + 0.27 * (number - 1) for p, score in enumerate(scores) if score]
    means = [score['mean'] for score in scores if score]
    axis.bar(places, means, 0.27, label=kind, color=color)
  axis.legend(fontsize=8, loc='upper center', bbox_to_anchor=(0.5, -0.1), ncols=3)
  axis.set_ylim(0, 1.02)
  _ticks(axis, [card['title'] for card in asked])


def _accuracies(axis, names, estimates):
  """Bars from 0 to 1 with their intervals."""
  means = [one['mean'] for one in estimates]
  # matplotlib wants distances from the mean, not the ends themselves.
  below = [one['mean'] - one['ci95'][0] for one in estimates]
  above = [one['ci95'][1] - one['mean'] for one in estimates]
  axis.bar(range(len(names)), means, yerr=[below, above], color=_BLUE, capsize=3)
  axis.set_ylim(0, 1.02)
  _ticks(axis, names)


def _title(axis, text):
  axis.set_title(text, loc='left', fontsize=10, fontweight='bold')


def _ticks(axis, names):
  axis.set_xticks(range(len(names)), names, fontsize=8)
  axis.spines[['top', 'right']].set_visible(False)
