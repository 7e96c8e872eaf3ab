"""Which kernels run is decided once, and never silently something else."""

import pytest

from experiments import r1_zero
from r1jax import config as config_lib
from r1jax import kernels
from r1jax.model import config as model_config


@pytest.mark.parametrize(
  'asked, platform, form',
  [
    ('auto', 'cpu', 'reference'),
    ('auto', 'gpu', 'reference'),
    ('auto', 'tpu', 'reference'),
    ('tpu', 'tpu', 'tpu'),
    ('reference', 'tpu', 'reference'),
  ],
)
def test_auto_is_the_form_that_has_been_run(asked, platform, form):
  assert kernels.resolve(asked, platform) == form


@pytest.mark.parametrize(
  'asked, platform, why',
  [
    ('gpu', 'gpu', 'none'),
    ('tpu', 'cpu', 'runs on a tpu only; this is a cpu'),
    ('fast', 'cpu', "'fast' is not one of"),
  ],
)
def test_what_does_not_exist_is_refused_with_the_reason(asked, platform, why):
  with pytest.raises(ValueError, match=why):
    kernels.resolve(asked, platform)


def test_the_plan_says_what_runs_and_what_else_there_is():
  assert 'kernels=tpu' in kernels.describe('reference', 'tpu')
  assert 'no kernel of our own' in kernels.describe('reference', 'gpu')
  assert kernels.describe('reference', 'cpu').endswith('for cpu')
  assert kernels.describe('tpu', 'tpu').startswith('tpu: Pallas')


def test_a_config_resolves_its_kernels_when_it_is_built():
  config = r1_zero.get_config('small')
  assert config_lib.build(config).model.kernels == 'reference'
  config.runtime.kernels = 'gpu'
  with pytest.raises(ValueError, match="kernels='gpu'"):
    config_lib.build(config)
  with pytest.raises(ValueError, match="kernels='auto' is not one of reference"):
    model_config.ModelConfig(kernels='auto')
