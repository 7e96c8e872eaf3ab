"""The state of a stage and its reference policy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from r1jax import params as params_lib
from r1jax import programs, sharding
from r1jax.model import transformer
from r1jax.train import optimizer
from r1jax.train import state as state_lib
from tests.model import tiny


def test_a_reference_of_another_type_is_the_policy_rounded_and_stays_so(one_device):
  params = {'w': jnp.linspace(0, 1, 7), 'norm': jnp.ones(3)}
  types = {'w': jnp.dtype('bfloat16'), 'norm': jnp.dtype('float32')}
  state = state_lib.create(params, optax.sgd(1.0), True, types)
  assert state.reference['w'].dtype == jnp.bfloat16 and state.reference['norm'].dtype == jnp.float32
  moved = jax.tree.map(lambda w: w + 0.5, params)
  state = state.replace(params=moved, step=jnp.int32(3))
  kept = state_lib.refresh_reference(state, 2).reference
  np.testing.assert_array_equal(kept['w'], params['w'].astype(jnp.bfloat16))
  new = state_lib.refresh_reference(state, 3).reference
  np.testing.assert_array_equal(new['w'], moved['w'].astype(jnp.bfloat16))
  assert new['w'].dtype == jnp.bfloat16


def test_by_default_the_reference_is_a_copy_of_the_policys_types(one_device):
  params = {'w': jnp.arange(3.0)}
  state = state_lib.create(params, optax.sgd(1.0), True)
  assert state.reference['w'].dtype == params['w'].dtype
  assert state_lib.create(params, optax.sgd(1.0), False).reference is None


def test_a_state_is_made_by_one_program_whose_buffers_are_its_own(one_device):
  params = {f'w{i}': jnp.ones((3, i + 1)) for i in range(5)}
  watch = programs.Watch()
  state = state_lib.create(params, optax.adam(1.0), True)
  assert watch.count == 1
  # What is given away leaves the reference and the moments as they are.
  give = jax.jit(lambda params: jax.tree.map(lambda w: w * 2, params), donate_argnums=0)
  np.testing.assert_array_equal(give(state.params)['w4'], 2 * np.ones((3, 5)))
  np.testing.assert_array_equal(state.reference['w4'], np.ones((3, 5)))


def test_reference_and_moments_are_laid_out_as_their_weights():
  with jax.set_mesh(sharding.make_mesh((1, 2, 2, 2), jax.devices()[:8])):
    specs = transformer.specs(tiny.MLA)
    params = params_lib.init(specs, jax.random.key(0), 0.02, 'float32')
    tx = state_lib.make_optimizer(optimizer.OptimizerConfig(lr=1e-3), specs)
    state = state_lib.create(params, tx, True)
  laid_out = {(w.shape, w.sharding) for w in jax.tree.leaves(params)}
  assert any(not layout.is_fully_replicated for _, layout in laid_out)
  assert [w.sharding for w in jax.tree.leaves(state.reference)] == [
    w.sharding for w in jax.tree.leaves(params)
  ]
  moments = [x for x in jax.tree.leaves(state.optimizer) if x.ndim]
  assert len(moments) >= len(jax.tree.leaves(params))
  assert {(x.shape, x.sharding) for x in moments} <= laid_out


def test_stages_whose_optimizers_differ_in_rates_share_one_rule_and_so_what_is_compiled():
  def rule(width=3, **values):
    config = optimizer.OptimizerConfig(**{'lr': 1e-3} | values)
    specs = {'w': params_lib.Param((width, 2), (None, None))}
    return state_lib.make_optimizer(config, specs).rule

  rates = {'lr': 2e-3, 'schedule': 'cosine', 'steps': 9, 'warmup': 2, 'end_fraction': 0.5}
  assert rule() is rule(**rates, max_skipped=3)
  for field in dataclasses.fields(optimizer.OptimizerConfig):
    if field.name not in (*rates, 'max_skipped'):
      other = 'bfloat16' if field.name == 'moments' else 0.123
      assert rule(**{field.name: other}) is not rule(), field.name
  assert rule(width=4) is not rule()
