"""The cache that decoding reads: arrays of each layer, a row a sequence, a column a position."""

import jax
import jax.numpy as jnp

# The axis of the columns, by an array's name. Keys have it last: a query's scores are then plain
# matrix products, which saves XLA:CPU a third to a half of a step (kernels/README.md).
COLUMN_AXIS = {'latent': -2, 'k': -1, 'v': -2}
# That of the sequences; the cache of all layers may have one axis more, in front.
_ROW_AXIS = {'latent': -3, 'k': -4, 'v': -4}


def write(kept, name, entry, column_B):
  """A layer's array `name` with one entry a sequence put at the sequence's own column."""

  # On a CPU as fast as one column for all (kernels/README.md), and a row may begin at any time.
  def one(row, new, column):
    return jax.lax.dynamic_update_slice_in_dim(row, new, column, row.ndim + COLUMN_AXIS[name])

  return jax.vmap(one)(kept, entry.astype(kept.dtype), column_B)


def read(cache, column_B):
  """The entry of each sequence's own column, of a layer's arrays; its axis of columns is 1 long."""

  def one(path, kept):
    axis = COLUMN_AXIS[path[-1].key]
    cut = lambda row, column: jax.lax.dynamic_slice_in_dim(row, column, 1, row.ndim + axis)
    return jax.vmap(cut)(kept, column_B)

  return jax.tree.map_with_path(one, cache)


def write_all(cache, entries, column_B):
  """The cache of all layers with new entries put; `entries` are those of `read`, layers stacked."""

  # Layers stay in front: with sequences there, XLA would turn the whole cache round and back.
  def one(path, kept, new):
    put = lambda kept, new: write(kept, path[-1].key, new, column_B)
    return jax.vmap(put)(kept, new)

  return jax.tree.map_with_path(one, cache, entries)


def columns(cache):
  """Columns of a cache, as many in each of its arrays."""
  [(path, kept), *_] = jax.tree.leaves_with_path(cache)
  return kept.shape[COLUMN_AXIS[path[-1].key]]


def empty(like, rows, size):
  """A cache of zeros for `rows` sequences of `size` columns, laid out as `like`."""

  def one(path, kept):
    shape = list(kept.shape)
    name = path[-1].key
    shape[_ROW_AXIS[name]], shape[COLUMN_AXIS[name]] = rows, size
    return jnp.zeros(shape, kept.dtype, out_sharding=jax.typeof(kept).sharding)

  return jax.tree.map_with_path(one, like)


def grow(cache, size):
  """The cache of all layers, with zeros up to `size` columns."""

  def one(path, kept):
    axis = kept.ndim + COLUMN_AXIS[path[-1].key]
    added = [(0, size - n if i == axis else 0) for i, n in enumerate(kept.shape)]
    return jnp.pad(kept, added)

  return jax.tree.map_with_path(one, cache)


def take(cache, row_B):
  """The cache of some of its sequences; of one device's own, as in an island."""
  return jax.tree.map_with_path(
    lambda path, kept: jnp.take(kept, row_B, kept.ndim + _ROW_AXIS[path[-1].key]), cache
  )


def place(cache, row, entries, source):
  """The cache with sequence `source` of `entries` at the beginning of row `row`; as `take`."""

  def one(path, kept, new):
    axis = kept.ndim + _ROW_AXIS[path[-1].key]
    start = [0] * kept.ndim
    start[axis] = row
    return jax.lax.dynamic_update_slice(
      kept, jax.lax.dynamic_slice_in_dim(new, source, 1, axis), start
    )

  return jax.tree.map_with_path(one, cache, entries)
