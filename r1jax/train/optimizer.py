"""AdamW with warm-up, clipping and a schedule, and the rule for gradients that are not finite."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax


class NonFiniteError(RuntimeError):
  """Too many updates in a row had gradients with NaN or infinity."""


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
  """What an optimizer needs; the betas are DeepSeek-V3's (reference §2.7), R1 gives none.

  `lr` is the peak, reached after `warmup` updates. 'cosine' falls to `end_fraction * lr` at update
  `steps` and stays there. `weight_decay` is decoupled. `clip_norm` bounds the global norm of the
  gradient. The run stops after `max_skipped` updates in a row without finite gradients.
  `moments` is the type in which Adam's two moments are kept, 'float32' or 'bfloat16' (V3's choice,
  reference §2.6); the arithmetic is float32 either way.
  """

  lr: float
  schedule: str = 'constant'
  warmup: int = 0
  steps: int = 0
  end_fraction: float = 0.1
  b1: float = 0.9
  b2: float = 0.95
  eps: float = 1e-8
  weight_decay: float = 0.0
  clip_norm: float = 1.0
  max_skipped: int = 10
  moments: str = 'float32'

  def __post_init__(self):
    if self.moments not in ('float32', 'bfloat16'):
      raise ValueError(f"moments={self.moments!r} is not 'float32' or 'bfloat16'")
    if self.schedule not in ('constant', 'cosine'):
      raise ValueError(f"schedule {self.schedule!r} is not 'constant' or 'cosine'")
    if self.schedule == 'cosine' and self.steps <= self.warmup:
      raise ValueError(f'a cosine schedule needs steps={self.steps} > warmup={self.warmup}')
    if self.lr < 0 or self.warmup < 0 or self.weight_decay < 0:
      raise ValueError(f'{self.lr=}, {self.warmup=}, {self.weight_decay=} must not be negative')
    if self.clip_norm <= 0 or self.max_skipped < 1:
      raise ValueError(f'{self.clip_norm=} must be positive and {self.max_skipped=} at least 1')


class SkipState(NamedTuple):
  """The wrapped state; numbers of updates made, skipped in a row, skipped in all (int32)."""

  inner: optax.OptState
  made: jax.Array
  in_a_row: jax.Array
  total: jax.Array


def learning_rate(config):
  """The schedule: number of updates done -> learning rate of the next; the first is not 0."""
  if config.schedule == 'cosine':
    after = optax.cosine_decay_schedule(
      config.lr, config.steps - config.warmup, config.end_fraction
    )
  else:
    after = optax.constant_schedule(config.lr)
  if config.warmup == 0:
    return after
  start, span = config.lr / config.warmup, max(config.warmup - 1, 1)
  return optax.join_schedules(
    [optax.linear_schedule(start, config.lr, span), after], [config.warmup]
  )


def make(config, trainable, decay):
  """The optimizer of a tree of weights.

  Moments are `config.moments` whatever the weights are. Leaves outside `trainable` get no update,
  no state and no part in the clipped norm. An update with non-finite gradients is skipped
  (`skip_nonfinite`).

  Args:
    config: OptimizerConfig.
    trainable: tree of bool, where the optimizer acts (`params.trainable_mask`).
    decay: tree of bool, which weights decay (`params.decay_mask`).

  Returns:
    optax.GradientTransformation whose state is a SkipState.
  """
  adamw = optax.chain(
    optax.clip_by_global_norm(config.clip_norm),
    optax.scale_by_adam(config.b1, config.b2, config.eps),
    optax.add_decayed_weights(config.weight_decay, decay),
    optax.scale_by_learning_rate(learning_rate(config)),
  )
  labels = jax.tree.map(lambda acts: 'trained' if acts else 'frozen', trainable)
  parts = {'trained': _in_float32(adamw, config.moments), 'frozen': optax.set_to_zero()}
  return skip_nonfinite(optax.partition(parts, labels))


def _in_float32(inner, kept):
  """`inner` with its arithmetic in float32 and its real-valued state kept in the type `kept`."""

  def init(params):
    return _real_as(kept, inner.init(_float32(params)))

  def update(grads, state, params):
    updates, state = inner.update(_float32(grads), _real_as(jnp.float32, state), _float32(params))
    return updates, _real_as(kept, state)

  return optax.GradientTransformation(init, update)


def _float32(tree):
  return jax.tree.map(lambda x: x.astype(jnp.float32), tree)


def _real_as(dtype, tree):
  real = lambda x: jnp.issubdtype(x.dtype, jnp.floating)
  return jax.tree.map(lambda x: x.astype(dtype) if real(x) else x, tree)


def global_norm(tree):
  """Euclidean norm over all values of the tree; float32 []. Not finite when any value is not."""
  return optax.tree.norm(_float32(tree))


def skip_nonfinite(inner):
  """`inner`, except that non-finite gradients change neither weights nor state and are counted.

  Unlike `optax.apply_if_finite` it never gives in and applies them: the loop stops the run with
  `check_streak`.
  """

  def init(params):
    counters = [jnp.zeros((), jnp.int32) for _ in range(3)]  # one buffer each: the state is donated
    return SkipState(inner.init(params), *counters)

  def update(grads, state, params):
    finite = jnp.isfinite(global_norm(grads))
    updates, advanced = inner.update(grads, state.inner, params)
    # -0.0 is the one number that leaves every weight's bits alone, -0.0 too.
    updates = jax.tree.map(lambda u: jnp.where(finite, u, -jnp.zeros_like(u)), updates)
    kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), advanced, state.inner)
    made, skipped = finite.astype(jnp.int32), 1 - finite.astype(jnp.int32)
    in_a_row = skipped * (state.in_a_row + 1)
    return updates, SkipState(kept, state.made + made, in_a_row, state.total + skipped)

  return optax.GradientTransformation(init, update)


def step(optimizer, grads, state, weights):
  """One update.

  Args:
    optimizer: what `make` returned.
    grads: tree like `weights`.
    state: SkipState.
    weights: tree of arrays.

  Returns:
    (new weights, new state, metrics), metrics being `optimizer/grad_norm` (before clipping),
    `optimizer/skipped` (in all so far) and `optimizer/skipped_in_a_row`; float32 [].
  """
  updates, state = optimizer.update(grads, state, weights)
  metrics = {
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
