"""A whole experiment: load, plan, evaluate, train, evaluate, report."""

import contextlib
import dataclasses
import functools
import json
import time

import jax
import rich.console

from r1jax import params as params_lib
from r1jax import sharding
from r1jax.data import chat_template, preferences, source, tokenizer
from r1jax.data.tasks import corpus
from r1jax.evaluation import heldout, report, scenarios
from r1jax.interchange import checkpoints, huggingface
from r1jax.model import transformer
from r1jax.pipeline import ahead, general_rl, plan, pretrain, reasoning_rl, reward_model, workdir
from r1jax.rewards import judge, service
from r1jax.sampling import handover, rollout
from r1jax.train import loop, metrics


def run(job, config):
  """Runs the job's stage; `config` is the ConfigDict it was built from, for the record.

  Raises:
    ValueError: the job does not work out; nothing has been written.
    Interrupted, CheckpointError, VerifierFailure, NonFiniteError: with the reason; nothing is lost.
  """
  stages = {
    'reasoning_rl': _reasoning_rl,
    'general_rl': _general_rl,
    'reward_model': _reward_model,
    'pretrain': _pretrain,
  }
  if job.stage not in stages:
    raise ValueError(f'config.stage={job.stage!r} is not one of {", ".join(stages)}')
  mesh = sharding.make_mesh(job.mesh, ahead.devices(job.rl)[0])
  with jax.set_mesh(mesh):
    stages[job.stage](job, config, mesh)


def _reasoning_rl(job, config, mesh):
  reasoning_rl.check(job, mesh)
  make = functools.partial(reasoning_rl.Stage, rollout_mesh=ahead.check(job.rl, mesh))
  _rl(job, config, mesh, make, service.RewardService(job.reward))


def _rl(job, config, mesh, make_stage, rewards):
  """Trains by RL; returns (folder, policy of the base's weights, trained policy)."""
  began = time.monotonic()
  cfg, tok = _architecture(job)
  cfg.check_mesh(dict(mesh.shape))
  _check_context(cfg, job.data.max_prompt + job.sample.max_new)
  train, held = source.problems(job.data, job.seed, tok)
  folder = workdir.prepare(job.workdir, config)
  plan.show('Plan', plan.model_rows(cfg, mesh) + plan.rl_rows(job, cfg, mesh))
  try:
    stage = make_stage(job, cfg, tok, train, rewards, folder)
    stage.began = began
    limits = rollout.Limits(job.data.max_prompt, job.sample.max_new, job.evaluation.chunk)
    examiner = _Examiner(job, limits, cfg, tok, held, rewards, job.rl.rollout_layout)
    stage.initial = _weights(job, cfg)
    before = examiner.judge(stage.initial)
    stage.examine = examiner.figures
    with contextlib.closing(stage):
      loop.run(job.loop, stage, folder, job.optimizer)
    after = examiner.judge(stage.state.params)
  finally:
    rewards.close()
  seconds = stage.spent() | {'evaluation': examiner.seconds}
  _close(job, cfg, tok, folder, stage, (before, after, held, seconds))
  return folder, stage.policy


def _general_rl(job, config, mesh):
  general_rl.check(job, mesh)
  requests, held = _requests(job)
  judges, weights = general_rl.judges(job), job.general.weights
  rewards = judge.PreferenceService(service.RewardService(job.reward), judges, weights)
  make = functools.partial(general_rl.Stage, requests)
  folder, policy = _rl(job, config, mesh, make, rewards)
  # The rules of a general request are read at once: no worker is needed after `close`.
  base = dataclasses.replace(policy, params=_weights(job, policy.cfg))
  held = [held[i] for i in range(min(job.general.questions, len(held)))]
  means = lambda found: {k: v['mean'] if k != 'length' else v for k, v in found.items()}
  ask = lambda who: scenarios.ask(who, job, held, rewards, heldout.key(job.seed))
  found = {'before': means(ask(base)), 'after': means(ask(policy))}
  if jax.process_index() == 0:
    path = folder / 'summary.json'
    summary = json.loads(path.read_text()) | {'general': found}
    metrics.write_atomically(path, json.dumps(summary, indent=2) + '\n')
    rich.console.Console().print('general requests:', found)


def _reward_model(job, config, mesh):
  reward_model.check(job, mesh)
  cfg, tok = _architecture(job)
  cfg.check_mesh(dict(mesh.shape))
  _check_context(cfg, job.reward_model.capacity // 2)
  train, held = _pairs(job)
  folder = workdir.prepare(job.workdir, config)
  plan.show('Plan', plan.model_rows(cfg, mesh) + plan.preference_rows(job))
  stage = reward_model.Stage(job, cfg, tok, train, held)
  stage.initial = _weights(job, cfg)
  loop.run(job.loop, stage, folder, job.optimizer)
  found, model = stage.accuracy(), stage.model()
  judge.save(folder / 'model', model)
  digest = report.params_sha256(stage.state.params)
  if jax.process_index() == 0:
    figures = {
      'kind': model.kind,
      'accuracy': found.mean,
      'ci95': [found.low, found.high],
      'pairs': found.questions,
      'params_sha256': digest,
      'seconds': stage.seconds,
    }
    metrics.write_atomically(folder / 'summary.json', json.dumps(figures, indent=2) + '\n')
    rich.console.Console().print(
      f'{model.kind}: {found} of {found.questions} held-out pairs in order; the reward model is in '
      f'{folder}/model'
    )


def _requests(job):
  """(training, held-out) general requests."""
  path = job.general.path
  return preferences.split(preferences.load_requests(path), path)


def _pairs(job):
  """(training, held-out) pairs of a reward model."""
  path = job.reward_model.path
  return preferences.split(preferences.load(path), path)


def _pretrain(job, config, mesh):
  if job.model is None:
    raise ValueError('pre-training starts from random weights: leave config.checkpoint empty')
  pretrain.check(job, mesh)
  pre = job.pretrain
  tok = _own_tokenizer(job)
  cfg = dataclasses.replace(job.model, vocab=tok.vocab_size)
  cfg.check_mesh(dict(mesh.shape))
  _check_context(cfg, max(pre.capacity, pre.max_prompt + pre.max_new))
  folder = workdir.prepare(job.workdir, config)
  plan.show(
    'Plan',
    plan.model_rows(cfg, mesh)
    + [
      ('batch', f'{pre.rows} rows x {pre.capacity} tokens, {pre.updates:,} updates'),
    ],
  )
  world = pre.corpus.world
  data = source.DataConfig(
    max_prompt=pre.max_prompt, levels=world.levels, languages=world.languages
  )
  _, held = source.problems(data, job.seed, tok)
  rewards = service.RewardService(job.reward)
  try:
    stage = pretrain.Stage(job, cfg, tok)
    limits = rollout.Limits(pre.max_prompt, pre.max_new, job.evaluation.chunk)
    examiner = _Examiner(job, limits, cfg, tok, held, rewards)
    stage.initial, stage.examine = _weights(job, cfg), examiner.figures
    loop.run(job.loop, stage, folder, job.optimizer)
    result = examiner.judge(stage.state.params)
  finally:
    rewards.close()
  _save_model(folder / 'model', stage.state.params, cfg, tok)
  digest = report.params_sha256(stage.state.params)
  if jax.process_index() == 0:
    figures = result.evaluation.as_json() | result.metrics
    figures['params_sha256'] = digest
    figures['seconds'] = stage.seconds
    metrics.write_atomically(folder / 'summary.json', json.dumps(figures, indent=2) + '\n')
    rich.console.Console().print(figures, f'\nthe model is in {folder}/model')


def _own_tokenizer(job):
  """A SentencePiece model trained on the job's corpus, which must not ask held-out questions, or
  that of `pretrain.tokenizer`.
  """
  pre = job.pretrain
  if pre.tokenizer:
    return tokenizer.load(checkpoints.open(pre.tokenizer))
  documents = (corpus.document(job.seed, i, pre.corpus) for i in range(pre.vocab_documents))
  texts = [document.text for document in documents]
  corpus.check_training_texts(texts)
  return tokenizer.SentencePieceTokenizer(tokenizer.train_sentencepiece(texts, job.model.vocab))


def _architecture(job):
  """(ModelConfig, tokenizer) of the checkpoint, or of the config with the shipped tokenizer."""
  folder = checkpoints.open(job.checkpoint or 'tiny')
  if job.model is None:
    cfg = huggingface.read_config(folder, **dataclasses.asdict(job.runtime))
    huggingface.check(folder, cfg)
    return cfg, checkpoints.tokenizer_of(folder, cfg)
  tok = tokenizer.load(folder)
  if job.model.vocab != tok.vocab_size:
    raise ValueError(
      f'config.model.vocab={job.model.vocab} has no tokenizer: without config.checkpoint the '
      f'shipped one of {tok.vocab_size} pieces is used; give a checkpoint, or that vocabulary'
    )
  return job.model, tok


def _check_context(cfg, needed):
  if needed > cfg.max_length:
    raise ValueError(
      f'prompt and reply take up to {needed} tokens, more than the context of the model, '
      f'{cfg.max_length}; lower data.max_prompt or sample.max_new'
    )


def _weights(job, cfg):
  """The checkpoint's weights, or random ones."""
  if job.checkpoint:
    return huggingface.load(checkpoints.open(job.checkpoint), cfg, cfg.param_dtype)
  specs = transformer.specs(cfg)
  make = jax.jit(lambda key: params_lib.init(specs, key, cfg.init_std, cfg.param_dtype))
  return make(jax.random.fold_in(jax.random.key(job.seed), 0xB0DE))


class _Examiner:
  """Evaluates policies on the same held-out questions with the same random numbers."""

  def __init__(self, job, limits, cfg, tok, held, rewards, layout='same'):
    """`layout` as `handover.take` knows it.

    Raises:
      ValueError: the questions do not divide over the mesh.
    """
    self.layout = layout
    self.evaluation, self.limits, self.seed = job.evaluation, limits, job.seed
    self.cfg, self.tok, self.rewards = cfg, tok, rewards
    count = min(job.evaluation.questions, len(held))
    self.problems, self.seconds = [held[i] for i in range(count)], 0.0
    shards = sharding.batch_shards(jax.sharding.get_mesh())
    for asked in {count, min(job.evaluation.few, count), limits.chunk}:
      if asked % shards:
        raise ValueError(
          f'{asked} held-out questions (evaluation.questions, few, chunk; {len(held)} are '
          f'there) do not divide over {shards} batch shards of the mesh'
        )

  def judge(self, weights, questions=None):
    """`heldout.Result` of the first `questions` held-out problems, by default of all."""
    began = time.monotonic()
    policy, _ = handover.take(rollout.Policy(weights, self.cfg, self.tok), self.layout)
    problems = self.problems[:questions]
    key = heldout.key(self.seed)
    found = heldout.evaluate(policy, self.evaluation, problems, self.limits, key, self.rewards)
    self.seconds += time.monotonic() - began
    return found

  def figures(self, weights, step):
    """Metrics of an evaluation after update `step`; {} where none is due."""
    every = self.evaluation.every
    return self.judge(weights, self.evaluation.few).metrics if every and step % every == 0 else {}


def _close(job, cfg, tok, folder, stage, results):
  """Writes and prints what the run leaves: model, summary, picture, table, two transcripts."""
  before, after, held, seconds = results
  _save_model(folder / 'model', stage.state.params, cfg, tok)
  digest = report.params_sha256(stage.state.params)
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
  """The policy as a hub folder: weights, config.json, tokenizer, the prompt it was trained on."""
  huggingface.save(folder, weights, cfg)
  if jax.process_index() == 0:
    tok.save(folder)
    (folder / 'chat_template.jinja').write_text(chat_template.ZeroTemplate.source)
