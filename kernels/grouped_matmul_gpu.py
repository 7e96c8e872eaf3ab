"""Rows in consecutive groups, each times its own matrix, as Mosaic GPU kernels for Hopper.

A block of threads stays on its multiprocessor and takes one tile of the result after the other:
one warpgroup streams steps of 64 of the contraction through shared memory, past the end of a tile,
so that the next one's first steps are there when two others, of 64 rows each, have stored theirs.
A tile of rows that several groups share is computed once for each, and the group's rows are kept.
"""

import dataclasses
import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from r1jax.kernels import grouped, varying, warpgroup
from r1jax.kernels.warpgroup import COMPUTE, EIGHT, PROCESSORS, ROWS, SHARED, TILE

STEP = warpgroup.LANES  # of the contraction: what a swizzled row holds


@dataclasses.dataclass(frozen=True)
class Blocks:
  """At most: columns of a result's tile, blocks of threads that share the tiles, stages.

  128 x 256 float32 sums are what two warpgroups can keep in registers, and halve the reads of
  128 x 128. One block of threads fits a multiprocessor.
  """

  columns: int = 256
  programs: int = PROCESSORS
  stages: int = 4


class Work(NamedTuple):
  """Which groups meet a tile of rows, int32; groups without rows stand behind the others.

  Attributes:
    first_T, stop_T: the tile's groups, in the order of the following.
    matrix_E: index of a group's matrix.
    begin_E, end_E: its rows.
  """

  first_T: jax.Array
  stop_T: jax.Array
  matrix_E: jax.Array
  begin_E: jax.Array
  end_E: jax.Array


def grouped_matmul(x_XD, w_EDM, size_E, blocks=None, interpret=None):
  """Same contract as `reference.grouped_matmul`; x and w of one type of 16 bits.

  Raises:
    ValueError: another type, or widths that are no multiples of 64.
  """
  warpgroup.check_type('grouped_matmul', x_XD, w_EDM)
  warpgroup.check_widths('grouped_matmul', *w_EDM.shape[1:])
  X, x_XD = len(x_XD), warpgroup.padded(x_XD, 0, EIGHT)
  return _grouped(x_XD, w_EDM, size_E, (blocks or Blocks(), interpret))[:X]


def work(size_E, count):
  """The `Work` on `count` rows in tiles."""
  end_E = jnp.minimum(jnp.cumsum(size_E, dtype=jnp.int32), count)
  begin_E = jnp.pad(end_E[:-1], (1, 0))
  index_E = jnp.arange(len(size_E), dtype=jnp.int32)
  # By key and index, which keeps the order; argsort would lose what the result varies over.
  empty_E, matrix_E = jax.lax.sort((end_E <= begin_E, index_E), num_keys=1)
  begin_E, end_E = begin_E[matrix_E], end_E[matrix_E]
  start_T1 = TILE * jnp.arange(pl.cdiv(count, TILE), dtype=jnp.int32)[:, None]
  # Groups that end before a tile come first and those that begin behind it last: what lies
  # between two counts meets it.
  before, met = end_E <= start_T1, begin_E < start_T1 + TILE
  first_T, stop_T = ((~empty_E & x).sum(1, dtype=jnp.int32) for x in (before, met))
  return Work(first_T, stop_T, matrix_E, begin_E, end_E)


def _share(tiles, programs, stages, load, compute):
  """A block of threads takes every `programs`-th tile.

  `load(tile, s)` is the memory warpgroup's part and `compute(tile, s)` the others', from step s of
  the block's on; both return the step behind the tile.
  """
  # Tiles program, program + programs, ...: neighbours are at work at once and share reads in L2.
  program = jax.lax.axis_index('program')
  count = jax.lax.div(tiles - program + programs - 1, jnp.int32(programs))

  def each(one):
    return jax.lax.fori_loop(0, count, lambda i, s: one(program + i * programs, s), jnp.int32(0))

  def multiply(_):
    each(compute)
    plgpu.wait_smem_to_gmem(0)

  warpgroup.roles(lambda: stages.drain(each(load)), multiply)


def _store(part, out, where, first):
  """Starts to write a warpgroup's part of a tile, unless it begins behind the last row."""
  plgpu.commit_smem()
  pl.when(first < out.shape[-2])(lambda: plgpu.copy_smem_to_gmem(part, out.at[where]))


def _columns(width, blocks):
  """Columns of a tile: the most that divide the width."""
  return next(n for n in (256, 128, 64) if n <= blocks.columns and width % n == 0)


def _product(x_XD, w, size_E, transposed, how):
  """x @ w of each group, or x @ w.T."""
  X, width = len(x_XD), w.shape[1 if transposed else 2]
  columns = _columns(width, how[0])
  right = (columns, STEP) if transposed else (STEP, columns)
  run = _launch(
    'grouped_matmul_dx' if transposed else 'grouped_matmul',
    partial(_product_kernel, transposed, how[1]),
    (X, width),
    pl.cdiv(X, TILE) * (width // columns),
    ((ROWS, STEP), right, (ROWS, columns)),
    (x_XD, how),
  )
  return run(*work(size_E, X), x_XD, w)[:X]


def _launch(name, kernel, shape, tiles, parts, like):
  """The kernel on `tiles`; `parts` are shapes: left (one warpgroup's) and right of a stage, result.

  As many stages as fit. JAX's interpreter writes nothing beyond an array's end, where the hardware
  leaves the rows out: it is given whole tiles.
  """
  (left, right, out), (x, (blocks, interpret)) = parts, like
  stage, result = COMPUTE * math.prod(left) + math.prod(right), COMPUTE * math.prod(out)
  # What the result leaves of shared memory.
  count = min(blocks.stages, (SHARED // x.dtype.itemsize - result) // stage)
  rows = -shape[-2] % (COMPUTE * out[0]) if interpret else 0
  programs = min(blocks.programs, tiles)
  return warpgroup.launch(
    name,
    partial(kernel, tiles, programs),
    varying.output((*shape[:-2], shape[-2] + rows, shape[-1]), x.dtype, x),
    {'program': programs},
    [
      warpgroup.swizzled((count, COMPUTE, *left), x.dtype),
      warpgroup.swizzled((count, *right), x.dtype),
      warpgroup.swizzled((COMPUTE, *out), x.dtype),
      plgpu.Barrier(num_arrivals=COMPUTE),
      *warpgroup.stage_barriers(count, copies=COMPUTE + 1),
    ],
    interpret,
  )


def _product_kernel(transposed, interpret, tiles, programs, *refs):
  """Tiles of the product, columns first: the blocks at work read the same rows, or matrices."""
  table = Work(*refs[:5])
  x, w, out, x_s, w_s, out_s, _, *barriers = refs[5:]
  stages = warpgroup.Stages(x_s.shape[0], *barriers)
  columns, steps = out_s.shape[2], x.shape[1] // STEP
  group = jax.lax.axis_index('warpgroup')

  def place(tile):
    # Columns go first, so that the rows of x stay in L2 while the matrix goes by.
    row, column = divmod(tile, out.shape[1] // columns)
    return row, row * TILE, column * columns

  def load(tile, s):
    row, first, column = place(tile)
    wide = pl.ds(column, columns)

    def one_step(matrix, k, s):
      (slot, barrier), at = stages.claim(s), pl.ds(k * STEP, STEP)
      for half in range(COMPUTE):
        rows = pl.ds(first + half * ROWS, ROWS)
        plgpu.copy_gmem_to_smem(x.at[rows, at], x_s.at[slot, half], barrier)
      # For dx the same matrix is read with its sides swapped, and turned by the tensor core.
      block = (matrix, wide, at) if transposed else (matrix, at, wide)
      plgpu.copy_gmem_to_smem(w.at[block], w_s.at[slot], barrier)
      return s + 1

    def one_group(i, s):
      return jax.lax.fori_loop(0, steps, partial(one_step, table.matrix_E[i]), s)

    return _each_group(table, row, one_group, s)

  def compute(tile, s):
    row, first, column = place(tile)
    first, shape = first + group * ROWS, (ROWS, columns)
    zero = jnp.zeros(shape, out.dtype)
    plgpu.wait_smem_to_gmem(0, wait_read_only=True)  # the last tile has left the buffer

    # Behind the last group rows are zero, and nothing else would write them.
    @pl.when(table.first_T[row] == table.stop_T[row])
    def clear():
      out_s[group] = zero

    def one_group(i, s):
      operands = lambda _, slot: (x_s.at[slot, group], w_s.at[slot])
      acc = warpgroup.contraction(stages, s, steps, shape, operands, (False, transposed), interpret)
      at = jax.lax.broadcasted_iota(jnp.int32, shape, 0) + first
      before = jnp.where(at < table.begin_E[i], out_s[group], zero)  # of groups in front
      mine = (at >= table.begin_E[i]) & (at < table.end_E[i])
      out_s[group] = jnp.where(mine, acc.astype(out.dtype), before)
      plgpu.commit_smem()
      return s + steps

    s = _each_group(table, row, one_group, s)
    where = pl.ds(first, ROWS), pl.ds(column, columns)
    _store(out_s.at[group], out, where, first)
    return s

  _share(tiles, programs, stages, load, compute)


def _each_group(table, row, one, carry):
  """`carry` through `one(i, carry)` for the groups that meet a tile of rows.

  The loop counts from 0: inside `shard_map` what is read varies over the mesh, what a kernel
  computes from it does not, and a counter must not change its type.
  """
  first, stop = table.first_T[row], table.stop_T[row]
  return jax.lax.fori_loop(0, stop - first, lambda i, c: one(first + i, c), carry)


def _weight_gradient(x_XD, d_XM, size_E, dtype, how):
  """Sum over each group's rows of x.T @ d."""
  (X, D), M = x_XD.shape, d_XM.shape[1]
  columns = _columns(M, how[0])
  end_E = jnp.minimum(jnp.cumsum(size_E, dtype=jnp.int32), X)
  run = _launch(
    'grouped_matmul_dw',
    partial(_weight_kernel, how[1]),
    (len(size_E), D, M),
    len(size_E) * pl.cdiv(D, TILE) * (M // columns),
    ((STEP, ROWS), (STEP, columns), (ROWS, columns)),
    (x_XD, how),
  )
  d_w = run(jnp.pad(end_E, (1, 0)), x_XD, d_XM.astype(x_XD.dtype))
  return d_w[:, :D].astype(dtype)


def _weight_kernel(interpret, tiles, programs, *refs):
  """Tiles of the gradient, matrix by matrix.

  A swizzled copy begins with a multiple of 8 rows: so do the steps of a group.
  """
  bound, x, d, out, x_s, d_s, out_s, met, *barriers = refs
  stages = warpgroup.Stages(x_s.shape[0], *barriers)
  columns, group = out_s.shape[2], jax.lax.axis_index('warpgroup')

  def place(tile):
    rest, column = divmod(tile, out.shape[2] // columns)
    matrix, row = divmod(rest, pl.cdiv(out.shape[1], TILE))
    begin, end = bound[matrix], bound[matrix + 1]
    # Up to 7 rows of the group before come along; `_cut` makes them zero.
    start = jax.lax.div(begin, jnp.int32(EIGHT)) * EIGHT
    steps = jnp.where(end > begin, jax.lax.div(end - start + STEP - 1, jnp.int32(STEP)), 0)
    bounds = begin - start, end - start, start, steps
    return matrix, row * TILE, column * columns, bounds

  def load(tile, s):
    _, first, column, (*_, start, steps) = place(tile)

    def one_step(k, s):
      (slot, barrier), at = stages.claim(s), pl.ds(start + k * STEP, STEP)
      for half in range(COMPUTE):
        wide = pl.ds(first + half * ROWS, ROWS)
        plgpu.copy_gmem_to_smem(x.at[at, wide], x_s.at[slot, half], barrier)
      plgpu.copy_gmem_to_smem(d.at[at, pl.ds(column, columns)], d_s.at[slot], barrier)
      return s + 1

    return jax.lax.fori_loop(0, steps, one_step, s)

  def compute(tile, s):
    matrix, first, column, (begin, end, _, steps) = place(tile)
    first, shape = first + group * ROWS, (ROWS, columns)

    def operands(k, slot):
      low, high = begin - k * STEP, end - k * STEP
      cut = partial(_cut, low, high, x_s.at[slot], d_s.at[slot], met)
      # Only the first and the last step of a group hold rows of another.
      pl.when((low > 0) | (high < STEP))(cut)
      return x_s.at[slot, group], d_s.at[slot]

    acc = warpgroup.contraction(stages, s, steps, shape, operands, (True, False), interpret)
    plgpu.wait_smem_to_gmem(0, wait_read_only=True)
    out_s[group] = acc.astype(out.dtype)
    where = (matrix, pl.ds(first, ROWS), pl.ds(column, columns))
    _store(out_s.at[group], out, where, first)
    return s + steps

  _share(tiles, programs, stages, load, compute)


def _cut(low, high, x, d, met):
  """Zeros for all rows of a stage but low..high: one warpgroup cuts x, the other one d."""
  group = jax.lax.axis_index('warpgroup')

  def cut(ref):
    row = jax.lax.broadcasted_iota(jnp.int32, ref.shape, 0)
    zero = jnp.zeros(ref.shape, ref.dtype)
    ref[...] = jnp.where((row >= low) & (row < high), ref[...], zero)

  @pl.when(group == 0)
  def cut_x():
    for half in range(COMPUTE):
      cut(x.at[half])

  pl.when(group == 1)(lambda: cut(d))
  plgpu.commit_smem()
  # Each warpgroup multiplies all rows of d, and so waits for the other one's zeros.
  plgpu.barrier_arrive(met)
  plgpu.barrier_wait(met)


_grouped = grouped.differentiable(_product, _weight_gradient)
