"""The whole of DeepSeek-R1 as a graph of stages (reference §1.6, Figure 2 of v2; §1.8; §1.10).

  base ─┬─ r1_zero ── cold_start
        ├─ dev1 (SFT on cold_start) ── dev2 (RL, rules + language) ── rejection
        └─ dev3 (SFT on rejection) ─┬─ helpful, harmless (reward models)
                                   └─ r1 (RL for all scenarios)

  base_qwen ──┬─ distill_qwen (SFT on rejection)
  (a student) ├─ rl_qwen (RL as R1-Zero)
              └─ matched_qwen (SFT on rejection, as many operations as rl_qwen)
  base_llama ─── distill_llama

Beside each model stands its report card, and how it replies to general requests; the report reads
them all. `general_data` writes the tiny world's requests and pairs; with files of your own it is
left out. The students' teacher is Dev2: the curated samples are its own, and where its distribution
is learned too, it is that over them.
"""

import dataclasses

import ml_collections

from r1jax import config as config_lib
from r1jax.interchange import checkpoints
from r1jax.rewards import request
from r1jax.runs import curation, report_cards, workdir
from r1jax.runs.graph import graph, nodes, workers
from r1jax.runs.graph.nodes import Recipe
from r1jax.runs.report import stages

_GENERAL = {'helpful': 'helpful.jsonl', 'harmless': 'harmless.jsonl'}
_GENERAL |= {'requests': 'requests.jsonl', 'examples': 'general.array_record'}


def _written(what):
  """Place of a file that the stage `general_data` writes."""
  return f'general_data/{_GENERAL[what]}'


_PAIRS = 'reward_model.path'
_JUDGED = {
  'general.helpful': 'helpful',
  'general.harmless': 'harmless',
  'general.path': _written('requests'),
}
_CURATED = {'distill.teacher': 'dev2', 'sft.path': f'rejection/{curation.DATA}'}
RECIPES = {
  'general_data': Recipe('general_data', {}, _GENERAL),
  'r1_zero': Recipe('reasoning_rl', {'checkpoint': 'base'}, nodes.TRAINED_BY_RL),
  'cold_start': Recipe('cold_start', {'checkpoint': 'r1_zero'}, nodes.DATA),
  'dev1': Recipe(
    'sft', {'checkpoint': 'base', 'sft.path': f'cold_start/{curation.DATA}'}, nodes.MODEL
  ),
  'dev2': Recipe('reasoning_rl', {'checkpoint': 'dev1'}, nodes.TRAINED_BY_RL),
  'rejection': Recipe(
    'rejection', {'checkpoint': 'dev2', 'rejection.path': _written('examples')}, nodes.DATA
  ),
  'dev3': Recipe(
    'sft', {'checkpoint': 'base', 'sft.path': f'rejection/{curation.DATA}'}, nodes.MODEL
  ),
  'helpful': Recipe(
    'reward_model', {'checkpoint': 'dev3', _PAIRS: _written('helpful')}, nodes.MODEL
  ),
  'harmless': Recipe(
    'reward_model', {'checkpoint': 'dev3', _PAIRS: _written('harmless')}, nodes.MODEL
  ),
  'r1': Recipe('general_rl', {'checkpoint': 'dev3'} | _JUDGED, nodes.TRAINED_BY_RL),
  'base_qwen': Recipe('pretrain', {'pretrain.tokenizer': 'base'}, nodes.MODEL),
  'base_llama': Recipe('pretrain', {'pretrain.tokenizer': 'base'}, nodes.MODEL),
  'distill_qwen': Recipe('distill', {'checkpoint': 'base_qwen'} | _CURATED, nodes.MODEL),
  'distill_llama': Recipe('distill', {'checkpoint': 'base_llama'} | _CURATED, nodes.MODEL),
  'rl_qwen': Recipe('reasoning_rl', {'checkpoint': 'base_qwen'}, nodes.TRAINED_BY_RL),
  'matched_qwen': Recipe(
    'distill',
    {'checkpoint': 'base_qwen', 'distill.equal_to': 'rl_qwen'} | _CURATED,
    nodes.MODEL,
  ),
}
# What is examined: section, and what each leaves; the second needs reward models.
EXAMS = {
  'report_card': Recipe('report_card', {}, {'report_card': report_cards.CARD}),
  'scenarios': Recipe('scenarios', _JUDGED, {'summary': workdir.SUMMARY}),
}
REPORT = 'report'
BASES = ('base_qwen', 'base_llama')
ASKED = ('base', 'r1_zero', 'dev1', 'dev2', 'dev3', 'r1')  # general requests
EXAMINED = (
  *ASKED,
  *(name for name in RECIPES if name.endswith(('_qwen', '_llama'))),
)


def default():
  """The config of the pipeline with the paper's values, unlocked: a section for every stage.

  A student's base is trained by a stage of its own, or is the folder `base_qwen.checkpoint`.
  """
  config = ml_collections.ConfigDict()
  config.stage = 'r1'
  config.seed = 0
  config.workdir = 'runs/r1'
  config.mesh = (1, -1, 1, 1)
  config.checkpoint = ''  # the base
  config.until = ''  # stages to make, with what they need; '' makes all
  config.workers = 1  # processes that make stages side by side; an accelerator belongs to one
  whole = config_lib.default('reasoning_rl')
  config.runtime, config.data, config.loop = whole.runtime, whole.data, whole.loop
  for name, recipe in RECIPES.items():
    config[name] = nodes.own(recipe.stage)
  for name in EXAMS:
    config[name] = nodes.own(name)
  config.scenarios.general.path = config.r1.general.get_oneway_ref('path')
  config.harmless.reward_model.kind = request.HARMLESS
  dev2 = config.dev2
  dev2.reward.language = 1.0  # rule + language reward (reference §1.4)
  dev2.grpo.clip_low = dev2.grpo.clip_high = 10.0  # reference §1.3
  dev2.rl.length_schedule = ((0, 32_768),)
  for name in BASES:
    config[name].checkpoint = ''
    config[name].model = config_lib.default('pretrain').model
  config.distill_llama.optimizer.lr = 5e-5  # of the 8B student (reference §1.8)
  config.rl_qwen.optimizer.lr = 2e-6  # Zero-Qwen-32B (reference §1.3)
  config.rl_qwen.rl.length_schedule = ((0, 32_768),)
  return config


def run(config):
  """Makes the stages of `config.until`, by default all.

  Raises:
    ValueError: the config does not work out; of a later stage only where its turn comes.
    Interrupted and others: as `kinds.run`; what is finished stays.
  """
  config_lib.check_graph(config)
  if not config.checkpoint:
    raise ValueError('config.checkpoint is empty: the pipeline starts from a base model')
  all_nodes = graph_nodes(config)
  # The last node is the report of what `until` asks for, or of all: only then it may be left out.
  last = all_nodes[-1].name
  until = config.until if last == REPORT else f'{config.until},{last}'
  chosen = graph.needed(all_nodes, until)
  _check_paths(config, chosen)
  made = workers.run(build, config, until)
  if last in chosen:
    stages.show(made.place(last))


def build(config):
  """The pipeline as a `graph.Graph` in its work directory."""
  return graph.Graph(config.workdir, graph_nodes(config), given(config))


def given(config):
  """Name -> folder of what is not made: the base, and students' bases that the user has."""
  places = {'base': config.checkpoint}
  places |= {name: config[name].checkpoint for name in BASES if name in config}
  return {name: checkpoints.open(place) for name, place in places.items() if place}


def graph_nodes(config):
  """The graph's nodes in order: each model is examined as soon as it is there.

  A stage whose section an experiment has deleted is left out.
  """
  there = ('base', *(name for name in RECIPES if name in config))
  all_nodes = []
  for name in there:
    if name in RECIPES and not (name in BASES and config[name].checkpoint):
      all_nodes.append(nodes.node(config, name, config[name], RECIPES[name].without(there)))
    if name in EXAMINED:
      all_nodes.append(_examined(config, 'report_card', name, there))
  if 'scenarios' in config:  # last, as the reward models are made late
    all_nodes += [_examined(config, 'scenarios', name, there) for name in ASKED if name in there]
  all_nodes.append(_report(REPORT, [node.name for node in all_nodes]))
  part = _part(all_nodes, config.until)
  if not part:
    return all_nodes
  # Beside the whole report, which may be there already: another folder.
  name = f'{REPORT}_{"_".join(_names(config.until))}'
  return [*all_nodes, _report(name, part)]


def _names(until):
  return [name.strip() for name in until.split(',') if name.strip()]


def _part(all_nodes, until):
  """Names of the stages for `until` and of report cards of the models among them, as a report of
  just these reads them; none for all stages, or where no model is among them.
  """
  chosen = graph.needed(all_nodes, until)
  card = 'report_card_{}'.format
  examined = any(name in chosen or card(name) in chosen for name in EXAMINED)
  if REPORT in chosen or not examined:
    return []
  # The base, with which the others are compared, is given: no stage has it made.
  chosen |= {card(name) for name in ('base', *chosen)} & {node.name for node in all_nodes}
  return [node.name for node in all_nodes if node.name in chosen]


def _examined(config, section, model, there):
  """The node that examines a model."""
  recipe = EXAMS[section].without(there)
  recipe = dataclasses.replace(recipe, reads={'checkpoint': model} | recipe.reads)
  return nodes.node(config, f'{section}_{model}', config[section], recipe, section)


def _check_paths(config, chosen):
  """Raises ValueError where late stages lack their files, before hours of others, or where files
  are given that `general_data` writes too.
  """
  files = {'helpful': 'reward_model', 'harmless': 'reward_model', 'r1': 'general'}
  if 'rejection' in config and config.rejection.rejection.general:
    files['rejection'] = 'rejection'
  paths = {f'{n}.{part}.path': config[n][part].path for n, part in files.items() if n in chosen}
  if 'general_data' not in config:
    _demand(paths, 'general data, pairs and requests are read from files')
  elif any(paths.values()):
    given = ', '.join(f'config.{key}' for key, path in paths.items() if path)
    raise ValueError(
      f'{given}: the stage general_data writes these files; with files of your own leave it out '
      '(an experiment deletes its section)'
    )
  if config.data.name == 'jsonl':
    bases = {f'{name}.checkpoint': config[name].checkpoint for name in BASES if name in chosen}
    _demand(bases, 'what is pre-trained here knows the tiny world only')


def _demand(values, why):
  """Raises ValueError where a key of a stage that is to be made is empty."""
  empty = [f'config.{key}' for key, value in values.items() if not value]
  if empty:
    raise ValueError(
      f'{", ".join(empty)}: {why}; give them, name the stages you want in config.until, or leave '
      'theirs out (an experiment deletes their sections)'
    )


def _report(name, told):
  """The node `name` that reads the stages of these names."""

  def make(folder, inputs):
    return graph.Made(stages.write(folder, inputs), {})

  return graph.Node(name, tuple(told), {}, 'r1jax.runs.report.stages', make)
