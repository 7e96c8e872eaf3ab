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
from r1jax.data import examples, source, tokenizer
from r1jax.interchange import huggingface
from r1jax.interchange import source as checkpoints
from r1jax.model import flops
from r1jax.pipeline import harvest, r1, single, stages
from r1jax.train import metrics

TABLE = 'rl_vs_distill.json'
# AIME 2024 pass@1 and MATH-500 of the two 32B students (reference §1.10, Table 6 of v1).
PAPER = {'rl': (47.0, 91.6), 'distill': (72.6, 94.3)}
STEPS = {
  'student': r1.Step(
    'pretrain',
    {'pretrain.tokenizer': 'teacher'},
    {'model': 'model', 'metrics': 'metrics.jsonl', 'summary': single.SUMMARY},
  ),
  'rl': r1.Step(
    'reasoning_rl',
    {'checkpoint': 'student'},
    {'model': 'model', 'metrics': 'metrics.jsonl', 'summary': single.SUMMARY},
  ),
  'samples': r1.Step(
    'resample',
    {'checkpoint': 'teacher'},
    {'data': single.DATA, 'samples': harvest.FOLDER, 'summary': single.SUMMARY},
  ),
  'distill': r1.Step(
    'distill',
    {'checkpoint': 'student', 'distill.teacher': 'teacher'},
    {'model': 'model', 'metrics': 'metrics.jsonl', 'summary': single.SUMMARY},
  ),
}
ROWS = {
  'student': 'base',
  'rl': 'RL',
  'distill': 'distilled',
  'teacher': 'teacher',
}


def default():
  """The config of the comparison with the paper's values, unlocked: a section for every stage."""
  config = ml_collections.ConfigDict()
  config.stage = 'rl_vs_distill'
  config.seed = 0
  config.seeds = (0, 1, 2)
  config.workdir = 'runs/rl_vs_distill'
  config.mesh = (1, -1, 1, 1)
  config.checkpoint = ''  # the teacher
  whole = config_lib.default('reasoning_rl')
  config.runtime, config.data, config.loop = whole.runtime, whole.data, whole.loop
  for name, step in STEPS.items():
    config[name] = r1._own(step.kind)
  config.student.model = config_lib.default('pretrain').model
  config.samples.resample.general = 0.0
  config.exam = r1._own('exam')
  return config


def run(config):
  """Makes what is not made yet, writes `rl_vs_distill.json` and prints the table.

  Raises:
    ValueError: the config does not work out.
    Interrupted and others: as `single.run`; what is finished stays.
  """
  if not config.checkpoint or not config.seeds:
    raise ValueError(f'give a teacher and seeds: {config.checkpoint=}, {config.seeds=}')
  graph = stages.Graph(
    config.workdir, nodes(config), {'teacher': checkpoints.open(config.checkpoint)}
  )
  graph.run()
  rich.console.Console().print(show(json.loads((graph.place('report') / TABLE).read_text())))


def nodes(config):
  """The graph's nodes in order."""
  found = [_node(config, 'student', 'student'), *(_exam(config, n) for n in ('teacher', 'student'))]
  for seed in config.seeds:
    own = {name: f'{name}_{seed}' for name in ('rl', 'samples', 'distill')}
    found += [_node(config, 'rl', own['rl'], seed), _node(config, 'samples', own['samples'], seed)]
    found += [_matched(config, own, seed)]
    found += [_exam(config, own[name]) for name in ('rl', 'distill')]
  return [*found, _report(config)]


def _node(config, section, name, seed=None):
  step = STEPS[section]
  told = _told(config, section, seed)

  def make(folder, inputs):
    one = r1.alone(config, told, step, folder, inputs)
    single.run(config_lib.build(one), one)
    return stages.Made(step.leaves, r1._figures(folder, step))

  needs = tuple(step.reads.values())
  return stages.Node(name, needs, _key(config, told, step), 'r1jax.pipeline.single', make)


def _exam(config, model):
  step = r1.Step('exam', {'checkpoint': model}, {'exam': single.EXAM})

  def make(folder, inputs):
    one = r1.alone(config, config.exam, step, folder, inputs)
    single.run(config_lib.build(one), one)
    return stages.Made(step.leaves, r1._figures(folder, step))

  told = _key(config, config.exam, step)
  return stages.Node(f'exam_{model}', (model,), told, 'r1jax.pipeline.single', make)


def _matched(config, own, seed):
  """Distillation for as many epochs as take the operations of RL."""
  reads = STEPS['distill'].reads | {'finetune.path': f'{own["samples"]}/{single.DATA}'}
  step = dataclasses.replace(STEPS['distill'], reads=reads)
  told = _told(config, 'distill', seed)

  def make(folder, inputs):
    section = ml_collections.ConfigDict(told.to_dict())
    section.finetune.epochs = equal_epochs(
      spent(inputs[own['rl']] / 'metrics.jsonl'),
      inputs['student'] / 'model',
      inputs[own['samples']] / single.DATA,
    )
    one = r1.alone(config, section, step, folder, inputs)
    single.run(config_lib.build(one), one)
    return stages.Made(step.leaves, r1._figures(folder, step))

  needs = ('student', 'teacher', own['samples'], own['rl'])
  key = _key(config, told, step)
  return stages.Node(own['distill'], needs, key, 'r1jax.pipeline.rl_vs_distill', make)


def _told(config, section, seed):
  """A stage's section with its own seed."""
  own = ml_collections.ConfigDict(config[section].to_dict())
  if seed is not None:
    own.seed = seed
  return own


def _key(config, section, step):
  """All that a stage is told and that its result depends on, as JSON holds it."""
  told = json.loads(r1.alone(config, section, step).to_json_best_effort())
  return {name: value for name, value in told.items() if name not in r1._FREE}


def spent(path):
  """Counted operations of a run, from its `metrics.jsonl`."""
  return sum(row.get('compute/flops', 0.0) for row in metrics.read(path))


def equal_epochs(budget, model, data):
  """Epochs over the data set `data` in which the student in the folder `model` spends `budget`."""
  cfg, tok = huggingface.read_config(model), tokenizer.load(model)
  found = examples.Examples(data)
  lengths = [len(examples.encode(found[i], tok).ids) for i in range(len(found))]
  return budget / flops.training(cfg, lengths)


def teacher_spent(config, folder):
  """Counted operations of the teacher's sampling, from the replies that a harvest left.

  Args:
    config: of the comparison; its teacher, data, and the sampling section.
    folder: of the stage `samples_S`, whose name ends in the seed.
  """
  place = checkpoints.open(config.checkpoint)
  cfg, tok = huggingface.read_config(place), tokenizer.load(place)
  seed = int(folder.name.rpartition('_')[2])
  step, told = STEPS['samples'], _told(config, 'samples', seed)
  job = config_lib.build(r1.alone(config, told, step, folder, {'teacher': place}))
  problems, _ = source.problems(job.data, job.seed, tok)
  total = 0
  for number, path in enumerate(sorted((folder / harvest.FOLDER).glob('part_*.jsonl'))):
    rows = [json.loads(line) for line in path.read_text().split('\n')[:-1]]
    first = number * job.harvest.batch
    asked = [problems[first + i].question for i in range(job.harvest.batch)]
    prompts = [len(harvest.rollout.encode_prompt(tok, question)) for question in asked]
    replies = [row['reply']['tokens'] for row in rows]
    total += flops.sampling(cfg, prompts, replies, job.sample.group)
  return total


def _report(config):
  names = [f'{name}_{seed}' for seed in config.seeds for name in ('rl', 'distill')]
  runs = [*names, *(f'samples_{seed}' for seed in config.seeds)]
  exams = [f'exam_{name}' for name in ('teacher', 'student', *names)]

  def make(folder, inputs):
    table = {'seeds': list(config.seeds), 'paper': PAPER, 'rows': {}}
    for name, label in ROWS.items():
      alone = name in ('teacher', 'student')
      each = [name] if alone else [f'{name}_{seed}' for seed in config.seeds]
      cards = [json.loads((inputs[f'exam_{one}'] / single.EXAM).read_text()) for one in each]
      row = {'label': label, 'pass@1': over_seeds([card['accuracy']['mean'] for card in cards])}
      row['intervals'] = [[card['accuracy'][end] for end in ('low', 'high')] for card in cards]
      if not alone:
        row['flops'] = [spent(inputs[one] / 'metrics.jsonl') for one in each]
      if name == 'distill':
        row['teacher_flops'] = [
          teacher_spent(config, inputs[f'samples_{seed}']) for seed in config.seeds
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
