"""Floating-point operations of a model, counted from its spec tree and the lengths of sequences.

What the mathematics asks for, multiplications and additions of matrix products: neither padding,
recomputation nor the small operations are counted, so that two ways of training are compared by
what they do and not by how well they run.
"""

import math

import jax
import numpy as np

from r1jax import params as params_lib
from r1jax.model import transformer

BACKWARD = 2  # a backward pass costs two forward ones


def forward(cfg, lengths, cached=0, scored=None):
  """Operations of one forward pass over sequences, an int.

  Args:
    cfg: ModelConfig; its multi-token module takes no part.
    lengths: tokens of each sequence, the cached ones included.
    cached: tokens of each sequence that a cache already holds (a number or one each): their keys
      are read, nothing is computed for them.
    scored: tokens in all that the output head is computed for; None for all.
  """
  lengths = np.asarray(lengths, np.int64)
  cached = np.broadcast_to(np.asarray(cached, np.int64), lengths.shape)
  return of_tokens(cfg, *_counted(lengths, cached), scored)


def _counted(lengths, cached):
  """(tokens, pairs of query and key) of sequences, without those of the tokens cached."""
  # Token t of a sequence attends to t positions.
  pairs = lambda length: length * (length + 1) // 2
  new_pairs = pairs(lengths) - pairs(cached)
  return int((lengths - cached).sum()), int(new_pairs.sum())


def of_tokens(cfg, tokens, pairs, scored=None):
  """Operations of one forward pass over so many tokens with so many query-key pairs in all.

  The output head is computed for `scored` of the tokens, None for all.
  """
  attention = 2 * cfg.layers * cfg.heads * (cfg.head_qk + cfg.head_value) * pairs
  return _products(cfg, tokens, scored) + attention


def _products(cfg, tokens, scored, frozen=False):
  """Operations of the tokens' products with weights, or with frozen ones alone."""
  # Beside adapters the head is frozen like all else.
  head = 0 if frozen and not cfg.lora.rank else cfg.vocab * cfg.width
  left_out = 0 if scored is None else tokens - scored
  return 2 * (weights_per_token(cfg, frozen) * tokens - head * left_out)


def training(cfg, lengths, scored=None):
  """Operations of a forward and a backward pass over whole sequences, `scored` as of `forward`."""
  return update(cfg, *_counted(np.asarray(lengths, np.int64), 0), scored)


def update(cfg, tokens, pairs, scored=None):
  """Operations of a forward and a backward pass; arguments as of `of_tokens`."""
  whole = (1 + BACKWARD) * of_tokens(cfg, tokens, pairs, scored)
  # Of the backward pass's two products a frozen matrix has one: there is no gradient by it.
  return whole - _products(cfg, tokens, scored, frozen=True)


def sampling(cfg, prompt_lengths, reply_lengths, group):
  """Operations of sampling: each prompt is read once, each of its `group` replies token by token.

  Args:
    prompt_lengths: of P prompts.
    reply_lengths: of their P * group replies, those of a prompt next to each other.
  """
  each = np.repeat(np.asarray(prompt_lengths, np.int64), group)
  return forward(cfg, prompt_lengths) + forward(cfg, each + np.asarray(reply_lengths), each)


def weights_per_token(cfg, frozen=False):
  """Weights that multiply each token: of the experts those that are chosen, no look-ups.

  With `frozen`, only those beside which adapters are trained.
  """
  total = 0
  specs = dict(transformer.specs(cfg))
  specs.pop('mtp', None)
  leaves = jax.tree_util.tree_flatten_with_path(specs, is_leaf=params_lib.is_param)[0]
  for path, spec in leaves:
    # An adapter's matrices are attributes of a record in the tree of dicts.
    names = [key.key for key in path if isinstance(key, jax.tree_util.DictKey)]
    # Norms and biases multiply elementwise; a separate embedding is looked up.
    matrix = len([axis for axis in spec.axes if axis != 'layer']) > 1
    if not matrix or (names == ['embed'] and not cfg.tied) or (frozen and not spec.frozen):
      continue
    size = math.prod(spec.shape)
    # Of E experts a token meets K.
    total += size * cfg.moe.per_token // cfg.moe.experts if 'experts' in names else size
  return total
