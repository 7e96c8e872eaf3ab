"""From a rollout and its advantages to packed mini-batches for GRPO."""

import dataclasses

import flax.struct
import jax
import numpy as np

from r1jax import sharding
from r1jax.algorithms import grpo
from r1jax.data import batches
from r1jax.train import steps


@dataclasses.dataclass(frozen=True)
class Layout:
  """Shape of a mini-batch: micro-batches of `rows` rows of `capacity` tokens, at most `micro` of
  them.
  """

  sequences: int
  rows: int
  capacity: int

  @property
  def micro(self):
    """Micro-batches that suffice even if no two sequences share a row."""
    return -(-self.sequences // self.rows)


@flax.struct.dataclass
class Minibatch:
  """A packed mini-batch on the host: what a step wants, and where each token came from.

  Attributes:
    batch: `steps.Batch` of NumPy arrays [A, B, T].
    source: [A, B, T], index of the token's sequence in the rollout, -1 for padding.
  """

  batch: steps.Batch
  source: np.ndarray


def split(count, parts, seed):
  """`count` sequences in random order, cut into `parts` equal mini-batches (reference §1.3)."""
  order = np.random.default_rng(seed).permutation(count)
  return np.split(order, parts)


def pack(rollout, chosen, advantage_B, layout, gcfg):
  """The sequences `chosen` of a rollout, packed best-fit into one `Minibatch`."""
  group = rollout.group
  prompts = [rollout.prompts[b // group] for b in chosen]
  replies = [rollout.completion(b) for b in chosen]
  sequences = [np.concatenate([np.asarray(p, np.int32), r]) for p, r in zip(prompts, replies)]
  bins = batches.best_fit([len(s) for s in sequences], layout.capacity)
  packed = batches.lay(sequences, bins, layout.capacity, layout.micro * layout.rows)
  micro_B = np.empty(len(chosen), int)
  for row, members in enumerate(bins):
    micro_B[members] = row // layout.rows
  begin_B = np.array([len(p) for p in prompts])
  weight_B = grpo.token_weights(rollout.length_B[chosen], gcfg, micro_B)
  source = packed.source
  mask = packed.real & (packed.position >= begin_B[source])
  into = np.where(mask, packed.position - begin_B[source], 0)
  chosen = np.asarray(chosen)
  loss = grpo.Batch(
    mask_BT=mask,
    advantage_BT=np.where(mask, advantage_B[chosen][source], 0).astype(np.float32),
    weight_BT=np.where(mask, weight_B[source], 0).astype(np.float32),
    sampler_logp_BT=np.where(mask, rollout.logp_BT[chosen[source], into], 0).astype(np.float32),
    segment_BT=packed.segment,
  )
  rows = steps.Rows(packed.token, packed.segment, packed.position)
  count = np.array(-(-len(bins) // layout.rows), np.int32)
  shape = (layout.micro, layout.rows, layout.capacity)
  rows, loss = jax.tree.map(lambda x: x.reshape(shape), (rows, loss))
  batch = steps.Batch(rows, loss, count)
  where = np.where(source < 0, -1, chosen[source])
  return Minibatch(batch, where.reshape(shape).astype(np.int32))


def empty(layout, with_old, with_reference):
  """A `Minibatch` of zeros: the shapes and types of those that `pack` makes."""
  shape = (layout.micro, layout.rows, layout.capacity)
  whole = lambda: np.zeros(shape, np.int32)
  real = lambda wanted=True: np.zeros(shape, np.float32) if wanted else None
  loss = grpo.Batch(
    mask_BT=np.zeros(shape, bool),
    advantage_BT=real(),
    weight_BT=real(),
    old_logp_BT=real(with_old),
    ref_logp_BT=real(with_reference),
    sampler_logp_BT=real(),
    segment_BT=whole(),
  )
  rows = steps.Rows(whole(), whole(), whole())
  return Minibatch(steps.Batch(rows, loss, np.zeros((), np.int32)), whole())


def put(batch):
  """The batch on the devices: rows spread over the batch axes, the count everywhere."""
  spec = sharding.act(None, 'rows', None)
  return jax.tree.map(lambda x: sharding.put(x, spec if x.ndim == 3 else jax.P()), batch)


def unpack(minibatch, values_ABT, into_BT, prompts, group):
  """Writes per-token values of a packed mini-batch back as [sequence, token of its completion]."""
  mask = minibatch.batch.loss.mask_BT
  source = minibatch.source[mask]
  begin = np.array([len(p) for p in prompts])[source // group]
  into_BT[source, minibatch.batch.rows.position[mask] - begin] = values_ABT[mask]
