"""Weight hand-over: a rollout's own layout of the weights, on the devices that train.

Training stores weights spread over all devices, so each decoded token would gather the whole model.
Before a rollout they are gathered once, in the type of the computation, and dropped after it.
"""

import dataclasses
import math
import time
from functools import partial

import jax

from r1jax import params as params_lib
from r1jax import programs, sharding
from r1jax.model import transformer
from r1jax.sampling import sample

LAYOUTS = ('decode', 'same')


def specs(cfg):
  """Specs of the weights that decoding reads."""
  return {name: part for name, part in transformer.specs(cfg).items() if name != 'mtp'}


def needed(cfg, mesh):
  """Whether decoding on `mesh` has a layout of its own; where it has none, nothing is copied."""
  return received(cfg, mesh) > 0


def held(cfg, mesh):
  """Bytes a device of the weights in their decoding layout."""
  return _bytes(specs(cfg), mesh, sharding.gathered, cfg.compute_dtype)


def layers(cfg, mesh, dtype):
  """Bytes a device of the layers, of `dtype`, that `sample.prepare` cuts; 0 where it cuts none."""
  if sample.decoding(cfg).scan_layers:
    return 0.0
  stacks = {name: part for name, part in specs(cfg).items() if name in ('dense', 'moe')}
  return _bytes(stacks, mesh, sharding.gathered, dtype)


def received(cfg, mesh):
  """Bytes a device that a hand-over brings from other devices."""
  return held(cfg, mesh) - _bytes(specs(cfg), mesh, sharding.param, cfg.compute_dtype)


def _bytes(wanted, mesh, layout, dtype):
  # Values of one weight on one device.
  def one(p):
    shape = jax.sharding.NamedSharding(mesh, layout(p.axes)).shard_shape(p.shape)
    return math.prod(shape) * params_lib.dtype_of(p, dtype).itemsize

  leaves = jax.tree.leaves(wanted, is_leaf=params_lib.is_param)
  return sum(one(p) for p in leaves)


@partial(jax.jit, static_argnames='cfg')
def lay_out(params, cfg):
  """The weights as decoding reads them; the cast comes first, so that half as much travels."""

  def one(p, w):
    return jax.reshard(
      w.astype(params_lib.dtype_of(p, cfg.compute_dtype)), sharding.gathered(p.axes)
    )

  wanted = specs(cfg)
  return params_lib.tree_map(one, wanted, {name: params[name] for name in wanted})


def take(policy, layout):
  """(the policy with its weights laid out for decoding, metrics of what that cost).

  `layout` is 'decode', or 'same' to leave the weights in training's. Where the two are one (a
  single device), the policy comes back as it is.
  """
  began = time.monotonic()
  moved = _moved(policy.cfg, layout, jax.sharding.get_mesh())
  if moved:
    # Waited for: the seconds are those of the hand-over, not of the rollout behind it.
    weights = jax.block_until_ready(lay_out(policy.params, policy.cfg))
    policy = dataclasses.replace(policy, params=weights)
  return policy, {
    'handover/seconds': time.monotonic() - began if moved else 0.0,
    'handover/bytes': float(moved),
  }


def programs_of(cfg, layout, part='sampling', mesh=None):
  """The `programs.Program`s of `take`; `part` and `mesh` as for `rollout.programs_of`."""
  mesh = mesh or jax.sharding.get_mesh()
  if not _moved(cfg, layout, mesh):
    return []
  return [programs.Program(lay_out.__name__, (mesh, cfg), part)]


def _moved(cfg, layout, mesh):
  """Bytes a device that `take` brings; by the layout alone, nothing is copied to find it out."""
  return received(cfg, mesh) if layout == 'decode' else 0
