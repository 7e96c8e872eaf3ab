"""The small layers against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax.model import layers
from tests.model import tiny

RNG = np.random.default_rng(0)


@pytest.fixture(scope='module', autouse=True)
def mesh():
  with tiny.mesh():
    yield


def normal(*shape):
  return RNG.normal(size=shape).astype(np.float32)


def test_rms_norm_divides_by_the_root_mean_square_in_float32_and_keeps_the_type():
  x, scale = 100 * normal(5, 8), normal(8)
  expected = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * scale
  np.testing.assert_allclose(layers.rms_norm(scale, x, 1e-6), expected, rtol=1e-5)
  low = layers.rms_norm(scale, jnp.asarray(x, jnp.bfloat16), 1e-6)
  assert low.dtype == jnp.bfloat16


def test_swiglu_gates_with_silu():
  weights, x = tiny.fill(layers.swiglu_params(8, 12)), normal(5, 8)
  gate, up, down = (np.asarray(weights[name]) for name in ('w_gate', 'w_up', 'w_down'))
  inner = x @ gate
  expected = (inner / (1 + np.exp(-inner)) * (x @ up)) @ down
  np.testing.assert_allclose(layers.swiglu(weights, x), expected, atol=1e-5)


def test_embed_takes_rows_and_head_multiplies_by_them():
  table, token = tiny.put(normal(10, 8)), tiny.put([3, 0, 9])
  x = layers.embed(table, token, jnp.float32)
  np.testing.assert_array_equal(x, np.asarray(table)[np.asarray(token)])
  np.testing.assert_allclose(layers.head(table, x), x @ np.asarray(table).T, atol=1e-5)
  low = layers.head(table, x.astype(jnp.bfloat16))
  assert low.dtype == jnp.float32


def test_the_embedding_gradient_counts_every_use_of_a_token():
  table, token = normal(10, 8), tiny.put([3, 3, 9])
  gradient = jax.grad(lambda w: layers.embed(w, token, jnp.float32).sum())(table)
  expected = np.zeros((10, 8))
  expected[3], expected[9] = 2, 1
  np.testing.assert_array_equal(gradient, expected)
