"""`samples/step_000010.jsonl`: every rollout of a step, for a person to read."""

import dataclasses
import json
import math
import pathlib

import jax
import numpy as np

from r1jax import files
from r1jax.rewards import verdict


@dataclasses.dataclass(frozen=True)
class Sample:
  """One rollout and all that was computed from it.

  Attributes:
    prompt, completion: text.
    tokens: int [T], ids of the completion.
    sampler_logp, trainer_logp: float32 [T], log-probability of each of them, in nats.
    verdicts: name of each reward part -> its Verdict.
    advantage: of the completion, after group normalisation.
    version: updates of the weights that sampled it.
  """

  prompt: str
  completion: str
  tokens: np.ndarray
  sampler_logp: np.ndarray
  trainer_logp: np.ndarray
  verdicts: dict[str, verdict.Verdict]
  advantage: float
  version: int = 0

  def __post_init__(self):
    # Lists shifted by one token would still look right to a reader.
    lengths = [len(self.tokens), len(self.sampler_logp), len(self.trainer_logp)]
    if len(set(lengths)) > 1:
      raise ValueError(f'tokens, sampler_logp, trainer_logp have lengths {lengths}')

  def row(self):
    """The sample as one JSON object."""
    parts = {
      name: {'score': found.score, 'kind': str(found.kind), 'why': found.why}
      for name, found in self.verdicts.items()
    }
    return {
      'prompt': self.prompt,
      'completion': self.completion,
      'tokens': np.asarray(self.tokens).tolist(),
      'sampler_logp': _floats(self.sampler_logp),
      'trainer_logp': _floats(self.trainer_logp),
      'rewards': parts,
      'advantage': _floats([self.advantage])[0],
      'version': self.version,
    }


def _floats(values):
  """Shortest decimals that give the same float32 back; null for what JSON lacks."""
  # str() of a NumPy float32 has as few digits as it needs; float() would show those of a double.
  texts = (str(value) for value in np.asarray(values, np.float32))
  return [value if math.isfinite(value) else None for value in map(float, texts)]


def write(workdir, step, samples):
  """Writes the samples of `step` whole or not at all; only process 0 writes. Returns the path."""
  path = pathlib.Path(workdir) / 'samples' / f'step_{step:06d}.jsonl'
  # All processes hold the same rollout.
  if jax.process_index() == 0:
    lines = (json.dumps(s.row(), ensure_ascii=False, allow_nan=False) for s in samples)
    files.write_atomically(path, ''.join(line + '\n' for line in lines))
  return path
