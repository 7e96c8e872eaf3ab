"""Stages that examine a model: its report card, and how it replies to general requests.

For benchmarks of others see `evaluation.exam`.
"""

import contextlib

import jax
import rich.console

from r1jax import files
from r1jax.data import pairs, source
from r1jax.evaluation import heldout, scenarios
from r1jax.evaluation import report_card as card_lib
from r1jax.rewards import service
from r1jax.runs import examiner, model, workdir
from r1jax.sampling import rollout
from r1jax.stages import general_rl, judge

CARD = 'report_card.json'
_TRANSCRIPTS = 8  # questions whose first reply stands in the card


def report_card(job, config, mesh):
  """The report card of `job.checkpoint` on the held-out questions."""
  cfg, form = model.checked(job, mesh)
  _, held = source.problems(job.data, job.seed, form)
  limits = rollout.Limits(job.data.max_prompt, job.sample.max_new, job.sample.slots)
  with (
    workdir.opened(job.workdir, config) as folder,
    contextlib.closing(service.RewardService(job.reward)) as rewards,
  ):
    asked = examiner.Examiner(job, limits, cfg, form, held, rewards).problems
    policy = rollout.Policy(model.weights(job, cfg), cfg, form)
    key = heldout.key(job.seed)
    answers = heldout.ask(policy, job.evaluation, asked, limits, key, rewards)
    # Figures of all samples; the texts are for a reader, and a few do.
    card = card_lib.figures(answers, job.filter) | {'transcripts': _transcripts(answers)}
    if jax.process_index() == 0:
      files.write_json(folder / CARD, card)
  if jax.process_index() == 0:
    rich.console.Console().print(f'accuracy {card["accuracy"]["mean"]:.1%} in {folder}/{CARD}')


def _transcripts(answers):
  """The first questions, each with its first reply, as the card holds them."""
  return [
    {
      'question': problem.question,
      'domain': problem.kind,
      'language': problem.language,
      'reply': answers.texts[p * answers.group],
      'correct': bool(answers.correct_PG[p, 0]),
    }
    for p, problem in enumerate(answers.problems[:_TRANSCRIPTS])
  ]


def general_replies(job, config, mesh):
  """How `job.checkpoint` replies to held-out general requests, by reward models and rules."""
  cfg, form = model.checked(job, mesh)
  judges, path = general_rl.judges(job), job.general.path
  _, held = pairs.split(pairs.load_requests(path), path)
  # Requests that no training has seen, the same for all models.
  held = held[: job.general.questions]
  rules = service.RewardService(job.reward)
  with (
    contextlib.closing(judge.PreferenceService(rules, judges, job.general.weights)) as rewards,
    workdir.opened(job.workdir, config) as folder,
  ):
    policy = rollout.Policy(model.weights(job, cfg), cfg, form)
    scores = scenarios.ask(policy, job, held, rewards, heldout.key(job.seed))
    if jax.process_index() == 0:
      files.write_json(folder / workdir.SUMMARY, scores | {'requests': len(held)})
