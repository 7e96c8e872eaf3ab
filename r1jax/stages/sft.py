"""Supervised fine-tuning on curated replies: Dev1, Dev3 and the students (reference §1.6, §1.8).

An update learns `batch` whole examples, packed best-fit; prompts are seen but not learned. Every
epoch shows each example once, in a new order.
"""

import dataclasses
from typing import Annotated

from r1jax import ranges, sharding
from r1jax.data import batches, examples
from r1jax.stages import packing, supervised
from r1jax.train import progress
from r1jax.train import state as state_lib


@dataclasses.dataclass(frozen=True)
class SftConfig:
  """What is learned and for how long; defaults are the paper's (reference §0.1, B.4.2).

  The rate falls along a cosine from `optimizer.lr` to `end_fraction` of it over all updates.

  Attributes:
    path: data set of `data.examples`.
    epochs: passes over it; the paper says two to three.
    batch: examples per update.
    rows: rows of a packed micro-batch.
    capacity: tokens of a row; it holds the longest example.
    mtp_weight: weight of the multi-token-prediction loss, where the model has that module.
    balance: alpha of the experts' balance loss, as in pre-training; the paper is silent, 0 leaves
      the router to the examples.
    bias_speed: gamma of the router bias, likewise.
  """

  path: str = ''
  epochs: Annotated[float, ranges.Range(0, 1e6, above=True)] = 2.0
  batch: ranges.Count = 128
  rows: ranges.Count = 8
  capacity: ranges.Count = 32_768
  mtp_weight: ranges.Weight = 0.1
  balance: ranges.Weight = 0.0
  bias_speed: ranges.Weight = 0.0

  def __post_init__(self):
    ranges.check(self)

  def updates(self, size):
    """Updates in all over a data set of `size` examples."""
    # One at least, for a data set smaller than a batch.
    return max(1, round(self.epochs * size / self.batch))


def check(job, mesh):
  """Raises ValueError where rows do not divide over the mesh."""
  sharding.check_rows('sft.rows', job.sft.rows, job.sft.capacity, mesh)


class Stage(supervised.Stage):
  """Supervised fine-tuning as `train.loop` drives it: see `loop.run` for the contract."""

  title = 'SFT'
  figures = progress.SFT_FIGURES

  def __init__(self, job, cfg, form, source):
    """`form` is the `prompts.Form` of the model, `source` holds `examples.Example`s.

    Raises:
      ValueError: an example does not fit `capacity`.
    """
    self.job, self.cfg = job, cfg
    self.total = job.sft.updates(len(source))
    self.layout = packing.Layout(job.sft.batch, job.sft.rows, job.sft.capacity)
    # Encoded once and kept on the host, as every epoch needs them.
    self.tokens = [examples.encode(source[i], form) for i in range(len(source))]
    _check_lengths(self.tokens, job.sft.capacity)
    # Of indices: the tokens are here already.
    self.stream = batches.ProblemStream(range(len(source)), job.sft.batch, job.seed)
    # The data set decides the cosine's length, which has to go beyond the warm-up.
    self.rate = dataclasses.replace(
      job.optimizer, schedule='cosine', steps=max(self.total, job.optimizer.warmup + 1)
    )
    self.tx = state_lib.make_optimizer(self.rate, self.specs)
    self.wait_for_weights()

  def update(self, step):
    """One update on the next examples."""
    tokens = [self.tokens[i] for i in next(self.stream)]
    batch, learned, filled = pack(tokens, self.layout)
    figures = self.timed(lambda: self.learn(batch), learned, filled)
    # By the examples' own lengths: padding costs time but is no work that was asked for.
    figures |= self.cost([len(one.ids) for one in tokens])
    return figures | self.examine(self.state.params, step + 1)

  def learn(self, batch):
    """(state, metrics) after an update on the batch."""
    return self.language_update(batch, self.job.sft)

  def cost(self, lengths):
    """Further metrics of an update on examples of these lengths."""
    return {}


def pack(tokens, layout):
  """Examples packed best-fit: (`steps.Batch` on the devices, tokens learned, share of places held).

  Args:
    tokens: list of `examples.Tokens`.
    layout: `packing.Layout`.
  """
  # `begin` is the first token of the reply: what is before it is read but not learned.
  placed = packing.place([one.ids for one in tokens], [one.begin for one in tokens], layout)
  batch = packing.for_sft(placed.rows, placed.shaped(placed.mask), placed.count)
  return batch, int(placed.mask.sum()), placed.filled


def _check_lengths(tokens, capacity):
  long = [i for i, one in enumerate(tokens) if len(one.ids) > capacity]
  if long:
    raise ValueError(
      f'example {long[0]} has {len(tokens[long[0]].ids)} tokens, sft.capacity={capacity}; '
      f'{len(long)} of {len(tokens)} are too long'
    )
