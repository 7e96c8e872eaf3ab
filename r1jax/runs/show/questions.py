"""Questions of a run, those that fail most often first."""

import collections
import dataclasses

from r1jax.runs.show import reading


@dataclasses.dataclass(frozen=True)
class Question:
  """A question and how its replies fared.

  Attributes:
    text, kind, expected: as in the rows of samples.
    right, asked: replies that are right, and those that a rule judged.
    commonest: the wrong answer that was given most often, None without one.
    times: how often.
    first, last: updates before the first and the last of these replies.
  """

  text: str
  kind: str
  expected: str | None
  right: int
  asked: int
  commonest: str | None
  times: int
  first: int
  last: int

  @property
  def rate(self):
    """Share of right replies."""
    return self.right / self.asked


def worst(rows):
  """`Question`s of rows of samples by their share of right replies, the most asked of equals first.

  Replies that no rule judged are left out.
  """
  groups = collections.defaultdict(list)
  for row in rows:
    if reading.accuracy(row) is not None:
      groups[row['question']].append(row)
  questions = [_question(text, replies) for text, replies in groups.items()]
  # The text comes last, so that the order never depends on that of the rows.
  return sorted(questions, key=lambda one: (one.rate, -one.asked, one.text))


def _question(text, rows):
  # What most replies get wrong alike is often the question's fault, or the label's.
  right = sum(reading.accuracy(row) for row in rows)
  wrong = [row['extracted'] for row in rows if not reading.accuracy(row)]
  said = collections.Counter(answer for answer in wrong if answer is not None)
  commonest, times = said.most_common(1)[0] if said else (None, 0)
  steps = [row['step'] for row in rows]
  sizes = (min(steps), max(steps))
  return Question(
    text, rows[0]['kind'], rows[0]['expected'], right, len(rows), commonest, times, *sizes
  )
