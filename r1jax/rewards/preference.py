"""Preference rewards: which text a reward model reads of a reply, and its verdict (reference §1.4).

The model itself, and how replies reach it, is in `judge`.
"""

import dataclasses
import math

from r1jax.data import template
from r1jax.rewards.verdict import Gold, Kind, Verdict

HELPFUL, HARMLESS = 'helpful', 'harmless'
KINDS = (HELPFUL, HARMLESS)
# How the reward model of each kind is trained (reference §1.4).
OBJECTIVES = {HELPFUL: 'pairwise', HARMLESS: 'pointwise'}


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


@dataclasses.dataclass(frozen=True)
class Calibration:
  """What turns a raw score into [0, 1]: sigmoid((score - centre) / scale).

  A pairwise loss leaves the zero of the scores open: `centre` and `scale` are their mean and
  standard deviation over training texts. A pointwise score is a log-odds: centre 0 and scale 1.
  """

  centre: float = 0.0
  scale: float = 1.0

  def __post_init__(self):
    if not (math.isfinite(self.centre) and 0 < self.scale < math.inf):
      raise ValueError(f'{self.centre=} must be finite and {self.scale=} positive')


def part(kind, completion):
  """What the model of `kind` reads of a reply: helpfulness the summary only, harmlessness all.

  The summary is what stands after the thought; '' where a thought never ends.
  """
  if kind == HARMLESS:
    return completion
  if template.END_THINK in completion:
    return completion[completion.rfind(template.END_THINK) + len(template.END_THINK) :]
  return '' if template.THINK in completion else completion


def encode(tokenizer, kind, question, completion):
  """Ids of the text that a reward model scores: prompt, part of the reply, end of sequence."""
  text = template.render(question) + part(kind, completion)
  return [*tokenizer.encode(text, bos=True), tokenizer.eos_id]


def verdict(raw, calibration, note=''):
  """`Verdict` of a raw score (float); one that is no number is the model's failure, not the
  reply's.
  """
  if not math.isfinite(raw):
    return Verdict(0.0, Kind.VERIFIER_ERROR, f'the reward model gave {raw}')
  scaled = (raw - calibration.centre) / calibration.scale
  score = 0.5 * (1 + math.tanh(scaled / 2))  # the sigmoid, without overflow
  kind = Kind.CORRECT if score >= 0.5 else Kind.WRONG
  return Verdict(score, kind, f'raw score {raw:.2f}{note}')
