"""The accuracy reward: where the final answer of a completion is (reference §1.4).

The gold of its question decides whether it is right: see `golds`.

The final answer is the last `<answer>` block outside a thought; without one, the last `\\boxed{}`
outside a thought. Of two answers the last wins here, and the format reward punishes the second tag.
An answer that stands only inside the thought, or none at all, is unparseable. An answer block that
holds boxes states the last of them.

That is `reward.answer='tags'`. A model that was taught to talk, but not these tags, is read by its
last box ('box') or by the last number that it writes ('last_number').
"""

import collections
import dataclasses
import re

from r1jax.data import template
from r1jax.rewards import last_number
from r1jax.rewards.verdict import Kind, Verdict

LONGEST_ANSWER = 2000  # characters; a final answer is one expression
NONE = Verdict(0.0, Kind.UNPARSEABLE, 'no answer outside the thought')

# Where a box opens. Yes: `\boxed {`, `\fbox{`. No: `boxed{`, `\boxed5`.
_BOX = re.compile(r'\\f?box(?:ed)?\s*\{')
# A box of one number or letter without braces. Yes: `\boxed 5`, `\boxed B`. No: `\boxed{5}`.
_BARE_BOX = re.compile(r'\\f?boxed\s*(-?\d+(?:[.,]\d+)*|(?<=\s)[A-Za-z](?![A-Za-z]))')
# Between the boxes of a list. Yes: `, `, `\) and \(`, ` \quad \text{and} \quad `, with the start
# `\boxed{` of the second. No: ` then `, `. So `.
_JOINED = re.compile(
  r'(?:[\s$;]|\\[()\[\]]|\\q?quad|\\ )*(?:,|(?:,\s*)?(?:\\text\s*\{\s*)?\band\b\s*\}?)'
  r'(?:[\s$;]|\\[()\[\]]|\\q?quad|\\ )*\\f?box(?:ed)?\s*\{\Z'
)
# What may close a box or hide a brace. Yes: `\{` as one sign, `}`. No: `(`.
_BRACE = re.compile(r'\\.|[{}]', re.S)


def read(completion, answer):
  """`template.parse` of a completion, its answers being those of that way of stating one.

  Args:
    completion: text of any length.
    answer: 'tags', 'box' or 'last_number', as `service.RewardConfig.answer`.
  """
  reply = template.parse(completion)
  if answer == 'tags':
    return reply
  answers = ()
  if answer == 'last_number':
    number = last_number.read(template.outside_thought(completion))
    answers = () if number is None else (number,)
  return dataclasses.replace(reply, answers=answers)


def final_answer(completion, reply):
  """The text of the final answer of `completion`, or None; `reply` is `read` of it."""
  if reply.answers:
    return last_box(reply.answers[-1]) or reply.answers[-1]
  return last_box(template.outside_thought(completion))


def boxes(completion):
  """How many boxes open outside of thoughts."""
  text = template.outside_thought(completion)
  return len(_BOX.findall(text)) + len(_BARE_BOX.findall(text))


def closed_boxes(text):
  """(begin, end) of what the complete `\\boxed{..}` of a text hold, in order.

  Of a million unclosed ones only the last eight are looked at.
  """
  opened = [box.end() for box in _BOX.finditer(text)][-8:]
  return [(at, end) for at in opened if (end := _closing(text, at)) is not None]


def last_box(text):
  """Content of the last complete `\\boxed{..}` with balanced braces, or None.

  Boxes joined by commas or `and` state one list: `\\boxed{1} and \\boxed{2}` is `1, 2`.
  """
  spans = closed_boxes(text)
  bare = collections.deque(_BARE_BOX.finditer(text), maxlen=1)
  if bare and not (spans and spans[-1][0] > bare[0].start()):
    return bare[0][1]
  if not spans:
    return None
  (start, end), listed = spans[-1], []
  for opened, closed in reversed(spans[:-1]):
    between = text[closed + 1 : start]
    if len(between) > 60 or not _JOINED.match(between):
      break
    listed.append(text[opened:closed])
    start = opened
  last = text[spans[-1][0] : end]
  return ', '.join((*reversed(listed), last)) if listed else last


def _closing(text, at):
  """Where the brace that is open at `at` closes, or None; looks as far as an answer may be long."""
  depth = 1
  for brace in _BRACE.finditer(text, at, at + LONGEST_ANSWER * 2):
    if brace.group() in '{}':
      depth += 1 if brace.group() == '{' else -1
      if not depth:
        return brace.start()
  return None
