"""Asking a policy: its replies to problems, sampled and scored, in one record for all who ask."""

import dataclasses
import functools

import numpy as np

from r1jax.rewards import service
from r1jax.sampling import rollout as rollout_lib


@dataclasses.dataclass(frozen=True)
class Replies:
  """G replies to each of P problems with their scores, B = P * G, those of a problem in a row.

  Attributes:
    problems: what was asked, P of them.
    rollout: tokens, log-probabilities, lengths and whether each reply ended by itself.
    texts: the replies as text, B of them.
    scores: `service.Reward` of each.
  """

  problems: tuple
  rollout: rollout_lib.Rollout
  texts: tuple
  scores: tuple

  @property
  def group(self):
    """G, replies to each problem."""
    return len(self.texts) // len(self.problems)

  @property
  def length_B(self):  # noqa: N802 - an array's name
    """Tokens of each reply."""
    return self.rollout.length_B

  @property
  def stopped_B(self):  # noqa: N802
    """Whether each reply ended by itself."""
    return self.rollout.stopped_B

  def asked(self, b):
    """The problem that reply `b` answers."""
    return self.problems[b // self.group]

  def by_problem(self, values_B):
    """Values of the replies as [P, G]."""
    return np.asarray(values_B).reshape(len(self.problems), self.group)

  @functools.cached_property
  def valid_PG(self):  # noqa: N802
    """Whether the verifiers of each reply did their work."""
    return self.by_problem([score.scored for score in self.scores])

  @functools.cached_property
  def reward_PG(self):  # noqa: N802
    """Total reward of each reply; 0 where a verifier failed."""
    return np.where(self.valid_PG, self.by_problem([score.total for score in self.scores]), 0.0)

  @functools.cached_property
  def correct_PG(self):  # noqa: N802
    """Accuracy of each reply, 0 to 1."""
    return self.by_problem([score.verdicts['accuracy'].score for score in self.scores])

  @property
  def languages(self):
    """The language that each reply is to think in."""
    return [problem.language for problem in self.problems for _ in range(self.group)]

  def take(self, chosen):
    """The replies to some of the problems, given by their numbers."""
    rows = [p * self.group + g for p in chosen for g in range(self.group)]
    return Replies(
      tuple(self.problems[p] for p in chosen),
      self.rollout.take(chosen),
      tuple(self.texts[b] for b in rows),
      tuple(self.scores[b] for b in rows),
    )


def ask(policy, scfg, problems, limits, key, rewards, heard=lambda count: None):
  """Samples replies to all problems, those that are there judged while the others are sampled.

  Args:
    policy: `rollout.Policy`.
    scfg: `sample.SampleConfig`; its `group` is the number of replies to each problem.
    problems: sequence of `problem.Problem`.
    limits: `rollout.Limits`.
    key: PRNG key; the same key gives the same replies.
    rewards: `service.RewardService` or what has its interface.
    heard: as for `rollout.run`.

  Returns:
    `Replies`.
  """
  prompts = [policy.form.put(one.question) for one in problems]
  parts, texts, waiting = [], {}, []
  ids = [one.ids for one in prompts]
  for numbers, part in rollout_lib.run(policy, scfg, ids, limits, key, heard=heard):
    parts.append((numbers, part))
    asked = [prompts[p] for p in numbers for _ in range(part.group)]
    new = [policy.form.decode(prompt, part.completion(b)) for b, prompt in enumerate(asked)]
    texts |= _by_problem([(numbers, part)], [new])
    # Not waited for: workers judge while the devices sample the rest.
    waiting.append(rewards.submit(items(new, [problems[p] for p in numbers], part)))
  # In the order in which they were asked, whichever ended first.
  scores = dict(_by_problem(parts, [batch.result() for batch in waiting]))
  return Replies(
    tuple(problems),
    rollout_lib.ordered(parts),
    tuple(text for p in range(len(problems)) for text in texts[p]),
    tuple(score for p in range(len(problems)) for score in scores[p]),
  )


def _by_problem(parts, values):
  """Yields (number of a problem, values of its replies) from those of each part of a rollout."""
  for (numbers, part), of_part in zip(parts, values):
    for i, p in enumerate(numbers):
      yield p, of_part[i * part.group : (i + 1) * part.group]


def items(texts, problems, rollout):
  """What the reward service judges: the replies of one rollout beside what was asked."""
  asked = [problem for problem in problems for _ in range(rollout.group)]
  return [
    service.Item(
      completion=text,
      gold=problem.answer,
      question=problem.question,
      language=problem.language,
      extra=problem.extra,
    )
    for text, problem in zip(texts, asked)
  ]


def join(parts):
  """Replies to several sets of problems, with equally many to each problem, as one."""
  return Replies(
    problems=tuple(problem for part in parts for problem in part.problems),
    rollout=rollout_lib.join([part.rollout for part in parts]),
    texts=tuple(text for part in parts for text in part.texts),
    scores=tuple(score for part in parts for score in part.scores),
  )
