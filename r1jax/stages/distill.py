"""Distillation: a student learns its teacher's curated samples, by SFT and no RL (reference §1.8).

The paper's is `distill.kl.weight` 0: samples only. With a weight, and the same tokenizer, the
student also learns the teacher's whole distribution over each token of the samples.
"""

import dataclasses
import pathlib

from r1jax import files, ranges
from r1jax.algorithms import distillation
from r1jax.data import tokenizer
from r1jax.model import config as model_config
from r1jax.model import flops
from r1jax.stages import sft
from r1jax.train import steps


@dataclasses.dataclass(frozen=True)
class DistillConfig:
  """Who teaches, and what is learned beside the samples.

  Attributes:
    teacher: hub folder or work directory of the teacher; a student without a checkpoint of its own
      takes over its tokenizer. '' learns from samples that somebody else has published.
    equal_to: work directory of an RL run of the student: as many epochs as take its counted
      operations, in place of `sft.epochs`; '' leaves them.
    kl: weight of the teacher's distribution.
  """

  teacher: str = ''
  equal_to: str = ''
  kl: distillation.KlConfig = distillation.KlConfig()

  def __post_init__(self):
    ranges.check(self)


@dataclasses.dataclass(frozen=True)
class Teacher:
  """Weights and `ModelConfig` of a teacher whose distribution is learned."""

  params: dict
  cfg: model_config.ModelConfig


def check(job, mesh):
  """Raises ValueError, with the numbers, where the job does not work out."""
  sft.check(job, mesh)
  kl, capacity = job.distill.kl, job.sft.capacity
  if not job.distill.teacher and (kl.weight or not job.checkpoint):
    raise ValueError(
      'config.distill.teacher is empty: give the folder of the model that teaches; without one a '
      'student needs config.checkpoint and distill.kl.weight=0'
    )
  # The logits of two models are made chunk by chunk, so a row is a whole number of chunks.
  if kl.weight and capacity % kl.chunk:
    raise ValueError(f'sft.capacity={capacity} is no multiple of distill.kl.chunk={kl.chunk}')


def check_tokenizers(teacher, student):
  """Raises ValueError where two tokenizers differ: their tokens' distributions do not compare."""
  # Bytes decide, not sizes: two vocabularies of one size may number their tokens differently.
  if type(teacher) is not type(student) or _content(teacher) != _content(student):
    raise ValueError(
      f"the teacher's tokenizer ({teacher.vocab_size} tokens) is not the student's "
      f'({student.vocab_size}): with distill.kl.weight=0 the student learns from samples alone'
    )


class Stage(sft.Stage):
  """Distillation as `train.loop` drives it: see `loop.run` for the contract."""

  title = 'Distillation'

  def __init__(self, job, cfg, form, source, held=(), teacher=None):
    """Arguments as for `sft.Stage`; a `Teacher` where `distill.kl.weight` is not 0."""
    super().__init__(job, cfg, form, source, held)
    self.teacher = teacher
    self.updates_by = steps.distill_update if teacher else self.updates_by
    if bool(teacher) != bool(job.distill.kl.weight):
      need = 'needs a teacher' if job.distill.kl.weight else 'takes no teacher'
      raise ValueError(f'distill.kl.weight={job.distill.kl.weight} {need}')

  def learn(self, batch):
    """(state, metrics) after an update on samples, and on the teacher's distribution if asked."""
    if self.teacher is None:
      return super().learn(batch)
    # The teacher sees the same packed rows as the student, in the same update: nothing is stored.
    return steps.distill_update(
      self.state,
      self.teacher.params,
      batch,
      self.frozen,
      cfg=self.cfg,
      teacher_cfg=self.teacher.cfg,
      kcfg=self.job.distill.kl,
      tx=self.tx,
    )

  def cost(self, tokens):
    """Counted operations of an update; the teacher's forward pass where it takes part."""
    return {'compute/flops': float(_cost(tokens, self.cfg, self.teacher and self.teacher.cfg))}


def spent(path):
  """Counted operations of a run, from its `metrics.jsonl`."""
  return sum(row.get('compute/flops', 0.0) for row in files.read_rows(path))


def equal_epochs(budget, tokens, cfg, teacher_cfg=None):
  """Epochs over a data set in which a student spends `budget` operations.

  Args:
    budget: counted operations.
    tokens: list of `examples.Tokens` of the data set.
    cfg: the student's `ModelConfig`.
    teacher_cfg: of a teacher whose distribution is learned: its forward pass counts too.
  """
  # Not rounded here: `SftConfig.updates` rounds once, to whole updates.
  return budget / _cost(tokens, cfg, teacher_cfg)


def _cost(tokens, cfg, teacher_cfg):
  """Counted operations of learning each example once."""
  lengths = [len(one.ids) for one in tokens]
  # Both output heads are computed for what is learned.
  learned = sum(int(one.learned.sum()) for one in tokens)
  # Nothing flows back into the teacher: its forward pass is all that it costs.
  taught = flops.forward(teacher_cfg, lengths, scored=learned) if teacher_cfg else 0
  return flops.training(cfg, lengths, learned) + taught


def with_epochs(job, data, form, cfg, teacher_cfg):
  """The job with as many epochs as `distill.equal_to` asks for.

  Args:
    job: its `distill` and `sft` are read.
    data: random-access source of what is learned.
    form, cfg: the student's `prompts.Form` and `ModelConfig`.
    teacher_cfg: the teacher's `ModelConfig`.

  Raises:
    ValueError: that folder counts no operations.
  """
  if not job.distill.equal_to:
    return job
  path = pathlib.Path(job.distill.equal_to) / 'metrics.jsonl'
  budget = spent(path)
  if not budget:
    raise ValueError(f'distill.equal_to: {path} counts no operations; give the folder of an RL run')
  # Learning from samples alone runs no teacher; drawing them is counted with the data set.
  taught = teacher_cfg if job.distill.kl.weight else None
  tokens = sft.encoded(job.sft, cfg, data, form).tokens
  epochs = equal_epochs(budget, tokens, cfg, taught)
  return dataclasses.replace(job, sft=dataclasses.replace(job.sft, epochs=epochs))


def _content(tok):
  """What makes a tokenizer: the bytes of its file."""
  return getattr(tok, 'model_bytes', None) or tok.files[tokenizer.HUB_FILE]
