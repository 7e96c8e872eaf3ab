"""The output head at the tokens of a mask: what the others would cost is left out.

The mask's tokens are gathered to the front and go by in blocks, as many as hold one of them: a loop
whose length is read on the device. Shapes stay static, nothing recompiles, no token is dropped.
"""

from functools import partial

import jax
import jax.numpy as jnp

from r1jax.kernels import output_head, varying

BLOCKS = 16  # of all tokens: half a block, 3 % of them, is computed for nothing on average
SMALLEST = 128  # tokens of a block, the rows of a kernel's tile


def worth(tokens, vocab, width):
  """Whether scoring some of the tokens saves anything over a whole, small product."""
  small = output_head.chunk_size(tokens, vocab, width) == vocab
  return not small and block_size(tokens) < tokens


def block_size(tokens):
  """Tokens of a block: a sixteenth of all, in tiles."""
  return -(-tokens // (BLOCKS * SMALLEST)) * SMALLEST


def token_scores(x_XD, w_VD, target_X, temperature, mask_X, score, block=None):
  """`Scores` of the mask's tokens, 0 elsewhere; differentiable in x and w.

  Args:
    x_XD, w_VD, target_X, temperature: as of `output_head.token_scores`.
    mask_X: bool, which tokens are wanted.
    score: the form that scores a block: (x, w, target, temperature) -> `Scores`.
    block: tokens of a block; None chooses by their number.
  """
  block = block or block_size(len(x_XD))
  return output_head.Scores(*_some(x_XD, w_VD, target_X, mask_X, (temperature, score, block)))


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _some(x_XD, w_VD, target_X, mask_X, how):
  return _forward(x_XD, w_VD, target_X, mask_X, how)[0]


def _forward(x_XD, w_VD, target_X, mask_X, how):
  temperature, score, block = how
  order_X, rank_X, blocks = _order(mask_X, block)
  x, target = x_XD[order_X], target_X[order_X]

  def one(i, figures):
    cut = lambda a: jax.lax.dynamic_slice_in_dim(a, i * block, block)
    of_block = score(cut(x), w_VD, cut(target), temperature)
    put = lambda all_X, part: jax.lax.dynamic_update_slice_in_dim(all_X, part, i * block, 0)
    return tuple(map(put, figures, of_block))

  # What is not reached stays 0.
  zero, _ = varying.alike(jnp.zeros(len(order_X), jnp.float32), x[0, 0])
  norm, chosen, mean = jax.lax.fori_loop(0, blocks, one, (zero, zero, zero))
  out = tuple(jnp.where(mask_X, figure[rank_X], 0) for figure in (norm, chosen, mean))
  return out, (x_XD, w_VD, target_X, mask_X, norm, mean)


def _backward(how, saved, cotangents):
  """Chunks of the vocabulary, the blocks within each: a chunk's part of dw is rounded once."""
  temperature, _, block = how
  x_XD, w_VD, target_X, mask_X, norm, mean = saved
  order_X, rank_X, blocks = _order(mask_X, block)
  x, target = x_XD[order_X], target_X[order_X]
  wanted = jnp.arange(len(order_X)) < mask_X.sum()
  d_norm, d_chosen, d_mean = (jnp.where(wanted, d_X[order_X], 0) for d_X in cotangents)
  tokens = (x, target, norm, d_norm + d_mean * (1 - mean), d_chosen, d_mean)

  def add(w, start, d_x):
    def one(i, carry):
      d_x, d_w = carry
      cut = lambda a: jax.lax.dynamic_slice_in_dim(a, i * block, block)
      part, target, *rest = map(cut, tokens)
      more_x, more_w = output_head.gradients(part, w, (target - start, *rest), 1 / temperature)
      d_x = jax.lax.dynamic_update_slice_in_dim(d_x, cut(d_x) + more_x, i * block, 0)
      return d_x, d_w + more_w

    return jax.lax.fori_loop(0, blocks, one, (d_x, jnp.zeros_like(w, jnp.float32)))

  chunk = output_head.chunk_size(block, *w_VD.shape)
  d_x, d_w_VD = output_head.over_chunks(add, w_VD, chunk, jnp.zeros_like(x, jnp.float32))
  # Back to the tokens' own places by a gather: a scatter is slow everywhere.
  d_x_XD = jnp.where(mask_X[:, None], d_x[rank_X], 0).astype(x_XD.dtype)
  return d_x_XD, d_w_VD, None, None


_some.defvjp(_forward, _backward)


def _order(mask_X, block):
  """(tokens with the mask's first, place of each of these among them, blocks that hold any).

  The first is padded to whole blocks, with what nobody reads.
  """
  iota_X = jax.lax.broadcasted_iota(jnp.int32, mask_X.shape, 0)
  # `argsort` would lose which mesh axes the mask varies over.
  left_out_X = (~mask_X).astype(jnp.int32)
  _, order_X = jax.lax.sort((left_out_X, iota_X), num_keys=1, is_stable=True)
  rank_X = jnp.where(mask_X, jnp.cumsum(mask_X.astype(jnp.int32)) - 1, 0)
  blocks = -(-mask_X.sum().astype(jnp.int32) // block)
  return jnp.pad(order_X, (0, -len(order_X) % block)), rank_X, blocks
