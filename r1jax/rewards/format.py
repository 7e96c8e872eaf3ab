"""The format reward: exactly `<think>..</think> <answer>..</answer>` (reference §1.4).

Where the answer is asked for in another way (`reward.answer`), the form wanted is that one.
"""

from r1jax.data import template
from r1jax.rewards import accuracy, verdict


def check(completion):
  """Judges the tags of `completion` (str of any length); 1 when exact, 0 with the reason otherwise.

  Each tag stands once, in this order; white space alone may stand before, between and after the two
  blocks; the answer is not empty, the thought may be. The paper leaves its pattern undisclosed.
  """
  return judge(template.parse(completion))


def asked(completion, reply, answer):
  """Verdict on a completion whose answer is asked for as `answer`, see `accuracy.read`.

  'box' wants one box outside of thoughts, 'last_number' a number there.
  """
  if answer == 'tags':
    return judge(reply)
  count = accuracy.boxes(completion) if answer == 'box' else len(reply.answers)
  if count == 1:
    return verdict.Verdict(1.0, verdict.Kind.CORRECT)
  what = {'box': 'boxes', 'last_number': 'numbers'}[answer]
  return verdict.Verdict(0.0, verdict.Kind.WRONG, f'{count} {what} outside the thought')


def judge(reply):
  """Verdict on a `template.Reply`, for callers that have already cut the completion."""
  if reply.well_formed:
    return verdict.Verdict(1.0, verdict.Kind.CORRECT)
  return verdict.Verdict(0.0, verdict.Kind.WRONG, reply.problem)
