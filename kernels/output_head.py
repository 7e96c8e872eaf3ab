"""The output head without its logits: scores of given tokens from hidden states, in plain JAX.

The vocabulary is read in chunks, forward (a running softmax) and backward (recomputed logits), so
that no [X, V] array exists. Small products are left whole, where the loop would only cost time.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from r1jax.kernels import products

WHOLE_BYTES = 16 * 2**20  # logits of up to this size are as fast whole (measured, two CPU cores)
CHUNK_BYTES = 256 * 2**20  # of one chunk's logits, at most


class Scores(NamedTuple):
  """Float32 figures of each token's tempered logits z over (a shard of) the vocabulary.

  Attributes:
    norm_X: log of the sum of exp(z).
    chosen_X: z of the target; 0 where the target is not in 0..V-1 (another shard's).
    mean_X: mean of z under softmax(z); the entropy is norm - mean.
  """

  norm_X: jax.Array
  chosen_X: jax.Array
  mean_X: jax.Array


def token_scores(x_XD, w_VD, target_X, temperature, chunk=None):
  """`Scores` of the logits x @ w.T / temperature; differentiable in x and w.

  Args:
    x_XD, w_VD: one dtype; products are accumulated in float32.
    target_X: integers, counted from the shard's first row of w.
    temperature: positive Python number.
    chunk: rows of w at a time, V for all; None chooses by size.
  """
  chunk = chunk or chunk_size(len(x_XD), *w_VD.shape)
  if chunk >= len(w_VD):
    return _whole(x_XD, w_VD, target_X, temperature)
  return Scores(*_chunked(x_XD, w_VD, target_X, 1 / temperature, chunk))


def chunk_size(tokens, vocab, width):
  """Rows of the head at a time: all where the logits are small, else about twice the width.

  Each chunk reads and writes the running dx (8 * width bytes per token), beside about 14 bytes of
  logits a token and row: twice the width makes that a quarter. A CPU's cache holds 512 rows too.
  """
  if 4 * tokens * vocab <= WHOLE_BYTES:
    return vocab
  # A multiple of 128, the lanes of a TPU.
  most = min(vocab, max(512, 2 * width), CHUNK_BYTES // (4 * tokens))
  return max(128, most // 128 * 128)


def _whole(x_XD, w_VD, target_X, temperature):
  z_XV = _logits(x_XD, w_VD, 1 / temperature)
  # It cancels out of every figure, and so of the gradient.
  top_X1 = jax.lax.stop_gradient(z_XV.max(-1, keepdims=True))
  weight_XV = jnp.exp(z_XV - top_X1)
  total_X = weight_XV.sum(-1)
  mean_X = (weight_XV * z_XV).sum(-1) / total_X
  return Scores(jnp.log(total_X) + top_X1[:, 0], _pick(z_XV, target_X), mean_X)


def _logits(x_XD, w_VD, inverse):
  return products.scores(x_XD, w_VD) * inverse


def _hit(target_X, width):
  return jax.lax.broadcasted_iota(jnp.int32, (len(target_X), width), 1) == target_X[:, None]


def _pick(z_XV, target_X):
  return jnp.where(_hit(target_X, z_XV.shape[1]), z_XV, 0).sum(-1)


def _split(w_VD, chunk):
  """(number of full chunks, the rows behind them: at least one)."""
  count = (len(w_VD) - 1) // chunk
  return count, w_VD[count * chunk :]


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _chunked(x_XD, w_VD, target_X, inverse, chunk):
  return _chunked_forward(x_XD, w_VD, target_X, inverse, chunk)[0]


def _chunked_forward(x_XD, w_VD, target_X, inverse, chunk):
  """Running maximum, sum, moment and chosen logit; the rows behind the full chunks come first."""
  count, rest = _split(w_VD, chunk)

  def figures(w, start, top_X):
    z_XV = _logits(x_XD, w, inverse)
    top_X = jnp.maximum(top_X, z_XV.max(-1))
    weight_XV = jnp.exp(z_XV - top_X[:, None])
    sums = weight_XV.sum(-1), (weight_XV * z_XV).sum(-1)
    return top_X, *sums, _pick(z_XV, target_X - start)

  def one(i, carry):
    w = jax.lax.dynamic_slice_in_dim(w_VD, i * chunk, chunk)
    old_X, total_X, moment_X, chosen_X = carry
    top_X, total, moment, chosen = figures(w, i * chunk, old_X)
    fade_X = jnp.exp(old_X - top_X)
    return top_X, total_X * fade_X + total, moment_X * fade_X + moment, chosen_X + chosen

  # At least one row: the running maximum is finite before the first full chunk.
  start = figures(rest, count * chunk, -jnp.inf)
  top_X, total_X, moment_X, chosen_X = jax.lax.fori_loop(0, count, one, start)
  out = (jnp.log(total_X) + top_X, chosen_X, moment_X / total_X)
  return out, (x_XD, w_VD, target_X, out[0], out[2])


def backward(inverse, chunk, saved, cotangents):
  """Gradients chunk by chunk: each chunk's part of dw is final, dx is a running sum in float32."""
  x_XD, w_VD, target_X, norm_X, mean_X = saved
  d_norm_X, d_chosen_X, d_mean_X = cotangents
  flat_X = d_norm_X + d_mean_X * (1 - mean_X)

  def add(w, start, d_x_XD):
    figures = (target_X - start, norm_X, flat_X, d_chosen_X, d_mean_X)
    d_x, d_w = gradients(x_XD, w, figures, inverse)
    return d_x_XD + d_x, d_w

  d_x_XD, d_w_VD = over_chunks(add, w_VD, chunk, jnp.zeros_like(x_XD, jnp.float32))
  return d_x_XD.astype(x_XD.dtype), d_w_VD, None


def gradients(x_XD, w, figures, inverse):
  """Float32 (d_x, d_w) of tokens against some rows of w.

  `figures` of each token: target within these rows, norm, flat, d_chosen and d_mean, where
  flat = d_norm + d_mean (1 - mean).
  """
  target_X, norm_X, flat_X, d_chosen_X, d_mean_X = figures
  z_XV = _logits(x_XD, w, inverse)
  # d/dz of norm and mean together is p (d_norm + d_mean (1 - mean + z)); `flat` is without z.
  prob_XV = jnp.exp(z_XV - norm_X[:, None])
  d_XV = prob_XV * (flat_X[:, None] + d_mean_X[:, None] * z_XV)
  d_XV = d_XV + jnp.where(_hit(target_X, len(w)), d_chosen_X[:, None], 0)
  # In the operands' type, as both products below read it.
  d_XV = (d_XV * inverse).astype(x_XD.dtype)
  d_x = jnp.einsum('xv,vd->xd', d_XV, w, preferred_element_type=jnp.float32)
  return d_x, products.weight_gradient(d_XV, x_XD)


def over_chunks(add, w_VD, chunk, d_x_XD):
  """(d_x_XD, d_w_VD) after `add(rows of w, the first one's number, d_x) -> (d_x, d_w)` of all."""
  count, rest = _split(w_VD, chunk)

  def put(d_w_VD, part, start):
    return jax.lax.dynamic_update_slice_in_dim(d_w_VD, part.astype(w_VD.dtype), start, 0)

  def one(i, carry):
    d_x_XD, d_w_VD = carry
    w = jax.lax.dynamic_slice_in_dim(w_VD, i * chunk, chunk)
    d_x_XD, d_w = add(w, i * chunk, d_x_XD)
    return d_x_XD, put(d_w_VD, d_w, i * chunk)

  d_x_XD, d_w = add(rest, count * chunk, d_x_XD)
  start = d_x_XD, put(jnp.zeros_like(w_VD), d_w, count * chunk)
  return jax.lax.fori_loop(0, count, one, start)


_chunked.defvjp(_chunked_forward, backward)


def differentiable(forward):
  """(x, w, target, how) -> (norm, chosen, mean); backward it is the chunked plain form.

  `forward` gives them and what `backward` wants saved; how[0] is 1 / temperature.
  """

  @partial(jax.custom_vjp, nondiff_argnums=(3,))
  def scores(x_XD, w_VD, target_X, how):
    return forward(x_XD, w_VD, target_X, how)[0]

  def pull(how, saved, cotangents):
    size = chunk_size(len(saved[0]), *saved[1].shape)
    return backward(how[0], size, saved, cotangents)

  scores.defvjp(forward, pull)
  return scores
