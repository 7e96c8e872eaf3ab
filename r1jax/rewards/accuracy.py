"""The accuracy reward: a completion's final answer against the gold answer (reference §1.4).

The final answer is the last `<answer>` block outside a thought; without one, the last `\\boxed{}`
outside a thought. Of two answers the last wins here, and the format reward punishes the second tag.
An answer that stands only inside the thought, or none at all, is unparseable. An answer block that
holds boxes states the last of them.
"""

import re

from r1jax.data import template
from r1jax.rewards import math
from r1jax.rewards.verdict import Kind, Verdict

_BOX = re.compile(r'\\f?boxed\s*\{')
_NONE = Verdict(0.0, Kind.UNPARSEABLE, 'no answer outside the thought')


def check(completion, gold):
  """Verdict on the final answer of `completion` (str of any length) against `gold` (str)."""
  answer = final_answer(completion, template.parse(completion))
  return _NONE if answer is None else math.equal(gold, answer)


def quick(completion, reply, gold):
  """(verdict or None when a worker must decide, final answer or None); `reply` is the cut
  completion.
  """
  answer = final_answer(completion, reply)
  return (_NONE, None) if answer is None else (math.quick(gold, answer), answer)


def final_answer(completion, reply):
  """The text of the final answer of `completion`, or None; `reply` is
  `template.parse(completion)`.
  """
  if reply.answers:
    return last_box(reply.answers[-1]) or reply.answers[-1]
  return last_box(outside_thought(completion))


def last_box(text):
  """Content of the last complete `\\boxed{..}` with balanced braces, or None."""
  starts = [found.end() for found in _BOX.finditer(text)][-8:]
  for start in reversed(starts):
    end = _closing(text, start)
    if end is not None:
      return text[start:end]
  return None


def _closing(text, at):
  depth = 1
  for found in re.compile(r'\\.|[{}]', re.S).finditer(text, at, at + math.LONGEST_ANSWER * 2):
    if found.group() in '{}':
      depth += 1 if found.group() == '{' else -1
      if not depth:
        return found.start()
  return None


def outside_thought(completion):
  """The text of `completion` before and after its thoughts, without their tags."""
  start, end = completion.find(template.THINK), completion.rfind(template.END_THINK)
  after = completion[end + len(template.END_THINK) :] if end >= 0 else ''
  if start < 0:
    # A reply may open its thought in the prompt: what precedes the closing tag was thought.
    return after if end >= 0 else completion
  return completion[:start] + (after if end > start else '')
