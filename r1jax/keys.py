"""Named randomness: every use of it has a name, so that adding a draw changes no other."""

import zlib

import jax


def number(purpose):
  """A number for what randomness is used for, also as a part of a NumPy seed."""
  # Not hash(), which differs from process to process.
  return zlib.crc32(purpose.encode())


def named(seed, purpose):
  """The PRNG key of a run's seed for one purpose."""
  return jax.random.fold_in(jax.random.key(seed), number(purpose))
