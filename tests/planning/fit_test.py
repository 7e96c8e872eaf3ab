"""Changes that make a job fit: they are what they say, and they help."""

import ast

import jax
import numpy as np
import pytest

from r1jax import config as config_lib
from r1jax import params as params_lib
from r1jax.experiments import r1_zero
from r1jax.model import flops, transformer
from r1jax.planning import fit, memory, speed, topology

SLICE = 64


def job_of(preset):
  """(job, its architecture)."""
  job = config_lib.build(r1_zero.get_config(preset))
  return job, job.model


@pytest.fixture(scope='module')
def found():
  """Candidates of Qwen 7B on 64 chips of a v5e."""
  job, cfg = job_of('qwen_7b')
  limit = topology.CHIPS['v5e'].memory
  return [c for some in fit.candidates(job, cfg, SLICE, limit, lambda c: c.guess) for c in some]


def test_the_flags_of_a_candidate_make_its_job(found):
  for candidate in found[:: max(len(found) // 8, 1)]:
    config = r1_zero.get_config('qwen_7b')
    for change in candidate.changes:
      name, _, value = change.removeprefix('--config.').partition('=')
      if name == 'mesh':
        value = tuple(map(int, value.split(',')))
      elif not name.endswith(('dtype', 'layout')) and name != 'optimizer.moments':
        value = ast.literal_eval(value.strip("'"))
      config.update_from_flattened_dict({name: value})
    built = config_lib.build(config)
    assert built == candidate.job


def test_every_candidate_can_run_and_is_estimated_to_fit(found):
  assert found
  for candidate in found:
    assert not fit.refused(candidate.job, candidate.job.model, candidate.shape)
    assert candidate.guess < topology.CHIPS['v5e'].memory
    assert np.prod(candidate.shape) == SLICE


def test_smaller_types_hold_the_bytes_that_they_should():
  job, cfg = job_of('qwen_1_5b')
  mesh = fit.described((1, 8, 1, 2))
  before = memory.held(job, cfg, mesh)
  changed = fit._changed(job, cfg, (1, 8, 1, 2), 3).job
  after = memory.held(changed, cfg, mesh)
  assert after.optimizer == pytest.approx(before.optimizer / 2, rel=0.001)
  assert after.reference == pytest.approx(before.reference / 2, rel=0.001)
  assert after.parameters == before.parameters
  values = params_lib.count(transformer.specs(cfg))
  assert before.parameters == pytest.approx(values * 4 / 16, rel=0.001)  # norms are not split


@pytest.mark.parametrize('preset, billions', [('v3_671b', 36.6), ('qwen_32b', 32.0)])
def test_active_weights_are_the_published_ones(preset, billions):
  _, cfg = job_of(preset)
  assert flops.weights_per_token(cfg) / 1e9 == pytest.approx(billions, rel=0.005)


def test_the_schedule_decides_how_long_completions_are():
  job, _ = job_of('v3_671b')
  mean = (8_200 * 32_768 + 2_200 * 65_536) / 10_400
  assert speed.lengths(job, 0).longest == pytest.approx(mean)
  assert speed.lengths(job, 14_200).mean == 14_200


def test_a_mesh_that_leaves_rows_over_is_refused_with_the_numbers():
  job, cfg = job_of('v3_671b')
  assert not fit.refused(job, cfg, (1, 4, 64, 4))
  assert 'rl.rows=256 does not divide over 512' in fit.refused(job, cfg, (1, 8, 64, 4))
  assert jax.device_count() == 8  # nothing of the 2048 chips was needed
