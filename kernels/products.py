"""Matrix products in the order in which XLA:CPU multiplies fast.

Of a product over the first axis of both its operands, as a gradient by a weight is one, XLA:CPU
packs the left operand slowly: 1648 x 512 with 1648 x 128 takes 1.9 ms of a core with AVX-512, the
other way round 1.0. So the narrower comes first, and what comes out is turned round. All this by
the platform that a program is compiled for; on the others the compiler chooses.
"""

import jax
import jax.numpy as jnp


def product(x_XD, w_DF, **how):
  """x @ w, [X, F], whose gradient by `w` has the narrower operand first; `how` as of einsum."""
  if len(w_DF) <= w_DF.shape[1]:
    return jnp.einsum('xd,df->xf', x_XD, w_DF, **how)
  return jnp.einsum('xd,fd->xf', x_XD, _held_in_gradient(w_DF.T), **how)


def scores(x_XD, w_VD):
  """x @ w.T, [X, V] float32, with the same care of the gradient by `w`."""
  form, w = 'xd,vd->xv', w_VD
  if len(w_VD) > w_VD.shape[1]:
    form, w = 'xd,dv->xv', _held_in_gradient(w_VD.T)
  return jnp.einsum(form, x_XD, w, preferred_element_type=jnp.float32)


def weight_gradient(d_XV, x_XD):
  """d.T @ x, [V, D] float32, with the narrower operand first."""
  plain = lambda d, x: jnp.einsum('xv,xd->vd', d, x, preferred_element_type=jnp.float32)
  if d_XV.shape[1] <= x_XD.shape[1]:
    return plain(d_XV, x_XD)
  cpu = lambda d, x: turned(plain(x, d))
  return jax.lax.platform_dependent(d_XV, x_XD, cpu=cpu, default=plain)


def turned(x):
  """[..., A, B] -> [..., B, A] of a product, which the compiler may not compute turned round."""
  return jnp.swapaxes(jax.lax.optimization_barrier(x), -1, -2)


@jax.custom_vjp
def _held_in_gradient(w_FD):
  return w_FD


def _backward(_, d_FD):
  # Without the barrier XLA computes the product turned round, to save turning its result.
  return (jax.lax.platform_dependent(d_FD, cpu=jax.lax.optimization_barrier, default=lambda x: x),)


_held_in_gradient.defvjp(lambda w_FD: (w_FD, None), _backward)
