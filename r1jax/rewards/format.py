"""The format reward: exactly `<think>..</think> <answer>..</answer>` (reference §1.4)."""

from r1jax.data import template
from r1jax.rewards import verdict


def check(completion):
  """Judges the tags of `completion` (str of any length); 1 when exact, 0 with the reason otherwise.

  Each tag stands once, in this order; white space alone may stand before, between and after the two
  blocks; the answer is not empty, the thought may be. The paper leaves its pattern undisclosed.
  """
  return judge(template.parse(completion))


def judge(reply):
  """Verdict on a `template.Reply`, for callers that have already cut the completion."""
  if reply.well_formed:
    return verdict.Verdict(1.0, verdict.Kind.CORRECT)
  return verdict.Verdict(0.0, verdict.Kind.WRONG, reply.problem)
