"""What both attentions share: the context of a forward pass and the island around the kernels."""

from typing import NamedTuple

import jax

from r1jax import kernels, sharding
from r1jax.model import layers


class Context(NamedTuple):
  """What an attention layer knows besides its input.

  Attributes:
    cos_XR, sin_XR: rotary tables at the tokens' positions.
    segment_BT: segment ids of packed rows (0 = padding); tokens see their own segment's past.
    slot: decode only, int32 scalar: where in the cache this token goes, the same for all sequences.
    keep_BS: decode only, which cache slots each sequence may read, this token's own slot included.
  """

  cos_XR: jax.Array
  sin_XR: jax.Array
  segment_BT: jax.Array | None = None
  slot: jax.Array | None = None
  keep_BS: jax.Array | None = None


def island(f, in_axes, out_axes):
  """`f` on local shards; axes are logical, one tuple an operand."""
  in_specs = tuple(sharding.act(*axes) for axes in in_axes)
  return jax.shard_map(f, in_specs=in_specs, out_specs=sharding.act(*out_axes))


def causal(q_BTNH, k_BTYH, v_BTYU, segment_BT, scale, form):
  """Packed causal attention -> [B, T, N, U]."""
  head = ('batch', None, 'heads', None)

  def local(q, k, v, segment):
    return kernels.attention(q, k, v, segment, scale, form)

  return island(local, (head, head, head, ('batch', None)), head)(
    q_BTNH, k_BTYH, v_BTYU, segment_BT
  )


def split_heads(x_XF, shape, axes):
  """[X, heads * width] -> `shape`, laid out along `axes`."""
  return jax.lax.reshape(x_XF, shape, out_sharding=sharding.act(*axes))


def write(cache, rows, slot, axis):
  """Puts one row a sequence into the cache at `slot` of `axis`."""
  return jax.lax.dynamic_update_slice_in_dim(cache, rows.astype(cache.dtype), slot, axis)


def output(w_out, out):
  """Heads of every token, [..., N, U], to the residual width: out_XD."""
  width = out.shape[-2] * out.shape[-1]
  flat_XF = split_heads(out, (out.size // width, width), ('batch', 'heads'))
  return layers.project(flat_XF, w_out, None)
