"""Eight CPU devices for every test, so that meshes are real; set before JAX starts."""

import os

os.environ['XLA_FLAGS'] = (
  os.environ.get('XLA_FLAGS', '') + ' --xla_force_host_platform_device_count=8'
)
os.environ.setdefault('JAX_PLATFORMS', 'cpu')

import jax
import pytest

from r1jax import sharding
from tests import small_base, small_runs


@pytest.fixture
def one_device():
  """The mesh of a single device, set for the test."""
  with jax.set_mesh(sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1])) as mesh:
    yield mesh


@pytest.fixture(scope='session')
def reference(tmp_path_factory):
  """A small finished R1-Zero run on two devices, every checkpoint kept: `small_runs.Run`."""
  return small_runs.finish(tmp_path_factory.mktemp('reference') / 'run')


@pytest.fixture(scope='session')
def small(tmp_path_factory):
  """Overrides of a run of a model of two layers, for tests that start many runs."""
  base = small_base.write(tmp_path_factory.mktemp('base') / 'model')
  # A model of two layers gives no right answer: shorter replies are what its groups differ by.
  length = {'grpo__max_length': 24, 'grpo__overlong_buffer': 16}
  # With one growth of the cache, examinations and rollouts are the same program.
  return {'checkpoint': base, 'sample__cache_growth': 1} | length


@pytest.fixture(scope='session')
def small_one(small, tmp_path_factory):
  """A finished run of it on one device, every checkpoint kept: `small_runs.Run`."""
  return small_runs.finish(tmp_path_factory.mktemp('one') / 'run', devices=1, **small)


@pytest.fixture(scope='session')
def small_eight(small, tmp_path_factory):
  """The same run on a mesh of eight devices."""
  folder = tmp_path_factory.mktemp('eight') / 'run'
  return small_runs.finish(folder, devices=8, mesh='(1,2,2,1,2)', **small)


def pytest_addoption(parser):
  """Adds --heavy, for what takes most of the suite's time, and --slow, for what takes longer."""
  parser.addoption('--heavy', action='store_true', help='also run the tests marked heavy, as CI')
  parser.addoption('--slow', action='store_true', help='also run the tests marked slow')


def pytest_collection_modifyitems(config, items):
  """Leaves out the heavy and the slow tests unless asked for."""
  for name, why in (('heavy', 'half of the suite is these'), ('slow', 'takes minutes')):
    if config.getoption(f'--{name}'):
      continue
    for item in items:
      if name in item.keywords:
        item.add_marker(pytest.mark.skip(reason=f'{why}: run pytest with --{name}'))
