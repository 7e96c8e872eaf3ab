"""What a verifier says of one completion."""

import dataclasses
import enum


class Kind(enum.StrEnum):
  """Outcome of a check; only `CORRECT` and `WRONG` judge the completion's content."""

  CORRECT = 'correct'
  WRONG = 'wrong'
  UNPARSEABLE = 'unparseable'  # the completion gives nothing to compare: score 0
  TIMEOUT = 'timeout'  # the completion's answer was too costly to compare: score 0
  VERIFIER_ERROR = 'verifier_error'  # our failure: the sample leaves its group's baseline


@dataclasses.dataclass(frozen=True)
class Verdict:
  """Score in [0, 1], its kind and a short reason that a person reads in `samples/`."""

  score: float
  kind: Kind
  why: str = ''

  @property
  def scored(self):
    """False when the verifier itself failed, so that the score means nothing."""
    return self.kind != Kind.VERIFIER_ERROR
