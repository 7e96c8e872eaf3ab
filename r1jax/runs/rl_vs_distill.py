"""RL against distillation on the same small model at equal compute (reference §1.10, Table 6).

  teacher ─────────────── curated_S ─┐
  student (pre-trained) ─┬─ rl_S ────┼─ (its operations) ─┐
                         └───────────┴─ distill_S ────────┴─ report

One base, a branch for each seed S. Distillation trains for as many epochs as take the operations
that RL took: sampling, scoring and updates. What the teacher's sampling took stands beside it.
"""

import dataclasses

import ml_collections
import numpy as np
import rich.box
import rich.console
import rich.table

from r1jax import config as config_lib
from r1jax import files
from r1jax.evaluation import intervals
from r1jax.interchange import checkpoints
from r1jax.runs import curation, report_cards, workdir
from r1jax.runs.graph import graph, nodes, workers
from r1jax.runs.report import published
from r1jax.stages import distill

TABLE = 'rl_vs_distill.json'
RECIPES = {
  'student': nodes.Recipe('pretrain', {'pretrain.tokenizer': 'teacher'}, nodes.MODEL),
  'rl': nodes.Recipe('reasoning_rl', {'checkpoint': 'student'}, nodes.MODEL),
  'curated': nodes.Recipe('rejection', {'checkpoint': 'teacher'}, nodes.DATA),
  'distill': nodes.Recipe(
    'distill',
    {
      'checkpoint': 'student',
      'distill.teacher': 'teacher',
      'sft.path': f'curated/{curation.DATA}',
      'distill.equal_to': 'rl',
    },
    nodes.MODEL,
  ),
}
ROWS = {
  'student': 'base',
  'rl': 'RL',
  'distill': 'distilled',
  'teacher': 'teacher',
}
_SHARED = ('teacher', 'student')  # by all seeds


def default():
  """The config of the comparison with the paper's values, unlocked: a section for every stage."""
  config = ml_collections.ConfigDict()
  config.stage = 'rl_vs_distill'
  config.seed = 0
  config.seeds = (0, 1, 2)
  config.workdir = 'runs/rl_vs_distill'
  config.mesh = (1, -1, 1, 1)
  config.checkpoint = ''  # the teacher
  config.workers = 1  # processes that make stages side by side; an accelerator belongs to one
  whole = config_lib.default('reasoning_rl')
  config.runtime, config.data, config.loop = whole.runtime, whole.data, whole.loop
  for name, recipe in RECIPES.items():
    config[name] = nodes.own(recipe.stage)
  config.student.model = config_lib.default('pretrain').model
  config.curated.rejection.general = 0.0
  config.report_card = nodes.own('report_card')
  return config


def run(config):
  """Makes what is not made yet, writes `rl_vs_distill.json` and prints the table.

  Raises:
    ValueError: the config does not work out.
    Interrupted and others: as `kinds.run`; what is finished stays.
  """
  config_lib.check_graph(config)
  if not config.checkpoint:
    raise ValueError('config.checkpoint is empty: it is the teacher')
  made = workers.run(build, config)
  rich.console.Console().print(show(files.read_json(made.place('report') / TABLE)))


def build(config):
  """The comparison as a `graph.Graph` in its work directory."""
  given = {'teacher': checkpoints.open(config.checkpoint)}
  return graph.Graph(config.workdir, graph_nodes(config), given)


def graph_nodes(config):
  """The graph's nodes in order."""
  all_nodes = [nodes.node(config, 'student', config.student, RECIPES['student'])]
  all_nodes += [nodes.report_card(config, name) for name in _SHARED]
  for seed in config.seeds:
    all_nodes += [_branch(config, name, seed) for name in ('rl', 'curated', 'distill')]
    all_nodes += [nodes.report_card(config, f'{name}_{seed}') for name in ('rl', 'distill')]
  return [*all_nodes, _report(config)]


def _branch(config, name, seed):
  """A stage with its own seed, which reads its own seed's stages."""
  section = ml_collections.ConfigDict(config[name].to_dict() | {'seed': seed})
  reads = {}
  for key, place in RECIPES[name].reads.items():
    stage, *inside = place.split('/')
    reads[key] = '/'.join([stage if stage in _SHARED else f'{stage}_{seed}', *inside])
  recipe = dataclasses.replace(RECIPES[name], reads=reads)
  return nodes.node(config, f'{name}_{seed}', section, recipe, name)


def _report(config):
  names = [f'{name}_{seed}' for seed in config.seeds for name in ('rl', 'distill')]
  runs = [*names, *(f'curated_{seed}' for seed in config.seeds)]
  cards = [f'report_card_{name}' for name in (*_SHARED, *names)]

  def make(folder, inputs):
    table = {'seeds': list(config.seeds), 'paper': published.RL_VS_DISTILL, 'rows': {}}
    for name, label in ROWS.items():
      each = [name] if name in _SHARED else [f'{name}_{seed}' for seed in config.seeds]
      cards = [files.read_json(inputs[f'report_card_{one}'] / report_cards.CARD) for one in each]
      row = {'label': label, 'pass@1': over_seeds([card['accuracy']['mean'] for card in cards])}
      row['intervals'] = [card['accuracy']['ci95'] for card in cards]
      if name not in _SHARED:
        row['flops'] = [distill.spent(inputs[one] / 'metrics.jsonl') for one in each]
      if name == 'distill':
        row['teacher_flops'] = [
          files.read_json(inputs[f'curated_{seed}'] / workdir.SUMMARY)['flops']
          for seed in config.seeds
        ]
      table['rows'][name] = row
    files.write_json(folder / TABLE, table)
    return graph.Made({'table': TABLE}, {})

  needs = (*runs, *cards)
  return graph.Node('report', needs, {}, 'r1jax.runs.rl_vs_distill', make)


def over_seeds(values):
  """{mean, ci95, values}: Student's 95 % interval over seeds; no interval of one value."""
  values = np.asarray(values, float)
  mean = float(values.mean())
  half = intervals.half_width(values) if values.size > 1 else 0.0
  return {'mean': mean, 'ci95': [mean - half, mean + half], 'values': values.tolist()}


def show(table):
  """The comparison as a table for the terminal, the paper's numbers beside ours."""
  out = rich.table.Table(
    title=f'RL against distillation at equal compute, {len(table["seeds"])} seeds',
    box=rich.box.SIMPLE,
    title_justify='left',
  )
  for name in ('', 'pass@1 [95 %]', 'student', 'with the teacher', 'paper: AIME, MATH'):
    out.add_column(name)
  for name, row in table['rows'].items():
    estimate = row['pass@1']
    low, high = estimate['ci95']
    interval = f' [{low:.1%}, {high:.1%}]' if len(estimate['values']) > 1 else ''
    own = np.mean(row.get('flops', [0]))
    whole = own + np.mean(row.get('teacher_flops', [0]))
    cost = (f'{own:.3g} FLOPs', f'{whole:.3g} FLOPs') if own else ('', '')
    paper = ', '.join(f'{value:.1f}' for value in table['paper'].get(name, ()))
    out.add_row(row['label'], f'{estimate["mean"]:.1%}{interval}', *cost, paper)
  return out
