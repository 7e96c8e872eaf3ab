"""The record of a question: what every source of questions gives and every asker takes."""

from __future__ import annotations

import dataclasses
import typing

if typing.TYPE_CHECKING:  # rewards read problems, so problems cannot import rewards
  from r1jax.rewards.verdict import Gold


@dataclasses.dataclass(frozen=True)
class Problem:
  """A question, its answer, and the lines of a correct worked solution (none where unknown).

  Attributes:
    question: text without a final stop; the template sets one.
    answer: the final answer, a str that is compared as mathematics, or another gold of
      `r1jax.rewards.golds`, which its verifier checks by.
    kind: family of the question, one of `WorldConfig.kinds` or the name of a file's benchmark.
    level: difficulty; 0 where unknown.
    steps: lines of a correct solution, each ending in the number that it establishes.
    language: 'en' or 'zh', what the thought is to be written in.
    extra: the other columns of its row, by name, for a reward that wants them.
  """

  question: str
  answer: str | Gold
  kind: str
  level: int
  steps: tuple[str, ...] = ()
  language: str = 'en'
  # A dict has no hash; two problems that differ in it alone are still two.
  extra: dict = dataclasses.field(default_factory=dict, hash=False)


def is_text(value):
  """Whether `value` is a str that UTF-8 can write: no half of a surrogate pair in it."""
  return isinstance(value, str) and not any('\ud800' <= sign <= '\udfff' for sign in value)
