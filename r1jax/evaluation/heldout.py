"""Pass@1, format and length of a policy on held-out questions, worked and direct answers apart."""

import dataclasses

import jax
import numpy as np

from r1jax import ranges
from r1jax.evaluation import intervals, language, passk, prospects, replies
from r1jax.sampling import sample

LEVELS = 9  # levels of difficulty that are told apart in the figures


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
  """The paper's protocol: temperature 0.6, top-p 0.95, pass@1 over k samples (reference §1.9).

  Attributes:
    questions: held-out questions, the same before and after.
    samples: k, samples per question.
    temperature, top_p: how they are drawn.
    every: updates between evaluations during training (0: none), on `few` of the questions.
    few: questions of such an evaluation.
  """

  questions: ranges.Count = 256
  samples: ranges.Count = 4
  # Greedy decoding repeats itself and varies between checkpoints (reference §1.9).
  temperature: ranges.Temperature = 0.6
  top_p: ranges.Mass = 0.95
  every: ranges.Size = 0
  few: ranges.Count = 64

  def __post_init__(self):
    ranges.check(self)
    ranges.require(self, self.few <= self.questions, '{few} are more than {questions}')


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """Held-out result of a policy.

  Attributes:
    pass_at_1: accuracy.
    format_rate: share of well-formed replies.
    mean_length: mean tokens of a reply.
    content: accuracy whatever the form, see `evaluation.content`; None where it was not judged.
  """

  pass_at_1: intervals.Estimate
  format_rate: float
  mean_length: float
  content: intervals.Estimate | None = None

  def as_json(self):
    """The object that `summary.json` holds."""
    estimate = self.pass_at_1.as_json()
    named = {'pass@1': estimate.pop('mean')} | estimate
    named |= {'format_rate': self.format_rate, 'mean_length': self.mean_length}
    if self.content:
      ends = [self.content.low, self.content.high]
      named['content'] = {'mean': self.content.mean, 'ci95': ends}
    return named


@dataclasses.dataclass(frozen=True)
class Result:
  """An evaluation, and what is told of each question.

  Attributes:
    evaluation: the `Evaluation`.
    metrics: by name.
    prospects: what it promises.
    completions, verdicts: of the first reply to each question.
    rates: of each question the share of right replies; NaN where no verifier did its work.
    contents: of each question the share of those right in content; () where it was not judged.
  """

  evaluation: Evaluation
  metrics: dict
  prospects: prospects.Prospects
  completions: tuple
  verdicts: tuple
  rates: tuple
  contents: tuple = ()


def ask(policy, cfg, problems, limits, key, rewards, heard=lambda count: None):
  """`replies.Replies` of the policy to held-out problems, drawn as `cfg` says.

  Args:
    policy: `rollout.Policy`.
    cfg: `EvaluationConfig`.
    problems: the held-out problems to ask.
    limits: `rollout.Limits`; its cap is the most new tokens.
    key: PRNG key; the same key gives the same result.
    rewards: `service.RewardService`.
    heard: as for `replies.ask`.
  """
  return replies.ask(policy, sampling(cfg, limits), problems, limits, key, rewards, heard)


def sampling(cfg, limits):
  """The `sample.SampleConfig` by which `ask` draws."""
  # Of training's sampling nothing is taken over: all of this is the protocol's.
  drawn = {'temperature': cfg.temperature, 'top_p': cfg.top_p}
  return sample.SampleConfig(group=cfg.samples, max_new=limits.cap, **drawn)


def result(out, content_PG=None):
  """The `Result` of some `replies.Replies` to held-out problems.

  `content_PG` is what `content.Reader.right` gives of them; None where it is not asked for.
  """
  judged = content_PG is not None
  format_B = np.array([score.verdicts['format'].score for score in out.scores])
  evaluation = Evaluation(
    passk.pass_at_1(out.correct_PG, out.valid_PG),
    float(format_B.mean()),
    float(out.length_B.mean()),
    passk.pass_at_1(content_PG, out.valid_PG) if judged else None,
  )
  figures = {
    'pass_at_1': evaluation.pass_at_1.mean,
    'pass_at_1_low': evaluation.pass_at_1.low,
    'pass_at_1_high': evaluation.pass_at_1.high,
    'format': evaluation.format_rate,
    'length': evaluation.mean_length,
    'truncated': float(1 - out.stopped_B.mean()),
  }
  # Worked and direct replies apart show whether it pays to reason, which their mean hides.
  figures |= by_manner(out.texts, out.correct_PG.reshape(-1))
  figures |= language.figures(out.texts, out.languages)
  figures |= by_level(out)
  # One completion of each question is what people are shown.
  firsts = range(0, len(out.texts), out.group)
  return Result(
    evaluation,
    {f'eval/{name}': value for name, value in figures.items()},
    prospects.of(out),
    tuple(out.texts[b] for b in firsts),
    tuple(out.scores[b].verdicts for b in firsts),
    _rates(out.correct_PG, out.valid_PG),
    _rates(content_PG, out.valid_PG) if judged else (),
  )


def _rates(right_PG, valid_PG):
  rate_P, _ = passk.question_rates(right_PG, valid_PG)
  return tuple(rate_P.tolist())


def worked(completion):
  """Whether a reply works its answer out: it writes an equation or ranks numbers one by one."""
  # '3 + 4 = 7' and 'the first is 2' are worked out, '7' and 'the answer is 7' are direct.
  return '=' in completion or ' first ' in completion or ' 第一 ' in completion


def by_manner(completions, correct_B):
  """Share of worked replies, and accuracy given worked and given direct (where there are any)."""
  worked_B = np.array([worked(text) for text in completions], bool)
  figures = {'worked': float(worked_B.mean())}
  for name, chosen_B in (('accuracy_worked', worked_B), ('accuracy_direct', ~worked_B)):
    if chosen_B.any():
      figures[name] = float(np.asarray(correct_B)[chosen_B].mean())
  return figures


def by_level(out):
  """Pass@1 of each level from 1 to LEVELS of some `replies.Replies`, where there are several."""
  levels_P = np.array([problem.level for problem in out.problems])
  if len(set(levels_P.tolist())) < 2:
    return {}
  rates_P, _ = passk.question_rates(out.correct_PG, out.valid_PG)
  levels = {}
  for level in range(1, LEVELS + 1):
    # A question whose verifier failed has no rate.
    chosen_P = (levels_P == level) & ~np.isnan(rates_P)
    if chosen_P.any():
      levels[f'level_{level}'] = float(rates_P[chosen_P].mean())
  return levels


_KEY = 0x5EED


def key(seed):
  """The PRNG key of every evaluation of a run."""
  # Apart from training's keys, and the same before and after: only the weights differ. The number
  # is older than `keys.named` and stays, so that a seed goes on meaning the same replies.
  return jax.random.fold_in(jax.random.key(seed), _KEY)
