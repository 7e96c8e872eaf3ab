"""Rejection sampling: the data of Dev3 from Dev2's own correct, readable replies, with general data
mixed in (reference §1.5, Table 5).
"""

import dataclasses
from typing import Annotated

import numpy as np

from r1jax import ranges
from r1jax.data import examples

# Samples of Table 5: 626,933 of reasoning and 177,812 general ones.
REASONING, GENERAL = 395_285 + 211_129 + 10_124 + 10_395, 177_812
_GENERAL_SHARE = round(GENERAL / (REASONING + GENERAL), 4)


@dataclasses.dataclass(frozen=True)
class RejectionConfig:
  """The mixture.

  Attributes:
    path: data set of general `data.examples`, training ones; read only where `general` is not 0.
    general: share of general data (writing, factual, self-cognition, translation) in the data set;
      the paper's is 22.1 % (Table 5). Where too few general examples exist, that is an error.
  """

  path: str = ''
  general: Annotated[float, ranges.Range(0, 1, below=True)] = _GENERAL_SHARE

  def __post_init__(self):
    ranges.check(self)


def curate(samples, cfg, sieve, model, general):
  """The data set in a fixed order.

  Args:
    samples: `samples.Sample`s of Dev2.
    cfg: `RejectionConfig`.
    sieve: `filtering.Sieve`, which counts what is dropped.
    model: digest of Dev2's weights, for the provenance.
    general: random-access source of general `examples.Example`s, training ones.

  Returns:
    list of `examples.Example`.
  """
  # Correct and readable replies only; the sieve counts the others by reason.
  reasoning = [_example(one, model) for one in samples if sieve.keep(one.candidate)]
  wanted = general_count(len(reasoning), cfg.general)
  # Fewer would change the mixture in silence.
  if wanted > len(general):
    raise ValueError(
      f'{len(reasoning)} reasoning examples and a share of {cfg.general:.1%} ask for {wanted} '
      f'general examples, there are {len(general)}; lower rejection.general'
    )
  # The first ones, always the same; those that are held out are dropped and not replaced.
  chosen = (general[i] for i in range(wanted))
  return reasoning + [one for one in chosen if not sieve.heldout.contains(one.question)]


def general_count(reasoning, share):
  """General examples beside so many of reasoning that they are `share` of all."""
  return round(reasoning * share / (1 - share))


def proportions(data):
  """Share of each domain and the mean reply length in characters, for the manifest."""
  domains = sorted({one.domain for one in data})
  counts = {name: sum(one.domain == name for one in data) for name in domains}
  length = float(np.mean([len(one.reply) for one in data]))
  return {f'domain: {name}': n for name, n in counts.items()} | {'reply characters': length}


def _example(one, model):
  asked = one.candidate
  return examples.Example(
    asked.question,
    asked.reply.strip(),
    asked.language,
    one.domain,
    {'source': 'dev2', 'model': model, 'question': one.index, 'sample': one.number},
  )
