"""AdamW with warm-up, clipping and a schedule, and the rule for gradients that are not finite."""

import dataclasses
from typing import Annotated, Literal, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from r1jax import ranges


class NonFiniteError(RuntimeError):
  """Too many updates in a row had gradients with NaN or infinity."""


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
  """What an optimizer needs; the betas are DeepSeek-V3's (reference §2.7), R1 gives none.

  Attributes:
    lr: the peak, reached after `warmup` updates.
    schedule: 'constant', or 'cosine', which falls to `end_fraction * lr` at update `steps`.
    warmup: updates in which the rate rises to `lr`.
    steps: update at which the fall of 'cosine' ends; the rate stays there.
    end_fraction: share of `lr` that is left then.
    b1, b2: how much of Adam's two moments an update keeps.
    eps: added to the root of the second moment.
    weight_decay: share of a weight that an update takes away, times the rate; decoupled.
    clip_norm: largest global norm of the gradient.
    max_skipped: updates in a row without finite gradients after which the run stops.
    moments: type in which the moments are kept, 'float32' or 'bfloat16' (V3's choice, reference
      §2.6); the arithmetic is float32 either way.
  """

  lr: Annotated[float, ranges.Range(0, 10)]
  schedule: Literal['constant', 'cosine'] = 'constant'
  warmup: ranges.Size = 0
  steps: ranges.Size = 0
  end_fraction: ranges.Share = 0.1
  b1: Annotated[float, ranges.Range(0, 1, below=True)] = 0.9
  b2: Annotated[float, ranges.Range(0, 1, below=True)] = 0.95
  # Adam divides by it where a gradient is 0, so its inverse must be a float32.
  eps: Annotated[float, ranges.Range(1e-30, 1)] = 1e-8
  weight_decay: Annotated[float, ranges.Range(0, 10)] = 0.0
  clip_norm: ranges.Positive = 1.0
  max_skipped: ranges.Count = 10
  moments: ranges.Dtype = 'float32'

  def __post_init__(self):
    ranges.check(self)
    ranges.require(
      self,
      self.schedule != 'cosine' or self.steps > self.warmup,
      '{schedule} needs {steps} > {warmup}',
    )


class SkipState(NamedTuple):
  """The wrapped state; numbers of updates made, skipped in a row, skipped in all (int32)."""

  inner: optax.OptState
  made: jax.Array
  in_a_row: jax.Array
  total: jax.Array


@flax.struct.dataclass
class Schedule:
  """Learning rates as inputs of a compiled update, float32 [].

  Attributes:
    peak: the highest rate.
    warmup: updates that lead up to it.
    steps: update at which the fall ends.
    end: share of the peak that is left there.
  """

  peak: jax.Array
  warmup: jax.Array
  steps: jax.Array
  end: jax.Array


@flax.struct.dataclass
class Optimizer:
  """A rule, which is compiled, and its schedule, which is an input of the compiled program.

  Stages that differ in their rates alone share their programs.
  """

  rule: optax.GradientTransformation = flax.struct.field(pytree_node=False)
  schedule: Schedule

  def init(self, weights):
    """The state before the first update."""
    return self.rule.init(weights)


def schedule(config):
  """The `Schedule` of an OptimizerConfig."""
  falls = config.schedule == 'cosine'
  # A constant rate is a fall that ends where it began.
  steps, end = (config.steps, config.end_fraction) if falls else (config.warmup + 1, 1.0)
  numbers = (config.lr, config.warmup, steps, end)
  return Schedule(*map(np.float32, numbers))


def unscheduled(config):
  """`config` with what only the schedule and the loop read replaced: equal where `rule` is."""
  same = {'lr': 0.0, 'schedule': 'constant', 'warmup': 0, 'steps': 0, 'max_skipped': 1}
  return dataclasses.replace(config, end_fraction=0.0, **same)


def learning_rate(schedule, done):
  """The rate of the update that follows `done` others, float32 []; the first is not 0."""
  # Update 0 already moves: its rate is 1 / warmup of the peak.
  rising = (done + 1) / jnp.maximum(schedule.warmup, 1)
  share = jnp.clip((done - schedule.warmup) / (schedule.steps - schedule.warmup), 0, 1)
  falling = schedule.end + (1 - schedule.end) * (1 + jnp.cos(jnp.pi * share)) / 2
  return schedule.peak * jnp.where(done < schedule.warmup, rising, falling)


def rule(config, trainable, decay):
  """How a tree of weights follows its gradients at a given learning rate.

  Moments are `config.moments` whatever the weights are. Leaves outside `trainable` get no update,
  no state and no part in the clipped norm. `skip_nonfinite` leaves out updates that are not finite.

  Args:
    config: OptimizerConfig; its schedule is not read.
    trainable: tree of bool, where the optimizer acts (`params.trainable_mask`).
    decay: tree of bool, which weights decay (`params.decay_mask`).

  Returns:
    optax.GradientTransformationExtraArgs that takes `rate` and whose state is a SkipState.
  """
  # Decay joins behind Adam's scaling and before the rate: decoupled, as AdamW has it.
  adamw = optax.chain(
    optax.clip_by_global_norm(config.clip_norm),
    optax.scale_by_adam(config.b1, config.b2, config.eps),
    optax.add_decayed_weights(config.weight_decay, decay),
    _descend(),
  )
  # The router's bias moves by its own rule and the frozen head not at all.
  labels = jax.tree.map(lambda acts: 'trained' if acts else 'frozen', trainable)
  parts = {'trained': _in_float32(adamw, config.moments), 'frozen': optax.set_to_zero()}
  return skip_nonfinite(optax.partition(parts, labels))


def _descend():
  def update(updates, state, params=None, *, rate, **_):
    return jax.tree.map(lambda u: -rate * u, updates), state

  return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


def _in_float32(inner, kept):
  """`inner` with its arithmetic in float32 and its real-valued state kept in the type `kept`."""

  def init(params):
    return _real_as(kept, inner.init(_float32(params)))

  def update(grads, state, params, **extra):
    # Up for the arithmetic, down for what is kept between updates.
    arguments = _float32(grads), _real_as(jnp.float32, state), _float32(params)
    updates, state = inner.update(*arguments, **extra)
    return updates, _real_as(kept, state)

  return optax.GradientTransformationExtraArgs(init, update)


def _float32(tree):
  return jax.tree.map(lambda x: x.astype(jnp.float32), tree)


def _real_as(dtype, tree):
  # Adam's count stays an integer.
  real = lambda x: jnp.issubdtype(x.dtype, jnp.floating)
  return jax.tree.map(lambda x: x.astype(dtype) if real(x) else x, tree)


def global_norm(tree):
  """Euclidean norm over all values of the tree; float32 []. Not finite when any value is not."""
  return optax.tree.norm(_float32(tree))


def skip_nonfinite(inner):
  """`inner`, except that non-finite gradients change neither weights nor state and are counted.

  Unlike `optax.apply_if_finite` it never gives in and applies them: `check_streak` stops the run.
  """

  inner = optax.with_extra_args_support(inner)

  def init(params):
    counters = [jnp.zeros((), jnp.int32) for _ in range(3)]  # one buffer each: the state is donated
    return SkipState(inner.init(params), *counters)

  def update(grads, state, params, **extra):
    # One number says it for all values: a sum of squares with a NaN or infinity isn't finite.
    finite = jnp.isfinite(global_norm(grads))
    updates, advanced = inner.update(grads, state.inner, params, **extra)
    # -0.0 is the one number that leaves every weight's bits alone, -0.0 too.
    updates = jax.tree.map(lambda u: jnp.where(finite, u, -jnp.zeros_like(u)), updates)
    kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), advanced, state.inner)
    # The schedule counts updates that were made, so that a skipped one costs no warm-up.
    made, skipped = finite.astype(jnp.int32), 1 - finite.astype(jnp.int32)
    in_a_row = skipped * (state.in_a_row + 1)
    return updates, SkipState(kept, state.made + made, in_a_row, state.total + skipped)

  return optax.GradientTransformationExtraArgs(init, update)


def step(optimizer, grads, state, weights):
  """One update.

  Args:
    optimizer: `Optimizer`.
    grads: tree like `weights`.
    state: SkipState.
    weights: tree of arrays.

  Returns:
    (new weights, new state, metrics), metrics being `optimizer/lr`, `optimizer/grad_norm` (before
    clipping), `optimizer/skipped` (in all so far) and `optimizer/skipped_in_a_row`; float32 [].
  """
  # Updates that were made, not tried.
  rate = learning_rate(optimizer.schedule, state.made)
  updates, state = optimizer.rule.update(grads, state, weights, rate=rate)
  metrics = {
    'optimizer/lr': rate,
    'optimizer/grad_norm': global_norm(grads),
    'optimizer/skipped': state.total.astype(jnp.float32),
    'optimizer/skipped_in_a_row': state.in_a_row.astype(jnp.float32),
  }
  return optax.apply_updates(weights, updates), state, metrics


def check_streak(config, metrics):
  """Raises NonFiniteError when `metrics` of `step` show `config.max_skipped` skips in a row."""
  streak = int(metrics['optimizer/skipped_in_a_row'])
  if streak >= config.max_skipped:
    raise NonFiniteError(
      f'stopped: the gradients of {streak} updates in a row were not finite '
      f'({int(metrics["optimizer/skipped"])} skipped in all); lower the learning rate {config.lr}, '
      'or look at the losses and log-probabilities in metrics.jsonl'
    )
