"""Hand-written replies that begin the cold start: a readable thought each (reference §1.5)."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Seed:
  """A training question of the tiny world, a thought as a person would write it, and the answer."""

  question: str
  thought: str
  answer: str
  language: str = 'en'


SEEDS = (
  Seed('What is 3 + 4 - 2 + 5', 'first 3 + 4 = 7, then 7 - 2 = 5, then 5 + 5 = 10', '10'),
  Seed('What is 9 - 4 + 6 - 1', 'first 9 - 4 = 5, then 5 + 6 = 11, then 11 - 1 = 10', '10'),
)
