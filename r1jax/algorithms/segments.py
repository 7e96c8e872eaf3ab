"""Sums and distances within the segments of packed rows."""

import chex
import jax
import jax.numpy as jnp


def total(x_BT, segment_BT):
  """Sum of x over the segment that each position lies in, written to all positions of that segment.

  Two segmented scans along T: no gather, no bound on the number of segments, and no difference of
  running sums, whose rounding would grow with the row. B may be sharded, T may not.

  Args:
    x_BT: [B, T] numbers.
    segment_BT: [B, T] integers, equal within a segment and different in neighbouring segments.
  """
  chex.assert_rank(x_BT, 2)
  chex.assert_equal_shape([x_BT, segment_BT])

  # A segmented sum is associative: a start on the right forgets what is on the left.
  def add(left, right):
    left_sum, left_starts = left
    right_sum, right_starts = right
    return right_sum + jnp.where(right_starts, 0, left_sum), left_starts | right_starts

  # Where segments begin and end; the edges of a row do both.
  change_BT = segment_BT[:, 1:] != segment_BT[:, :-1]
  starts_BT = jnp.pad(change_BT, ((0, 0), (1, 0)), constant_values=True)
  ends_BT = jnp.pad(change_BT, ((0, 0), (0, 1)), constant_values=True)
  before_BT, _ = jax.lax.associative_scan(add, (x_BT, starts_BT), axis=1)
  after_BT, _ = jax.lax.associative_scan(add, (x_BT, ends_BT), axis=1, reverse=True)
  # Both sums hold the position itself.
  return before_BT + after_BT - x_BT


def reachable(segment_BT, distance):
  """[B, T] bool: whether the position `distance` before t exists and lies in the segment of t."""
  length = segment_BT.shape[1]
  earlier_BT = jnp.pad(segment_BT, ((0, 0), (distance, 0)))[:, :length]
  # The zeros that padding brought in would match padding.
  exists_T = jnp.arange(length) >= distance
  return (earlier_BT == segment_BT) & exists_T
