"""The output head's forward pass as a Mosaic GPU kernel for Hopper; backward it is the plain form.

A block of threads takes 128 tokens and a share of the vocabulary; its logits stay in registers, 128
tokens x 256 rows of w, where a running softmax reads them. Plain JAX joins the shares. Backward it
is as on a TPU: a kernel would make the logits twice, for dx and for dw (README.md).
"""

import dataclasses
import math
from functools import partial

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from r1jax.kernels import output_head, varying, warpgroup
from r1jax.kernels.warpgroup import COMPUTE, EIGHT, LOG2E, MASKED, PROCESSORS, ROWS, TILE, of_rows

STEP = warpgroup.LANES  # of the contraction: what a swizzled row holds
FIGURES = 4  # of a token and a share: maximum, sum, moment and chosen logit


@dataclasses.dataclass(frozen=True)
class Blocks:
  """Rows of w at a time, stages of 64 columns in flight, blocks of threads that run at once."""

  vocab: int = 256
  stages: int = 4
  programs: int = PROCESSORS


def token_scores(x_XD, w_VD, target_X, temperature, blocks=None, interpret=None):
  """Same contract as `output_head.token_scores`; x and w of one type of 16 bits.

  Raises:
    ValueError: another type, a width that is no multiple of 64 or a vocabulary that is none of 8.
  """
  warpgroup.check_type('token_scores', x_XD, w_VD)
  warpgroup.check_widths('token_scores', x_XD.shape[1])
  if len(w_VD) % EIGHT:
    raise ValueError(
      f'token_scores: the GPU kernel takes vocabularies in multiples of {EIGHT}, not {len(w_VD)}: '
      "kernels='reference'"
    )
  how = (1 / temperature, blocks or Blocks(), interpret)
  return output_head.Scores(*_scores(x_XD, w_VD, target_X, how))


def shares(tokens, vocab, blocks):
  """(parts of the vocabulary, blocks of it in one): those that leave the fewest processors idle."""
  tiles, count = pl.cdiv(tokens, TILE), pl.cdiv(vocab, blocks.vocab)

  def time(parts):
    return pl.cdiv(tiles * parts, blocks.programs) * pl.cdiv(count, parts), parts

  # Four rounds of programs are even enough; further parts only cost joins.
  most = min(count, pl.cdiv(4 * blocks.programs, tiles))
  share = pl.cdiv(count, min(range(1, most + 1), key=time))
  return pl.cdiv(count, share), share


def _forward(x_XD, w_VD, target_X, how):
  """(norm, chosen, mean); saved: the operands and two figures a token, as in the plain form."""
  X, dtype, (inverse, blocks, interpret) = len(x_XD), x_XD.dtype, how
  parts, share = shares(X, len(w_VD), blocks)
  wide = pl.cdiv(X, TILE) * TILE
  run = warpgroup.launch(
    'token_scores',
    partial(_kernel, inverse * LOG2E, share, interpret),
    varying.output((parts, FIGURES, wide), jnp.float32, x_XD),
    {'part': parts, 'tile': wide // TILE},
    [
      warpgroup.swizzled((blocks.stages, COMPUTE, ROWS, STEP), dtype),
      warpgroup.swizzled((blocks.stages, blocks.vocab, STEP), dtype),
      plgpu.SMEM((COMPUTE, ROWS), jnp.int32),
      plgpu.SMEM((COMPUTE, FIGURES, ROWS), jnp.float32),
      plgpu.Barrier(num_arrivals=1, num_barriers=COMPUTE),
      *warpgroup.stage_barriers(blocks.stages, copies=COMPUTE + 1),
    ],
    interpret,
  )
  target = warpgroup.padded(target_X.astype(jnp.int32), 0, TILE)
  # Another shard's target must not meet a row behind the last one, whose index is a number too.
  target = jnp.where((target >= 0) & (target < len(w_VD)), target, -1)
  out = _joined(run(warpgroup.padded(x_XD, 0, EIGHT), w_VD, target)[..., :X])
  return out, (x_XD, w_VD, target_X, out[0], out[2])


def _joined(figures_PFX):
  """(norm, chosen, mean) of all parts of the vocabulary; the figures' logits are to base 2."""
  top_PX, total_PX, moment_PX, chosen_PX = (figures_PFX[:, i] for i in range(FIGURES))
  top_X = top_PX.max(0)
  # A part's sums count from its own maximum; together from the largest.
  fade_PX = jnp.exp2(top_PX - top_X)
  total_X, moment_X = (fade_PX * total_PX).sum(0), (fade_PX * moment_PX).sum(0)
  out = top_X + jnp.log2(total_X), chosen_PX.sum(0), moment_X / total_X
  return tuple(x * math.log(2) for x in out)


def _kernel(scale, share, interpret, *refs):
  """A token's figures over a part of the vocabulary: blocks at work read the same rows of w."""
  x, w, target, out, x_s, w_s, target_s, out_s, ready, *barriers = refs
  part, tile = (jax.lax.axis_index(name) for name in ('part', 'tile'))
  stages = warpgroup.Stages(x_s.shape[0], *barriers)
  (V, D), rows = w.shape, w_s.shape[1]
  steps = D // STEP
  count = jnp.minimum(pl.cdiv(V, rows) - part * share, share)

  def move():
    def copy(s, slot, barrier):
      # All steps of the contraction for a block of w, then the next block's.
      block, step = jax.lax.div(s, jnp.int32(steps)), jax.lax.rem(s, jnp.int32(steps))
      at = pl.ds(step * STEP, STEP)
      for half in range(COMPUTE):
        first = tile * TILE + half * ROWS
        plgpu.copy_gmem_to_smem(x.at[pl.ds(first, ROWS), at], x_s.at[slot, half], barrier)
      first = (part * share + block) * rows
      plgpu.copy_gmem_to_smem(w.at[pl.ds(first, rows), at], w_s.at[slot], barrier)

    stages.fill(count * steps, copy)

  def compute(group):
    mine = pl.ds(tile * TILE + group * ROWS, ROWS)
    plgpu.copy_gmem_to_smem(target.at[mine], target_s.at[group], ready.at[group])
    plgpu.barrier_wait(ready.at[group])
    own = target_s[group]

    def block(j, figures):
      operands = lambda _, slot: (x_s.at[slot, group], w_s.at[slot])
      shape, turned = (ROWS, rows), (False, True)
      z = warpgroup.contraction(stages, j * steps, steps, shape, operands, turned, interpret)
      return _added(figures, z * scale, own, (part * share + j) * rows, V)

    zero = jnp.zeros((ROWS,), jnp.float32)
    figures = jax.lax.fori_loop(0, count, block, (zero + MASKED, zero, zero, zero))
    for i, figure in enumerate(figures):
      out_s[group, i] = figure
    plgpu.commit_smem()
    plgpu.copy_smem_to_gmem(out_s.at[group], out.at[part, :, mine])
    plgpu.wait_smem_to_gmem(0)

  warpgroup.roles(move, compute)


def _added(figures, z, own, first, vocab):
  """Running maximum, sum, moment and chosen logit with a block's logits [64, rows] to base 2."""
  top, total, moment, chosen = figures
  row = jax.lax.broadcasted_iota(jnp.int32, z.shape, 1) + first
  if vocab % z.shape[1]:  # what lies behind the last row may be anything, NaN included
    z = jnp.where(row < vocab, z, MASKED)
  new_top = jnp.maximum(top, z.max(axis=1))
  weight, fade = jnp.exp2(z - of_rows(new_top, z.shape)), jnp.exp2(top - new_top)
  total = total * fade + weight.sum(axis=1)
  moment = moment * fade + (weight * z).sum(axis=1)
  chosen = chosen + jnp.where(row == of_rows(own, z.shape), z, 0.0).sum(axis=1)
  return new_top, total, moment, chosen


_scores = output_head.differentiable(_forward)
