"""Which blocks of packed rows may see each other."""

import jax.numpy as jnp


def overlap(segment_BT, queries, keys):
  """(first key block of each query block, last query block of each key block) with a common id.

  Blocks have `queries` and `keys` tokens. Judged by the blocks' ranges of ids, so both may be
  further out than needed, never less; int32 [B, blocks].
  """
  B, T = segment_BT.shape
  query, key = (segment_BT.reshape(B, -1, size) for size in (queries, keys))
  meets = (query.min(-1)[:, :, None] <= key.max(-1)[:, None]) & (
    query.max(-1)[:, :, None] >= key.min(-1)[:, None]
  )
  # First key of a block, and the position behind the last query of one.
  starts, ends = jnp.arange(T // keys) * keys, (jnp.arange(T // queries) + 1) * queries
  # A key block that begins behind the query block's end is all future.
  meets = meets & (starts < ends[:, None])
  last = meets.shape[1] - 1 - jnp.argmax(meets[:, ::-1], axis=1)
  return jnp.argmax(meets, axis=2).astype(jnp.int32), last.astype(jnp.int32)


def whole(segment_BT, queries, keys):
  """int32 [B, query blocks, key blocks]: 1 where every query sees every key, so no mask is due."""
  B, T = segment_BT.shape
  query, key = (segment_BT.reshape(B, -1, size) for size in (queries, keys))
  lowest = jnp.minimum(query.min(-1)[:, :, None], key.min(-1)[:, None])
  highest = jnp.maximum(query.max(-1)[:, :, None], key.max(-1)[:, None])
  first = jnp.arange(T // queries) * queries
  last = (jnp.arange(T // keys) + 1) * keys - 1
  return ((lowest == highest) & (first[:, None] >= last)).astype(jnp.int32)
