"""The objective against numbers that TRL made, unpacked, packed, and in micro-batches."""

import functools
import json

import chex
import numpy as np
import pytest

from r1jax.algorithms import advantages, grpo
from tests import shared_data
from tests.algorithms import grpo_test, oracle


@functools.cache
def stored():
  return json.loads(shared_data.path('grpo_loss_reference.json').read_text())


def config(case):
  """The mapping of TRL's settings that the docstring of `grpo` gives."""
  high = case['epsilon_high'] or case['epsilon']
  cispo = case['loss_type'] == 'cispo'
  return grpo.GrpoConfig(
    clip_low=1.0 if cispo else case['epsilon'],
    clip_high=high - 1 if cispo else high,
    beta=case['beta'],
    delta=case['delta'],
    kl_form='k3_ratio_weighted' if case['use_bias_correction_kl'] else 'k3',
    aggregation=case['loss_type'],
    advantage_scale=case['scale_rewards'],
    importance=case['importance_sampling_level'],
    log_ratio_limit=None,
    max_length=stored()['inputs']['max_completion_length'],
  )


def sequences(cfg, case):
  given = {name: np.array(x) for name, x in stored()['inputs'].items() if isinstance(x, list)}
  cut = lambda x_BT: [row[:n] for row, n in zip(x_BT, given['lengths'])]
  return {
    'logp': cut(given['logps']),
    'old_logp_BT': cut(given['old_logps'] if case['old_given'] else given['logps']),
    'ref_logp_BT': cut(given['ref_logps']),
    'sampler_logp_BT': cut(given['logps']),
    'advantage': advantages.estimate(given['rewards'].reshape(2, 4), None, cfg).reshape(-1),
  }


@pytest.mark.parametrize('scale', ['group', 'batch', 'none'])
def test_advantages_agree_with_trl(scale):
  reward_PG = np.array(stored()['inputs']['rewards']).reshape(2, 4)
  advantage_PG = advantages.estimate(reward_PG, None, grpo.GrpoConfig(advantage_scale=scale))
  expected = stored()['trl']['advantages_by_scale_rewards'][scale]
  np.testing.assert_allclose(advantage_PG.reshape(-1), expected, rtol=1e-5, atol=1e-6)


NAMES = {
  'kl': 'grpo/kl',
  'clip_ratio/low_mean': 'grpo/clip_low',
  'clip_ratio/high_mean': 'grpo/clip_high',
}
# Two rows at once in both of the packed ones, so that they are the same program.
LAYOUTS = {
  'unpacked': (None, 8, 1),
  'packed': ([[3, 0, 5], [1, 6, 2, 4, 7]], 32, 1),
  'in_micro_batches': ([[6, 7], [2, 5, 1], [0], [4, 3]], 32, 2),
}


@pytest.mark.parametrize('layout, width, parts', LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize('index', range(15))
def test_loss_gradient_and_figures_agree_with_trl(index, layout, width, parts):
  case = stored()['trl']['cases'][index]
  cfg = config(case['settings'])
  data = sequences(cfg, case['settings'])
  # The stored bnpo case is one micro-batch; splitting it changes what bnpo means.
  parts = 1 if cfg.aggregation == 'bnpo' else parts
  layout = layout or oracle.alone(data)
  value, grads, figures = grpo_test.packed_value_grad(cfg, data, layout, width, np.nan, parts)
  assert value == pytest.approx(case['loss'], abs=1e-6, rel=1e-5)
  expected = [
    np.float32(grad_T[:length]) for grad_T, length in zip(case['grad_logps'], map(len, grads))
  ]
  chex.assert_trees_all_close(grads, expected, atol=1e-6, rtol=1e-5)
  for theirs in NAMES.keys() & case['metrics'].keys():
    assert float(figures[NAMES[theirs]]) == pytest.approx(case['metrics'][theirs], abs=1e-6)


def test_all_stored_cases_are_covered():
  assert len(stored()['trl']['cases']) == 15
