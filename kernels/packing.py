"""Which blocks of packed rows may see each other."""

import jax.numpy as jnp


def overlap(segment_BT, queries, keys):
  """(first key block of each query block, last query block of each key block) with a common id.

  Blocks have `queries` and `keys` tokens. Judged by the blocks' ranges of ids, so both may be
  further out than needed, never less; int32 [B, blocks].
  """
  B, T = segment_BT.shape
  query, key = (segment_BT.reshape(B, -1, size) for size in (queries, keys))
  meets = meet((query.min(-1), query.max(-1)), (key.min(-1), key.max(-1)))
  # First key of a block, and the position behind the last query of one.
  starts, ends = jnp.arange(T // keys) * keys, (jnp.arange(T // queries) + 1) * queries
  # A key block that begins behind the query block's end is all future.
  meets = meets & (starts < ends[:, None])
  last = meets.shape[1] - 1 - jnp.argmax(meets[:, ::-1], axis=1)
  return jnp.argmax(meets, axis=2).astype(jnp.int32), last.astype(jnp.int32)


def meet(query_BI, key_BJ):
  """bool [B, I, J]: where ranges of ids, each (lowest, highest) by block, have one in common."""
  (low_BI, high_BI), (low_BJ, high_BJ) = query_BI, key_BJ
  return (low_BI[:, :, None] <= high_BJ[:, None]) & (low_BJ[:, None] <= high_BI[:, :, None])


def whole(segment_BT, queries, keys):
  """int32 [B, query blocks, key blocks]: 1 where every query sees every key, so no mask is due."""
  B, T = segment_BT.shape
  query, key = (segment_BT.reshape(B, -1, size) for size in (queries, keys))
  lowest = jnp.minimum(query.min(-1)[:, :, None], key.min(-1)[:, None])
  highest = jnp.maximum(query.max(-1)[:, :, None], key.max(-1)[:, None])
  first = jnp.arange(T // queries) * queries
  last = (jnp.arange(T // keys) + 1) * keys - 1
  return ((lowest == highest) & (first[:, None] >= last)).astype(jnp.int32)
