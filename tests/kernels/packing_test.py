"""Which blocks of packed rows are left out or not masked: never a visible pair too few."""

import jax.numpy as jnp
import numpy as np
import pytest

from r1jax.kernels import packing


def visible(segment_BT):
  """bool [B, T, T]: who sees whom, by its definition."""
  same = segment_BT[:, :, None] == segment_BT[:, None]
  return same & np.tri(segment_BT.shape[1], dtype=bool)


def rows(seed):
  """Sorted ids as packing makes them, and rows in any order."""
  rng = np.random.default_rng(seed)
  ids = rng.integers(0, 4, (4, 512)) // rng.integers(1, 4)
  ids[:3] = np.sort(ids[:3], axis=1)
  return ids


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('queries, keys', [(128, 128), (128, 64), (64, 128), (256, 64)])
def test_no_visible_pair_is_left_out_and_whole_blocks_see_everything(seed, queries, keys):
  ids = rows(seed)
  blocks = visible(ids).reshape(4, 512 // queries, queries, 512 // keys, keys)
  some, all_of = blocks.any((2, 4)), blocks.all((2, 4))
  low, high = packing.overlap(jnp.asarray(ids), queries, keys)
  np.testing.assert_array_less(low, some.argmax(2) + 1)
  np.testing.assert_array_less(some.shape[1] - 2 - some[:, ::-1].argmax(1), high)
  np.testing.assert_array_equal(packing.whole(jnp.asarray(ids), queries, keys), all_of)


def test_blocks_of_other_segments_are_left_out():
  segment = jnp.asarray([[1] * 128 + [2] * 200 + [3] * 184])
  low, high = packing.overlap(segment, 128, 128)
  assert low.tolist() == [[0, 1, 1, 2]] and high.tolist() == [[0, 2, 3, 3]]
