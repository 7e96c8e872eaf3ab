"""The whole of DeepSeek-R1 as a graph of stages (reference §1.6, Figure 2 of v2).

  base ─┬─ r1_zero ── cold_start
        ├─ dev1 (SFT on cold_start) ── dev2 (RL, rules + language) ── resample
        └─ dev3 (SFT on resample) ─┬─ helpful, harmless (reward models)
                                   └─ r1 (RL for all scenarios)

Beside each model stands its exam, and how it replies to general requests; the report reads them
all. `general_data` writes the tiny world's requests and pairs; with files of your own it is left
out.
"""

import dataclasses
import json

import ml_collections

from r1jax import config as config_lib
from r1jax.evaluation import stage_report
from r1jax.interchange import source as checkpoints
from r1jax.pipeline import single, stages
from r1jax.rewards import preference


@dataclasses.dataclass(frozen=True)
class Step:
  """One row of the table: a stage's kind, and which config keys are filled with what it reads.

  Attributes:
    kind: of the stage alone, as in `config.default`.
    reads: config key -> the stage it names, with a path in its folder where that matters.
    leaves: what it makes -> path in its own folder.
  """

  kind: str
  reads: dict[str, str]
  leaves: dict[str, str]


_GENERAL = {'helpful': 'helpful.jsonl', 'harmless': 'harmless.jsonl'}
_GENERAL |= {'requests': 'requests.jsonl', 'examples': 'general.array_record'}


def _written(what):
  """Place of a file that the stage `general_data` writes."""
  return f'general_data/{_GENERAL[what]}'


_JUDGED = {
  'general.helpful': 'helpful',
  'general.harmless': 'harmless',
  'general.path': _written('requests'),
}
_PAIRS = 'reward_model.path'
_MODEL = {'model': 'model', 'metrics': 'metrics.jsonl', 'summary': single.SUMMARY}
_TRAINED_BY_RL = _MODEL | {'samples': 'samples'}
_DATA = {'data': single.DATA, 'samples': 'samples', 'summary': single.SUMMARY}

STEPS = {
  'general_data': Step('general_data', {}, _GENERAL),
  'r1_zero': Step('reasoning_rl', {'checkpoint': 'base'}, _TRAINED_BY_RL),
  'cold_start': Step('cold_start', {'checkpoint': 'r1_zero'}, _DATA),
  'dev1': Step('sft', {'checkpoint': 'base', 'finetune.path': f'cold_start/{single.DATA}'}, _MODEL),
  'dev2': Step('reasoning_rl', {'checkpoint': 'dev1'}, _TRAINED_BY_RL),
  'resample': Step(
    'resample', {'checkpoint': 'dev2', 'resample.path': _written('examples')}, _DATA
  ),
  'dev3': Step('sft', {'checkpoint': 'base', 'finetune.path': f'resample/{single.DATA}'}, _MODEL),
  'helpful': Step('reward_model', {'checkpoint': 'dev3', _PAIRS: _written('helpful')}, _MODEL),
  'harmless': Step('reward_model', {'checkpoint': 'dev3', _PAIRS: _written('harmless')}, _MODEL),
  'r1': Step('general_rl', {'checkpoint': 'dev3'} | _JUDGED, _TRAINED_BY_RL),
}
# What is examined: section, and what each leaves; the second needs reward models.
EXAMS = {
  'exam': Step('exam', {}, {'exam': single.EXAM}),
  'scenarios': Step('scenarios', _JUDGED, {'summary': single.SUMMARY}),
}
EXAMINED = ('base', 'r1_zero', 'dev1', 'dev2', 'dev3', 'r1')
# What all stages are told alike; the rest of a stage's config is the section of its name.
SHARED = ('seed', 'mesh', 'runtime', 'data', 'loop')
# What may change without another result: where, on what mesh and how often saved.
_FREE = ('workdir', 'mesh', 'loop')
_FILLED = ('stage', 'workdir', 'checkpoint', 'model')


def default():
  """The config of the pipeline with the paper's values, unlocked: a section for every stage."""
  config = ml_collections.ConfigDict()
  config.stage = 'r1'
  config.seed = 0
  config.workdir = 'runs/r1'
  config.mesh = (1, -1, 1, 1)
  config.checkpoint = ''  # the base
  config.until = ''  # stages to make, with what they need; '' makes all
  whole = config_lib.default('reasoning_rl')
  config.runtime, config.data, config.loop = whole.runtime, whole.data, whole.loop
  for name, step in STEPS.items():
    config[name] = _own(step.kind)
  for name in EXAMS:
    config[name] = _own(name)
  config.scenarios.general.path = config.r1.general.get_oneway_ref('path')
  config.harmless.reward_model.kind = preference.HARMLESS
  dev2 = config.dev2
  dev2.reward.language = 1.0  # rule + language reward (reference §1.4)
  dev2.grpo.clip_low = dev2.grpo.clip_high = 10.0  # reference §1.3
  dev2.rl.length_schedule = ((0, 32_768),)
  return config


def run(config):
  """Makes the stages of `config.until`, by default all.

  Raises:
    ValueError: the config does not work out; of a later stage only where its turn comes.
    Interrupted and others: as `single.run`; what is finished stays.
  """
  if not config.checkpoint:
    raise ValueError('config.checkpoint is empty: the pipeline starts from a base model')
  base = checkpoints.open(config.checkpoint)
  graph = stages.Graph(config.workdir, nodes(config), {'base': base})
  _check_paths(config, graph.chosen(config.until))
  graph.run(config.until)
  if not config.until:
    stage_report.show(graph.place('report'))


def nodes(config):
  """The graph's nodes in order: each model is examined as soon as it is there.

  A stage whose section an experiment has deleted is left out.
  """
  there = ('base', *(name for name in STEPS if name in config))
  found = []
  for name in there:
    if name in STEPS:
      found.append(_node(config, name, config[name], _without(STEPS[name], there)))
    if name in EXAMINED:
      found.append(_examined(config, 'exam', name, there))
  if 'scenarios' in config:  # last, as the reward models are made late
    found += [_examined(config, 'scenarios', name, there) for name in EXAMINED if name in there]
  return [*found, _report(config, found)]


def _check_paths(config, chosen):
  """Raises ValueError where the last stages lack their files, before hours of others, or where
  files are given that `general_data` writes too.
  """
  files = {'helpful': 'reward_model', 'harmless': 'reward_model', 'r1': 'general'}
  if 'resample' in config and config.resample.resample.general:
    files['resample'] = 'resample'
  paths = {
    f'config.{n}.{part}.path': config[n][part].path for n, part in files.items() if n in chosen
  }
  written = 'general_data' in config
  wrong = [name for name, path in paths.items() if bool(path) == written]
  if not wrong:
    return
  if written:
    raise ValueError(
      f'{", ".join(wrong)}: the stage general_data writes these files; with files of your own '
      'leave it out (an experiment deletes its section)'
    )
  raise ValueError(
    f'{", ".join(wrong)}: general data, pairs and requests are read from files; give them, or '
    'leave their stages out (an experiment deletes their sections, or sets resample.general=0)'
  )


def alone(config, section, step, folder='', inputs=None):
  """The config of one stage by itself, as an experiment would return it.

  Args:
    config: of the pipeline.
    section: the stage's own.
    step: its `Step`.
    folder: work directory of the stage.
    inputs: name -> folder of what it reads; None fills nothing in: what a key is made of.
  """
  one = config_lib.default(step.kind)
  parts = {name: config[name] for name in SHARED if name in one} | dict(section.items())
  content = {
    name: getattr(part, 'to_dict', lambda part=part: part)() for name, part in parts.items()
  }
  content |= {'stage': step.kind, 'workdir': str(folder), 'checkpoint': ''}
  filled = ml_collections.ConfigDict(content)
  for key, place in step.reads.items() if inputs else ():
    name, _, inside = place.partition('/')
    path = inputs[name] / inside if inside else inputs[name]
    _set(filled, key, str(path))
  return filled


def _own(kind):
  """A stage's config without what is shared or filled in."""
  section = config_lib.default(kind)
  for name in (*SHARED, *_FILLED):
    if name in section:
      del section[name]
  return section


def _node(config, name, section, step):
  needs = tuple(dict.fromkeys(place.partition('/')[0] for place in step.reads.values()))

  def make(folder, inputs):
    one = alone(config, section, step, folder, inputs)
    single.run(config_lib.build(one), one)
    return stages.Made(step.leaves, _figures(folder, step))

  told = json.loads(alone(config, section, step).to_json_best_effort())
  told = {key: value for key, value in told.items() if key not in _FREE}
  module = 'single' if step.kind in single.KINDS else 'experiment'
  return stages.Node(name, needs, told, f'r1jax.pipeline.{module}', make)


def _without(step, there):
  """The step without what it would read from stages that are left out."""
  kept = {k: place for k, place in step.reads.items() if place.partition('/')[0] in there}
  return dataclasses.replace(step, reads=kept)


def _examined(config, section, model, there):
  """The node of a model's exam."""
  step = _without(EXAMS[section], there)
  step = dataclasses.replace(step, reads={'checkpoint': model} | step.reads)
  return _node(config, f'{section}_{model}', config[section], step)


def _figures(folder, step):
  """What the manifest tells of a stage."""
  if step.kind == 'exam':
    card = json.loads((folder / single.EXAM).read_text())
    return {name: card[name] for name in ('accuracy', 'readability')}
  return json.loads((folder / single.SUMMARY).read_text())


def _report(config, found):
  """The node that reads the exams, R1-Zero's course and the counts of the data sets."""
  exams = [node.name for node in found if node.name.startswith(tuple(f'{e}_' for e in EXAMS))]
  data = [name for name, step in STEPS.items() if step.leaves is _DATA and name in config]
  trained = [name for name in ('r1_zero', 'r1') if name in config]
  needs = (*trained, *data, *exams)

  def make(folder, inputs):
    return stages.Made(stage_report.write(folder, inputs), {})

  return stages.Node('report', needs, {}, 'r1jax.evaluation.stage_report', make)


def _set(config, key, value):
  *sections, last = key.split('.')
  for name in sections:
    config = config[name]
  config[last] = value
