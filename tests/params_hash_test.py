"""The digest of weights: of every bit, name, shape and type, and of nothing else."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax import params, sharding


def _weights():
  rng = np.random.default_rng(0)
  return {'a': rng.normal(size=(8, 16)).astype('f4'), 'b': {'c': np.arange(16, dtype='i4')}}


@pytest.mark.parametrize('shape', [(1, 1, 1, 1), (1, 2, 1, 4), (2, 1, 2, 2)])
def test_the_hash_of_the_weights_does_not_depend_on_the_mesh(shape):
  count = math.prod(shape)
  if len(jax.devices()) < count:
    pytest.skip(f'needs {count} devices (XLA_FLAGS=--xla_force_host_platform_device_count=8)')
  with jax.set_mesh(sharding.make_mesh(shape, jax.devices()[:count])):
    on_device = {
      'a': sharding.put(_weights()['a'], jax.P('fsdp', 'tensor')),
      'b': {'c': sharding.put(_weights()['b']['c'], jax.P('tensor'))},
    }
    assert params.sha256(on_device) == params.sha256(_weights())


def test_the_hash_sees_every_bit_name_shape_and_dtype():
  other = [_weights() for _ in range(5)]
  other[0]['a'][3, 3] = np.nextafter(other[0]['a'][3, 3], 9, dtype='f4')
  other[1]['a'] = other[1]['a'].reshape(16, 8)
  other[2]['b']['c'] = other[2]['b']['c'].view('f4')
  other[3]['b'] = {'d': other[3]['b']['c']}
  other[4]['a'] = np.asfortranarray(other[4]['a'])
  hashes = [params.sha256(tree) for tree in (_weights(), *other)]
  assert len(set(hashes)) == 5 and hashes[5] == hashes[0]
  half = {'x': jnp.ones(3, jnp.bfloat16)}
  assert params.sha256(half) != params.sha256({'x': jnp.ones(3, jnp.float16)})
