"""What a GRPO update is made of, token by token: each part of the loss, and what pulls at a token.

All of it is of the weights before the update, on the mini-batch that the update was made from.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from r1jax import params as params_lib
from r1jax import sharding
from r1jax.algorithms import grpo
from r1jax.stages import packing
from r1jax.train import steps


@dataclasses.dataclass(frozen=True)
class Told:
  """A mini-batch, told token by token.

  Attributes:
    loss: of the whole mini-batch, as the update's metric `grpo/loss`.
    samples: index of each completion in its rollout.
    arrays: name -> [A * B, T] of all tokens; see `of`.
    minibatch: the `packing.Minibatch`.
  """

  loss: float
  samples: tuple
  arrays: dict
  minibatch: packing.Minibatch

  def sample(self, index):
    """name -> array of the learned tokens of a completion, in their order."""
    chosen = self._of(index) & self._flat(self.minibatch.batch.loss.mask_BT).astype(bool)
    order = np.argsort(self._flat(self.minibatch.batch.rows.position)[chosen])
    return {name: values[chosen][order] for name, values in self.arrays.items()}

  def whole(self, index):
    """(ids of prompt and completion, place of the first learned token) of a completion."""
    rows = self.minibatch.batch.rows
    mine, position = self._of(index), self._flat(rows.position)
    mask = self._flat(self.minibatch.batch.loss.mask_BT).astype(bool)
    if rows.prefix is not None:
      # A prompt that is shared stands in the same row, as the segment that this one goes on from.
      row = np.flatnonzero(mine.any(1))[0]
      prompt = self._flat(rows.prefix)[row][mine[row]][0]
      mine = mine.copy()
      mine[row] |= self._flat(rows.segment)[row] == prompt
    order = np.argsort(position[mine], kind='stable')
    ids = self._flat(rows.token)[mine][order]
    return ids, int(np.flatnonzero(mask[mine][order])[0])

  def _of(self, index):
    return self._flat(self.minibatch.source) == index

  def _flat(self, array):
    return array.reshape(-1, array.shape[-1])


def of(stage, minibatch):
  """`Told` of a `packing.Minibatch` by the weights of an RL stage as they are now.

  Its arrays: `token`, `logp`, `old_logp`, `ref_logp` and `sampler_logp` (nats, as far as they are
  there), `advantage`, `ratio`, the parts of the loss `policy` and `kl`, and `pull`, the derivative
  of the loss by the token's log-probability: negative where the update makes it more likely.
  """
  flat = lambda x: None if x is None else np.asarray(x).reshape(-1, x.shape[-1])
  rows, batch = minibatch.batch.rows, jax.tree.map(flat, minibatch.batch.loss)
  put = packing.put((rows, minibatch.batch.loss.mask_BT))
  arguments = (*put, minibatch.batch.count, stage.job.sample.temperature)
  logp_BT = flat(sharding.fetch(steps.score(stage.weights, stage.cfg, *arguments)))
  if minibatch.batch.first is not None and minibatch.batch.first:
    # Its old policy is the policy itself, which nobody has scored.
    batch = batch.replace(old_logp_BT=logp_BT)
  loss, pull_BT, parts = _terms(stage.job.grpo, batch, logp_BT)
  arrays = {'token': flat(rows.token), 'logp': logp_BT, 'advantage': batch.advantage_BT}
  names = ('old_logp', 'ref_logp', 'sampler_logp')
  arrays |= {name: getattr(batch, f'{name}_BT') for name in names}
  arrays |= {name: np.asarray(values) for name, values in parts.items()}
  arrays = {name: values for name, values in arrays.items() if values is not None}
  source = minibatch.source[minibatch.batch.loss.mask_BT.astype(bool)]
  samples = tuple(np.unique(source).tolist())
  return Told(float(loss), samples, arrays | {'pull': np.asarray(pull_BT)}, minibatch)


@functools.partial(jax.jit, static_argnames=('gcfg',))
def _terms(gcfg, batch, logp_BT):
  """(loss, its derivative by each log p, its terms) of all rows of a mini-batch."""
  value = lambda logp_BT: grpo.loss(gcfg, batch, logp_BT)[0]
  loss, pull_BT = jax.value_and_grad(value)(logp_BT)
  return loss, pull_BT, grpo.terms(gcfg, batch, logp_BT)


def gradient_norms(stage, told, index):
  """Norm of the gradient of each learned token's log p by what is trained, float32 [T].

  A backward pass for each token: for chosen samples, not for all.
  """
  ids, begin = told.whole(index)
  mesh = jax.sharding.get_mesh()
  # One row for each batch shard, the first of which holds the sample.
  shape = (sharding.batch_shards(mesh), stage.layout.capacity)
  token, segment, position = (np.zeros(shape, np.int32) for _ in range(3))
  token[0, : len(ids)], segment[0, : len(ids)] = ids, 1
  position[0, : len(ids)] = np.arange(len(ids))
  spec = sharding.act('rows', None)
  rows = steps.Rows(*(sharding.put(x, spec) for x in (token, segment, position)))
  places = np.arange(begin, len(ids))
  norm_T = [
    _norm(stage.state.params, stage.frozen, rows, place, stage.cfg, stage.job.sample.temperature)
    for place in places
  ]
  return np.array([float(one) for one in norm_T], np.float32)


@functools.partial(jax.jit, static_argnames=('cfg', 'temperature'))
def _norm(params, frozen, rows, place, cfg, temperature):
  """Norm of the gradient of the log p of one token of the first row."""

  def logp(params):
    # Of segment 1, which the first row alone has; a mask, as rows may lie on other devices.
    at_BT = jax.lax.broadcasted_iota(jnp.int32, rows.token.shape, 1)
    mask_BT = (rows.segment == 1) & (at_BT == place)
    weights = params_lib.join(params, frozen)
    logp_BT, _, _ = steps.token_logp(weights, cfg, rows, mask_BT, temperature)
    return jnp.where(mask_BT, logp_BT, 0).sum()

  square = lambda x: jnp.square(x.astype(jnp.float32)).sum()
  squares = jax.tree.map(square, jax.grad(logp)(params))
  return jnp.sqrt(sum(jax.tree.leaves(squares)))
