"""A whole experiment: load, plan, evaluate, train, evaluate, report."""

import dataclasses
import json
import time

import jax
import rich.console

from r1jax import params as params_lib
from r1jax import sharding
from r1jax.data import source, tokenizer
from r1jax.evaluation import heldout, report
from r1jax.interchange import huggingface
from r1jax.interchange import source as checkpoints
from r1jax.model import transformer
from r1jax.pipeline import plan, pretrain, reasoning_rl, workdir
from r1jax.rewards import service
from r1jax.sampling import rollout
from r1jax.train import loop, metrics


def run(job, config):
  """Runs the job's stage; `config` is the ConfigDict it was built from, for the record.

  Raises:
    ValueError: the job does not work out; nothing has been written.
    Interrupted, CheckpointError, VerifierFailure, NonFiniteError: with the reason; nothing is lost.
  """
  mesh = sharding.make_mesh(job.mesh)
  with jax.set_mesh(mesh):
    {'reasoning_rl': _reasoning_rl, 'pretrain': _pretrain}[job.stage](job, config, mesh)


def _reasoning_rl(job, config, mesh):
  began = time.monotonic()
  cfg, tok = _architecture(job)
  cfg.check_mesh(dict(mesh.shape))
  reasoning_rl.check(job, mesh)
  train, held = source.problems(job.data, job.seed, tok)
  folder = workdir.prepare(job.workdir, config)
  plan.show('Plan', plan.model_rows(cfg, mesh) + plan.rl_rows(job, cfg, mesh))
  rewards = service.RewardService(job.reward)
  try:
    stage = reasoning_rl.Stage(job, cfg, tok, train, rewards, folder)
    examiner = _Examiner(job, cfg, tok, held, rewards)
    stage.initial = _weights(job, cfg)
    before = examiner.judge(stage.initial, job.evaluation.questions)
    stage.examine = examiner.figures
    loop.run(job.loop, stage, folder, job.optimizer)
    after = examiner.judge(stage.state.params, job.evaluation.questions)
  finally:
    rewards.close()
  seconds = stage.seconds | {'evaluation': examiner.seconds, 'whole': time.monotonic() - began}
  _close(job, cfg, tok, folder, stage, (before, after, held, seconds))


def _pretrain(job, config, mesh):
  if job.model is None:
    raise ValueError('pre-training starts from random weights: leave config.checkpoint empty')
  pretrain.check(job, mesh)
  folder = workdir.prepare(job.workdir, config)
  pre = job.pretrain
  tok = _own_tokenizer(job)
  cfg = dataclasses.replace(job.model, vocab=tok.vocab_size)
  cfg.check_mesh(dict(mesh.shape))
  plan.show(
    'Plan',
    plan.model_rows(cfg, mesh)
    + [
      ('batch', f'{pre.rows} rows x {pre.capacity} tokens, {pre.updates:,} updates'),
    ],
  )
  data = source.DataConfig(max_prompt=job.data.max_prompt, levels=pre.corpus.world.levels)
  _, held = source.problems(data, job.seed, tok)
  rewards = service.RewardService(job.reward)
  try:
    stage = pretrain.Stage(job, cfg, tok)
    examiner = _Examiner(job, cfg, tok, held, rewards)
    stage.initial, stage.examine = _weights(job, cfg), examiner.figures
    loop.run(job.loop, stage, folder, job.optimizer)
    result = examiner.judge(stage.state.params, job.evaluation.questions)
  finally:
    rewards.close()
  _save_model(folder / 'model', stage.state.params, cfg, tok)
  digest = report.params_sha256(sharding.fetch(stage.state.params))
  if jax.process_index() == 0:
    figures = result.evaluation.as_json() | result.metrics
    figures['params_sha256'] = digest
    figures['seconds'] = stage.seconds
    metrics.write_atomically(folder / 'summary.json', json.dumps(figures, indent=2) + '\n')
    rich.console.Console().print(figures, f'\nthe model is in {folder}/model')


def _own_tokenizer(job):
  """A SentencePiece model trained on the job's own corpus."""
  from r1jax.data.tasks import corpus

  pre = job.pretrain
  texts = (corpus.document(job.seed, i, pre.corpus).text for i in range(pre.vocab_documents))
  return tokenizer.SentencePieceTokenizer(tokenizer.train_sentencepiece(texts, job.model.vocab))


def _architecture(job):
  """(ModelConfig, tokenizer) of the checkpoint, or of the config with the shipped tokenizer."""
  folder = checkpoints.open(job.checkpoint or 'tiny')
  tok = tokenizer.load(folder)
  if job.model is not None:
    return job.model, tok
  runtime = dataclasses.asdict(job.runtime)
  return huggingface.read_config(folder, **runtime), tok


def _weights(job, cfg):
  """The checkpoint's weights, or random ones."""
  if job.checkpoint:
    return huggingface.load(checkpoints.open(job.checkpoint), cfg, cfg.param_dtype)
  specs = transformer.specs(cfg)
  make = jax.jit(lambda key: params_lib.init(specs, key, cfg.init_std, cfg.param_dtype))
  return make(jax.random.fold_in(jax.random.key(job.seed), 0xB0DE))


class _Examiner:
  """Evaluates policies on the same held-out questions with the same random numbers."""

  def __init__(self, job, cfg, tok, held, rewards):
    self.job, self.cfg, self.tok, self.held, self.rewards = job, cfg, tok, held, rewards
    self.seconds = 0.0

  def judge(self, weights, questions):
    """`heldout.Result` of the first `questions` held-out problems."""
    began = time.monotonic()
    job = self.job
    problems = [self.held[i] for i in range(min(questions, len(self.held)))]
    policy = rollout.Policy(weights, self.cfg, self.tok)
    found = heldout.evaluate(
      policy,
      job.evaluation,
      problems,
      job.data.max_prompt,
      job.sample.max_new,
      heldout.key(job.seed),
      self.rewards,
    )
    self.seconds += time.monotonic() - began
    return found

  def figures(self, weights, step):
    """Metrics of an evaluation during training; {} where none is due."""
    every = self.job.evaluation.every
    if not every or step % every:
      return {}
    return self.judge(weights, self.job.evaluation.few).metrics


def _close(job, cfg, tok, folder, stage, results):
  """Writes and prints what the run leaves: model, summary, picture, table, two transcripts."""
  before, after, held, seconds = results
  _save_model(folder / 'model', stage.state.params, cfg, tok)
  digest = report.params_sha256(sharding.fetch(stage.state.params))
  if jax.process_index() != 0:
    return
  rows = metrics.read(folder / 'metrics.jsonl')
  summary = report.Summary(
    before=before.evaluation,
    after=after.evaluation,
    seconds=seconds,
    seed=job.seed,
    final_params_sha256=digest,
    length_accuracy_rank_correlation=report.length_accuracy(rows),
  )
  report.write_summary(folder / 'summary.json', summary)
  report.plot(rows, folder / 'report.png')
  console = rich.console.Console()
  console.print(report.table(before.evaluation, after.evaluation))
  pick = _telling(before, after)
  pair = [(r.completions[pick], r.verdicts[pick]['accuracy']) for r in (before, after)]
  for part in report.transcripts(held[pick].question, *pair):
    console.print(part)
  console.print(
    f'Files in {folder}: report.png, summary.json, metrics.jsonl (and TensorBoard events), '
    f'samples/, checkpoints/, model/ (weights, config, tokenizer)\n'
    f'Next: python -m r1jax.chat --checkpoint={folder}'
  )


def _telling(before, after):
  """A question answered wrongly before and rightly after, if there is one; else the first."""
  for i, (old, new) in enumerate(zip(before.verdicts, after.verdicts)):
    if new['accuracy'].score and not old['accuracy'].score and heldout.worked(after.completions[i]):
      return i
  return 0


def _save_model(folder, weights, cfg, tok):
  """The policy as a hub folder: weights, config.json and its tokenizer."""
  huggingface.save(folder, weights, cfg)
  if jax.process_index() == 0:
    tok.save(folder)
