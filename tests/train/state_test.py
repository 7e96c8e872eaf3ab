"""The state of a stage and its reference policy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from r1jax import params as params_lib
from r1jax.train import optimizer
from r1jax.train import state as state_lib


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


def test_stages_with_equal_optimizers_share_one_object_and_so_what_is_compiled():
  make = lambda lr, width: state_lib.make_optimizer(
    optimizer.OptimizerConfig(lr=lr), {'w': params_lib.Param((width, 2), (None, None))}
  )
  assert make(1e-3, 3) is make(1e-3, 3)
  assert make(1e-3, 3) is not make(2e-3, 3)
  assert make(1e-3, 3) is not make(1e-3, 4)
