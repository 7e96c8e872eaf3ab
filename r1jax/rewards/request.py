"""The gold of a general request: which reward model judges its reply (reference §1.4).

The models themselves, and what they read of a reply, are in `r1jax.stages.judge`.
"""

import dataclasses

from r1jax.rewards.verdict import Gold

HELPFUL, HARMLESS = 'helpful', 'harmless'
KINDS = (HELPFUL, HARMLESS)


@dataclasses.dataclass(frozen=True)
class Query(Gold):
  """Gold of a general request: it belongs to the helpfulness or the safety set (reference §1.4).

  Attributes:
    kind: one of KINDS.
    wanted: the reply, where the request leaves no other; no reward reads it, only evaluation.
  """

  kind: str
  wanted: str = ''

  def __post_init__(self):
    if self.kind not in KINDS:
      raise ValueError(f'kind {self.kind!r} is not one of {", ".join(KINDS)}')

  def check(self, completion, reply, config):
    """None: no rule says whether a reply is right."""
    return None

  def expected(self):
    """Nothing that a rule could expect."""
    return ''
