"""The gold of a general request: which reward model judges its reply (reference §1.4).

The models themselves, and what they read of a reply, are in `r1jax.stages.judge`.
"""

import dataclasses

HELPFUL, HARMLESS = 'helpful', 'harmless'
KINDS = (HELPFUL, HARMLESS)


@dataclasses.dataclass(frozen=True)
class Query:
  """Gold of a general request, which has no right answer: the kind of its reward model.

  Each request belongs to the helpfulness or to the safety set (reference §1.4).

  Attributes:
    kind: one of KINDS.
    wanted: the reply, where the request leaves no other; no reward reads it, only evaluation.
  """

  kind: str
  wanted: str = ''

  def __post_init__(self):
    if self.kind not in KINDS:
      raise ValueError(f'kind {self.kind!r} is not one of {", ".join(KINDS)}')
