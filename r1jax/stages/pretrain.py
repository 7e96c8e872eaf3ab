"""Pre-training of a small base model on the tiny world's documents (reference §2.4-2.7).

The losses are V3's: next token, multi-token prediction, and the balance of the experts.
"""

import dataclasses

from r1jax import ranges, sharding
from r1jax.data import batches
from r1jax.data.tasks import corpus as corpus_lib
from r1jax.stages import packing, supervised
from r1jax.train import progress, steps
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
    mtp_weight: weight of the multi-token-prediction loss, where the model has that module.
    balance: alpha of the sequence-wise balance loss, 1e-4 (reference §2.4).
    bias_speed: gamma of the router bias, 1e-3 (reference §2.4).
    max_prompt, max_new: tokens of a held-out question and of its reply at evaluations.
  """

  updates: ranges.Count = 600
  rows: ranges.Count = 64
  capacity: ranges.Count = 128
  micro: ranges.Count = 2
  documents: ranges.Count = 1 << 20
  corpus: corpus_lib.CorpusConfig = corpus_lib.CorpusConfig()
  vocab_documents: ranges.Count = 6000
  tokenizer: str = ''
  # V3's over its first 10T tokens; 0.1 over the last 4.8T (reference §2.5).
  mtp_weight: ranges.Weight = 0.3
  balance: ranges.Weight = 1e-4
  bias_speed: ranges.Weight = 1e-3
  max_prompt: ranges.Count = 48
  max_new: ranges.Count = 96

  def __post_init__(self):
    ranges.check(self)
    ranges.require(
      self, self.rows % self.micro == 0, '{rows} do not divide into {micro} micro-batches'
    )


def check(job, mesh):
  """Raises ValueError where rows do not divide over the mesh."""
  pre = job.pretrain
  sharding.check_rows('pretrain.rows / micro', pre.rows // pre.micro, pre.capacity, mesh)


class Stage(supervised.Stage):
  """The pre-training stage as `train.loop` drives it: see `loop.run` for the contract."""

  title = 'Pre-training'
  figures = progress.SFT_FIGURES

  def __init__(self, job, cfg, tokenizer):
    """Opens the corpus."""
    self.job, self.cfg, self.total = job, cfg, job.pretrain.updates
    pre = job.pretrain
    source = corpus_lib.Corpus(job.seed, pre.documents, pre.corpus)
    shape = batches.PackingConfig(pre.rows, pre.capacity)
    self.stream = batches.DocumentStream(source, tokenizer, shape, job.seed)
    self.tx = state_lib.make_optimizer(job.optimizer, self.specs)
    self.wait_for_weights()

  def update(self, step):
    """One update on the next packed batch."""
    pre, packed = self.job.pretrain, next(self.stream)
    # Micro-batches [A, B, T] bound the memory of activations; the update is that of all rows.
    cut = lambda x: x.reshape(pre.micro, -1, pre.capacity)
    rows = steps.Rows(cut(packed.token), cut(packed.segment), cut(packed.position))
    # A document's first token has nothing before it to be predicted from.
    batch = packing.for_sft(rows, cut(packed.real & (packed.position > 0)), pre.micro)
    filled = batches.filled(packed.segment, len(packed.segment))
    learn = lambda: self.language_update(batch, pre)
    # Every real token counts here, not only those that are predicted.
    figures = self.timed(learn, int(packed.real.sum()), filled)
    return figures | self.examine(self.state.params, step + 1)
