"""Multi-token prediction (reference §2.5): one more block for the token after the next one."""

import jax.numpy as jnp

from r1jax.model import layers
from r1jax.params import Param


def params(cfg, block):
  """Weights of one MTP module around a `block`; embedding and head are the model's own."""
  norm = layers.rms_norm_params(cfg.width)
  return {
    'norm_embed': norm,
    'norm_hidden': norm,
    'w_join': Param((2 * cfg.width, cfg.width), ('embed', None)),
    'block': block,
    'norm': norm,
  }


def join(params, cfg, hidden_XD, next_embed_XD):
  """Input of the module's block at each position: its hidden state and the next token's embedding.

  The published checkpoint multiplies [embedding | hidden], the paper writes [hidden | embedding].
  """
  # Each has a norm of its own: hidden states and embeddings differ in size.
  pair = (
    layers.rms_norm(params['norm_embed'], next_embed_XD, cfg.norm_eps),
    layers.rms_norm(params['norm_hidden'], hidden_XD, cfg.norm_eps),
  )
  return layers.project(jnp.concatenate(pair, -1), params['w_join'], None)
