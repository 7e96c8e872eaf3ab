"""The cache that decoding reads: arrays of each layer, with slots for tokens on one axis."""

import jax
import jax.numpy as jnp

# The axis of the slots, by an array's name. Keys have it last: a query's scores are then plain
# matrix products, which saves XLA:CPU a third to a half of a step (kernels/README.md).
SLOT_AXIS = {'latent': -2, 'k': -1, 'v': -2}


def write(cache, name, entry, slot):
  """The layer's array `name` with one entry a sequence put at `slot`."""
  kept = cache[name]
  axis = kept.ndim + SLOT_AXIS[name]
  return jax.lax.dynamic_update_slice_in_dim(kept, entry.astype(kept.dtype), slot, axis)


def slots(cache):
  """Slots of a cache, as many in each of its arrays."""
  [(path, kept), *_] = jax.tree.leaves_with_path(cache)
  return kept.shape[SLOT_AXIS[path[-1].key]]


def grow(cache, size):
  """The cache of all layers, with zeros up to `size` slots."""

  def one(path, kept):
    axis = kept.ndim + SLOT_AXIS[path[-1].key]
    added = [(0, size - n if i == axis else 0) for i, n in enumerate(kept.shape)]
    return jnp.pad(kept, added)

  return jax.tree.map_with_path(one, cache)
