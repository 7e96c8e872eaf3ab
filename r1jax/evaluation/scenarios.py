"""How a model replies to held-out general requests: what the reward models and the rules say of it,
and whether it is the reply that the request determines, which no reward model is asked for.
"""

import collections

from r1jax.data import template
from r1jax.evaluation import passk, replies
from r1jax.sampling import rollout, sample


def ask(policy, job, requests, rewards, key):
  """One reply to each request, and its scores.

  Args:
    policy: `rollout.Policy`.
    job: its `evaluation`, `sample` and `data` say how is sampled.
    requests: held-out requests, a list of problems whose answer is a `request.Query`.
    rewards: `judge.PreferenceService`.
    key: PRNG key; the same key gives the same replies.

  Returns:
    name -> {mean, ci95, questions, samples} for each part of the reward, over the requests
    that have it; `wanted`, the share of replies that are the one their request determines, where
    there are such; `length` in tokens.
  """
  evaluation = job.evaluation
  # One reply each: requests are the unit, and more of them say more than more replies.
  scfg = sample.SampleConfig(1, job.sample.max_new, evaluation.temperature, top_p=evaluation.top_p)
  limits = rollout.Limits(job.data.max_prompt, job.sample.max_new, job.sample.slots)
  out = replies.ask(policy, scfg, requests, limits, key, rewards)
  values = scores(out.scores)
  # A witness that no reward model has a part in: a policy that pleases the models alone fails here.
  determined = [(text, one) for text, one in zip(out.texts, requests) if one.answer.wanted]
  if determined:
    values['wanted'] = [is_wanted(text, one.answer.wanted) for text, one in determined]
  figures = {
    name: passk.pass_at_1([[value] for value in part]).as_json() for name, part in values.items()
  }
  return figures | {'length': float(out.length_B.mean())}


def scores(rewards):
  """Name -> scores of each part, over the `service.Reward`s that have it."""
  values = collections.defaultdict(list)
  for reward in rewards:
    for name, verdict in reward.verdicts.items():
      if verdict.scored:
        values[name].append(verdict.score)
  return dict(values)


def is_wanted(text, wanted):
  """Whether the last answer in a reply's tags is `wanted`, but for case and white space."""
  answers = template.parse(text).answers
  # The last answer, as that is the one a reader is left with.
  return bool(answers) and _signs(answers[-1]) == _signs(wanted)


def _signs(text):
  return ''.join(text.lower().split())
