"""Figures that add up over micro-batches."""

import jax
import jax.numpy as jnp

from r1jax.algorithms import tally


def test_zeros_are_neutral_when_tallies_are_merged_and_no_token_gives_zero():
  unit_BT = jnp.array([[1.0, 0.0, 1.0]])
  seen = tally.measure(
    {'a/b': jnp.array([[1.0, jnp.nan, 3.0]])}, {'a/top': jnp.arange(3.0)}, unit_BT
  )
  zero = jax.tree.map(jnp.zeros_like, seen)
  assert tally.results(tally.merge(zero, seen)) == {'a/b': 2.0, 'a/top': 2.0}
  assert tally.results(zero) == {'a/b': 0.0, 'a/top': 0.0}
