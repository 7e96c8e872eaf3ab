"""The small layers: normalisation, dense feed-forward, embedding and output head."""

import jax
import jax.numpy as jnp

from r1jax import kernels, sharding
from r1jax.model import lora
from r1jax.params import Param


def rms_norm_params(width):
  """Scale of an RMSNorm."""
  return Param((width,), (None,), init='ones', float32=True)


def rms_norm(scale_D, x_XD, eps):
  """RMSNorm over the last axis, computed in float32, returned in x's type."""
  # In bfloat16 a mean of squares has three digits, and an error here scales the whole row.
  x = x_XD.astype(jnp.float32)
  mean_square = jnp.mean(x * x, axis=-1, keepdims=True)
  x = x * jax.lax.rsqrt(mean_square + eps)
  return (x * scale_D).astype(x_XD.dtype)


def swiglu_params(width, hidden):
  """Weights of a gated feed-forward layer."""
  up = Param((width, hidden), ('embed', 'ffn'))
  down = Param((hidden, width), ('ffn', 'embed'))
  return {'w_gate': up, 'w_up': up, 'w_down': down}


def swiglu(params, x_XD):
  """down(silu(gate(x)) * up(x)), reference §2.9."""
  gate_XF = project(x_XD, params['w_gate'], 'ffn')
  up_XF = project(x_XD, params['w_up'], 'ffn')
  return project(jax.nn.silu(gate_XF) * up_XF, params['w_down'], None)


def project(x_XD, w_DF, axis):
  """x @ w in x's type, its result's columns laid out along the logical `axis`.

  `w_DF` is a matrix, or a `lora.Adapted`, whose side path is added.
  """
  if lora.is_adapted(w_DF):
    # Through the rank first, as the product AB has the size of the matrix; scaled there, where the
    # activation is narrow.
    narrow = w_DF.scale * project(x_XD, w_DF.a, None)
    # Added before the one rounding: three would move bfloat16 further than full training does.
    base = _product(x_XD, w_DF.base, axis, jnp.float32)
    side = _product(narrow, w_DF.b, axis, jnp.float32)
    return (base + side).astype(x_XD.dtype)
  return _product(x_XD, w_DF, axis, x_XD.dtype)


def _product(x_XD, w_DF, axis, dtype):
  """x @ w in x's type, the result in `dtype`."""
  # Explicit sharding: where the contraction lands is said, not guessed.
  out, w_DF = sharding.act('batch', axis), w_DF.astype(x_XD.dtype)
  return kernels.product(x_XD, w_DF, out_sharding=out, preferred_element_type=dtype)


def embed(table_VD, token_X, dtype):
  """Rows of the embedding table; each shard of the vocabulary gives those it has, zeros else."""
  axis, split = sharding.ACT_RULES['vocab'], sharding.gathered(('vocab', 'embed'))

  def local(table_VD, token_X):
    here_X = token_X - jax.lax.axis_index(axis) * len(table_VD)
    here_X = jnp.where(here_X < 0, len(table_VD), here_X)  # negative indices would wrap
    x_XD = table_VD.at[here_X].get(mode='fill', fill_value=0)
    return jax.lax.psum(x_XD.astype(dtype), axis)

  rows = sharding.act('batch', None)
  look_up = jax.shard_map(local, in_specs=(split, sharding.act('batch')), out_specs=rows)
  return look_up(jax.reshard(table_VD, split), token_X)


def head(w_VD, x_XD):
  """Float32 logits_XV; the vocabulary stays split over its mesh axis."""
  out = sharding.act('batch', 'vocab')
  w_VD = head_matrix(w_VD, x_XD.dtype)
  return jnp.einsum('xd,vd->xv', x_XD, w_VD, out_sharding=out, preferred_element_type=jnp.float32)


def head_matrix(w_VD, dtype):
  """The head as its matmul uses it: whole over the width, in the computation's type."""
  return jax.reshard(w_VD, sharding.gathered(('vocab', 'embed'))).astype(dtype)
