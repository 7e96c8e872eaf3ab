"""The smallest models that have every part, weights for them, and packed rows to feed them."""

import dataclasses

import numpy as np

from r1jax import params as params_lib
from r1jax import sharding
from r1jax.model import config, transformer
from r1jax.train import steps

MLA = config.ModelConfig(
  vocab=64,
  width=32,
  layers=3,
  heads=4,
  q_latent=16,
  kv_latent=8,
  head_nope=8,
  head_rope=4,
  head_value=8,
  ffn=48,
  dense_layers=1,
  moe=config.MoeConfig(experts=8, per_token=3, ffn=16, groups=4, top_groups=2),
  rope=config.RopeConfig(kind='yarn', factor=4.0, original_length=16),
  max_length=64,
  compute_dtype='float32',
  param_dtype='float32',
)
GQA = dataclasses.replace(
  MLA,
  attention='gqa',
  kv_heads=2,
  head_nope=0,
  head_rope=8,
  qkv_bias=True,
  qk_norm=True,
  dense_layers=3,
  moe=None,
  mtp_layers=0,
  tied=True,
  rope=config.RopeConfig(kind='llama3', factor=8.0, original_length=16),
)


def weights(cfg, seed=0):
  """Weights of `cfg` on the mesh that is set, the same on every mesh; no norm or bias is trivial."""
  rng = np.random.default_rng(seed)

  def one(p):
    value = 0.2 * rng.normal(size=p.shape) + (p.init == 'ones')
    kind = params_lib.dtype_of(p, cfg.param_dtype)
    return sharding.put(value.astype(kind), sharding.param(p.axes))

  return params_lib.tree_map(one, transformer.specs(cfg))


def rows(lengths, width, seed=0, vocab=64):
  """Packed rows of random tokens; `lengths[b]` are the lengths of the segments of row b."""
  rng = np.random.default_rng(seed)
  shape = (len(lengths), width)
  token, segment, position = rng.integers(1, vocab, shape), np.zeros(shape, int), np.zeros(shape, int)
  for b, row in enumerate(lengths):
    at = 0
    for number, length in enumerate(row, start=1):
      segment[b, at : at + length] = number
      position[b, at : at + length] = np.arange(length)
      at += length
  token = np.where(segment > 0, token, 0)
  return steps.Rows(*(put(x.astype(np.int32)) for x in (token, segment, position)))


def put(array):
  """A host array whose leading axis is the batch, on the mesh that is set."""
  return sharding.put(array, sharding.act('batch', *[None] * (array.ndim - 1)))


def host(tree):
  """The tree as NumPy arrays, in float64 where it is floating."""
  import jax

  def one(x):
    x = np.asarray(x)
    return x.astype(np.float64) if np.issubdtype(x.dtype, np.floating) else x

  return jax.tree.map(one, tree)
