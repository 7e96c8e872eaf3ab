"""Rows in consecutive groups, each times its own matrix, as Mosaic TPU kernels with gradients.

The rows are cut into tiles. A tile and a group that share a row are one item of work; items come in
the order of the rows, and a prefetched table says which tile and which matrix each one reads. The
contraction is never split: a matrix's columns stay in VMEM while the group's tiles go by, so that
the weights are read once, and those of groups without rows not at all.
"""

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from r1jax.kernels import grouped, varying

VMEM = 40 * 2**20  # bytes that blocks may take, double buffers included


@dataclasses.dataclass(frozen=True)
class Blocks:
  """Sizes at most: rows of a tile, columns of a result's block (and rows of dw's)."""

  rows: int = 256
  columns: int = 1024


class Work(NamedTuple):
  """Table of items, int32; those behind `total` repeat the last one and are not run.

  Attributes:
    group_J, tile_J: what an item computes; group E stands for the rows behind all groups.
    matrix_J, read_J: group and tile that it reads; where it reads nothing, what was read before.
    bound: [E + 2] first row of each group, and the number of rows.
    total: [1] number of items.
  """

  group_J: jax.Array
  tile_J: jax.Array
  matrix_J: jax.Array
  read_J: jax.Array
  bound: jax.Array
  total: jax.Array


def grouped_matmul(x_XD, w_EDM, size_E, blocks=None, interpret=False):
  """Same contract as `reference.grouped_matmul`; x and w are of one type."""
  return _grouped(x_XD, w_EDM, size_E, (blocks or Blocks(), interpret))


def work(size_E, rows, count, gradient=False):
  """The `Work` on `count` rows in tiles of `rows`.

  For the gradient of the matrices, every group has an item, which writes its zeros, and the rows
  behind have none; for products it is the other way round.
  """
  E, tiles = len(size_E), -(-count // rows)
  end_E = jnp.minimum(jnp.cumsum(size_E, dtype=jnp.int32), count)
  # The rows behind all groups are a group E of their own, which products must zero.
  bound = jnp.pad(jnp.append(end_E, jnp.full_like(end_E[:1], count)), (1, 0))
  start, end = bound[:-1], bound[1:]
  first = jnp.minimum(start // rows, tiles - 1)
  # An item for each pair of a group and a tile that meet.
  items = jnp.where(end > start, -(-end // rows) - first, int(gradient))
  if gradient:
    items = items.at[E].set(0)
  until = jnp.cumsum(items, dtype=jnp.int32)
  total = until[-1]
  # The grid is as long as items can be many: those behind the last one repeat it.
  item_J = jnp.minimum(jnp.arange(tiles + E, dtype=jnp.int32), total - 1)
  group_J = (until[:, None] <= item_J).sum(0, dtype=jnp.int32)
  tile_J = first[group_J] + item_J - (until - items)[group_J]
  # Group E has no matrix: its items name the last one used, which is in VMEM already.
  used_E = jnp.where(end[:E] > start[:E], jnp.arange(E, dtype=jnp.int32), 0)
  matrix_J = jnp.minimum(group_J, used_E.max())
  read_J = jnp.minimum(tile_J, jnp.maximum(end_E[-1] - 1, 0) // rows)
  return Work(group_J, tile_J, matrix_J, read_J, bound, total[None])


def _rows_of(item, rows, table):
  """[rows, 1]: which rows of the item's tile are of its group."""
  group = table.group_J[item]
  row = jax.lax.broadcasted_iota(jnp.int32, (rows, 1), 0) + table.tile_J[item] * rows
  return (row >= table.bound[group]) & (row < table.bound[group + 1])


def fitted(blocks, shape, itemsize):
  """(rows, columns) of a product's blocks in VMEM, for `shape` = rows, contraction, columns."""
  (X, inner, width), smallest = shape, 128
  rows, columns = min(blocks.rows, X), min(blocks.columns, width)

  def need():
    return 2 * itemsize * (rows * inner + inner * columns + rows * columns) + 8 * rows * columns

  while need() > VMEM and columns > smallest:
    # Columns first: tiles of 128 rows are by a third slower on v6e (README.md).
    columns = max(smallest, columns // 2 // 128 * 128)
  while need() > VMEM and rows > smallest:
    rows //= 2
  if need() > VMEM:
    raise ValueError(f'a contraction of {inner} values does not fit {VMEM / 2**20:.0f} MiB of VMEM')
  return rows, columns


def _product(x_XD, w, size_E, transposed, how):
  """x @ w of each group, or x @ w.T."""
  (blocks, interpret), (X, inner) = how, x_XD.shape
  width = w.shape[1 if transposed else 2]
  rows, columns = fitted(blocks, (X, inner, width), x_XD.dtype.itemsize)
  table = work(size_E, rows, X)
  block = (1, columns, inner) if transposed else (1, inner, columns)

  def matrix(n, i, *table):
    at = Work(*table).matrix_J[i]
    return (at, n, 0) if transposed else (at, 0, n)

  run = _call(
    partial(_product_kernel, len(size_E), transposed),
    (pl.cdiv(width, columns), len(table.group_J)),
    [
      pl.BlockSpec((rows, inner), lambda n, i, *table: (Work(*table).read_J[i], 0)),
      pl.BlockSpec(block, matrix),
    ],
    pl.BlockSpec((rows, columns), lambda n, i, *table: (Work(*table).tile_J[i], n)),
    varying.output((X, width), x_XD.dtype, x_XD),
    interpret=interpret,
    name='dx' if transposed else 'product',
  )
  return run(*table, x_XD, w)


def _call(kernel, grid, in_specs, out_spec, out_shape, *, name, scratch=(), interpret=False):
  """`pallas_call` over a table of work; the grid's last axis are the items, in their order."""
  return pl.pallas_call(
    kernel,
    grid_spec=pltpu.PrefetchScalarGridSpec(
      num_scalar_prefetch=len(Work._fields),
      grid=grid,
      in_specs=in_specs,
      out_specs=out_spec,
      scratch_shapes=[pltpu.VMEM(shape, jnp.float32) for shape in scratch],
    ),
    out_shape=out_shape,
    compiler_params=pltpu.CompilerParams(
      dimension_semantics=('parallel',) * (len(grid) - 1) + ('arbitrary',),
      vmem_limit_bytes=VMEM + VMEM // 4,
    ),
    interpret=interpret,
    name=name,
  )


def _product_kernel(groups, transposed, *refs):
  """One item: its rows of the tile are written, the others keep what is there."""
  table, i = Work(*refs[:6]), pl.program_id(1)
  x, w, out = refs[6:]
  live = i < table.total[0]
  real = table.group_J[i] < groups

  def put(value):
    # A tile's first item finds what another tile left in the buffer, not zeros.
    last_tile = table.tile_J[jnp.maximum(i - 1, 0)]
    fresh = (i == 0) | (last_tile != table.tile_J[i])
    before = jnp.where(fresh, jnp.zeros_like(out), out[...])
    out[...] = jnp.where(_rows_of(i, out.shape[0], table), value, before)

  @pl.when(live & real)
  def multiply():
    contract = (((1,), (1 if transposed else 0,)), ((), ()))
    acc = jax.lax.dot_general(x[...], w[0], contract, preferred_element_type=jnp.float32)
    put(acc.astype(out.dtype))

  @pl.when(live & ~real)
  def clear():
    put(jnp.zeros_like(out))


def _weight_gradient(x_XD, d_XM, size_E, dtype, how):
  """Sum over each group's rows of x.T @ d."""
  (blocks, interpret), (X, D), M = how, x_XD.shape, d_XM.shape[1]
  rows = min(blocks.rows, X)
  high, wide = min(blocks.columns, D), min(blocks.columns, M)
  table = work(size_E, rows, X, gradient=True)
  run = _call(
    partial(_weight_kernel, X % rows > 0),
    (pl.cdiv(D, high), pl.cdiv(M, wide), len(table.group_J)),
    [
      pl.BlockSpec((rows, high), lambda a, b, i, *table: (Work(*table).read_J[i], a)),
      pl.BlockSpec((rows, wide), lambda a, b, i, *table: (Work(*table).read_J[i], b)),
    ],
    pl.BlockSpec((1, high, wide), lambda a, b, i, *table: (Work(*table).group_J[i], a, b)),
    varying.output((len(size_E), D, M), dtype, x_XD),
    name='weight',
    scratch=[(high, wide)],
    interpret=interpret,
  )
  return run(*table, x_XD, d_XM.astype(x_XD.dtype))


def _weight_kernel(ragged, *refs):
  """One item's part of its group's sum, which is written with the group's last item."""
  table, i = Work(*refs[:6]), pl.program_id(2)
  x, d, out, acc = refs[6:]
  group, last = table.group_J[i], table.total[0] - 1

  changed = table.group_J[jnp.maximum(i - 1, 0)] != group

  @pl.when((i == 0) | ((i <= last) & changed))
  def start():
    acc[...] = jnp.zeros_like(acc)

  # An empty group has an item that adds nothing: its zeros must be written.
  @pl.when((i <= last) & (table.bound[group + 1] > table.bound[group]))
  def add():
    mine = _rows_of(i, x.shape[0], table)
    # The sum runs over all rows of the tile, so other groups' must add nothing.
    a = jnp.where(mine, x[...], jnp.zeros_like(x))
    # What lies behind the last row may be anything, and 0 * NaN is no zero.
    b = jnp.where(mine, d[...], jnp.zeros_like(d)) if ragged else d[...]
    contract = (((0,), (0,)), ((), ()))
    acc[...] += jax.lax.dot_general(a, b, contract, preferred_element_type=jnp.float32)

  changes = table.group_J[jnp.minimum(i + 1, last)] != group

  @pl.when((i == last) | ((i < last) & changes))
  def end():
    out[0] = acc[...].astype(out.dtype)


_grouped = grouped.differentiable(_product, _weight_gradient)
