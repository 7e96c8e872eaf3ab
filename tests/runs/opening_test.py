"""A run that has not ended has a model all the same: the weights of its newest checkpoint."""

import json
import shutil

import jax
import numpy as np
import pytest

from r1jax import config as config_lib
from r1jax import export
from r1jax.cli import conversation
from r1jax.data import tokenizer
from r1jax.data.tasks import tiny_world
from r1jax.experiments import r1_zero, tiny_base
from r1jax.interchange import checkpoints, huggingface
from r1jax.runs import model, opening, supervised, workdir
from r1jax.stages import packing, pretrain, reasoning_rl, rollouts
from r1jax.train import checkpoint


def _save(folder, stage, steps):
  """Saves the stage as if each update had added one to every weight."""
  stage.start()
  with checkpoint.Checkpoints(folder / 'checkpoints') as saved:
    for step in range(steps + 1):
      saved.save(step, stage.arrays(), stage.host())
      more = jax.tree.map(lambda w: w + 1, stage.state.params)
      stage.state = stage.state.replace(params=more)


def _check(folder, cfg, initial, step):
  """`folder` holds `initial` after so many updates of `_save`."""
  found = huggingface.load(folder, cfg, cfg.param_dtype)
  for have, start in zip(jax.tree.leaves(found), jax.tree.leaves(initial), strict=True):
    wanted = np.asarray(start)
    for _ in range(step):
      wanted = wanted + 1
    np.testing.assert_array_equal(have, wanted)


@pytest.fixture
def run(tmp_path, one_device):
  """(work directory, ModelConfig, first weights) of R1-Zero, stopped after update 2."""
  config = r1_zero.get_config('tiny')
  with config.unlocked():
    config.rl.update(prompts=2, rows=2, updates=9, length_schedule=((0, 48), (4, 96)))
    config.sample.group = 2
  folder = workdir.prepare(tmp_path / 'run', config)
  job = config_lib.build(config)
  cfg, tok = model.architecture(job)
  questions = rollouts.Questions(tiny_world.World(0, 8), job)
  stage = reasoning_rl.Stage(job, cfg, model.form(job, tok), questions, None, folder)
  initial = jax.device_get(model.weights(job, cfg))
  stage.initial = model.weights(job, cfg)
  stage.pending = [packing.empty(stage.layout, reasoning_rl.scores_old(job), bool(job.grpo.beta))]
  _save(folder, stage, 2)
  return folder, cfg, initial


def test_the_newest_checkpoint_becomes_a_hub_folder(run):
  folder, cfg, initial = run
  lines = []
  made = opening.open_model(folder, lines.append)
  assert made == folder / 'model-at-2'
  assert lines == [f'{folder} has not ended: its weights after update 2 of 9 are {made}']
  _check(made, cfg, initial, 2)
  text = ' 12 + 3 = 15'
  shipped = tokenizer.load(checkpoints.open('tiny'))
  assert tokenizer.load(made).encode(text) == shipped.encode(text)
  assert checkpoints.open(made) == made


def test_an_older_checkpoint_is_opened_by_its_folder(run, tmp_path, monkeypatch):
  folder, cfg, initial = run
  first, second = (folder / 'checkpoints' / f'step_0000000{step}' for step in (1, 2))
  made = opening.open_model(first, lambda line: None)
  assert made == folder / 'model-at-1'
  _check(made, cfg, initial, 1)
  assert opening.asking(first) == opening.asking(folder) != {}
  with pytest.raises(ValueError, match=rf'a checkpoint of the run {folder}, .* r1jax export'):
    checkpoints.open(first)
  # From within its folder, and by a link to it.
  monkeypatch.chdir(first.parent)
  (tmp_path / 'link').symlink_to(first)
  for name in (first.name, f'../checkpoints/{first.name}', tmp_path / 'link'):
    assert opening.open_model(name, lambda line: None).resolve() == folder / 'model-at-1'
  there = 'step_00000000, step_00000001, step_00000002'
  with pytest.raises(ValueError, match=f'no such checkpoint of the run, it has .*{there[-13:]}'):
    opening.open_model(first.parent / 'step_00000099')
  # What is asked for by its number is not replaced by another.
  (second / 'manifest.json').write_text('{')
  with pytest.raises(ValueError, match='step_00000002 is damaged'):
    opening.open_model(second, lambda line: None)


def test_a_damaged_newest_checkpoint_is_passed_over(run):
  folder, cfg, initial = run
  (folder / 'checkpoints' / 'step_00000002' / 'manifest.json').write_text('{')
  lines = []
  made = opening.open_run(folder, lines.append)
  assert made == folder / 'model-at-1' and 'step_00000002 is damaged' in lines[0]
  _check(made, cfg, initial, 1)
  (folder / 'checkpoints' / 'step_00000001' / 'manifest.json').write_text('{')
  with pytest.raises(ValueError, match='no older checkpoint is left'):
    opening.open_run(folder, lines.append)


def test_chat_and_export_say_in_one_line_that_the_run_has_not_ended(run, tmp_path, capsys):
  folder, _, _ = run
  line = f'{folder} has not ended: its weights after update 2 of 9 are {folder}/model-at-2\n'
  conversation.load(folder)
  out, err = capsys.readouterr()
  assert (out, err) == ('', line)
  output = tmp_path / 'out'
  assert export.main([f'--checkpoint={folder}', f'--output={output}']) == 0
  out, err = capsys.readouterr()
  assert out.startswith(line) and out.endswith(f'{output}: verified\n') and err == ''
  assert checkpoints.find(output) == output


def test_nothing_is_exported_over_a_run(run, capsys):
  folder, _, _ = run
  config = (folder / 'config.json').read_text()
  for output in (folder, folder / 'model'):
    assert export.main(['--checkpoint=tiny', f'--output={output}']) == 1
    assert f'--output={output} belongs to the run in {folder}' in capsys.readouterr().err
  assert (folder / 'config.json').read_text() == config


def test_a_finished_model_goes_first_and_a_new_run_is_told_what_to_do(run):
  folder, _, _ = run
  with pytest.raises(ValueError, match=f'not ended.* r1jax.export --checkpoint={folder}'):
    checkpoints.open(folder)
  opening.open_run(folder, lambda line: None).rename(folder / 'model')
  assert opening.open_model(folder, pytest.fail) == folder / 'model'


@pytest.mark.parametrize(
  'change, why',
  [
    (lambda saved: saved['rl'].update(odd=1), 'of this version: config.rl.odd is unknown'),
    (lambda saved: saved.pop('stage'), "of this version: .*'stage'"),
    (lambda saved: saved.update(stage='odd'), "stage 'odd' is none of pretrain, .*reward_model"),
    (
      lambda saved: saved['rl'].update(prompts=0),
      'config.rl.prompts=0 is not a whole number within 1',
    ),
  ],
)
def test_a_config_of_another_version_is_named(tmp_path, change, why):
  folder = workdir.prepare(tmp_path / 'run', r1_zero.get_config('tiny'))
  (folder / 'checkpoints' / 'step_00000001').mkdir(parents=True)
  saved = json.loads((folder / 'config.json').read_text())
  change(saved)
  (folder / 'config.json').write_text(json.dumps(saved))
  with pytest.raises(ValueError, match=why):
    opening.open_run(folder)


@pytest.mark.parametrize('preset', r1_zero.PRESETS)
def test_a_config_comes_back_from_its_file_as_the_job_it_was(tmp_path, preset):
  config = r1_zero.get_config(preset)
  if preset == 'hub':
    config.update(checkpoint='tiny', data={'path': 'train.jsonl'})
  folder = workdir.prepare(tmp_path, config)
  assert opening.read_job(folder) == config_lib.build(config)


def test_a_base_model_in_pre_training_has_one_too(tmp_path, one_device):
  config = tiny_base.get_config('tiny')
  config.pretrain.vocab_documents = 400
  folder = workdir.prepare(tmp_path / 'run', config)
  job = config_lib.build(config)
  _, tok = supervised.Pretrain(job, jax.sharding.get_mesh()).architecture()
  stage = pretrain.Stage(job, job.model, tok)
  stage.initial = model.weights(job, job.model)
  initial = jax.device_get(stage.initial)
  _save(folder, stage, 1)
  made = opening.open_run(folder)
  assert made.name == 'model-at-1'
  _check(made, job.model, initial, 1)


def test_a_finished_run_without_its_checkpoints_still_says_how_it_was_asked(reference, tmp_path):
  run = tmp_path / 'run'
  run.mkdir()
  shutil.copy(reference.folder / 'config.json', run)
  assert opening.asking(run) == {}  # no model, so no run to be asked
  (run / 'model').mkdir()
  assert opening.asking(run) == opening.asking(reference.folder) != {}


def test_the_model_of_a_run_stands_for_the_run(reference, tmp_path):
  run = tmp_path / 'run'
  (run / 'model').mkdir(parents=True)
  shutil.copy(reference.folder / 'config.json', run)
  # A hub folder that is called `model` beside some config.json is no run's.
  assert opening.asking(run / 'model') == {}
  (run / 'metrics.jsonl').touch()
  assert opening.asking(run / 'model') == opening.asking(run) != {}
  assert opening.asking(run / 'other') == {}


@pytest.mark.parametrize('text', ['{"stage": "reas', '{"stage": "reasoning_rl"}', None])
def test_a_run_whose_config_is_damaged_says_that_it_does_not_know_how_it_asks(text, tmp_path):
  (tmp_path / 'model').mkdir()
  if text is not None:
    (tmp_path / 'config.json').write_text(text)
  told = []
  assert opening.asking(tmp_path, told.append) == {}
  assert len(told) == 1 and 'system prompt' in told[0] and 'config.json' in told[0]
