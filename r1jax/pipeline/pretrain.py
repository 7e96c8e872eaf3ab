"""Pre-training of a small base model on the tiny world's documents (V3's losses, reference
§2.4-2.7).
"""

import dataclasses
import time

import jax
import numpy as np

from r1jax import sharding
from r1jax.algorithms import sft
from r1jax.data import batches
from r1jax.data.tasks import corpus as corpus_lib
from r1jax.pipeline import supervised
from r1jax.train import metrics, steps
from r1jax.train import state as state_lib


@dataclasses.dataclass(frozen=True)
class PretrainConfig:
  """The corpus and the schedule.

  Attributes:
    updates: updates in all.
    rows, capacity: packed rows of an update and their length in tokens.
    micro: micro-batches an update is cut into.
    documents: size of the corpus; with more updates it repeats.
    corpus: what the documents look like.
    vocab_documents: documents the tokenizer is trained on.
    tokenizer: folder of a model whose tokenizer is used; '' trains one. A student needs its
      teacher's.
    balance: alpha of the sequence-wise balance loss, 1e-4 (reference §2.4).
    bias_speed: gamma of the router bias, 1e-3 (reference §2.4).
    max_prompt, max_new: tokens of a held-out question and of its reply at evaluations.
  """

  updates: int = 600
  rows: int = 64
  capacity: int = 128
  micro: int = 2
  documents: int = 1 << 20
  corpus: corpus_lib.CorpusConfig = corpus_lib.CorpusConfig()
  vocab_documents: int = 6000
  tokenizer: str = ''
  balance: float = 1e-4
  bias_speed: float = 1e-3
  max_prompt: int = 48
  max_new: int = 96

  def __post_init__(self):
    if self.rows % self.micro:
      raise ValueError(f'{self.rows=} do not divide into {self.micro=} micro-batches')


def check(job, mesh):
  """Raises ValueError where rows do not divide over the mesh."""
  pre = job.pretrain
  sharding.check_rows('pretrain.rows / micro', pre.rows // pre.micro, pre.capacity, mesh)


class Stage(supervised.Stage):
  """The pre-training stage as `train.loop` drives it: see `loop.run` for the contract."""

  title = 'Pre-training'
  figures = metrics.SFT_FIGURES

  def __init__(self, job, cfg, tokenizer):
    """Opens the corpus."""
    self.job, self.cfg, self.total = job, cfg, job.pretrain.updates
    pre = job.pretrain
    source = corpus_lib.Corpus(job.seed, pre.documents, pre.corpus)
    packing = batches.PackingConfig(pre.rows, pre.capacity)
    self.stream = batches.DocumentStream(source, tokenizer, packing, job.seed)
    self.tx = state_lib.make_optimizer(job.optimizer, self.specs)
    self.wait_for_weights()
    self.examine = lambda weights, step: {}  # metrics of an evaluation, where one is due

  def update(self, step):
    """One update on the next packed batch."""
    pre, began = self.job.pretrain, time.monotonic()
    batch, tokens, filled = self._batch()
    self.state, found = steps.language_update(
      self.state,
      batch,
      cfg=self.cfg,
      scfg=self.job.sft,
      tx=self.tx,
      balance=pre.balance,
      bias_speed=pre.bias_speed,
    )
    jax.block_until_ready(found)
    spent = time.monotonic() - began
    self.seconds['update'] += spent
    figures = {
      'loss/total': found.pop('sft/loss'),
      'speed/train_tokens_per_s': tokens / spent,
      'packing/filled': filled,
    }
    return figures | found | self.examine(self.state.params, step + 1)

  def _batch(self):
    pre = self.job.pretrain
    packed = next(self.stream)
    mask = packed.real & (packed.position > 0)
    weight = np.full(mask.shape, 1 / mask.sum(), np.float32)
    shape, spec = (pre.micro, -1, pre.capacity), sharding.act(None, 'rows', None)
    put = lambda x: sharding.put(x.reshape(shape), spec)
    rows = steps.Rows(put(packed.token), put(packed.segment), put(packed.position))
    loss = sft.Batch(put(mask), put(weight), rows.segment)
    filled = batches.filled(packed.segment, len(packed.segment))
    return steps.Batch(rows, loss, np.int32(pre.micro)), int(packed.real.sum()), filled
