"""Bytes that layers keep for the backward pass, read off the traced model: nothing is compiled."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp

from r1jax import params as params_lib
from r1jax import sharding
from r1jax.model import transformer


@functools.lru_cache
def of_layer(cfg, length, mesh):
  """Bytes on one device that a layer keeps of each of its rows of `length` tokens.

  Of the largest kind of layer; `mesh` may be abstract.
  """
  rows = sharding.row_shards(mesh)
  # Two models that differ by a layer: what both keep besides is not a layer's.
  kind = 'moe_layers' if cfg.moe_layers else 'dense_layers'
  one, two = (_kept(_shallow(cfg, kind, count), rows, length, mesh) for count in (1, 2))
  return two - one


def _shallow(cfg, kind, count):
  """The model with `count` layers of one kind and none of the other."""
  dense = count if kind == 'dense_layers' else 0
  return dataclasses.replace(cfg, layers=count, dense_layers=dense, mtp_layers=0)


def _kept(cfg, rows, length, mesh):
  """Bytes on one device of what a forward pass hands to its backward pass."""
  specs = transformer.specs(cfg)
  weights = params_lib.abstract(specs, cfg.param_dtype, mesh)
  where = jax.sharding.NamedSharding(mesh, sharding.act('rows', None))
  row = jax.ShapeDtypeStruct((rows, length), jnp.int32, sharding=where)

  def pull_back(weights, row):
    trained, frozen = params_lib.split(specs, weights)

    def hidden(trained):
      whole = params_lib.join(trained, frozen)
      return transformer.forward(whole, cfg, row, row, row).hidden_XD

    return jax.vjp(hidden, trained)[1]

  with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
    jaxpr = jax.make_jaxpr(pull_back)(weights, row).jaxpr
  # The weights themselves are no copies, and what two products read is kept once.
  inputs = {id(var) for var in jaxpr.invars}
  outputs = {id(var): var.aval for var in jaxpr.outvars if not hasattr(var, 'val')}
  sizes = (aval for name, aval in outputs.items() if name not in inputs)
  return sum(
    math.prod(aval.sharding.shard_shape(aval.shape)) * aval.dtype.itemsize for aval in sizes
  )
