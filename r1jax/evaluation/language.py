"""What a reader meets in a reply: the language of its thought, and words of reflection."""

import re

import numpy as np

from r1jax.data import template
from r1jax.rewards import language

# The paper counts such words over R1-Zero's training (v2 C.1; reference §1.10); its list is not
# repeated in every copy, the Chinese ones are ours.
REFLECTION = (
  'wait', 'mistake', 'however', 'but', 'retry', 'error', 'verify', 'wrong', 'evaluate', 'check',
  '等等', '等一下', '不对', '错了', '检查',
)  # fmt: skip
# Yes: `Wait`, `等等`. No: `waits`.
_WAIT = re.compile(r'\bwait\b|等等|等一下', re.IGNORECASE)
# Yes: `However`, `不对`. No: `rechecked`.
_REFLECTION = re.compile(
  '|'.join(rf'\b{word}\b' if word.isascii() else word for word in REFLECTION), re.IGNORECASE
)


def consistency(completion, target):
  """Share of the thought's words that are in the language `target`; None where it has no words."""
  thought = template.parse(completion).thought
  ours, words = language.count(thought, target) if thought else (0, 0)
  return ours / words if words else None


def reflections(completion):
  """(times "wait" or its Chinese form, times any word of reflection) in a completion."""
  return len(_WAIT.findall(completion)), len(_REFLECTION.findall(completion))


def figures(completions, targets):
  """Means over completions.

  Args:
    completions: texts.
    targets: the language each is to think in.

  Returns:
    dict: `language` (mean consistency, where a thought has words), `mixed` (share of those thoughts
    with words of another language), `wait` and `reflection` (words a completion).
  """
  shares = [consistency(text, target) for text, target in zip(completions, targets, strict=True)]
  shares = np.array([share for share in shares if share is not None])
  counts = np.array([reflections(text) for text in completions], float).reshape(-1, 2)
  means = counts.mean(0).tolist() if len(counts) else ()
  figures = dict(zip(('wait', 'reflection'), means))
  if len(shares):
    figures |= {'language': float(shares.mean()), 'mixed': float((shares < 1).mean())}
  return figures
