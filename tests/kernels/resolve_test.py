"""Which kernels run is decided once, and never silently something else."""

import dataclasses
import os
import re

import jax
import pytest

from r1jax import config as config_lib
from r1jax import kernels
from r1jax.experiments import r1_zero
from r1jax.model import config as model_config


@dataclasses.dataclass(frozen=True)
class Device:
  """What `resolve` asks of a device."""

  platform: str
  compute_capability: str = ''


CPU, TPU = Device('cpu'), Device('tpu')
TURING, AMPERE, HOPPER = (Device('gpu', capability) for capability in ('7.5', '8.0', '9.0'))
ADA, BLACKWELL, AMD = (Device('gpu', capability) for capability in ('8.9', '10.0', 'gfx90a'))


@pytest.mark.parametrize(
  'asked, device, form',
  [
    ('reference', CPU, 'reference'),
    ('auto', HOPPER, 'reference'),
    ('auto', TPU, 'reference'),
    ('tpu', TPU, 'tpu'),
    ('gpu', HOPPER, 'gpu'),
    *(('cudnn', device, 'cudnn') for device in (AMPERE, ADA, HOPPER, BLACKWELL)),
    *(('auto', device, 'reference') for device in (TURING, AMPERE, BLACKWELL, AMD)),
    ('reference', TPU, 'reference'),
  ],
)
def test_auto_is_the_form_that_has_been_run(asked, device, form):
  assert kernels.resolve(asked, device) == form


@pytest.mark.parametrize(
  'asked, device, why',
  [
    ('gpu', CPU, 'runs on a gpu only; this is a cpu'),
    ('gpu', AMPERE, r'compute capability 9\.0; this one has 8\.0'),
    ('tpu', CPU, 'runs on a tpu only; this is a cpu'),
    ('cudnn', CPU, 'runs on a gpu only; this is a cpu'),
    ('cudnn', TURING, r'compute capability 8\.0 or more; this one has 7\.5'),
    ('cudnn', AMD, r'compute capability 8\.0 or more; this one has gfx90a'),
    ('cpu', TPU, 'runs on a cpu only; this is a tpu'),
    ('fast', CPU, "'fast' is not one of"),
  ],
)
def test_what_does_not_exist_is_refused_with_the_reason(asked, device, why):
  with pytest.raises(ValueError, match=why):
    kernels.resolve(asked, device)


@pytest.mark.parametrize(
  'cores, devices, form', [(2, 1, 'cpu'), (4, 2, 'cpu'), (8, 2, 'reference')]
)
def test_a_device_of_many_cores_has_no_loop_on_one_of_them(monkeypatch, cores, devices, form):
  monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(cores)), raising=False)
  monkeypatch.setattr(jax, 'local_device_count', lambda: devices)
  assert kernels.resolve('auto', CPU) == form and kernels.resolve('cpu', CPU) == 'cpu'


@pytest.mark.parametrize('asked, found', [('auto', 'reference'), ('cpu', 'cpu')])
def test_these_ask_for_no_devices(monkeypatch, asked, found):
  # How many devices a CPU is can be said until then, and is, by `runs.cpu_devices`.
  monkeypatch.setattr(jax, 'devices', lambda: pytest.fail('JAX was asked for its devices'))
  assert kernels.resolve(asked) == found
  config = r1_zero.get_config('small')
  config.runtime.kernels = asked
  job = config_lib.build(config)
  # Where it starts is asked once that is known.
  if asked == 'cpu':
    with pytest.raises(ValueError, match="config.runtime.kernels='cpu' runs on a cpu only"):
      job.on(HOPPER)


def test_the_plan_says_what_runs_and_what_else_there_is():
  for name, device in (('tpu', TPU), ('gpu', HOPPER)):
    assert f'kernels={name}' in kernels.describe('reference', device)
    assert kernels.describe(name, device).startswith(f'{name}: Pallas')
  assert kernels.describe('cpu', CPU).endswith('for cpu')
  assert 'kernels=cpu' in kernels.describe('reference', CPU)
  assert 'never run' in kernels.describe('cudnn', AMPERE)


@pytest.mark.parametrize('device', [CPU, TPU, TURING, AMPERE, ADA, HOPPER, BLACKWELL, AMD])
def test_the_plan_names_no_form_that_would_be_refused(device):
  for form in re.findall(r'runtime\.kernels=(\w+)', kernels.describe('reference', device)):
    assert kernels.resolve(form, device) == form
  named = 'kernels=cudnn' in kernels.describe('reference', device)
  assert named == (device in (AMPERE, ADA, HOPPER, BLACKWELL))


def test_a_config_resolves_its_kernels_when_it_is_built(monkeypatch):
  monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: {0}, raising=False)
  config = r1_zero.get_config('small')
  # Before devices are asked for 'auto' is what all of them run.
  job = config_lib.build(config)
  assert job.model.kernels == 'reference' and job.on(CPU).model.kernels == 'cpu'
  assert job.on(HOPPER).model.kernels == 'reference' and job.on(CPU).runtime.kernels == 'cpu'
  config.runtime.kernels = 'gpu'
  with pytest.raises(ValueError, match="kernels='gpu'"):
    config_lib.build(config)
  assert config_lib.build(config, HOPPER).model.kernels == 'gpu'
  with pytest.raises(ValueError, match="kernels='auto' is not one of 'reference'"):
    model_config.ModelConfig(kernels='auto')
