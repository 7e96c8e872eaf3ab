"""Spec trees: everything that follows from them, and that nothing is allocated on the way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax import params, sharding
from r1jax.params import Param
from tests.model import tiny

SPECS = {
  'w': Param((6, 4), ('embed', 'heads')),
  'norm': Param((6,), (None,), init='ones', float32=True),
  'bias': Param((4,), ('heads',), init='zeros'),
  'frozen': Param((3, 2), (None, None), trainable=False),
}


@pytest.fixture(scope='module', autouse=True)
def mesh():
  with tiny.mesh() as mesh:
    yield mesh


def test_a_spec_whose_axes_do_not_fit_its_shape_is_refused():
  with pytest.raises(ValueError, match='differ in length'):
    Param((3, 4), ('embed',))


def test_count_is_the_number_of_values():
  assert params.count(SPECS) == 24 + 6 + 4 + 6


def test_a_stack_has_one_more_leading_axis_and_keeps_the_rest():
  stacked = params.stack(SPECS, 5)
  assert stacked['norm'] == Param((5, 6), ('layer', None), init='ones', float32=True)
  assert not stacked['frozen'].trainable
  assert params.count(stacked) == 5 * params.count(SPECS)


def test_abstract_arrays_have_the_shapes_types_and_shardings_of_the_real_ones():
  real = params.init(SPECS, jax.random.key(0), 0.1, 'bfloat16')
  abstract = params.abstract(SPECS, 'bfloat16')
  for name, array in real.items():
    expected = abstract[name]
    assert (array.shape, array.dtype) == (expected.shape, expected.dtype), name
    assert array.sharding.is_equivalent_to(expected.sharding, array.ndim), name
  assert abstract['norm'].dtype == jnp.float32
  assert abstract['w'].dtype == jnp.bfloat16


def test_initial_weights_have_the_asked_spread_and_are_cut_at_three_deviations():
  wide = {'w': Param((200, 200), (None, None))}
  w = np.asarray(params.init(wide, jax.random.key(1), 0.5, 'float32')['w'])
  assert abs(w.mean()) < 0.02
  assert 0.48 < w.std() < 0.5
  assert np.abs(w).max() <= 1.5


def test_adding_a_weight_changes_no_other():
  key = jax.random.key(2)
  before = params.init({'w': SPECS['w']}, key, 0.1, 'float32')
  after = params.init({'a': SPECS['w'], 'w': SPECS['w']}, key, 0.1, 'float32')
  np.testing.assert_array_equal(before['w'], after['w'])
  assert not np.array_equal(after['a'], after['w'])


def test_decay_acts_on_trained_matrices_only_stacked_or_not():
  expected = {'w': True, 'norm': False, 'bias': False, 'frozen': False}
  assert params.decay_mask(SPECS) == expected
  assert params.decay_mask(params.stack(SPECS, 3)) == expected
  assert params.trainable_mask(SPECS) == {'w': True, 'norm': True, 'bias': True, 'frozen': False}


def test_gathered_weights_are_whole_over_fsdp_and_still_split_over_tensor():
  with tiny.mesh(1, 2, 1, 2):
    stored = tiny.fill({'w': SPECS['w']})
    used = jax.jit(lambda w: params.gather(w, {'w': SPECS['w']}))(stored)
    assert stored['w'].addressable_shards[0].data.shape == (3, 2)
    assert used['w'].addressable_shards[0].data.shape == (6, 2)
    assert sharding.gathered(('embed', 'heads')) == jax.P(None, 'tensor')
    np.testing.assert_array_equal(stored['w'], used['w'])
