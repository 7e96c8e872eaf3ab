"""A run on a laptop takes its cores as two devices, where it may."""

import dataclasses
import subprocess

import jax
import pytest

from r1jax import config as config_lib
from r1jax import cores
from r1jax.experiments import r1_zero
from r1jax.runs import cpu_devices
from tests import small_runs


def job_of(rl=None, **changes):
  """The tiny preset's job, changed."""
  job = config_lib.build(r1_zero.get_config('tiny'))
  return dataclasses.replace(job, rl=dataclasses.replace(job.rl, **rl or {}), **changes)


@pytest.fixture
def devices(monkeypatch):
  """(job, cores, environment) -> devices that JAX is told to make; 0 where it is told nothing."""

  def told(job, count=4, **environment):
    asked = []
    monkeypatch.setattr(cores, 'available', lambda: range(count))
    monkeypatch.delenv('XLA_FLAGS', raising=False)
    for name, value in environment.items():
      monkeypatch.setenv(name, value)
    monkeypatch.setattr(jax.config, 'update', lambda name, value: asked.append((name, value)))
    cpu_devices.share(job)
    assert {name for name, _ in asked} <= {'jax_num_cpu_devices'}
    return sum(value for _, value in asked)

  return told


def test_two_cores_and_more_are_two_devices_and_one_stays_one(devices):
  assert [devices(job_of(), count) for count in (1, 2, 16)] == [0, 2, 2]
  # Prompts wait for slots, so that they need not divide.
  assert devices(job_of(rl={'prompts': 31})) == 2


def test_kernels_of_a_cpu_are_named_before_there_are_devices(devices, monkeypatch):
  monkeypatch.setattr(jax, 'devices', lambda: pytest.fail('JAX was asked for its devices'))
  runtime = dataclasses.replace(job_of().runtime, kernels='cpu')
  assert devices(job_of(runtime=runtime)) == 2


def test_what_the_user_says_stays(devices):
  flags = '--xla_dump_to=x --xla_force_host_platform_device_count=1'
  assert devices(job_of(), XLA_FLAGS=flags) == 0
  assert devices(job_of(), XLA_FLAGS='--xla_dump_to=x') == 2
  assert devices(job_of(mesh=(1, 1, 1, 1))) == 0
  assert devices(job_of(mesh=(1, 1, 1, -1))) == 2


@pytest.mark.parametrize('rl', [{'rows': 15}, {'staleness': 1}])
def test_a_job_that_two_devices_cannot_share_keeps_one(devices, rl):
  assert devices(job_of(rl=rl)) == 0


def test_a_large_model_keeps_one_device(devices):
  assert devices(config_lib.build(r1_zero.get_config('small'))) == 0


def test_a_job_for_another_machine_is_left_alone(devices):
  runtime = dataclasses.replace(job_of().runtime, kernels='tpu')
  assert devices(job_of(runtime=runtime)) == 0
  assert devices(job_of(stage='pretrain')) == 0


@pytest.mark.heavy
@pytest.mark.skipif(len(cores.available()) < 2, reason='one core')
def test_a_run_as_a_user_starts_it_is_on_two_devices(tmp_path):
  variables = {k: v for k, v in small_runs.environment().items() if k != 'XLA_FLAGS'}
  done = subprocess.run(
    small_runs.command(tmp_path / 'run', rl__updates=2),
    env=variables,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  assert 'on 2 cpu' in done.stdout
