"""The mesh and the rules table."""

import jax
import numpy as np
import pytest

from r1jax import params, sharding
from r1jax.model import config, transformer
from tests.model import tiny


def test_the_free_axis_takes_the_devices_that_are_left():
  mesh = sharding.make_mesh((2, -1, 1, 2), jax.devices()[:8])
  assert dict(mesh.shape) == {
    'data': 2,
    'fsdp': 2,
    'node': 1,
    'expert': 1,
    'tensor': 2,
    'context': 1,
  }
  assert sharding.batch_shards(mesh) == 4


@pytest.mark.parametrize('shape', [(2, 2), (-1, -1, 1, 1), (3, 1, 1, 1)])
def test_a_mesh_that_is_none_is_refused_with_its_key(shape):
  with pytest.raises(ValueError, match=r'^config\.mesh=\('):
    sharding.sizes(shape, 8)


def test_rows_belong_to_the_devices_of_a_context_axis_together():
  mesh = sharding.make_mesh((1, 2, 1, 1, 4), jax.devices()[:8])
  assert (sharding.row_shards(mesh), sharding.batch_shards(mesh)) == (2, 8)
  with jax.set_mesh(mesh):
    rows = sharding.put(np.arange(4 * 12 * 3).reshape(4, 12, 3), sharding.act('rows', None, None))
    there = jax.jit(sharding.flat)(rows)
    back = jax.jit(sharding.in_rows)(there, rows)
    assert there.addressable_shards[0].data.shape == (6, 3)
    assert back.addressable_shards[0].data.shape == (2, 12, 3)
    np.testing.assert_array_equal(back, rows)


@pytest.mark.parametrize(
  'node, shape, placed',
  [
    ((0, 0, 0, 0, 0, 0, 0, 0), (1, 1, 8, 1), (1, 8)),
    ((0, 0, 0, 0, 1, 1, 1, 1), (1, 1, 8, 1), (2, 4)),
    ((0, 0, 0, 0, 1, 1, 1, 1), (1, 2, 4, 1), (1, 4)),
    ((0, 0, 0, 0, 1, 1, 1, 1), (1, 1, 4, 2), (2, 2)),
    ((0, 0, 0, 0, 1, 1, 1, 1), (1, 1, 2, 4), (2, 1)),
    ((0, 1, 2, 3, 4, 5, 6, 7), (1, 1, 8, 1), (8, 1)),
    ((0, 0, 0, 1, 1, 1, 2, 2), (1, 1, 8, 1), (8, 1)),
    ((0, 0, 0, 0, 1, 1, 1, 1), (1, 8, 1, 1), (1, 1)),
  ],
)
def test_the_shards_of_the_experts_know_who_shares_their_node(monkeypatch, node, shape, placed):
  monkeypatch.setattr(sharding, 'node', lambda device: node[device.id])
  mesh = sharding.make_mesh(shape, jax.devices()[:8])
  assert sharding.expert_shards(mesh) == placed
  here = np.vectorize(lambda d: node[d.id])(np.moveaxis(mesh.devices, 3, 0))
  assert (here == here[0]).all()


def test_sizes_are_filled_in_without_any_device():
  assert sharding.sizes((1, -1, 2, 4), 64) == (1, 8, 2, 4, 1)
  with pytest.raises(ValueError, match='needs a multiple of 8 devices, and 12 are here'):
    sharding.sizes((1, -1, 2, 4), 12)


@pytest.mark.parametrize(
  'shape, message',
  [
    ((2, 1, 1, 1), 'needs 2 devices'),
    ((1, 3, -1, 1), 'needs a multiple of 3 devices'),
    ((-1, -1, 1, 1), 'at most one'),
    ((1, 1, 1), 'one size for each'),
    ((0, 1, 1, 1), 'one size for each'),
  ],
)
def test_a_shape_that_does_not_fit_the_devices_is_refused_with_the_numbers(shape, message):
  with pytest.raises(ValueError, match=message):
    sharding.make_mesh(shape, jax.devices()[:4])


# Each logical axis -> the mesh axes it is spread over, as a tuple.
RULES = {
  name: (rule,) if isinstance(rule, str) else rule or ()
  for name, rule in sharding.PARAM_RULES.items()
}


def test_every_logical_axis_of_every_model_has_a_rule():
  axes = set()
  for cfg in (config.ModelConfig(), tiny.MLA, tiny.GQA):
    specs = jax.tree.leaves(transformer.specs(cfg), is_leaf=params.is_param)
    axes |= {axis for spec in specs for axis in spec.axes}
  assert axes == set(sharding.PARAM_RULES)
  assert {axis for rule in RULES.values() for axis in rule} <= set(sharding.MESH_AXES)


def test_no_weight_uses_a_mesh_axis_twice():
  for spec in jax.tree.leaves(transformer.specs(config.ModelConfig()), is_leaf=params.is_param):
    used = [axis for a in spec.axes for axis in RULES[a]]
    assert len(used) == len(set(used)), spec


def test_put_splits_what_fetch_gives_back_whole():
  array = np.arange(32).reshape(8, 4)
  with tiny.mesh(2, 1, 2, 2):
    split = sharding.put(array, sharding.act('batch', 'ffn'))
    assert split.addressable_shards[0].data.shape == (2, 2)
    np.testing.assert_array_equal(sharding.fetch({'x': split})['x'], array)
