"""The graph of R1: who reads whom, and what a changed config makes again."""

import json
import pathlib
import pickle
import shutil

import jax
import pytest

from r1jax import config as config_lib
from r1jax import sharding
from r1jax.experiments import r1 as experiment
from r1jax.runs import r1
from r1jax.runs.graph import graph, nodes
from r1jax.stages import general_rl, rl_schedule
from tests.runs.report import finished

CHECKS = {'reasoning_rl': rl_schedule.check, 'general_rl': general_rl.check}


@pytest.fixture
def config():
  return experiment.get_config()


def built(config, folder):
  base = folder / 'base'
  base.mkdir(exist_ok=True)
  return graph.Graph(folder / 'run', r1.graph_nodes(config), {'base': base})


def changed(config, folder, **values):
  """Names of the stages whose key differs after `values` (written `dev2__rl__updates=6`)."""
  before = built(config, folder).keys
  with config.unlocked():
    for name, value in values.items():
      nodes.put(config, name.replace('__', '.'), value)
  after = built(config, folder).keys
  return {name for name in before if before[name] != after[name]}


def test_a_worker_builds_the_same_graph_from_what_it_is_sent(config):
  sent = pickle.loads(pickle.dumps(config.copy_and_resolve_references()))
  assert r1.build(sent).keys == r1.build(config).keys


def test_stages_read_what_the_paper_says(config):
  needs = {node.name: node.needs for node in r1.graph_nodes(config)}
  assert needs['r1_zero'] == ('base',)
  assert needs['cold_start'] == ('r1_zero',)
  assert needs['dev1'] == ('base', 'cold_start')
  assert needs['dev2'] == ('dev1',)
  assert needs['rejection'] == ('dev2', 'general_data')
  assert needs['dev3'] == ('base', 'rejection')  # from the base, not from the RL checkpoint (§1.5)
  assert {'report_card_base', 'report_card_dev3', 'r1_zero', 'cold_start'} <= set(needs['report'])


def test_with_files_of_pairs_and_requests_r1_follows_dev3():
  needs = {node.name: node.needs for node in r1.graph_nodes(experiment.get_config('hub'))}
  assert needs['helpful'] == needs['harmless'] == ('dev3',)
  assert needs['r1'] == ('dev3', 'helpful', 'harmless') and 'general_data' not in needs
  assert 'report_card_r1' in needs['report'] and 'r1' in needs['report']


def test_students_learn_the_curated_samples_of_dev2_from_bases_of_their_own(config):
  needs = {node.name: set(node.needs) for node in r1.graph_nodes(config)}
  assert needs['distill_qwen'] == {'base_qwen', 'dev2', 'rejection'}
  assert needs['distill_llama'] == {'base_llama', 'dev2', 'rejection'}
  assert needs['matched_qwen'] == needs['distill_qwen'] | {'rl_qwen'}
  assert needs['rl_qwen'] == {'base_qwen'}
  assert {'distill_llama', 'report_card_matched_qwen', 'report_card_base_llama'} <= needs['report']


def test_stages_whose_sections_are_deleted_are_left_out(config):
  with config.unlocked():
    for name in ('base_llama', 'distill_llama', 'rl_qwen', 'matched_qwen'):
      del config[name]
  names = {node.name for node in r1.graph_nodes(config)}
  assert 'report_card_distill_qwen' in names
  assert not [name for name in names if 'llama' in name or 'rl_' in name or 'matched' in name]


def test_a_students_base_may_be_given(config):
  config.base_qwen.checkpoint = 'tiny'
  nodes_, given = r1.graph_nodes(config), r1.given(config)
  names = {node.name for node in nodes_}
  assert set(given) == {'base', 'base_qwen'} and 'base_qwen' not in names
  assert {'report_card_base_qwen', 'distill_qwen', 'base_llama'} <= names
  graph.Graph('unused', nodes_, given)


def examined(*names):
  """The exams of models; all are asked general requests where reward models have changed."""
  scenarios = {f'scenarios_{name}' for name in r1.ASKED}
  return {f'report_card_{name}' for name in names} | scenarios


CURATED = ('distill_qwen', 'distill_llama', 'matched_qwen')
STUDENTS = {*CURATED, *(f'report_card_{name}' for name in CURATED)}
DEV3 = {'dev3', 'helpful', 'harmless', 'r1', 'report'} | examined('dev3', 'r1')
REQUESTS = {'general_data', 'rejection'} | DEV3 | STUDENTS
DEV2 = {'dev2', 'report_card_dev2', 'rejection'} | DEV3 | STUDENTS
STUDENTS_OF_LLAMA = ('distill_llama', 'report_card_distill_llama')
RL = {'rl_qwen', 'report_card_rl_qwen', 'matched_qwen', 'report_card_matched_qwen', 'report'}


@pytest.mark.parametrize(
  'values, again',
  [
    ({'dev3__sft__epochs': 2.0}, DEV3),
    ({'dev2__rl__updates': 6}, DEV2),
    ({'rejection__filter__language': 0.5}, DEV3 | STUDENTS | {'rejection'}),
    ({'general_data__general_data__size': 99}, REQUESTS),
    ({'rl_qwen__rl__updates': 6}, RL),
    ({'distill_llama__distill__kl__weight': 0.5}, {*STUDENTS_OF_LLAMA, 'report'}),
    ({'loop__checkpoint_every': 3}, set()),
    ({'mesh': (1, 1, 2, 1)}, set()),
    ({'workdir': 'elsewhere'}, set()),
    ({'until': 'dev1'}, set()),
  ],
)
def test_a_changed_config_changes_the_keys_of_what_depends_on_it(config, tmp_path, values, again):
  assert changed(config, tmp_path, **values) == again


def test_another_seed_or_exam_changes_the_rest(config, tmp_path):
  exams = {node.name for node in r1.graph_nodes(config) if node.name.startswith('report_card_')}
  assert changed(config, tmp_path, report_card__evaluation__samples=2) == exams | {'report'}
  assert changed(config, tmp_path, seed=7) == {node.name for node in r1.graph_nodes(config)}


@pytest.mark.parametrize('preset', experiment.PRESETS)
def test_every_stage_alone_is_a_job(preset, tmp_path):
  config = experiment.get_config(preset)
  if preset == 'hub':
    config.data.path = 'train.jsonl'
  for name, recipe in r1.RECIPES.items():
    if name in config:
      inputs = {place.partition('/')[0]: tmp_path for place in recipe.reads.values()}
      job = config_lib.build(nodes.alone(config, config[name], recipe, tmp_path / name, inputs))
      assert job.stage == recipe.stage
      assert job.checkpoint == (str(tmp_path) if 'checkpoint' in recipe.reads else '')
      assert job.workdir == str(tmp_path / name)
      if recipe.stage in CHECKS:
        CHECKS[recipe.stage](job, sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1]))


def test_the_papers_values_stand_in_the_default():
  config = r1.default()
  assert config.dev2.reward.language == 1.0 and config.r1_zero.reward.language == 0.0
  assert (config.dev2.grpo.clip_low, config.dev2.grpo.clip_high) == (10.0, 10.0)
  assert config.dev1.sft.batch == config.dev3.sft.batch == 128
  assert config.cold_start.sample.temperature == 1.0
  assert config.harmless.reward_model.kind == 'harmless'


def test_a_pipeline_without_base_or_requests_is_refused_at_once(config, tmp_path):
  config.checkpoint = ''
  with pytest.raises(ValueError, match='config.checkpoint is empty'):
    r1.run(config)
  hub = experiment.get_config('hub')
  hub.checkpoint = 'tiny'
  with pytest.raises(
    ValueError, match=r'helpful.reward_model.path, .*rejection.path: general data'
  ):
    r1.run(hub)
  hub.until = 'distill_llama'
  hub.data.path, hub.rejection.rejection.path = 'train.jsonl', 'general.array_record'
  with pytest.raises(ValueError, match='config.base_llama.checkpoint: what is pre-trained'):
    r1.run(hub)


def test_files_that_a_stage_writes_are_not_given_too(config):
  config.checkpoint = 'tiny'
  config.r1.general.path = 'requests.jsonl'
  assert config.scenarios.general.path == 'requests.jsonl'  # one path, told once
  with pytest.raises(ValueError, match='config.r1.general.path: the stage general_data writes'):
    r1.run(config)


def test_a_graph_of_stages_that_do_nothing_ends_in_a_report_with_students(
  config, tmp_path, monkeypatch
):
  cards = {name: finished.card(1.0, 0.0) for name in r1.EXAMINED}
  ready = finished.pipeline(tmp_path / 'ready', cards)
  run = []

  def leave(job, _):
    folder = pathlib.Path(job.workdir)
    run.append(folder.name)
    if folder.name in ready:
      shutil.copytree(ready[folder.name], folder, dirs_exist_ok=True)
    recipe = r1.RECIPES.get(folder.name)
    for path in recipe.leaves.values() if recipe else ():
      if not (folder / path).exists():
        (folder / path).write_text('{}')

  monkeypatch.setattr(nodes.kinds, 'run', leave)
  config.workdir = str(tmp_path / 'run')
  config.workers = 1  # in another process nothing is patched
  r1.run(config)
  assert set(run) == {node.name for node in r1.graph_nodes(config)} - {'report'}
  content = json.loads((tmp_path / 'run' / 'report' / 'report.json').read_text())
  assert list(content['distillation']['students']) == ['distill_qwen', 'distill_llama']
  assert content['rl_vs_distill']['rows']['rl']['flops'] == 15e12
  rows = json.loads((tmp_path / 'run' / 'manifest.json').read_text())['stages']
  assert rows['matched_qwen']['status'] == rows['report']['status'] == 'done'
  run.clear()
  r1.run(config)
  assert run == []


def needed(config, until):
  """Names of the stages that are made for `until`, the report's among them."""
  config.until = until
  found = r1.graph_nodes(config)
  last = '' if found[-1].name == 'report' else f',{found[-1].name}'
  return graph.needed(found, until + last)


@pytest.mark.parametrize(
  'until, made',
  [
    ('r1_zero', {'r1_zero', 'report_card_base', 'report_card_r1_zero', 'report_r1_zero'}),
    ('report_card_base', {'report_card_base', 'report_report_card_base'}),
    (
      'dev1, base_llama',
      {'r1_zero', 'cold_start', 'dev1', 'base_llama', 'report_dev1_base_llama'}
      | {f'report_card_{name}' for name in ('base', 'r1_zero', 'dev1', 'base_llama')},
    ),
    ('general_data', {'general_data'}),
  ],
)
def test_what_is_made_until_a_stage_is_examined_and_reported(config, until, made):
  assert needed(config, until) == made


def test_until_the_report_is_all_and_an_unknown_stage_is_named(config):
  everything = {node.name for node in r1.graph_nodes(config)}
  assert needed(config, 'report') == needed(config, '') == everything
  with pytest.raises(graph.StageError, match="no stage 'dev9'; the stages are report_card_base"):
    needed(config, 'dev9')
