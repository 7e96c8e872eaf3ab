"""The folder of a run: what it was asked to do, and whether it may go on."""

import json

import pytest

from r1jax.experiments import r1_zero
from r1jax.runs import workdir


@pytest.fixture
def begun(tmp_path):
  """A folder in which a run has begun, and its config."""
  config = r1_zero.get_config()
  folder = workdir.prepare(tmp_path / 'deep' / 'run', config)
  (folder / 'checkpoints' / 'step_00000000').mkdir(parents=True)
  return folder, config


def test_config_and_versions_are_written(begun):
  folder, config = begun
  assert json.loads((folder / 'config.json').read_text())['rl']['prompts'] == config.rl.prompts
  versions = json.loads((folder / 'versions.json').read_text())
  assert versions == workdir.versions()
  assert versions['jax'] and versions['r1jax']


def test_the_same_config_may_go_on_elsewhere_and_for_longer(begun):
  folder, config = begun
  config.mesh = (1, 2, 4, 1)
  config.rl.updates += 10
  config.loop.checkpoint_every = 7
  assert workdir.prepare(folder, config) == folder
  assert json.loads((folder / 'config.json').read_text())['loop']['checkpoint_every'] == 7


@pytest.mark.parametrize(
  'change, message',
  [
    (lambda config: config.update(seed=5), 'config.seed=0, now it is 5'),
    (lambda config: config.optimizer.update(lr=0.5), r'config.optimizer.lr=.*, now it is 0.5'),
    (lambda config: config.data.update(levels=(1, 5)), 'config.data.levels'),
  ],
)
def test_another_config_is_refused_with_the_key_and_changes_nothing(begun, change, message):
  folder, config = begun
  before = (folder / 'config.json').read_text()
  change(config)
  with pytest.raises(ValueError, match=message):
    workdir.prepare(folder, config)
  assert (folder / 'config.json').read_text() == before


def test_a_folder_in_which_nothing_has_begun_takes_any_config(tmp_path):
  config = r1_zero.get_config()
  workdir.prepare(tmp_path, config)
  config.seed = 5
  workdir.prepare(tmp_path, config)
  assert json.loads((tmp_path / 'config.json').read_text())['seed'] == 5


def test_a_damaged_config_is_named(begun):
  folder, config = begun
  (folder / 'config.json').write_text('{"seed": ')
  with pytest.raises(ValueError, match='config.json is not JSON'):
    workdir.prepare(folder, config)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(ValueError, match='file/run cannot be written'):
    workdir.prepare(tmp_path / 'file' / 'run', r1_zero.get_config())
