"""Everything of a run that lives on the devices."""

import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from r1jax import params as params_lib
from r1jax.model import transformer
from r1jax.train import optimizer

_DIGEST = ', SHA-256 '


@flax.struct.dataclass
class TrainState:
  """Weights and what trains them.

  With adapters these alone are in `params` and `reference`; what is frozen, `FrozenBase` holds.

  Attributes:
    params: what is trained of the policy.
    reference: the same of the frozen policy of the KL term; None where there is none.
    optimizer: the optimizer's state.
    step: int32, number of updates done, skipped ones included.
  """

  params: Any
  reference: Any
  optimizer: Any
  step: jax.Array


class FrozenBase:
  """The frozen weights of a stage that learns, beside its `state`; the stage derives from this.

  Attributes:
    frozen: the other half of `params.split`; None where all weights are trained.
    beside: which base the frozen weights come from, by `describe_base`; '' where all are trained.
      It goes into every checkpoint, which does not hold the weights themselves.
  """

  frozen, beside = None, ''

  @property
  def specs(self):
    """Spec tree of all weights."""
    return transformer.specs(self.cfg)

  @property
  def weights(self):
    """All weights of the policy, as they are now."""
    return params_lib.join(self.state.params, self.frozen)

  def whole(self, initial):
    """All weights that the stage begins with, of those of a policy."""
    return initial

  def hold(self, initial):
    """Keeps what is frozen of the weights that the stage begins with; returns what is trained."""
    trained, self.frozen = params_lib.split(self.specs, self.whole(initial))
    return trained

  def hold_again(self, initial, saved):
    """The same for a checkpoint's adapters, beside whose base they were trained.

    Args:
      initial: all weights that the stage began with; not read where all are trained.
      saved: `beside` as it was when the checkpoint was written.

    Raises:
      ValueError: this base is another one.
    """
    if saved.partition(_DIGEST)[2] != self.beside.partition(_DIGEST)[2]:
      held = f'adapters of the base {saved}' if saved else 'all weights and no adapters'
      raise ValueError(
        f'the checkpoint holds {held}, this run has {self.beside or "no adapters"}: put back what '
        'it was, or give another --config.workdir'
      )
    if self.beside:
      self.hold(initial)


def describe_base(folder, digest):
  """How a checkpoint of adapters names its base; two bases are one where their digests are."""
  return f'{folder}{_DIGEST}{digest}'


def create(params, tx, with_reference, types=None):
  """State at the start of a stage: step 0, the reference a copy of the policy.

  `types` is the tree of the reference's types (`params.types`), by default the policy's own.
  """
  types = types or jax.tree.map(lambda w: w.dtype, params)
  kinds = tuple(jax.tree.leaves(types)) if with_reference else None
  return TrainState(params, *begin(params, kinds, tx.init))


@functools.partial(jax.jit, static_argnames=('types', 'init'))
def begin(params, types, init):
  """What a state holds beside the weights: reference, optimizer's state, step.

  One program, as one for each leaf would be a hundred to trace and to load at every start. `types`
  are those of the reference's leaves, a tuple, or None for no reference.
  """
  reference = None
  if types is not None:
    leaves, tree = jax.tree.flatten(params)
    # Copied, even where the type is the same: the policy's buffers are donated to the first update.
    copies = [jnp.array(w, dtype, copy=True) for w, dtype in zip(leaves, types)]
    reference = jax.tree.unflatten(tree, copies)
  return reference, init(params), jnp.int32(0)


def make_optimizer(cfg, specs):
  """The optimizer of `optimizer.OptimizerConfig` for what is trained of a spec tree.

  Where arguments are equal but for the schedule, the rule is the same object: stages of one process
  then share their update steps instead of compiling them again.
  """
  # A spec tree is a dict, which no cache takes as a key; its leaves and structure are hashable.
  trained = params_lib.trained(specs)
  leaves, tree = jax.tree.flatten(trained, is_leaf=params_lib.is_param)
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
