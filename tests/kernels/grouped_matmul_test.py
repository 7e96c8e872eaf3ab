"""What the grouped matmul's kernels do beside their sums: their table of work, and meshes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax import sharding
from r1jax.kernels import grouped, grouped_matmul_tpu, reference

SIZES = [(3, 0, 9), (0, 0, 0), (40, 0, 0), (0, 17, 23), (1, 1, 1), (0, 0, 5)]


@pytest.mark.parametrize('sizes', SIZES)
@pytest.mark.parametrize('rows', [8, 16, 40])
def test_every_row_belongs_to_one_item_and_tiles_are_visited_in_order(sizes, rows):
  table = grouped_matmul_tpu.work(jnp.array(sizes), rows, 40)
  group, tile, bound, total = (np.asarray(table[i]) for i in (0, 1, 4, 5))
  owner = np.repeat([0, 1, 2, 3], np.diff(bound))
  seen = np.zeros(40, int)
  for g, t in zip(group[: total[0]], tile):
    at = np.arange(t * rows, min((t + 1) * rows, 40))
    seen[at[owner[at] == g]] += 1
    assert (owner[at] == g).any()
  assert (seen == 1).all() and (np.diff(tile) >= 0).all() and (np.diff(group) >= 0).all()


@pytest.mark.parametrize('sizes', SIZES)
def test_the_gradient_visits_every_group_even_without_rows_and_nothing_behind_them(sizes):
  table = grouped_matmul_tpu.work(jnp.array(sizes), 16, 40, gradient=True)
  assert set(np.asarray(table.group_J)) == {0, 1, 2}


def test_nothing_is_read_for_groups_without_rows_and_for_rows_behind_the_last():
  table = grouped_matmul_tpu.work(jnp.array([0, 10, 0, 7, 0]), 8, 80)
  assert set(np.asarray(table.matrix_J)) == {1, 3}
  assert set(np.asarray(table.read_J)) == {0, 1, 2}


def test_rows_behind_the_groups_may_hold_anything():
  rng, size = np.random.default_rng(0), jnp.array([9, 0, 8])
  x, w = rng.normal(size=(40, 8)).astype('f'), rng.normal(size=(3, 8, 8)).astype('f')
  run = lambda x, w: grouped_matmul_tpu.grouped_matmul(x, w, size, interpret=True)
  junk = np.where(np.arange(40)[:, None] < 17, x, np.nan)
  for a, b in zip(*(jax.vjp(run, x, w)[1](jnp.ones((40, 8))) for x in (x, junk))):
    np.testing.assert_array_equal(a, b)


def test_blocks_shrink_until_they_fit_vmem_and_say_when_they_cannot():
  for inner in (64, 2048, 7168, 18_432):
    rows, columns = grouped_matmul_tpu.fitted(grouped_matmul_tpu.Blocks(), (8192, inner, 7168), 2)
    assert rows >= 128 and columns % 128 == 0
    assert 4 * inner * (rows + columns) < grouped_matmul_tpu.VMEM
  with pytest.raises(ValueError, match='contraction of 99999 values'):
    grouped_matmul_tpu.fitted(grouped_matmul_tpu.Blocks(), (8192, 99_999, 7168), 2)


def plain_product(x, w, size, transposed, how):
  return jax.lax.ragged_dot(x, w.swapaxes(1, 2) if transposed else w, size)


def plain_weight_gradient(x, d, size, dtype, how):
  empty = jnp.zeros((len(size), x.shape[1], d.shape[1]), dtype)
  empty = jax.lax.pcast(empty, ('data', 'expert'), to='varying')
  return jax.vjp(lambda w: jax.lax.ragged_dot(x, w, size), empty)[1](d)[0]


def test_gradients_on_a_mesh_are_summed_where_the_matrices_are_equal():
  """Matrices split over one axis, equal on another; Pallas interprets nothing inside such a mesh,
  so plain products stand for the two kernels.
  """
  run = grouped.differentiable(plain_product, plain_weight_gradient)
  rng = np.random.default_rng(0)
  x, w = np.float32(rng.normal(size=(2, 2, 40, 8))), np.float32(rng.normal(size=(6, 8, 16)))
  size = np.array([[[3, 0, 9], [1, 30, 0]], [[0, 0, 0], [20, 3, 17]]], np.int32)
  rows, matrices = jax.P('data', 'expert'), jax.P('expert')

  def loss(x, w, size):
    def local(x, w, n):
      return run(x[0, 0], w, n[0, 0], ())[None, None]

    island = jax.shard_map(local, in_specs=(rows, matrices, rows), out_specs=rows)
    return (island(x, w, size) ** 2).sum()

  def alone(x, w):
    parts = [
      reference.grouped_matmul(x[a, b], w[3 * b : 3 * b + 3], size[a, b])
      for a, b in np.ndindex(2, 2)
    ]
    return sum((y**2).sum() for y in parts)

  expected = jax.grad(alone, (0, 1))(x, w)
  with jax.set_mesh(sharding.make_mesh((2, 1, 2, 1), jax.devices()[:4])):
    placed = (sharding.put(a, spec) for a, spec in ((x, rows), (w, matrices), (size, rows)))
    found = jax.jit(jax.grad(loss, (0, 1)))(*placed)
  for a, b in zip(found, expected):
    np.testing.assert_allclose(np.asarray(a), b, rtol=1e-4, atol=1e-4)
