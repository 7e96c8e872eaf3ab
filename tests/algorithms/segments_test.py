"""Sums within segments against a dense one-hot product."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax.algorithms import segments


@pytest.mark.parametrize('width', [1, 2, 7, 64])
def test_a_segment_sum_is_the_sum_over_the_segment_at_all_its_positions(width):
  rng = np.random.default_rng(width)
  segment_BT = np.cumsum(rng.random((5, width)) < 0.3, axis=1)
  x_BT = rng.normal(size=(5, width)).astype(np.float32)
  same_BTS = segment_BT[:, :, None] == segment_BT[:, None]
  expected_BT = np.einsum('bts,bs->bt', same_BTS, x_BT)
  total = jax.jit(segments.total)
  np.testing.assert_allclose(total(x_BT, segment_BT), expected_BT, atol=1e-5)
  slope_BT = rng.normal(size=(5, width)).astype(np.float32)
  grad_BT = jax.grad(lambda x: jnp.sum(total(x, segment_BT) * slope_BT))(x_BT)
  np.testing.assert_allclose(grad_BT, np.einsum('bts,bt->bs', same_BTS, slope_BT), atol=1e-5)


def test_a_long_row_loses_no_digits_to_its_neighbours():
  segment_BT = np.array([[1] * 509 + [2] * 3])
  x_BT = np.where(segment_BT == 1, 1e6, 1e-3).astype(np.float32)
  assert jax.jit(segments.total)(x_BT, segment_BT)[0, -1] == pytest.approx(3e-3, rel=1e-6)
