"""A scalar head on the policy's architecture: what a reward model is (reference §1.4)."""

import dataclasses

import jax.numpy as jnp

from r1jax import sharding
from r1jax.model import transformer
from r1jax.params import Param

HEAD = 'scalar'


def trunk(cfg):
  """The ModelConfig of a reward model on a policy's: the same without multi-token prediction."""
  return dataclasses.replace(cfg, mtp_layers=0)


def specs(cfg):
  """The spec tree: the model's, its unused output head frozen, and the scalar head.

  The head starts at 0, so that every text starts with the score 0.
  """
  tree = transformer.specs(cfg)
  if 'head' in tree:
    # Frozen, not dropped: the folder stays one that readers of policies open.
    tree['head'] = dataclasses.replace(tree['head'], trainable=False)
  head = Param((cfg.width,), (None,), init='zeros', float32=True)
  return tree | {HEAD: head}


def begin(params, cfg):
  """A reward model's weights before training, from those of a policy of the config `cfg`."""
  weights = {name: params[name] for name in transformer.specs(cfg)}
  where = sharding.param((None,))
  head_D = jnp.zeros((cfg.width,), jnp.float32, out_sharding=where)
  return weights | {HEAD: head_D}


def scores(params, cfg, token_BT, segment_BT, position_BT, texts):
  """The score of each text of packed rows, read at its last token.

  Args:
    params: tree of `specs(cfg)`.
    token_BT, segment_BT, position_BT: int32 rows as for `transformer.forward`.
    texts: K, segments 1..K of each row are scored; static.

  Returns:
    score_BK, float32; 0 where a row has no such segment.
  """
  hidden_XD = transformer.forward(params, cfg, token_BT, segment_BT, position_BT).hidden_XD
  score_X = jnp.einsum('xd,d->x', hidden_XD.astype(jnp.float32), params[HEAD])
  score_BT = sharding.in_rows(score_X, token_BT)
  # A text ends where the next position has another segment.
  following_BT = jnp.pad(segment_BT, ((0, 0), (0, 1)))[:, 1:]
  last_BT = jnp.where(segment_BT != following_BT, segment_BT, 0)
  one = lambda number: jnp.sum(jnp.where(last_BT == number, score_BT, 0), axis=1)
  return jnp.stack([one(k + 1) for k in range(texts)], axis=1)
