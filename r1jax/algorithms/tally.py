"""Figures of a loss, kept so that micro-batches add up exactly."""

import chex
import flax.struct
import jax
import jax.numpy as jnp


@flax.struct.dataclass
class Tally:
  """Running sums, their denominators, and maxima, each a dict from `family/name` to a scalar.

  A tree of zeros is the neutral element of `merge` (every maximum is of a non-negative quantity),
  so a scan over micro-batches may start from `jax.tree.map(jnp.zeros_like, ...)`.
  """

  sums: dict
  counts: dict
  maxima: dict


def measure(mean_of_BT, max_of_BT, unit_BT):
  """Tally of per-token figures.

  Args:
    mean_of_BT: name -> [B, T] value to be averaged, or a pair (value, unit_BT of its own).
    max_of_BT: name -> [B, T] non-negative value whose maximum is wanted.
    unit_BT: [B, T] weight of a token in the averages, 0 where the token does not count.
  """
  sums, counts = {}, {}
  for name, value_BT in mean_of_BT.items():
    value_BT, own_BT = value_BT if isinstance(value_BT, tuple) else (value_BT, unit_BT)
    chex.assert_equal_shape([value_BT, own_BT])  # else a mean would count a token many times
    sums[name] = jnp.sum(_counted(value_BT, own_BT) * own_BT)
    counts[name] = jnp.sum(own_BT)
  maxima = {name: jnp.max(_counted(value_BT, unit_BT)) for name, value_BT in max_of_BT.items()}
  # Figures are never differentiated, whatever was put into them.
  return jax.lax.stop_gradient(Tally(sums, counts, maxima))


def merge(left, right):
  """Tally of the union of two disjoint sets of tokens (micro-batches)."""
  add = lambda a, b: jax.tree.map(jnp.add, a, b)
  return Tally(
    sums=add(left.sums, right.sums),
    counts=add(left.counts, right.counts),
    maxima=jax.tree.map(jnp.maximum, left.maxima, right.maxima),
  )


def results(tally):
  """Dict `family/name` -> scalar: means and maxima; the mean over no token at all is 0."""
  # The bound only guards the division that the select throws away.
  means = {
    name: jnp.where(count > 0, tally.sums[name] / jnp.maximum(count, 1e-30), 0.0)
    for name, count in tally.counts.items()
  }
  return {**means, **tally.maxima}


def _counted(value_BT, unit_BT):
  return jnp.where(unit_BT > 0, value_BT, 0)
