"""The folder of a run: what it was asked to do, and whether it may go on."""

import json
import shutil

import pytest

from r1jax import config as config_lib
from r1jax import files
from r1jax.experiments import r1_zero
from r1jax.runs import learned, lock, workdir
from r1jax.runs.doctor import rules
from r1jax.runs.show import reading
from r1jax.train import loop


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


@pytest.mark.parametrize(
  'error, why',
  [
    (ValueError('no group of\nthis rollout'), 'no group of this rollout'),
    (MemoryError(), 'MemoryError'),
    (loop.Interrupted('stopped by SIGTERM', 15), ''),
  ],
)
def test_why_a_run_ends_before_its_end_is_kept_until_it_goes_on(begun, error, why):
  folder, config = begun
  with pytest.raises(type(error)), workdir.opened(folder, config):
    raise error
  assert reading.read(folder).stopped == why
  found = rules.of(reading.read(folder))
  assert [one.seen for one in found if one.name == 'it ended before its end'] == [why][: bool(why)]
  with workdir.opened(folder, config):
    assert reading.read(folder).stopped == ''


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


def test_replies_on_disk_are_not_joined_by_those_of_another_config(tmp_path):
  config = config_lib.default('cold_start')
  folder = workdir.prepare(tmp_path, config)
  files.write_rows(folder / 'samples' / 'part_000000.jsonl', [])
  # What is made of the replies may change, and how many there are to be.
  config.samples.questions *= 2
  config.filter.ngram += 1
  workdir.prepare(folder, config)
  config.sample.temperature = 0.5
  with pytest.raises(ValueError, match='config.sample.temperature=1.0, now it is 0.5'):
    workdir.prepare(folder, config)


def test_a_damaged_config_is_named(begun):
  folder, config = begun
  (folder / 'config.json').write_text('{"seed": ')
  with pytest.raises(ValueError, match='config.json is not JSON'):
    workdir.prepare(folder, config)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(ValueError, match='file/run cannot be written'):
    workdir.prepare(tmp_path / 'file' / 'run', r1_zero.get_config())


@pytest.fixture
def learning(tmp_path):
  """A run that has begun to learn from two files of its user; its folder and its config."""
  config = r1_zero.get_config()
  for name in ('path', 'heldout_path'):
    (tmp_path / name).write_text('{"question": "1 + 1", "answer": "2"}\n')
  config.data.name = 'jsonl'
  config.data.path, config.data.heldout_path = (str(tmp_path / n) for n in ('path', 'heldout_path'))
  folder = workdir.prepare(tmp_path / 'run', config)
  (folder / 'checkpoints' / 'step_00000000').mkdir(parents=True)
  return folder, config


def test_the_same_data_may_be_written_again(learning, tmp_path):
  folder, config = learning
  (tmp_path / 'path').write_text((tmp_path / 'path').read_text())
  assert workdir.prepare(folder, config) == folder


@pytest.mark.parametrize('name', ['path', 'heldout_path'])
def test_changed_data_is_refused_with_the_file_and_changes_nothing(learning, tmp_path, name):
  folder, config = learning
  before = {path: path.read_bytes() for path in folder.glob('*.json')}
  (tmp_path / name).write_text('{"question": "1 + 1", "answer": "3"}\n')
  with pytest.raises(ValueError, match=rf'{tmp_path}/{name} \(config.data.{name}\) has changed'):
    workdir.prepare(folder, config)
  assert {path: path.read_bytes() for path in folder.glob('*.json')} == before


def test_shards_of_a_folder_count_where_they_are_read(learning, tmp_path):
  folder, config = learning
  shards = tmp_path / 'hub' / 'data'
  shards.mkdir(parents=True)
  for name in ('train-00000-of-00002', 'train-00001-of-00002', 'test-00000-of-00001'):
    (shards / f'{name}.parquet').write_bytes(name.encode())
  config.data.path = config.data.heldout_path = str(tmp_path / 'hub')
  first = learned.digests(config)
  assert first['data.path'] != first['data.heldout_path']
  (shards / 'test-00000-of-00001.parquet').write_bytes(b'other')
  second = learned.digests(config)
  assert second['data.path'] == first['data.path']
  assert second['data.heldout_path'] != first['data.heldout_path']
  (shards / 'train-00001-of-00002.parquet').write_bytes(b'other')
  assert learned.digests(config)['data.path'] != first['data.path']


def test_samples_of_other_data_are_not_mixed_in(learning, tmp_path):
  folder, config = learning
  (folder / 'checkpoints' / 'step_00000000').rmdir()
  (folder / 'samples').mkdir()
  (folder / 'samples' / 'part_000000.jsonl').write_text('')
  (tmp_path / 'path').write_text('other')
  with pytest.raises(ValueError, match='has changed'):
    workdir.prepare(folder, config)


def test_a_folder_of_an_older_version_has_no_digests_and_gets_them(learning, tmp_path):
  folder, config = learning
  (folder / 'data.json').unlink()
  workdir.prepare(folder, config)
  assert sorted(json.loads((folder / 'data.json').read_text())) == [
    'data.heldout_path',
    'data.path',
  ]


@pytest.mark.parametrize('file', ['config.json', 'data.json'])
@pytest.mark.parametrize('content', [b'', b'{"seed": ', b'\xff\xfe', b'[1, 2]', b'"text"', b'null'])
def test_a_damaged_file_of_the_folder_is_named_in_one_line(learning, file, content):
  folder, config = learning
  (folder / file).write_bytes(content)
  with pytest.raises(ValueError, match=f'{folder}/{file}') as refused:
    workdir.prepare(folder, config)
  assert '\n' not in str(refused.value)


def test_a_folder_that_another_holds_keeps_its_config(learning):
  folder, config = learning
  before = (folder / 'config.json').read_text()
  config.loop.checkpoint_every += 1
  with (
    lock.hold(folder),
    pytest.raises(lock.LockedError),
    workdir.opened(folder, config),
  ):
    pass
  assert (folder / 'config.json').read_text() == before


def test_a_folder_deleted_under_the_run_is_said_at_its_end(learning):
  folder, config = learning
  with pytest.raises(lock.Lost, match=str(folder)), workdir.opened(folder, config):
    shutil.rmtree(folder)


def _ended(folder, config):
  """A run that has ended in that folder."""
  files.write_json(folder / workdir.SUMMARY, {'pass@1': 0.5})
  (folder / 'model').mkdir()
  workdir.end(folder, config, 100, {'updates': 1.23456, 'whole': 1.23456})


def test_a_run_that_has_ended_is_known_by_its_config_its_data_and_its_model(begun):
  folder, config = begun
  assert workdir.ended(folder, config) is None
  _ended(folder, config)
  found = workdir.ended(folder, config)
  assert found['updates'] == 100 and found['pass@1'] == 0.5
  assert found['seconds'] == {'updates': 1.235, 'whole': 1.235}
  # How often it saves and where it runs say nothing of what it leaves.
  config.loop.checkpoint_every, config.mesh, config.rl.samples_mib = 7, (1, 2, 1, 1), 9
  assert workdir.ended(folder, config) == found


@pytest.mark.parametrize(
  'change',
  [
    lambda folder, config: config.rl.update(updates=101),
    lambda folder, config: config.update(seed=5),
    lambda folder, config: config.loop.update(keep_best=True),
    lambda folder, config: (folder / 'model').rmdir(),
    lambda folder, config: (folder / 'data.json').write_text('{"data.path": "ab"}'),
    lambda folder, config: (folder / workdir.SUMMARY).write_text('{"updates": 10'),
  ],
  ids=['longer', 'another', 'best', 'no model', 'other data', 'damaged'],
)
def test_a_run_that_is_not_whole_or_is_to_be_another_goes_on(begun, change):
  folder, config = begun
  _ended(folder, config)
  change(folder, config)
  assert workdir.ended(folder, config) is None
