"""Every op and form against float64 NumPy, whose hand-written gradients are checked here as well.

The small product runs always, the whole one with --slow.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import kernel_errors
from r1jax.kernels import (
  attention_cpu,
  decode_cpu,
  decode_tpu,
  flash_attention_tpu,
  oracle,
  output_head,
  output_head_tpu,
  reference,
)

BOUNDS = {'float32': 1e-5, 'bfloat16': 0.03}  # of the array's largest value, as in the README
WHOLE_BOUNDS = {'float32': 5e-5, 'bfloat16': 0.03}  # longer sums, larger logits
ROUNDED = 0.15  # the plain attention's gradients in bfloat16: README.md, Errors
SMALL, WHOLE = (list(kernel_errors.cases(full)) for full in (False, True))
RNG = np.random.default_rng(0)


def normal(*shape):
  return RNG.normal(size=shape)


def hold(case, seeds, bounds):
  """Fails with every array of the case that is further from the oracle than its type allows."""
  wrong = []
  for seed in seeds:
    for name, found, expected in kernel_errors.run(case, seed):
      assert found.shape == expected.shape
      absolute, relative = kernel_errors.errors(found, expected)
      if relative > bounds(case, name):
        wrong.append(f'seed {seed}: {name} is off by {absolute:.1e}, {relative:.1e} of the largest')
  assert not wrong, '\n'.join([str(case), *wrong])


@pytest.mark.parametrize('op, form', sorted({(case.op, case.form) for case in SMALL}))
def test_a_form_is_the_oracle_forward_and_backward(op, form):
  for case in SMALL:
    if (case.op, case.form) == (op, form):
      hold(case, [0], lambda case, name: BOUNDS[case.dtype])


def whole_bound(case, name):
  plain = (case.op, case.form, case.dtype) == ('attention', 'reference', 'bfloat16')
  return ROUNDED if plain and name in ('dq', 'dk') else WHOLE_BOUNDS[case.dtype]


@pytest.mark.slow
@pytest.mark.parametrize('op, form', sorted({(case.op, case.form) for case in WHOLE}))
def test_a_form_is_the_oracle_over_the_whole_product(op, form):
  for case in WHOLE:
    if (case.op, case.form) == (op, form):
      hold(case, range(3), whole_bound)


@pytest.mark.parametrize('op, form', sorted({(case.op, case.form) for case in SMALL}))
def test_two_runs_give_the_same_bits(op, form):
  case = next(c for c in SMALL[::-1] if (c.op, c.form) == (op, form))
  first, again = (kernel_errors.run(case, 5) for _ in range(2))
  for (_, a, _), (_, b, _) in zip(first, again):
    np.testing.assert_array_equal(a, b)


def slope(f, x, direction, step=1e-5):
  """Central difference of f at x along a direction."""
  return (f(x + step * direction) - f(x - step * direction)) / (2 * step)


def differ(f, operands, gradients):
  """Compares gradients with differences along random directions."""
  for i, gradient in enumerate(gradients):
    direction = normal(*operands[i].shape)
    one = lambda x, i=i: f(*operands[:i], x, *operands[i + 1 :])
    np.testing.assert_allclose((gradient * direction).sum(), slope(one, operands[i], direction))


def test_the_oracles_gradients_are_differences_of_its_results():
  segment = np.array([[1, 1, 1, 2, 2, 0], [4, 7, 7, 7, 9, 9]])
  operands, d = (normal(2, 6, 4, 5), normal(2, 6, 2, 5), normal(2, 6, 2, 3)), normal(2, 6, 4, 3)
  f = lambda q, k, v: (oracle.attention(q, k, v, segment, 0.7) * d).sum()
  differ(f, operands, oracle.attention_gradients(operands, segment, 0.7, d))
  operands, target, d = (normal(5, 4), normal(9, 4)), np.array([0, 8, 3, -2, 11]), normal(3, 5)
  f = lambda x, w: (np.array(oracle.token_scores(x, w, target, 0.7)) * d).sum()
  differ(f, operands, oracle.token_scores_gradients(operands, target, 0.7, d))
  operands, size, d = (normal(9, 4), normal(3, 4, 5)), np.array([2, 0, 5]), normal(9, 5)
  f = lambda x, w: (oracle.grouped_matmul(x, w, size) * d).sum()
  differ(f, operands, oracle.grouped_matmul_gradients(operands, size, d))


FLASH = {
  'reference': reference.attention,
  'cpu': attention_cpu.attention,
  'tpu': lambda *a: flash_attention_tpu.attention(*a, interpret=True),
}


@pytest.mark.parametrize('form', FLASH)
def test_huge_scores_and_lone_tokens_leave_no_nan_in_attention(form):
  q, k, v = (jnp.asarray(1e4 * normal(2, 40, 2, 8), 'float32') for _ in range(3))
  segment = jnp.asarray(np.where(np.arange(40) < 20, np.arange(40), 0)[None].repeat(2, 0))

  def loss(q, k, v):
    return FLASH[form](q, k, v, segment, 1.0).sum()

  value, gradients = jax.value_and_grad(loss, (0, 1, 2))(q, k, v)
  assert all(np.isfinite(x).all() for x in (value, *gradients))


@pytest.mark.parametrize('module', [reference, decode_cpu, decode_tpu])
def test_huge_scores_and_empty_caches_leave_no_nan_in_decoding(module):
  how = {'interpret': True} if module is decode_tpu else {}
  q, cache = (jnp.asarray(1e15 * normal(2, n, 8), 'float32') for n in (4, 30))
  keep = jnp.zeros((2, 30), bool).at[1, 3:9].set(True)
  assert np.isfinite(module.mla_decode(q, cache, keep, 6, 1.0, **how)).all()


HEADS = {
  'whole': lambda *a: output_head.token_scores(*a, 0.5, 10),
  'chunked': lambda *a: output_head.token_scores(*a, 0.5, 3),
  'tpu': lambda *a: output_head_tpu.token_scores(*a, 0.5, interpret=True),
}


@pytest.mark.parametrize('form', HEADS)
def test_huge_logits_leave_no_nan_in_the_head(form):
  x, w = (jnp.asarray(1e3 * normal(n, 8), 'float32') for n in (5, 10))
  target = jnp.arange(5)

  def loss(x, w):
    return sum(s.sum() for s in HEADS[form](x, w, target))

  value, gradients = jax.value_and_grad(loss, (0, 1))(x, w)
  assert all(np.isfinite(x).all() for x in (value, *gradients))
