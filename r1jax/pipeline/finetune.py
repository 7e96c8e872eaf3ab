"""Supervised fine-tuning on curated replies: Dev1, Dev3 and the distilled students (reference
§1.6, §1.8).

An update learns `batch` whole examples, packed best-fit; prompts are seen but not learned. Every
epoch shows each example once, in a new order.
"""

import dataclasses
import time

import jax
import numpy as np

from r1jax import sharding
from r1jax.algorithms import sft
from r1jax.data import batches, examples
from r1jax.pipeline import supervised
from r1jax.train import metrics, steps
from r1jax.train import state as state_lib


@dataclasses.dataclass(frozen=True)
class FinetuneConfig:
  """What is learned and for how long; defaults are the paper's (reference §0.1, B.4.2).

  The rate falls along a cosine from `optimizer.lr` to `end_fraction` of it over all updates.

  Attributes:
    path: data set of `data.examples`.
    epochs: passes over it; the paper says two to three.
    batch: examples an update.
    rows, capacity: shape of a packed micro-batch; `capacity` holds the longest example.
    balance, bias_speed: of the experts' balance, as in pre-training; the paper is silent, 0 leaves
      the router to the examples.
  """

  path: str = ''
  epochs: float = 2.0
  batch: int = 128
  rows: int = 8
  capacity: int = 32_768
  balance: float = 0.0
  bias_speed: float = 0.0

  def __post_init__(self):
    if min(self.batch, self.rows, self.capacity) < 1 or self.epochs <= 0:
      raise ValueError(f'{self.epochs=}, {self.batch=}, {self.rows=}, {self.capacity=} must be > 0')

  def updates(self, size):
    """Updates in all over a data set of `size` examples."""
    return max(1, round(self.epochs * size / self.batch))


def check(job, mesh):
  """Raises ValueError where rows do not divide over the mesh."""
  sharding.check_rows('finetune.rows', job.finetune.rows, job.finetune.capacity, mesh)


class Stage(supervised.Stage):
  """Supervised fine-tuning as `train.loop` drives it: see `loop.run` for the contract."""

  title = 'SFT'
  figures = metrics.SFT_FIGURES

  def __init__(self, job, cfg, tokenizer, source):
    """`source` is a random-access source of `examples.Example`.

    Raises:
      ValueError: an example does not fit `capacity`.
    """
    self.job, self.cfg = job, cfg
    fine = job.finetune
    self.total = fine.updates(len(source))
    self.tokens = [examples.encode(source[i], tokenizer) for i in range(len(source))]
    _check_lengths(self.tokens, fine.capacity)
    self.stream = batches.ProblemStream(range(len(source)), fine.batch, job.seed)
    self.rate = dataclasses.replace(
      job.optimizer, schedule='cosine', steps=max(self.total, job.optimizer.warmup + 1)
    )
    self.tx = state_lib.make_optimizer(self.rate, self.specs)
    self.wait_for_weights()
    self.examine = lambda weights, step: {}  # metrics of an evaluation, where one is due

  def update(self, step):
    """One update on the next examples."""
    fine, began = self.job.finetune, time.monotonic()
    tokens = [self.tokens[i] for i in next(self.stream)]
    batch, learned, filled = pack(tokens, fine)
    self.state, found = self._learn(batch)
    jax.block_until_ready(found)
    spent = time.monotonic() - began
    self.seconds['update'] += spent
    figures = {
      'loss/total': found.pop('sft/loss'),
      'speed/train_tokens_per_s': learned / spent,
      'packing/filled': filled,
    }
    figures |= self._cost([len(one.ids) for one in tokens])
    return figures | found | self.examine(self.state.params, step + 1)

  def _learn(self, batch):
    """(state, metrics) after an update on the batch."""
    return steps.language_update(
      self.state,
      batch,
      cfg=self.cfg,
      scfg=self.job.sft,
      tx=self.tx,
      balance=self.job.finetune.balance,
      bias_speed=self.job.finetune.bias_speed,
    )

  def _cost(self, lengths):
    """Further metrics of an update on examples of these lengths."""
    return {}


def pack(tokens, cfg):
  """Examples packed best-fit: (`steps.Batch` on the devices, tokens learned, `batches.filled`).

  Args:
    tokens: list of `examples.Tokens`.
    cfg: `FinetuneConfig`; the batch has room for its `batch` examples even if no two share a row.
  """
  sequences = [one.ids for one in tokens]
  micro = -(-cfg.batch // cfg.rows)
  bins = batches.best_fit([len(ids) for ids in sequences], cfg.capacity)
  packed = batches.lay(sequences, bins, cfg.capacity, micro * cfg.rows)
  begin_B = np.array([one.begin for one in tokens])
  mask = packed.real & (packed.position >= begin_B[packed.source])
  learned = int(mask.sum())
  weight = np.full(mask.shape, 1 / learned, np.float32)
  shape, spec = (micro, cfg.rows, cfg.capacity), sharding.act(None, 'rows', None)
  put = lambda x: sharding.put(x.reshape(shape), spec)
  rows = steps.Rows(put(packed.token), put(packed.segment), put(packed.position))
  loss = sft.Batch(put(mask), put(weight), rows.segment)
  count = -(-len(bins) // cfg.rows)
  filled = batches.filled(packed.segment, count * cfg.rows)
  return steps.Batch(rows, loss, np.int32(count)), learned, filled


def _check_lengths(tokens, capacity):
  long = [i for i, one in enumerate(tokens) if len(one.ids) > capacity]
  if long:
    raise ValueError(
      f'example {long[0]} has {len(tokens[long[0]].ids)} tokens, finetune.capacity={capacity}; '
      f'{len(long)} of {len(tokens)} are too long'
    )
