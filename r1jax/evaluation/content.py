"""Whether a reply says the right thing, whatever its form: accuracy of content beside accuracy.

A base model often knows the answer and does not write it where it is asked for. Much of what RL
teaches first is that form, so the growth of accuracy alone tells nothing of what it can work out.
A reply is right in content where its verdict is, or where the last thing that it states is: the
last number, thoughts and all, for an answer that is a number; else its last line, tags cut away.
"""

import dataclasses
import re

import numpy as np

from r1jax.data import template
from r1jax.rewards import code, golds, last_number, service

_LONGEST = 100  # characters of a last line that may be an answer
_SECONDS = 0.5  # of one comparison: in the rewards it may be more, here it is a second look
# A tag that a reply may write, whole or not. Yes: `</think>`, `<answer>`. No: `< answer`, `a < b`.
_TAG = re.compile(r'</?(?:think|answer)>')


def last_stated(completion, gold):
  """The last thing that a reply (str) states, as the gold's kind is written; None for nothing."""
  text = _TAG.sub('\n', completion)
  expected = getattr(golds.of(gold), 'text', '')
  if isinstance(expected, str) and last_number.is_number(expected):
    return last_number.read(text)
  lines = [line.strip() for line in text.splitlines() if line.strip()]
  # A paragraph is no answer, and would be costly to compare with one.
  return lines[-1] if lines and len(lines[-1]) <= _LONGEST else None


class Reader:
  """Judges contents; `close` it when done."""

  def __init__(self, cfg):
    """`cfg` is the `service.RewardConfig` of the run; of its parts accuracy alone is judged."""
    # An answer is put where it is looked for, and a failure of ours counts as not right.
    alone = dict(answer='tags', format=0.0, language=0.0, repetition=0.0, function='')
    seconds = min(cfg.math_seconds, _SECONDS)
    cfg = dataclasses.replace(cfg, **alone, max_verifier_error_rate=1.0, math_seconds=seconds)
    self._service = service.RewardService(cfg)

  def right(self, replies):
    """Whether each of some `replies.Replies` is right in content, 0 to 1 [P, G]."""
    right_B = replies.correct_PG.reshape(-1).astype(float)
    items, places = [], []
    for b, text in enumerate(replies.texts):
      gold = replies.asked(b).answer
      # A program is found by its fence, whatever the tags.
      stated = None if isinstance(gold, code.Tests) else last_stated(text, gold)
      if right_B[b] < 1 and stated is not None:
        items.append(service.Item(template.enclose('', stated), gold))
        places.append(b)
    if items:
      scores = self._service.submit(items).result()
      accuracies = [score.verdicts['accuracy'].score for score in scores]
      right_B[places] = np.maximum(right_B[places], accuracies)
    return right_B.reshape(replies.correct_PG.shape)

  def close(self):
    """Ends what judges."""
    self._service.close()
