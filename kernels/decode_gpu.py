"""One query per sequence against a cache, as Mosaic GPU kernels for Hopper, forward only.

A decoding step is bound by reading the cache, and a batch of few sequences has fewer programs than
the GPU has processors: the blocks that hold a kept slot are listed, each program takes its share of
a sequence's list, and plain JAX joins the shares. Blocks that are not listed are neither read nor
computed. The tensor core multiplies 64 queries at least; fewer are padded, which costs no time: at
990 TFLOP/s and 3.35 TB/s, 64 queries take 0.22 of the time that their keys and values need to come.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from r1jax.kernels import varying, warpgroup
from r1jax.kernels.warpgroup import COMPUTE, LOG2E, MASKED, PROCESSORS, ROWS, SHARED, of_rows

SLOTS = 64  # of the cache that a warpgroup scores at once
VALUES = 512  # columns that the float32 registers of two warpgroups can sum up
STAGES = 4  # blocks in shared memory at most; two are 64 KiB, latency times bandwidth half of it
START = 2  # what a program costs besides its own blocks, in blocks: queries and the first wait;
JOIN = 4  # and where it has only a share, its result in float32, written and read once more


def mla_decode(q_BNA, cache_BSA, keep_BS, value_width, scale, splits=None, *, interpret=None):
  """Same contract as `reference.mla_decode`, but a sequence that keeps no slot gets zeros.

  Args:
    splits: programs that share a sequence; chosen from the shapes where it is None.

  Raises:
    ValueError: operands are not of 16 bits, slots are no multiple of 64, or the kernel does not
      take the widths (values multiples of 128 up to 512, at least 64 columns of positions).
  """
  warpgroup.check_type('mla_decode', q_BNA, cache_BSA)
  (B, N, A), S = q_BNA.shape, keep_BS.shape[1]
  _check_slots('mla_decode', S, SLOTS)
  _check_width('mla_decode', 'rows', A, warpgroup.LANES)
  _check_width('mla_decode', 'values', value_width, COMPUTE * warpgroup.LANES, VALUES)
  if value_width + SLOTS > A:
    raise ValueError(
      f'mla_decode: rows of width {A} with values of {value_width} have no positions, in whose '
      f"{SLOTS} columns the GPU kernel keeps weights: kernels='reference'"
    )
  # All heads read the one latent cache: they are the rows of a program.
  q = _programs(q_BNA[:, None])
  splits = splits or _splits(len(q), S // SLOTS)
  size = q.dtype.itemsize
  stages = _stages('mla_decode', ROWS * A * size, SLOTS * A * size)
  # Shares are joined in float32; a whole sequence has nothing to join.
  kind = q.dtype if splits == 1 else jnp.float32
  run = warpgroup.launch(
    'mla_decode',
    partial(_latent_kernel, (len(q) // B, splits, scale, interpret)),
    [
      varying.output((splits, len(q), ROWS, value_width), kind, q),
      varying.output((splits, len(q), ROWS), jnp.float32, q),
    ],
    {'row': len(q), 'split': splits},
    [
      warpgroup.swizzled((ROWS, A), q.dtype),
      warpgroup.swizzled((stages, SLOTS, A), q.dtype),
      plgpu.SMEM((stages, SLOTS), jnp.int32),
      plgpu.SMEM((stages + 1, ROWS), jnp.float32),
      plgpu.Barrier(),  # queries are there
      plgpu.Barrier(num_barriers=stages + 1),  # a stage's weights and fade; last, 1 / total
      *warpgroup.stage_barriers(stages, copies=2),  # of the cache, and of which slots are kept
    ],
    interpret,
  )
  part, norm = run(q, cache_BSA, keep_BS.astype(jnp.int32), *_live(keep_BS, SLOTS))
  out = _joined(part, norm)
  return out.reshape(B, -1, value_width)[:, :N].astype(q.dtype)


def gqa_decode(q_BNH, k_BYHS, v_BYSU, keep_BS, scale, splits=None, *, interpret=None):
  """Same contract as `reference.gqa_decode`, but a sequence that keeps no slot gets zeros.

  Args:
    splits: programs that share a sequence and key head; chosen from the shapes where it is None.

  Raises:
    ValueError: operands are not of 16 bits, slots are no multiple of 128, or the kernel does not
      take the widths (multiples of 64, together up to 256 or so).
  """
  warpgroup.check_type('gqa_decode', q_BNH, k_BYHS, v_BYSU)
  (B, N, H), (Y, S, U) = q_BNH.shape, v_BYSU.shape[1:]
  # A key head has few queries, 64 rows with their padding: both warpgroups take them all, and
  # each half of a block.
  block = COMPUTE * SLOTS
  _check_slots('gqa_decode', S, block)
  _check_width('gqa_decode', 'keys', H, warpgroup.LANES)
  _check_width('gqa_decode', 'values', U, warpgroup.LANES)
  q = _programs(q_BNH.reshape(B, Y, N // Y, H))
  splits = splits or _splits(len(q), S // block)
  size, rows = q.dtype.itemsize, min(N // Y, ROWS)
  fixed = ROWS * (H * size + COMPUTE * 4 * U)
  stages = _stages('gqa_decode', fixed, block * (H + U) * size)
  run = warpgroup.launch(
    'gqa_decode',
    partial(_heads_kernel, (len(q) // (B * Y), Y, splits, scale, interpret)),
    [
      varying.output((splits, COMPUTE, len(q), rows, U), jnp.float32, q),
      varying.output((splits, COMPUTE, len(q), ROWS), jnp.float32, q),
    ],
    {'row': len(q), 'split': splits},
    [
      warpgroup.swizzled((ROWS, H), q.dtype),
      warpgroup.swizzled((stages, COMPUTE, H, SLOTS), q.dtype),
      warpgroup.swizzled((stages, COMPUTE, SLOTS, U), q.dtype),
      plgpu.SMEM((stages, COMPUTE, SLOTS), jnp.int32),
      plgpu.SMEM((COMPUTE, ROWS, U), jnp.float32),
      plgpu.Barrier(),
      *warpgroup.stage_barriers(stages, copies=3 * COMPUTE),
    ],
    interpret,
  )
  k, v = k_BYHS.reshape(B * Y, H, S), v_BYSU.reshape(B * Y, S, U)
  part, norm = run(q, k, v, keep_BS.astype(jnp.int32), *_live(keep_BS, block))
  # The two warpgroups of a program have shares of their own, joined like those of programs.
  shares = (x.reshape(splits * COMPUTE, *x.shape[2:]) for x in (part, norm[..., :rows]))
  out_BYGU = _joined(*shares).reshape(B, Y, -1, U)
  return out_BYGU[:, :, : N // Y].reshape(B, N, U).astype(q.dtype)


def _check_slots(op, slots, block):
  if slots % block:
    raise ValueError(
      f'{op}: the GPU kernel reads whole blocks of {block} slots, this cache has {slots}: allocate '
      f"{slots + -slots % block}, or kernels='reference'"
    )


def _check_width(op, name, width, multiple, most=1024):
  if width % multiple or width > most:
    raise ValueError(
      f'{op}: {name} of width {width}; the GPU kernel takes multiples of {multiple} up to {most} '
      "(padding a cache would copy it at every step): kernels='reference'"
    )


def _stages(op, fixed, stage):
  """Blocks in shared memory at once, `stage` bytes each beside `fixed`."""
  count = min(STAGES, (SHARED - fixed) // stage)
  if count < 2:
    raise ValueError(
      f'{op}: two blocks of {stage:,} bytes and {fixed:,} beside them do not fit {SHARED:,} bytes '
      "of shared memory: kernels='reference'"
    )
  return count


def _splits(programs, blocks):
  """Programs that share a sequence, so that the last of all ends soonest where all keep all slots.

  A processor runs one program at a time, which takes the time of its blocks and what `START` and
  `JOIN` say: fewest rounds of programs, but no shares of less than `JOIN` blocks.
  """

  def time(splits):
    rounds, share = pl.cdiv(programs * splits, PROCESSORS), pl.cdiv(blocks, splits)
    return rounds * (share + START + (JOIN if splits > 1 else 0))

  return min(range(1, max(blocks // JOIN, 1) + 1), key=time)


def _programs(q_BYGH):
  """Queries as [programs, 64, H], zeros behind each key head's own."""
  return warpgroup.padded(q_BYGH, 2, ROWS).reshape(-1, ROWS, q_BYGH.shape[3])


def _live(keep_BS, slots):
  """Which blocks have a kept slot: their indices [B, blocks] in front, and how many [B]."""
  kept = keep_BS.reshape(len(keep_BS), -1, slots).any(-1)
  # False sorts first: kept blocks come in front, in their order.
  order = jnp.argsort(~kept, axis=1, stable=True)
  return order.astype(jnp.int32), kept.sum(1, dtype=jnp.int32)


def _share(live, b, split, splits):
  """(first, number) in the list of `live` blocks of the sequence that are the program's own."""
  count = live[b]
  # Rounded up: the last programs may have less, or nothing.
  share = jax.lax.div(count + splits - 1, jnp.int32(splits))
  first = split * share
  return first, jnp.clip(count - first, 0, share)


def _visible(score, keep, scale):
  """Scaled scores to base 2, those of slots that are not kept far below."""
  kept = jax.lax.broadcast_in_dim(keep, score.shape, [1]) > 0
  return jnp.where(kept, score * (scale * LOG2E), MASKED)


def _joined(part_PRGU, norm_PRG):
  """The result over all slots from those over shares of them and the shares' log2 normalisers."""
  if len(part_PRGU) == 1:
    return part_PRGU[0]
  # A share without a slot has a norm far below, so its zeros weigh nothing; the largest is 1.
  weight = jnp.exp2(norm_PRG - norm_PRG.max(0))
  return (weight[..., None] * part_PRGU).sum(0) / weight.sum(0)[..., None]


def _heads_kernel(how, *refs):
  """A share of a key head's blocks; each warpgroup has half of their slots and its own softmax."""
  q, k, v, keep, order, live, out, norm, q_s, k_s, v_s, keep_s, out_s, asked, *ring = refs
  tiles, heads, splits, scale, interpret = how
  row, split = (jax.lax.axis_index(name) for name in ('row', 'split'))
  head = jax.lax.div(row, jnp.int32(tiles))
  b = jax.lax.div(head, jnp.int32(heads))
  first, steps = _share(live, b, split, splits)
  stages = warpgroup.Stages(k_s.shape[0], *ring)

  def move():
    plgpu.copy_gmem_to_smem(q.at[row], q_s, asked)

    def copy(s, slot, barrier):
      start = order[b, first + s] * (COMPUTE * SLOTS)
      for i in range(COMPUTE):
        at = pl.ds(start + i * SLOTS, SLOTS)
        plgpu.copy_gmem_to_smem(k.at[head, :, at], k_s.at[slot, i], barrier)
        plgpu.copy_gmem_to_smem(v.at[head, at], v_s.at[slot, i], barrier)
        plgpu.copy_gmem_to_smem(keep.at[b, at], keep_s.at[slot, i], barrier)

    stages.fill(steps, copy)

  def compute(group):
    plgpu.barrier_wait(asked)

    def block(s, slot, carry):
      acc, top, total = carry
      score = warpgroup.product(q_s, k_s.at[slot, group], False, interpret)
      score = _visible(score, keep_s[slot, group], scale)
      weight, fade, top, total = warpgroup.softmax_step(score, top, total)
      values = v_s.at[slot, group]
      return warpgroup.mixed(acc, fade, weight.astype(q.dtype), values, interpret), top, total

    acc, top, total = stages.read(steps, block, warpgroup.before_softmax(v.shape[2]))
    total = jnp.maximum(total, 1e-30)  # where no slot is kept, zeros remain zeros
    out_s[group] = acc / of_rows(total, acc.shape)
    # Base 2, as scores are: the hardware has exp2 and log2 only.
    norm[split, group, row] = top + jnp.log2(total)
    plgpu.commit_smem()
    rows = pl.ds(0, out.shape[3])
    plgpu.copy_smem_to_gmem(out_s.at[group, rows], out.at[split, group, row])
    plgpu.wait_smem_to_gmem(0)

  warpgroup.roles(move, compute)


def _give(fade_s, given, slot, fade):
  """Hands a number a row to the other warpgroup, and what was written before."""
  fade_s[slot] = fade
  plgpu.commit_smem()
  plgpu.barrier_arrive(given.at[slot])


def _store(values, columns, q_s, out):
  """Writes a warpgroup's columns of a program's result, from `columns` on.

  From registers four threads write a row's 8 columns: a sector of 32 bytes in float32, as shares
  are, half of one in 16 bits. Those go through shared memory instead, in place of the queries,
  which have done their work.
  """
  own = pl.ds(columns, values.shape[1])
  if out.dtype == jnp.float32:
    out[:, own] = values
    return
  q_s[:, own] = values.astype(out.dtype)
  plgpu.commit_smem()
  # Some of the columns are contiguous only within one row of swizzled tiles.
  for first in range(0, ROWS, warpgroup.EIGHT):
    tile = pl.ds(first, warpgroup.EIGHT), own
    plgpu.copy_smem_to_gmem(q_s.at[tile], out.at[tile])
  plgpu.wait_smem_to_gmem(0)


def _latent_kernel(how, *refs):
  """A share of a sequence's blocks: one warpgroup scores, and each mixes half of the value columns.

  All columns of V3's values do not fit the registers of one warpgroup. Weights reach the second one
  in the block itself, in place of positions that have done their work, so that the first scores the
  next block while the second still multiplies.
  """
  q, cache, keep, order, live, out, norm, q_s, cache_s, keep_s, fade_s, asked, given, *ring = refs
  tiles, splits, scale, interpret = how
  row, split = (jax.lax.axis_index(name) for name in ('row', 'split'))
  b, half = jax.lax.div(row, jnp.int32(tiles)), out.shape[3] // COMPUTE
  first, steps = _share(live, b, split, splits)
  stages = warpgroup.Stages(cache_s.shape[0], *ring)
  # Behind the values stand rotary positions, which only the scores read.
  positions = pl.ds(COMPUTE * half, SLOTS)
  values = lambda slot, columns: cache_s.at[slot, :, pl.ds(columns, half)]

  def move():
    plgpu.copy_gmem_to_smem(q.at[row], q_s, asked)

    def copy(s, slot, barrier):
      at = pl.ds(order[b, first + s] * SLOTS, SLOTS)
      plgpu.copy_gmem_to_smem(cache.at[b, at], cache_s.at[slot], barrier)
      plgpu.copy_gmem_to_smem(keep.at[b, at], keep_s.at[slot], barrier)

    stages.fill(steps, copy)

  def score_and_mix():
    plgpu.barrier_wait(asked)

    def block(s, slot, carry):
      acc, top, total = carry
      score = warpgroup.product(q_s, cache_s.at[slot], True, interpret)
      score = _visible(score, keep_s[slot], scale)
      weight, fade, top, total = warpgroup.softmax_step(score, top, total)
      weight = weight.astype(q.dtype)
      # `product` has waited for the tensor core, which has read the positions by now.
      cache_s[slot, :, positions] = weight
      _give(fade_s, given, slot, fade)
      return warpgroup.mixed(acc, fade, weight, values(slot, 0), interpret), top, total

    acc, top, total = stages.read(steps, block, warpgroup.before_softmax(half))
    total = jnp.maximum(total, 1e-30)
    # It also says that no product reads the queries any more, whose place results take.
    _give(fade_s, given, stages.count, 1 / total)
    _store(acc / of_rows(total, acc.shape), 0, q_s, out.at[split, row])
    norm[split, row] = top + jnp.log2(total)

  def mix():
    def block(s, slot, acc):
      plgpu.barrier_wait(given.at[slot])
      weight = cache_s.at[slot, :, positions]
      return warpgroup.mixed(acc, fade_s[slot], weight, values(slot, half), interpret)

    acc = stages.read(steps, block, jnp.zeros((ROWS, half), jnp.float32))
    plgpu.barrier_wait(given.at[stages.count])
    inverse = of_rows(fade_s[stages.count], acc.shape)
    _store(acc * inverse, half, q_s, out.at[split, row])

  def compute(group):
    pl.when(group == 0)(score_and_mix)
    pl.when(group == 1)(mix)

  warpgroup.roles(move, compute)
