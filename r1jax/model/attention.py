"""What both attentions share: the context of a forward pass and the island around the kernels."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from r1jax import kernels, sharding
from r1jax.model import layers


class Context(NamedTuple):
  """What an attention layer knows besides its input.

  Attributes:
    cos_XR, sin_XR: rotary tables at the tokens' positions.
    segment_BT: segment ids of packed rows (0 = padding); tokens see their own segment's past.
    prefix_BT: the segment that each token sees besides, whose continuation its own is; -1 for none.
    column_B: decode only, int32: where in the cache each sequence's token goes.
    keep_BS: decode only, which columns each sequence may read, this token's own included.
  """

  cos_XR: jax.Array
  sin_XR: jax.Array
  segment_BT: jax.Array | None = None
  prefix_BT: jax.Array | None = None
  column_B: jax.Array | None = None
  keep_BS: jax.Array | None = None


def island(f, in_axes, out_axes):
  """`f` on local shards; axes are logical, one tuple an operand."""
  in_specs = tuple(sharding.act(*axes) for axes in in_axes)
  return jax.shard_map(f, in_specs=in_specs, out_specs=sharding.act(*out_axes))


def causal(q_XNH, k_XYH, v_XYU, ctx, scale, form):
  """Packed causal attention -> [X, N, U]; who sees whom is in the `Context`.

  Where the devices of a `context` axis share rows, each gives its tokens for a share of the heads
  before, and the other way round behind: an all-to-all each (Ulysses, arXiv 2309.14509).
  """
  segment_BT, prefix_BT = ctx.segment_BT, ctx.prefix_BT
  # Rows lie as their ids do: over `context` too where each device has whole sequences.
  row, head = jax.typeof(segment_BT).sharding.spec[0], sharding.act('batch', 'heads', None)

  def local(q_XNH, k_XYH, v_XYU, segment_BT, prefix_BT):
    # Where sequences are spread over `context` too, as for sampling, each device has whole ones.
    shared = row != sharding.ACT_RULES['batch'] and jax.lax.axis_size('context') > 1
    arrays = (q_XNH, k_XYH, v_XYU)
    # Tokens of a share of the row, all heads -> the whole row, a share of the heads.
    arrays = _to_heads(arrays) if shared else arrays
    # Back to rows, in which segments say who sees whom.
    q, k, v = (x.reshape(*segment_BT.shape, *x.shape[1:]) for x in arrays)
    out = kernels.attention(q, k, v, segment_BT, scale, form, prefix_BT)
    out_XNU = out.reshape(-1, *out.shape[2:])
    return _exchange(out_XNU, 0, 1) if shared else out_XNU

  ids = jax.P(row, None)
  specs = (head, head, head, ids, None if prefix_BT is None else ids)
  island_ = jax.shard_map(local, in_specs=specs, out_specs=head)
  return island_(q_XNH, k_XYH, v_XYU, segment_BT, prefix_BT)


def _to_heads(arrays):
  """Own tokens of all heads -> all tokens of own heads; too few key heads are repeated."""
  ways = jax.lax.axis_size('context')
  wide = (jnp.repeat(x, max(ways // x.shape[1], 1), axis=1) for x in arrays)
  return [_exchange(x, 1, 0) for x in wide]


def _exchange(x, give, take):
  """Gives the other devices of `context` a piece each of axis `give`, joins theirs along `take`."""
  return jax.lax.all_to_all(x, 'context', split_axis=give, concat_axis=take, tiled=True)


def split_heads(x_XF, shape, axes):
  """[X, heads * width] -> `shape`, laid out along `axes`."""
  return jax.lax.reshape(x_XF, shape, out_sharding=sharding.act(*axes))


def output(w_out, out):
  """Heads of every token, [..., N, U], to the residual width: out_XD."""
  width = out.shape[-2] * out.shape[-1]
  flat_XF = split_heads(out, (out.size // width, width), ('batch', 'heads'))
  return layers.project(flat_XF, w_out, None)
