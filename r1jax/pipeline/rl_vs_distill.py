"""RL against distillation on the same small model at equal compute (reference §1.10, Table 6).

  teacher ─────────────── samples_S ─┐
  student (pre-trained) ─┬─ rl_S ────┼─ (its operations) ─┐
                         └───────────┴─ distill_S ────────┴─ report

One base, a branch for each seed S. Distillation trains for as many epochs as take the operations
that RL took: sampling, scoring and updates. What the teacher's sampling took stands beside it.
"""

import dataclasses
import json
import math

import ml_collections
import numpy as np
import rich.box
import rich.console
import rich.table
import scipy.special

from r1jax import config as config_lib
from r1jax.evaluation import paper
from r1jax.interchange import checkpoints
from r1jax.pipeline import distill, single
from r1jax.pipeline.graph import nodes, stages, workers
from r1jax.train import metrics

TABLE = 'rl_vs_distill.json'
STEPS = {
  'student': nodes.Step('pretrain', {'pretrain.tokenizer': 'teacher'}, nodes.MODEL),
  'rl': nodes.Step('reasoning_rl', {'checkpoint': 'student'}, nodes.MODEL),
  'samples': nodes.Step('resample', {'checkpoint': 'teacher'}, nodes.DATA),
  'distill': nodes.Step(
    'distill',
    {
      'checkpoint': 'student',
      'distill.teacher': 'teacher',
      'finetune.path': f'samples/{single.DATA}',
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
  for name, step in STEPS.items():
    config[name] = nodes.own(step.kind)
  config.student.model = config_lib.default('pretrain').model
  config.samples.resample.general = 0.0
  config.exam = nodes.own('exam')
  return config


def run(config):
  """Makes what is not made yet, writes `rl_vs_distill.json` and prints the table.

  Raises:
    ValueError: the config does not work out.
    Interrupted and others: as `single.run`; what is finished stays.
  """
  if not config.checkpoint or not config.seeds:
    raise ValueError(f'give a teacher and seeds: {config.checkpoint=}, {config.seeds=}')
  made = workers.run(graph, config)
  rich.console.Console().print(show(json.loads((made.place('report') / TABLE).read_text())))


def graph(config):
  """The comparison as a `stages.Graph` in its work directory."""
  given = {'teacher': checkpoints.open(config.checkpoint)}
  return stages.Graph(config.workdir, graph_nodes(config), given)


def graph_nodes(config):
  """The graph's nodes in order."""
  found = [nodes.node(config, 'student', config.student, STEPS['student'])]
  found += [nodes.exam(config, name) for name in _SHARED]
  for seed in config.seeds:
    found += [_branch(config, name, seed) for name in ('rl', 'samples', 'distill')]
    found += [nodes.exam(config, f'{name}_{seed}') for name in ('rl', 'distill')]
  return [*found, _report(config)]


def _branch(config, name, seed):
  """A stage with its own seed, which reads its own seed's stages."""
  section = ml_collections.ConfigDict(config[name].to_dict() | {'seed': seed})
  reads = {}
  for key, place in STEPS[name].reads.items():
    stage, *inside = place.split('/')
    reads[key] = '/'.join([stage if stage in _SHARED else f'{stage}_{seed}', *inside])
  step = dataclasses.replace(STEPS[name], reads=reads)
  return nodes.node(config, f'{name}_{seed}', section, step)


def _report(config):
  names = [f'{name}_{seed}' for seed in config.seeds for name in ('rl', 'distill')]
  runs = [*names, *(f'samples_{seed}' for seed in config.seeds)]
  exams = [f'exam_{name}' for name in (*_SHARED, *names)]

  def make(folder, inputs):
    table = {'seeds': list(config.seeds), 'paper': paper.RL_VS_DISTILL, 'rows': {}}
    for name, label in ROWS.items():
      each = [name] if name in _SHARED else [f'{name}_{seed}' for seed in config.seeds]
      cards = [json.loads((inputs[f'exam_{one}'] / single.EXAM).read_text()) for one in each]
      row = {'label': label, 'pass@1': over_seeds([card['accuracy']['mean'] for card in cards])}
      row['intervals'] = [[card['accuracy'][end] for end in ('low', 'high')] for card in cards]
      if name not in _SHARED:
        row['flops'] = [distill.spent(inputs[one] / 'metrics.jsonl') for one in each]
      if name == 'distill':
        row['teacher_flops'] = [
          json.loads((inputs[f'samples_{seed}'] / single.SUMMARY).read_text())['flops']
          for seed in config.seeds
        ]
      table['rows'][name] = row
    metrics.write_atomically(folder / TABLE, json.dumps(table, indent=2) + '\n')
    return stages.Made({'table': TABLE}, {})

  needs = (*runs, *exams)
  return stages.Node('report', needs, {}, 'r1jax.pipeline.rl_vs_distill', make)


def over_seeds(values):
  """{mean, low, high, values}: Student's 95 % interval over seeds; no interval of one value."""
  values = np.asarray(values, float)
  mean, half = float(values.mean()), 0.0
  if values.size > 1:
    error = values.std(ddof=1) / math.sqrt(values.size)
    half = float(scipy.special.stdtrit(values.size - 1, 0.975) * error)
  return {'mean': mean, 'low': mean - half, 'high': mean + half, 'values': values.tolist()}


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
    found = row['pass@1']
    interval = f' [{found["low"]:.1%}, {found["high"]:.1%}]' if len(found['values']) > 1 else ''
    own = np.mean(row.get('flops', [0]))
    whole = own + np.mean(row.get('teacher_flops', [0]))
    cost = (f'{own:.3g} FLOPs', f'{whole:.3g} FLOPs') if own else ('', '')
    paper = ', '.join(f'{value:.1f}' for value in table['paper'].get(name, ()))
    out.add_row(row['label'], f'{found["mean"]:.1%}{interval}', *cost, paper)
  return out
