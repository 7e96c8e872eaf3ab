"""Sizes that the machine chooses, at the start of a run and where it goes on."""

import json
import socket

import jax
import pytest

from r1jax import config as config_lib
from r1jax import processes, sharding
from r1jax.experiments import r1_zero
from r1jax.planning import resident
from r1jax.runs import sizes, workdir

GIB = 2**30


def asked(folder):
  """The config of a run of the shipped model whose sizes are left to the machine."""
  config = r1_zero.get_config('tiny')
  config.workdir = str(folder)
  config.rl.rows = config.rl.capacity = config.sample.slots = 'auto'
  config.rl.length_schedule = ()
  return config


def begin(config, checkpoint=True):
  """What a run of the config leaves at its start; the config with its sizes."""
  job, config = sizes.chosen(config_lib.build(config), config, jax.sharding.get_mesh())
  folder = workdir.prepare(job.workdir, config)
  if checkpoint:
    (folder / 'checkpoints' / 'step_00000000').mkdir(parents=True)
  return job, config


@pytest.fixture
def room(monkeypatch):
  """A mesh of one device with memory of its own; (GiB) -> nothing: so much of it is free."""
  say = lambda gib: monkeypatch.setattr(resident, 'unused', lambda mesh: gib * GIB)
  say(8)
  monkeypatch.setattr(resident, 'shared', lambda mesh: 0)
  with jax.set_mesh(sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1])):
    yield say


def test_a_run_that_goes_on_has_the_sizes_that_it_began_with_on_another_machine(tmp_path, room):
  room(0.12)
  small, written = begin(asked(tmp_path / 'a'))
  room(64)
  large, _ = begin(asked(tmp_path / 'b'))
  assert small.rl.rows < large.rl.rows
  job, config = sizes.kept(config_lib.build(asked(tmp_path / 'a')), asked(tmp_path / 'a'))
  assert job == small and workdir.prepare(job.workdir, config)
  assert json.loads(config.to_json_best_effort()) == json.loads(written.to_json_best_effort())
  # And with numbers they are no question any more.
  assert sizes.chosen(job, config, jax.sharding.get_mesh()) == (job, config)


def test_a_folder_without_a_checkpoint_is_no_run_to_go_on_with(tmp_path, room):
  room(0.12)
  begin(asked(tmp_path), checkpoint=False)
  config = asked(tmp_path)
  assert sizes.kept(config_lib.build(config), config)[0].automatic == list(config_lib.SIZES)


def test_another_key_of_a_run_that_goes_on_is_refused_by_its_name(tmp_path, room):
  begin(asked(tmp_path))
  config = asked(tmp_path)
  config.sample.max_new = 64
  with pytest.raises(ValueError, match=r'config\.sample\.max_new=96, now it is 64'):
    sizes.kept(config_lib.build(config), config)


@pytest.mark.parametrize('section', [{}, {'rl': None, 'sample': None}])
def test_a_folder_of_a_run_of_another_kind_is_refused_as_such(tmp_path, room, section):
  (tmp_path / 'checkpoints' / 'step_00000000').mkdir(parents=True)
  (tmp_path / 'config.json').write_text(json.dumps({'stage': 'sft', 'checkpoint': 'x'} | section))
  config = asked(tmp_path)
  with pytest.raises(ValueError, match="holds a run with config.checkpoint='x', now it is 'tiny'"):
    sizes.kept(config_lib.build(config), config)


def test_a_model_that_fits_in_no_size_is_refused_before_anything_is_read(tmp_path, room):
  room(0.01)
  with pytest.raises(ValueError, match='do not fit.*config.rl.rows in place of auto'):
    begin(asked(tmp_path))
  assert not list(tmp_path.iterdir())


def test_processes_choose_by_the_one_that_has_least(tmp_path, room, monkeypatch):
  mesh, here = jax.sharding.get_mesh(), 'this host'
  monkeypatch.setattr(socket, 'gethostname', lambda: here)

  def free(*others):
    monkeypatch.setattr(processes, 'gather', lambda own: [own, *others])
    found = sizes._room(mesh).free
    return found and found / GIB

  assert free(['elsewhere', 3 * GIB, 0]) == 3 and free(['elsewhere', 30 * GIB, 0]) == 8
  assert free(['elsewhere', None, 0]) is None
  # Each GPU has its own memory, what is free for CPUs of a host is there once.
  assert free([here, 8 * GIB, 0]) == 8
  monkeypatch.setattr(resident, 'shared', lambda mesh: 2)
  assert free([here, 8 * GIB, 2]) == 4 and free(['elsewhere', 5 * GIB, 2]) == 5


def test_the_first_process_says_which_run_goes_on(tmp_path, room, monkeypatch):
  small, _ = begin(asked(tmp_path))
  first = json.loads((tmp_path / 'config.json').read_text())
  monkeypatch.setattr(processes, 'gather', lambda own: [first, own])
  config = asked(tmp_path / 'not here')
  job, _ = sizes.kept(config_lib.build(config), config)
  assert (job.rl.rows, job.sample.slots) == (small.rl.rows, small.sample.slots)
