"""Products whose gradients have the narrower operand first, against NumPy and as programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax.kernels import products

# Of each op by x [24, D]: the gradient by its weight as a program, and NumPy's own product.
_OPS = {
  'product': (products.product, lambda x, w: x @ w, lambda x, d: x.T @ d),
  'scores': (products.scores, lambda x, w: x @ w.T, lambda x, d: d.T @ x),
}


def _operands(name, width, columns):
  rng = np.random.default_rng(0)
  weight = (width, columns) if name == 'product' else (columns, width)
  shapes = (24, width), weight, (24, columns)
  return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def _by_weight(name):
  return jax.jit(jax.grad(lambda w, x, d: jnp.sum(_OPS[name][0](x, w) * d)))


@pytest.mark.parametrize('shape', [(8, 8), (4, 16), (16, 4)], ids=str)
@pytest.mark.parametrize('name', _OPS)
def test_values_and_gradients_are_those_of_numpy(name, shape):
  x, w, d = _operands(name, *shape)
  op, value, gradient = _OPS[name]
  np.testing.assert_allclose(op(x, w), value(x, w), rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(_by_weight(name)(w, x, d), gradient(x, d), rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(products.weight_gradient(d, x), d.T @ x, rtol=1e-5, atol=1e-5)


def _lowered(name, shape, **how):
  """The programs of both ways to a gradient by weights of that shape."""
  x, w, d = _operands(name, *shape)
  return [
    _by_weight(name).trace(w, x, d).lower(**how),
    jax.jit(products.weight_gradient).trace(d, x).lower(**how),
  ]


@pytest.mark.parametrize('shape', [(64, 16), (16, 64)], ids=str)
@pytest.mark.parametrize('name', _OPS)
def test_a_cpu_computes_a_gradient_with_the_narrower_operand_first(name, shape):
  for program in _lowered(name, shape):
    text = program.compile().as_text()
    assert ' = f32[16,64]{1,0} dot(' in text
    assert ' = f32[64,16]{1,0} dot(' not in text


@pytest.mark.parametrize('platform', ['tpu', 'cuda'])
@pytest.mark.parametrize('name', _OPS)
def test_other_platforms_are_told_nothing(name, platform):
  for shape in [(64, 16), (16, 64)]:
    for program in _lowered(name, shape, lowering_platforms=(platform,)):
      assert 'optimization_barrier' not in program.as_text()
  here = [program.as_text() for shape in [(64, 16), (16, 64)] for program in _lowered(name, shape)]
  assert sum('optimization_barrier' in text for text in here) == 2
