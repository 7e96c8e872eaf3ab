"""Everything of a run that lives on the devices."""

import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from r1jax import params as params_lib
from r1jax.train import optimizer


@flax.struct.dataclass
class TrainState:
  """Weights and what trains them.

  Attributes:
    params: the policy.
    reference: the frozen policy of the KL term; None where there is none.
    optimizer: the optimizer's state.
    step: int32, number of updates done, skipped ones included.
  """

  params: Any
  reference: Any
  optimizer: Any
  step: jax.Array


def create(params, tx, with_reference, types=None):
  """State at the start of a stage: step 0, the reference a copy of the policy.

  `types` is the tree of the reference's types (`params.types`), by default the policy's own.
  """
  types = types or jax.tree.map(lambda w: w.dtype, params)
  # Copied, even where the type is the same: the policy's buffers are donated to the first update.
  copy = lambda w, dtype: jnp.array(w, dtype, copy=True)
  reference = jax.tree.map(copy, params, types) if with_reference else None
  return TrainState(params, reference, tx.init(params), jnp.int32(0))


def make_optimizer(cfg, specs):
  """The optimizer of `optimizer.OptimizerConfig` for the weights of a spec tree.

  Where arguments are equal but for the schedule, the rule is the same object: stages of one process
  then share their update steps instead of compiling them again.
  """
  # A spec tree is a dict, which no cache takes as a key; its leaves and structure are hashable.
  leaves, tree = jax.tree.flatten(specs, is_leaf=params_lib.is_param)
  rule = _rule(optimizer.unscheduled(cfg), tuple(leaves), tree)
  return optimizer.Optimizer(rule, optimizer.schedule(cfg))


@functools.cache
def _rule(cfg, leaves, tree):
  specs = jax.tree.unflatten(tree, leaves)
  return optimizer.rule(cfg, params_lib.trainable_mask(specs), params_lib.decay_mask(specs))


def refresh_reference(state, every):
  """reference <- policy after every `every` updates (R1: 400, reference §1.3); 0 means never."""
  if not every:
    return state
  # A select, not a branch: when it is due is data of one compiled program.
  due = state.step % every == 0
  copy = jax.tree.map(
    lambda old, new: jnp.where(due, new.astype(old.dtype), old), state.reference, state.params
  )
  return state.replace(reference=copy)
