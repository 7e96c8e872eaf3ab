"""A base model whose programs compile in seconds: for tests that start many runs."""

import dataclasses

from r1jax import sharding
from r1jax.data import tokenizer
from r1jax.interchange import checkpoints, huggingface
from r1jax.model import config
from tests.model import tiny

_ENDING = 4.0  # times larger is the output row of the token that ends a completion


def write(folder):
  """Writes the hub folder of a two-layer model with the shipped tokenizer.

  It says nothing sensible, but ends sooner or later, so that a reward of length teaches it.
  """
  tok = tokenizer.load(checkpoints.open('tiny'))
  cfg = dataclasses.replace(
    tiny.MLA, vocab=tok.vocab_size, layers=2, mtp_layers=0, max_length=128, rope=config.RopeConfig()
  )
  folder.mkdir(parents=True)
  with tiny.mesh():
    weights = tiny.weights(cfg)
    head_VD = sharding.fetch(weights['head']).copy()
    head_VD[tok.eos_id] *= _ENDING
    weights['head'] = sharding.put(head_VD, weights['head'].sharding.spec)
    huggingface.save(folder, weights, cfg)
  tok.save(folder)
  return folder
