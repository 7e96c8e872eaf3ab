"""An update's seconds on a mesh before anything is compiled: good for ranking meshes, no more.

`speed` takes the data sheet's rates; in place of compiled programs it gets the largest part of what
they send: weights as they are gathered, sums over shards of a matmul, heads between the devices of
a row, tokens on their way to experts.
"""

import collections
import math

import jax
import jax.numpy as jnp

from r1jax import params as params_lib
from r1jax import sharding
from r1jax.model import dispatch, transformer
from r1jax.planning import hlo, phases, speed
from r1jax.sampling import handover

# What an update sends, in forward passes: its own, the one that remat makes again, the gradient.
_UPDATE = 3


def seconds(job, cfg, target, mesh):
  """Seconds of an update of a job on `mesh`, which may be abstract."""
  how_long = speed.lengths(job, 0.0)
  programs = _programs(job, cfg, mesh)
  return sum(
    p.seconds for p in speed.phase_list(job, cfg, target, (mesh, mesh), programs, how_long)
  )


def _programs(job, cfg, mesh):
  """name -> `phases.Compiled` that knows nothing but what it may send."""
  tokens = job.rl.rows * job.rl.capacity // sharding.batch_shards(mesh)
  weights, forward = _weights(cfg, mesh), _layers(cfg, mesh, tokens)
  step = _layers(cfg, mesh, phases.slots(job, mesh).rows)
  # Without a layout of its own, every decoded token gathers the weights again.
  step += 0 if phases.hands_over(job, cfg, mesh) else weights
  sent = {
    'weight hand-over': (handover.received(cfg, mesh), 0),
    'rollout': (0, step),
    'log-probabilities': (0, weights + forward),
    'update': (0, _UPDATE * (weights + forward)),
  }
  made = {}
  for name in phases.names(job, cfg, mesh):
    program = hlo.Program(*map(_work, sent[name]), 1)
    made[name] = phases.Compiled(name, 0, 0, 0, 0, 0, program, '', 0.0)
  return made


def _work(received):
  return hlo.Work(collections.Counter(all=received), collections.Counter(all=1))


def _weights(cfg, mesh):
  """Bytes that gathering all layers' weights brings to a device."""

  def one(p):
    shapes = (
      jax.sharding.NamedSharding(mesh, spec(p.axes)).shard_shape(p.shape)
      for spec in (sharding.gathered, sharding.param)
    )
    # What is used is whole over `fsdp`; a device has its own part already.
    used, stored = map(math.prod, shapes)
    return used - stored

  specs = {k: transformer.specs(cfg).get(k, {}) for k in ('dense', 'moe')}
  leaves = jax.tree.leaves(specs, is_leaf=params_lib.is_param)
  values = sum(one(p) for p in leaves)
  return values * jnp.dtype(cfg.compute_dtype).itemsize


def _layers(cfg, mesh, tokens):
  """Bytes that a forward pass of all layers brings to a device for its `tokens`."""
  size = jnp.dtype(cfg.compute_dtype).itemsize
  # Two sums over `tensor` a layer, behind attention and behind the feed-forward.
  split = sharding.ways(mesh, 'ffn')
  context = sharding.row_devices(mesh)
  sums = 2 * cfg.width * 2 * (split - 1) / split
  # Latent attention expands its keys to all heads before it attends.
  keys = cfg.heads if cfg.attention == 'mla' else cfg.kv_heads
  heads = (cfg.heads + keys) * (cfg.head_qk + cfg.head_value) / split
  # Values a token and layer, of which each device of a `context` axis has its own share already.
  every = cfg.layers * tokens * (sums + heads * (context - 1) / context)
  return size * (every + cfg.moe_layers * _experts(cfg, mesh, tokens))


def _experts(cfg, mesh, tokens):
  """Values that reach a device with the tokens that its experts serve, and come back to it."""
  ways = sharding.ways(mesh, 'experts')
  if not cfg.moe_layers or ways == 1:
    return 0
  stages = dispatch.stages(cfg, tokens, *sharding.expert_shards(mesh))
  # Rounds send what fits in them, filled or not; gathering sends everything to everyone.
  in_rounds = sum(s.rounds * s.shards * s.size for s in stages)
  return 2 * cfg.width * (in_rounds if stages else tokens * (ways - 1))
