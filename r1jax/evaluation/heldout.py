"""Pass@1, format and length of a policy on held-out questions, worked and direct answers apart."""

import dataclasses

import jax
import numpy as np

from r1jax.evaluation import passk, reading, report
from r1jax.rewards import service
from r1jax.sampling import rollout, sample


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
  """The paper's protocol: temperature 0.6, top-p 0.95, pass@1 over k samples (reference §1.9).

  Attributes:
    questions: held-out questions, the same before and after.
    samples: k, samples a question.
    temperature, top_p: how they are drawn.
    every: updates between evaluations during training (0: none), on `few` of the questions.
    few: questions of such an evaluation.
    chunk: questions of one sampling call; 0 for all at once.
  """

  questions: int = 256
  samples: int = 4
  temperature: float = 0.6
  top_p: float = 0.95
  every: int = 0
  few: int = 64
  chunk: int = 0

  def __post_init__(self):
    if not 1 <= self.few <= self.questions or self.samples < 1:
      raise ValueError(f'need 1 <= {self.few=} <= {self.questions=} and {self.samples=} >= 1')


@dataclasses.dataclass(frozen=True)
class Result:
  """An evaluation, its metrics by name, and the first completion of every question."""

  evaluation: report.Evaluation
  metrics: dict
  completions: tuple
  verdicts: tuple


@dataclasses.dataclass(frozen=True)
class Answers:
  """Completions of problems, `samples` in a row of each, and their scores.

  Attributes:
    problems: what was asked; samples: completions of each.
    texts: the completions; scores: `service.Reward` of each.
    length_B, stopped_B: tokens of each, and whether it ended by itself.
  """

  problems: tuple
  samples: int
  texts: tuple
  scores: tuple
  length_B: np.ndarray
  stopped_B: np.ndarray

  def by_question(self, values_B):
    """Values of the completions as [problems, samples]."""
    return np.asarray(values_B).reshape(len(self.problems), self.samples)

  @property
  def correct_PG(self):  # noqa: N802 - an array's name
    """Accuracy of each completion, 0 or 1."""
    return self.by_question([s.verdicts['accuracy'].score for s in self.scores])

  @property
  def counted_PG(self):  # noqa: N802 - an array's name
    """Whether its verifiers did their work."""
    return self.by_question([s.scored for s in self.scores])


def ask(policy, cfg, problems, limits, key, rewards):
  """Samples `cfg.samples` completions of each problem and scores them: `Answers`.

  Args:
    policy: `rollout.Policy`.
    problems: the held-out problems to ask.
    limits: `rollout.Limits`; its cap is the most new tokens.
    key: PRNG key; the same key gives the same result.
    rewards: `service.RewardService`.
  """
  scfg = sample.SampleConfig(
    group=cfg.samples, max_new=limits.cap, temperature=cfg.temperature, top_p=cfg.top_p
  )
  prompts = [rollout.encode_prompt(policy.tokenizer, p.question) for p in problems]
  out = rollout.join(list(rollout.run(policy, scfg, prompts, limits, key)))
  texts = [policy.tokenizer.decode(out.completion(b)) for b in range(len(out.length_B))]
  items = [
    service.Item(text, asked.answer, asked.question, asked.language)
    for b, text in enumerate(texts)
    for asked in [problems[b // cfg.samples]]
  ]
  scores = rewards.submit(items).result()
  fixed = (tuple(problems), cfg.samples, tuple(texts), tuple(scores))
  return Answers(*fixed, out.length_B, out.stopped_B)


def evaluate(policy, cfg, problems, limits, key, rewards):
  """Pass@1, format and length on held-out problems: `Result`; arguments as in `ask`."""
  out = ask(policy, cfg, problems, limits, key, rewards)
  texts, scores, correct_PG = out.texts, out.scores, out.correct_PG
  format_B = np.array([s.verdicts['format'].score for s in scores])
  evaluation = report.Evaluation(
    passk.pass_at_1(correct_PG, out.counted_PG), float(format_B.mean()), float(out.length_B.mean())
  )
  figures = {
    'eval/pass_at_1': evaluation.pass_at_1.mean,
    'eval/format': evaluation.format_rate,
    'eval/length': evaluation.mean_length,
    'eval/truncated': float(1 - out.stopped_B.mean()),
  } | {f'eval/{name}': value for name, value in by_manner(texts, correct_PG.reshape(-1)).items()}
  targets = [asked.language for asked in out.problems for _ in range(out.samples)]
  figures |= {f'eval/{name}': value for name, value in reading.figures(texts, targets).items()}
  firsts = range(0, len(texts), cfg.samples)
  return Result(
    evaluation, figures, tuple(texts[b] for b in firsts), tuple(scores[b].verdicts for b in firsts)
  )


def worked(completion):
  """Whether a reply works its answer out: it writes an equation or ranks numbers one by one."""
  return '=' in completion or ' first ' in completion or ' 第一 ' in completion


def by_manner(completions, correct_B):
  """Share of worked replies, and accuracy given worked and given direct (where there are any)."""
  worked_B = np.array([worked(text) for text in completions], bool)
  figures = {'worked': float(worked_B.mean())}
  for name, chosen_B in (('accuracy_worked', worked_B), ('accuracy_direct', ~worked_B)):
    if chosen_B.any():
      figures[name] = float(np.asarray(correct_B)[chosen_B].mean())
  return figures


def key(seed):
  """The PRNG key of every evaluation of a run."""
  return jax.random.fold_in(jax.random.key(seed), 0x5EED)
