"""Devices without units for bfloat16 compute in float32, and that is said."""

import json
import shutil
import types

import jax
import pytest

from r1jax import config as config_lib
from r1jax import precision
from r1jax.cli import conversation
from r1jax.experiments import r1_zero
from r1jax.interchange import checkpoints
from r1jax.planning import gpus, topology
from r1jax.runs import kinds


def gpu(capability, kind='Tesla T4'):
  """What is asked of a `jax.Device`."""
  return types.SimpleNamespace(platform='gpu', device_kind=kind, compute_capability=capability)


@pytest.mark.parametrize(
  'capability, chosen',
  [
    ('7.0', 'float32'),
    ('7.5', 'float32'),
    ('8.0', 'bfloat16'),
    ('8.9', 'bfloat16'),
    ('9.0', 'bfloat16'),
    ('10.0', 'bfloat16'),
    ('12.1', 'bfloat16'),
    ('gfx90a', 'bfloat16'),
  ],
)
def test_bfloat16_needs_a_gpu_of_capability_8(capability, chosen):
  assert precision.compute_dtype('bfloat16', gpu(capability)) == chosen
  assert precision.compute_dtype('float32', gpu(capability)) == 'float32'
  assert precision.compute_dtype('float16', gpu(capability)) == 'float16'


def test_a_plan_knows_which_boards_have_them():
  old = {name for name, board in gpus.BOARDS.items() if _computes(board) == 'float32'}
  assert old == {'t4'} and set(gpus.BOARDS) < set(topology.CHIPS)


def _computes(board):
  return precision.compute_dtype('bfloat16', board)


def test_devices_that_are_no_gpu_compute_in_what_is_asked():
  assert precision.compute_dtype('bfloat16', jax.devices()[0]) == 'bfloat16'


def small():
  """The config of a run that would compute in bfloat16."""
  config = r1_zero.get_config()
  config.runtime.compute_dtype = 'bfloat16'
  return config


def test_a_job_on_an_old_gpu_changes_in_its_compute_type_alone():
  config = config_lib.default('reasoning_rl')
  config.runtime.kernels = 'reference'  # else a device says which form that is
  job = config_lib.build(config)
  old, new = job.on(gpu('7.5')), job.on(gpu('8.0'))
  assert new == job and job.model.compute_dtype == 'bfloat16'
  assert old.runtime.compute_dtype == old.model.compute_dtype == 'float32'
  config.runtime.compute_dtype = 'float32'
  assert old == config_lib.build(config)


def test_a_run_says_that_it_computes_in_another_type(monkeypatch, capsys):
  seen = []
  run = lambda job, config, mesh, imports: seen.append(job)
  course = types.SimpleNamespace(run=run, learns=None)
  monkeypatch.setitem(kinds.KINDS, 'reasoning_rl', course)
  monkeypatch.setattr(kinds.programs, 'keep', lambda place: None)
  config = small()
  kinds.run(config_lib.build(config), config)
  assert capsys.readouterr().out == ''
  # As if the device of the mesh were a T4.
  chosen, told = precision.compute_dtype, precision.told
  monkeypatch.setattr(precision, 'compute_dtype', lambda asked, _: chosen(asked, gpu('7.5')))
  monkeypatch.setattr(precision, 'told', lambda _: told(gpu('7.5')))
  kinds.run(config_lib.build(config), config)
  assert [job.runtime.compute_dtype for job in seen] == ['bfloat16', 'float32']
  said = 'Tesla T4 (compute capability 7.5) has no units for bfloat16: it computes in float32\n'
  assert capsys.readouterr().out == said


def test_a_chat_computes_in_float32_there_unless_told_otherwise(monkeypatch, one_device, tmp_path):
  folder = tmp_path / 'model'
  shutil.copytree(checkpoints.open('tiny'), folder)
  hub = json.loads((folder / 'config.json').read_text())
  (folder / 'config.json').write_text(json.dumps(hub | {'torch_dtype': 'bfloat16'}))
  chosen = precision.compute_dtype
  monkeypatch.setattr(precision, 'compute_dtype', lambda asked, _: chosen(asked, gpu('7.5')))
  cfg = conversation.load(folder).cfg
  assert (cfg.param_dtype, cfg.compute_dtype) == ('bfloat16', 'float32')
  cfg = conversation.load(folder, 'bfloat16').cfg
  assert (cfg.param_dtype, cfg.compute_dtype) == ('bfloat16', 'bfloat16')
