"""One stage of the paper by itself: what `python -m r1jax.main` and the graph both run."""

import contextlib
import json

import jax
import rich.console

from r1jax import sharding
from r1jax.algorithms import rejection
from r1jax.data import examples, source
from r1jax.data.tasks import preferences
from r1jax.evaluation import heldout, report, report_card, scenarios
from r1jax.pipeline import (
  cold_start,
  distill,
  experiment,
  finetune,
  general_rl,
  harvest,
  plan,
  resample,
  workdir,
)
from r1jax.rewards import judge, service
from r1jax.sampling import rollout
from r1jax.train import loop, metrics

DATA, EXAM, SUMMARY = 'data.array_record', 'exam.json', 'summary.json'


def run(job, config):
  """Runs the job's stage; `config` is the ConfigDict it was built from, for the record.

  Raises:
    ValueError: the job does not work out; nothing has been written.
    Interrupted, CheckpointError, VerifierFailure, NonFiniteError: with the reason; nothing is lost.
  """
  if job.stage not in KINDS:
    experiment.run(job, config)
    return
  mesh = sharding.make_mesh(job.mesh)
  with jax.set_mesh(mesh):
    KINDS[job.stage](job, config, mesh)


def _sft(job, config, mesh):
  """Supervised fine-tuning of `job.checkpoint` on `job.finetune.path`."""
  finetune.check(job, mesh)
  cfg, tok = _model(job, mesh)
  data = examples.Examples(job.finetune.path)
  stage = finetune.Stage(job, cfg, tok, data)
  folder = workdir.prepare(job.workdir, config)
  plan.show('Plan', plan.model_rows(cfg, mesh) + _sft_rows(job, stage, len(data)))
  with _examiner(job, cfg, tok) as examiner:
    stage.initial, stage.examine = experiment._weights(job, cfg), examiner.figures
    loop.run(job.loop, stage, folder, stage.rate)
    result = examiner.judge(stage.state.params)
  experiment._save_model(folder / 'model', stage.state.params, cfg, tok)
  digest = report.params_sha256(stage.state.params)
  _summarise(
    folder,
    result.evaluation.as_json() | {'examples': len(data), 'updates': stage.total},
    {'params_sha256': digest, 'seconds': stage.seconds},
  )


def _cold_start(job, config, mesh):
  """Data of Dev1 from the samples of `job.checkpoint`, R1-Zero."""

  def curate(samples, sieve, model):
    languages = [language for language, weight in job.data.languages if weight]
    return cold_start.curate(samples, job.cold_start, sieve, model, languages)

  _curation(job, config, mesh, curate)


def _resample(job, config, mesh):
  """Data of Dev3 from the samples of `job.checkpoint`, Dev2, and general data."""
  general = examples.Examples(job.resample.path) if job.resample.general else ()

  def curate(samples, sieve, model):
    return resample.curate(samples, job.resample, sieve, model, general)

  _curation(job, config, mesh, curate)


def _curation(job, config, mesh, curate):
  """Samples, filters, mixes and writes a data set; says what was dropped and why."""
  cfg, tok = _model(job, mesh)
  train, held = source.problems(job.data, job.seed, tok)
  folder = workdir.prepare(job.workdir, config)
  wanted = job.harvest
  rows = [
    ('samples', f'{wanted.questions:,} questions x {job.sample.group}, {wanted.batch} at a time')
  ]
  plan.show('Plan', plan.model_rows(cfg, mesh) + rows)
  texts = [held[i].question for i in range(min(wanted.heldout, len(held)))]
  blocked = rejection.Heldout(texts, job.filter.ngram)
  sieve = rejection.Sieve(job.filter, blocked, wanted.most_per_question)
  weights = experiment._weights(job, cfg)
  digest = report.params_sha256(weights)
  with contextlib.closing(service.RewardService(job.reward)) as rewards:
    policy = rollout.Policy(weights, cfg, tok)
    data = curate(harvest.collect(folder, job, policy, train, rewards), sieve, digest)
  if jax.process_index() == 0:
    examples.write(folder / DATA, data)
  figures = {'examples': len(data)} | sieve.figures() | resample.proportions(data)
  spent = harvest.spent(folder, job, policy, train)
  _summarise(folder, figures, {'model': digest, 'flops': spent})
  plan.show('Kept and dropped', [(name, f'{value:,.4g}') for name, value in figures.items()])


def _exam(job, config, mesh):
  """The report card of `job.checkpoint` on the held-out questions."""
  cfg, tok = _model(job, mesh)
  folder = workdir.prepare(job.workdir, config)
  with _examiner(job, cfg, tok) as examiner:
    policy = rollout.Policy(experiment._weights(job, cfg), cfg, tok)
    rest = (examiner.problems, examiner.limits, heldout.key(job.seed), examiner.rewards)
    answers = heldout.ask(policy, job.evaluation, *rest)
  card = report_card.figures(answers, job.filter)
  card['transcripts'] = [
    {
      'question': answers.problems[p].question,
      'domain': answers.problems[p].kind,
      'language': answers.problems[p].language,
      'reply': answers.texts[p * answers.samples],
      'correct': bool(answers.correct_PG[p, 0]),
    }
    for p in range(min(8, len(answers.problems)))
  ]
  if jax.process_index() == 0:
    text = json.dumps(card, indent=2, ensure_ascii=False) + '\n'
    metrics.write_atomically(folder / EXAM, text)
    rich.console.Console().print(f'accuracy {card["accuracy"]["mean"]:.1%} in {folder}/{EXAM}')


def _scenarios(job, config, mesh):
  """How `job.checkpoint` replies to held-out general requests, by reward models and rules."""
  cfg, tok = _model(job, mesh)
  judges = general_rl.judges(job)
  _, held = experiment._requests(job)
  held = held[: job.general.questions]
  folder = workdir.prepare(job.workdir, config)
  rules = service.RewardService(job.reward)
  rewards = judge.PreferenceService(rules, judges, job.general.weights)
  with contextlib.closing(rewards):
    policy = rollout.Policy(experiment._weights(job, cfg), cfg, tok)
    found = scenarios.ask(policy, job, held, rewards, heldout.key(job.seed))
  _summarise(folder, found, {'requests': len(held)})


def _general_data(job, config, mesh):
  """Pairs, requests and general examples of the tiny world: what the later stages read."""
  folder = workdir.prepare(job.workdir, config)
  if jax.process_index() == 0:
    preferences.write(folder, job.seed, job.general_data.size)
  _summarise(folder, {'records': job.general_data.size}, {})


def _model(job, mesh):
  """(ModelConfig, tokenizer) of the job's checkpoint, checked against mesh and context."""
  cfg, tok = experiment._architecture(job)
  cfg.check_mesh(dict(mesh.shape))
  experiment._check_context(cfg, job.data.max_prompt + job.sample.max_new)
  return cfg, tok


@contextlib.contextmanager
def _examiner(job, cfg, tok):
  """An examiner on the job's held-out questions; its verifiers stop at the end."""
  _, held = source.problems(job.data, job.seed, tok)
  limits = rollout.Limits(job.data.max_prompt, job.sample.max_new, job.evaluation.chunk)
  with contextlib.closing(service.RewardService(job.reward)) as rewards:
    yield experiment._Examiner(job, limits, cfg, tok, held, rewards)


def _sft_rows(job, stage, size):
  fine = job.finetune
  rate = job.optimizer
  return [
    ('data', f'{size:,} examples from {fine.path}'),
    ('updates', f'{stage.total:,} of {fine.batch} examples = {fine.epochs:g} epochs'),
    ('rate', f'{rate.lr:g}, a cosine to {rate.lr * rate.end_fraction:g}'),
  ]


def _summarise(folder, figures, more):
  if jax.process_index() == 0:
    text = json.dumps(figures | more, indent=2, ensure_ascii=False) + '\n'
    metrics.write_atomically(folder / SUMMARY, text)


KINDS = {
  'sft': _sft,
  'cold_start': _cold_start,
  'resample': _resample,
  'distill': distill.run,
  'exam': _exam,
  'scenarios': _scenarios,
  'general_data': _general_data,
}
