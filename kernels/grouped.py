"""The gradient of a grouped matmul: two more of them, whatever computes them."""

from functools import partial

import jax

from r1jax.kernels import varying


def differentiable(product, weight_gradient):
  """(x_XD, w_EDM, size_E, how) -> rows times their group's matrix, with gradients in x and w.

  Args:
    product: (x, w, sizes, transposed, how) -> x @ w of each group, or x @ w.T.
    weight_gradient: (x, d, sizes, dtype, how) -> x.T @ d of each group, [E, D, M].
  """

  @partial(jax.custom_vjp, nondiff_argnums=(3,))
  def grouped(x_XD, w_EDM, size_E, how):
    return product(x_XD, w_EDM, size_E, False, how)

  def forward(x_XD, w_EDM, size_E, how):
    return grouped(x_XD, w_EDM, size_E, how), (x_XD, w_EDM, size_E)

  def backward(how, saved, d_XM):
    x_XD, w_EDM, size_E = saved
    # The kernels multiply operands of one type.
    d_x = product(d_XM.astype(w_EDM.dtype), w_EDM, size_E, True, how)
    return d_x, weight_gradient(x_XD, d_XM, size_E, w_EDM.dtype, how), None

  grouped.defvjp(forward, backward)
  # Outside of the rule, so that JAX sums the gradients of operands that devices share.
  return lambda x, w, size, how: grouped(*varying.alike(x, w, size.astype('int32')), how)
