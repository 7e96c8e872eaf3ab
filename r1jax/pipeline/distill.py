"""Distillation: a student learns its teacher's curated samples, by SFT and no RL (reference §1.8).

The paper's is `distill.kl.weight` 0: samples only. With a weight, and the same tokenizer, the
student also learns the teacher's whole distribution over each token of the samples.
"""

import dataclasses
import json
import pathlib

import jax
import rich.console

from r1jax.algorithms import distillation
from r1jax.data import examples, source, tokenizer
from r1jax.evaluation import report
from r1jax.interchange import checkpoints, huggingface
from r1jax.model import flops
from r1jax.pipeline import experiment, finetune, plan, workdir
from r1jax.rewards import service
from r1jax.sampling import rollout
from r1jax.train import loop, metrics, steps


@dataclasses.dataclass(frozen=True)
class DistillConfig:
  """Who teaches, and what is learned beside the samples.

  Attributes:
    teacher: hub folder or work directory of the teacher; a student without a checkpoint of its own
      takes over its tokenizer.
    equal_to: work directory of an RL run of the student: as many epochs as take its counted
      operations, in place of `finetune.epochs`; '' leaves them.
    kl: weight of the teacher's distribution.
  """

  teacher: str = ''
  equal_to: str = ''
  kl: distillation.KlConfig = distillation.KlConfig()


@dataclasses.dataclass(frozen=True)
class Teacher:
  """Weights and `ModelConfig` of a teacher whose distribution is learned."""

  params: dict
  cfg: object


def check(job, mesh):
  """Raises ValueError, with the numbers, where the job does not work out."""
  finetune.check(job, mesh)
  if not job.distill.teacher:
    raise ValueError('config.distill.teacher is empty: give the folder of the model that teaches')
  kl, capacity = job.distill.kl, job.finetune.capacity
  if kl.weight and capacity % kl.chunk:
    raise ValueError(f'finetune.capacity={capacity} is no multiple of distill.kl.chunk={kl.chunk}')


def check_tokenizers(teacher, student):
  """Raises ValueError where two tokenizers differ: their tokens' distributions do not compare."""
  if type(teacher) is not type(student) or _content(teacher) != _content(student):
    raise ValueError(
      f"the teacher's tokenizer ({teacher.vocab_size} tokens) is not the student's "
      f'({student.vocab_size}): with distill.kl.weight=0 the student learns from samples alone'
    )


class Stage(finetune.Stage):
  """Distillation as `train.loop` drives it: see `loop.run` for the contract."""

  title = 'Distillation'

  def __init__(self, job, cfg, tokenizer, source, teacher=None):
    """`source` is a random-access source of `examples.Example`; `teacher` a `Teacher` where
    `job.distill.kl.weight` is not 0.
    """
    super().__init__(job, cfg, tokenizer, source)
    self.teacher = teacher
    if bool(teacher) != bool(job.distill.kl.weight):
      raise ValueError(f'a teacher goes with a weight, {job.distill.kl.weight=}')

  def _learn(self, batch):
    if self.teacher is None:
      return super()._learn(batch)
    return steps.distill_update(
      self.state,
      self.teacher.params,
      batch,
      cfg=self.cfg,
      teacher_cfg=self.teacher.cfg,
      kcfg=self.job.distill.kl,
      tx=self.tx,
    )

  def _cost(self, lengths):
    """Counted operations of an update; the teacher's forward pass where it takes part."""
    own = flops.training(self.cfg, lengths)
    taught = flops.forward(self.teacher.cfg, lengths) if self.teacher else 0
    return {'compute/flops': float(own + taught)}


def run(job, config, mesh):
  """Distils, and judges teacher and student on the same held-out questions.

  Writes WORKDIR/model, `metrics.jsonl` and `summary.json`; `config` is for the record.
  """
  check(job, mesh)
  place = checkpoints.open(job.distill.teacher)
  teacher_tok = tokenizer.load(place)
  cfg, tok = _student(job, teacher_tok)
  cfg.check_mesh(dict(mesh.shape))
  if job.distill.kl.weight:
    check_tokenizers(teacher_tok, tok)
  teacher_cfg = huggingface.read_config(place, **dataclasses.asdict(job.runtime))
  teacher_cfg = dataclasses.replace(teacher_cfg, mtp_layers=0)
  limits = rollout.Limits(job.data.max_prompt, job.sample.max_new, job.evaluation.chunk)
  _, held = source.problems(job.data, job.seed, tok)
  data = examples.Examples(job.finetune.path)
  job = _with_epochs(job, data, tok, cfg, teacher_cfg)
  folder = workdir.prepare(job.workdir, config)
  rewards = service.RewardService(job.reward)
  try:
    weights = huggingface.load(place, teacher_cfg, teacher_cfg.param_dtype, lambda line: None)
    teacher = Teacher(weights, teacher_cfg)
    judge = experiment._Examiner(job, limits, teacher_cfg, teacher_tok, held, rewards)
    examiner = experiment._Examiner(job, limits, cfg, tok, held, rewards)
    stage = Stage(job, cfg, tok, data, teacher if job.distill.kl.weight else None)
    plan.show('Plan', plan.model_rows(cfg, mesh) + plan.distill_rows(job, stage.total, len(data)))
    stage.initial, stage.examine = experiment._weights(job, cfg), examiner.figures
    found = {'teacher': judge.judge(weights).evaluation.as_json()}
    loop.run(job.loop, stage, folder, stage.rate)
    found['student'] = examiner.judge(stage.state.params).evaluation.as_json()
  finally:
    rewards.close()
  experiment._save_model(folder / 'model', stage.state.params, cfg, tok)
  _close(folder, stage, found | {'examples': len(data), 'updates': stage.total})


def spent(path):
  """Counted operations of a run, from its `metrics.jsonl`."""
  return sum(row.get('compute/flops', 0.0) for row in metrics.read(path))


def equal_epochs(budget, data, tok, cfg, teacher_cfg=None):
  """Epochs over a data set in which a student spends `budget` operations.

  Args:
    data: random-access source of `examples.Example`.
    tok, cfg: the student's tokenizer and `ModelConfig`.
    teacher_cfg: of a teacher whose distribution is learned: its forward pass counts too.
  """
  lengths = [len(examples.encode(data[i], tok).ids) for i in range(len(data))]
  epoch = flops.training(cfg, lengths)
  return budget / (epoch + (flops.forward(teacher_cfg, lengths) if teacher_cfg else 0))


def _with_epochs(job, data, tok, cfg, teacher_cfg):
  """The job with as many epochs as `distill.equal_to` asks for."""
  if not job.distill.equal_to:
    return job
  path = pathlib.Path(job.distill.equal_to) / 'metrics.jsonl'
  budget = spent(path)
  if not budget:
    raise ValueError(f'distill.equal_to: {path} counts no operations; give the folder of an RL run')
  taught = teacher_cfg if job.distill.kl.weight else None
  epochs = equal_epochs(budget, data, tok, cfg, taught)
  return dataclasses.replace(job, finetune=dataclasses.replace(job.finetune, epochs=epochs))


def _close(folder, stage, found):
  digest = report.params_sha256(stage.state.params)
  if jax.process_index() != 0:
    return
  found |= {
    'flops': spent(folder / 'metrics.jsonl'),
    'params_sha256': digest,
    'seconds': stage.seconds,
  }
  metrics.write_atomically(folder / 'summary.json', json.dumps(found, indent=2) + '\n')
  teacher, student = (found[who]['pass@1'] for who in ('teacher', 'student'))
  share = f' ({student / teacher:.0%} of it)' if teacher else ''
  rich.console.Console().print(
    f'pass@1: teacher {teacher:.1%}, student {student:.1%}{share}\n'
    f'The student is in {folder}/model; next: python -m r1jax.chat --checkpoint={folder}'
  )


def _student(job, teacher_tokenizer):
  """(ModelConfig, tokenizer) of the checkpoint, or of the config with the teacher's tokenizer."""
  if job.model is None:
    return experiment._architecture(job)
  return dataclasses.replace(job.model, vocab=teacher_tokenizer.vocab_size), teacher_tokenizer


def _content(tok):
  """What makes a tokenizer: the bytes of its file."""
  return getattr(tok, 'model_bytes', None) or tok.files[tokenizer.HUB_FILE]
