"""The smallest models that have every part, weights for them, and packed rows to feed them."""

import dataclasses

import jax
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


def mesh(*shape):
  """Context with a mesh of this shape over the first devices; one device by default."""
  shape = shape or (1, 1, 1, 1)
  return jax.set_mesh(sharding.make_mesh(shape, jax.devices()[: int(np.prod(shape))]))


def fill(specs, seed=0, dtype='float32'):
  """Weights for a spec tree, the same on every mesh; no norm and no bias is trivial."""
  rng = np.random.default_rng(seed)

  def one(p):
    value = 0.2 * rng.normal(size=p.shape) + (p.init == 'ones')
    return sharding.put(value.astype(params_lib.dtype_of(p, dtype)), sharding.param(p.axes))

  return params_lib.tree_map(one, specs)


def weights(cfg, seed=0):
  """Weights of a whole model on the mesh that is set."""
  return fill(transformer.specs(cfg), seed, cfg.param_dtype)


def rows(lengths, width, seed=0, vocab=64):
  """Packed rows of random tokens; `lengths[b]` are the lengths of the segments of row b."""
  rng = np.random.default_rng(seed)
  shape = (len(lengths), width)
  token, segment = rng.integers(1, vocab, shape), np.zeros(shape, int)
  position = np.zeros(shape, int)
  for b, row in enumerate(lengths):
    ends = np.cumsum(row)
    for number, (length, end) in enumerate(zip(row, ends), start=1):
      segment[b, end - length : end] = number
      position[b, end - length : end] = np.arange(length)
  token = np.where(segment > 0, token, 0)
  return steps.Rows(*(put(x.astype(np.int32), name='rows') for x in (token, segment, position)))


def put(array, axis=0, name='batch'):
  """A host array on the mesh that is set; `axis` is its axis of sequences or, by `name`, rows."""
  array = np.asarray(array)
  names = [name if i == axis else None for i in range(array.ndim)]
  return sharding.put(array, sharding.act(*names))


def host(tree):
  """The tree in NumPy, in memory of its own."""
  return jax.tree.map(np.array, tree)


def worst(actual, expected):
  """Largest difference in any leaf, relative to the largest value of that leaf."""

  def one(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30))

  return max(jax.tree.leaves(jax.tree.map(one, actual, expected)))


def scores(params, cfg, rows):
  """(logits_BTV, transformer.Output) of packed rows."""
  output = transformer.forward(params, cfg, rows.token, rows.segment, rows.position)
  flat_XV = transformer.logits(params, cfg, output.hidden_XD)
  return sharding.in_rows(flat_XV, rows.token), output


forward = jax.jit(scores, static_argnames='cfg')
