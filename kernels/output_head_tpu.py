"""The output head's forward pass as a Mosaic TPU kernel; backward it is the chunked plain form.

Logits stand transposed, [vocabulary, tokens], and never leave VMEM: the running softmax reduces
over sublanes, as in the attention. Backward a kernel would have to make the logits twice, for dx
and for dw, which costs more than XLA loses to the matrix units there (README.md).
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from r1jax.kernels import output_head, varying

MASKED = -1e30
VMEM = 40 * 2**20  # bytes that blocks may take, double buffers included


@dataclasses.dataclass(frozen=True)
class Blocks:
  """Sizes at most, multiples of 128: tokens, and rows of w."""

  tokens: int = 1024
  vocab: int = 512


def token_scores(x_XD, w_VD, target_X, temperature, blocks=None, interpret=False):
  """Same contract as `output_head.token_scores`."""
  how = (1 / temperature, fitted(blocks or Blocks(), x_XD, w_VD), interpret)
  return output_head.Scores(*_scores(x_XD, w_VD, target_X, how))


def fitted(blocks, x_XD, w_VD):
  """The blocks, halved until two of each and the logits fit VMEM."""
  tokens, vocab = min(blocks.tokens, len(x_XD)), min(blocks.vocab, len(w_VD))
  size = x_XD.shape[1] * x_XD.dtype.itemsize

  def need():
    return 2 * size * (tokens + vocab) + 16 * tokens * vocab

  while need() > VMEM and (vocab > 128 or tokens > 128):
    # Rows of w first, down to 256: each block of tokens reads the whole of w once more.
    larger = vocab > 256 or tokens <= 128
    vocab, tokens = (vocab // 2, tokens) if larger else (vocab, tokens // 2)
  return Blocks(tokens, vocab)


def _forward(x_XD, w_VD, target_X, how):
  """(norm, chosen, mean); saved: the operands and two figures a token, as in the plain form."""
  (X, D), V, (inverse, blocks, interpret) = x_XD.shape, len(w_VD), how
  row = pl.BlockSpec((1, blocks.tokens), lambda i, j: (0, i))
  run = pl.pallas_call(
    partial(_kernel, inverse, V),
    grid=(pl.cdiv(X, blocks.tokens), pl.cdiv(V, blocks.vocab)),
    in_specs=[
      pl.BlockSpec((blocks.tokens, D), lambda i, j: (i, 0)),
      pl.BlockSpec((blocks.vocab, D), lambda i, j: (j, 0)),
      row,
    ],
    out_specs=[row] * 3,
    out_shape=[varying.output((1, X), jnp.float32, x_XD)] * 3,
    scratch_shapes=[pltpu.VMEM((1, blocks.tokens), jnp.float32)] * 4,
    compiler_params=pltpu.CompilerParams(
      dimension_semantics=('parallel', 'arbitrary'), vmem_limit_bytes=VMEM + VMEM // 4
    ),
    interpret=interpret,
    name='scores',
  )
  out = tuple(x[0] for x in run(x_XD, w_VD, target_X.astype(jnp.int32)[None]))
  return out, (x_XD, w_VD, target_X, out[0], out[2])


def _kernel(inverse, vocab, *refs):
  """One block of the vocabulary: running maximum, sum, moment and chosen logit of every token."""
  x, w, target, norm, chosen, mean, top, total, moment, picked = refs
  j = pl.program_id(1)

  @pl.when(j == 0)
  def start():
    top[...] = jnp.full_like(top, MASKED)
    for figure in (total, moment, picked):
      figure[...] = jnp.zeros_like(figure)

  contract = (((1,), (1,)), ((), ()))
  z = jax.lax.dot_general(w[...], x[...], contract, preferred_element_type=jnp.float32) * inverse
  row = jax.lax.broadcasted_iota(jnp.int32, z.shape, 0) + j * w.shape[0]
  if vocab % w.shape[0]:  # what lies behind the last row may be anything, NaN included
    z = jnp.where(row < vocab, z, MASKED)
  new_top = jnp.maximum(top[...], z.max(0, keepdims=True))
  weight, fade = jnp.exp(z - new_top), jnp.exp(top[...] - new_top)
  total[...] = total[...] * fade + weight.sum(0, keepdims=True)
  # The sum of weight * z gives the mean logit, and with it the entropy.
  moment[...] = moment[...] * fade + (weight * z).sum(0, keepdims=True)
  # Another shard's target may equal the index of a row behind the last one.
  hit = (row == target[...]) & (target[...] < vocab)
  picked[...] += jnp.where(hit, z, 0).sum(0, keepdims=True)
  top[...] = new_top

  @pl.when(j == pl.num_programs(1) - 1)
  def end():
    norm[...] = top[...] + jnp.log(total[...])
    chosen[...] = picked[...]
    mean[...] = moment[...] / total[...]


_scores = output_head.differentiable(_forward)
