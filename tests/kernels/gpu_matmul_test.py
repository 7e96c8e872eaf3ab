"""The GPU's grouped matmul and output head, interpreted on a CPU with their barriers, and lowered.

What an interpreted kernel reads beyond an array's end or before it was written is NaN.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.pallas.mosaic_gpu.interpret.params import InterpretGPUParams

from r1jax.kernels import grouped_matmul_gpu, oracle, output_head_gpu

INTERPRET = InterpretGPUParams(detect_races=True, out_of_bounds_reads='uninitialized')
BOUND = 0.03  # of an array's largest value, in bfloat16
X, D, M, V = 133, 192, 128, 200  # tiles are of 128 rows and, here, 64 columns
HEAD = output_head_gpu.Blocks(vocab=64, programs=2, stages=2)


def normal(*shape, dtype='bfloat16'):
  return jnp.asarray(np.random.default_rng(len(shape)).normal(size=shape), dtype)


def hold(found, expected):
  for a, b in zip(found, expected, strict=True):
    np.testing.assert_allclose(np.float64(a), b, atol=BOUND * max(1e-30, np.abs(b).max()))


@partial(jax.jit, static_argnums=4)
def grouped(x, w, size, d, programs):
  """The product and both gradients; the interpreter compiles every program anew."""
  blocks = grouped_matmul_gpu.Blocks(columns=64, programs=programs, stages=2)
  run = lambda x, w: grouped_matmul_gpu.grouped_matmul(x, w, size, blocks, INTERPRET)
  y, pull = jax.vjp(run, x, w)
  return y, *pull(d)


@pytest.mark.parametrize(
  'sizes, programs', [((3, 0, 68, 51), 2), ((0, X, 0, 0), 1), ((0, 0, 0, 0), 1)]
)
def test_groups_of_rows_equal_float64_without_a_race_whatever_stands_behind_them(
  sizes, programs, capsys
):
  x, w, d = normal(X, D), normal(4, D, M), 10 * normal(X, M)
  size, behind = np.array(sizes, np.int32), np.arange(X)[:, None] >= sum(sizes)
  junk = (jnp.where(behind, bad, a) for a, bad in ((x, jnp.nan), (d, jnp.inf)))
  y, d_x, d_w = jax.block_until_ready(grouped(next(junk), w, size, next(junk), programs))
  assert 'RACE' not in capsys.readouterr().out
  d_expected = oracle.grouped_matmul_gradients((x, w), size, d)
  hold((y, d_x, d_w), (oracle.grouped_matmul(x, w, size), *d_expected))
  assert not np.asarray(y)[sum(sizes) :].any() and not np.asarray(d_x)[sum(sizes) :].any()
  assert not np.asarray(d_w)[size == 0].any()


def test_every_tile_meets_the_groups_of_its_rows_in_their_order():
  for sizes in [(300, 0, 9, 0), (0, 0, 0, 0), (1, 127, 1, 0), (0, 128, 0, 255), (700, 0, 0, 1)]:
    table = grouped_matmul_gpu.work(jnp.array(sizes, jnp.int32), 640)
    owner = np.append(np.repeat(np.arange(4), sizes), np.full(640, -1))[:640].reshape(5, 128)
    for rows, first, stop in zip(owner, table.first_T, table.stop_T):
      assert list(table.matrix_E[first:stop]) == sorted(set(rows) - {-1})
      for i in range(first, stop):
        flat = owner.reshape(-1)[table.begin_E[i] : table.end_E[i]]
        assert (flat == table.matrix_E[i]).all()


def test_the_head_equals_float64_over_shares_of_a_ragged_vocabulary(capsys):
  x, w = normal(70, D), normal(V, D) / 4
  target = jnp.asarray(np.random.default_rng(0).integers(-9, V + 9, 70), jnp.int32)
  assert output_head_gpu.shares(70, V, HEAD) == (2, 2)
  run = lambda x, w: output_head_gpu.token_scores(x, w, target, 0.7, HEAD, INTERPRET)
  found, pull = jax.vjp(run, x, w)
  jax.block_until_ready(found)
  assert 'RACE' not in capsys.readouterr().out
  for a, b in zip(found, oracle.token_scores(x, w, target, 0.7)):
    assert a.dtype == jnp.float32
    np.testing.assert_allclose(a, b, atol=1e-4)
  d = np.random.default_rng(1).normal(size=(3, 70)).astype('f')
  expected = oracle.token_scores_gradients((x, w), target, 0.7, d)
  hold(pull(type(found)(*d)), expected)


@pytest.mark.parametrize('tokens, parts', [(8, 119), (4096, 4), (3072, 11), (32_768, 1)])
def test_the_vocabulary_is_shared_out_so_that_few_tokens_fill_the_chip(tokens, parts):
  blocks = output_head_gpu.Blocks()
  count, share = output_head_gpu.shares(tokens, 151_936, blocks)
  assert count == parts
  assert (count - 1) * share * blocks.vocab < 151_936 <= count * share * blocks.vocab


def lowered(run, *shapes):
  """The program for a GPU; `shapes` are bfloat16, integers where there is one axis."""
  args = [jax.ShapeDtypeStruct(s, 'bfloat16' if len(s) > 1 else 'int32') for s in shapes]
  return jax.jit(run).trace(*args).lower(lowering_platforms=('cuda',)).as_text()


@pytest.mark.parametrize(
  'tokens, width, hidden, groups', [(4096, 7168, 2048, 8), (1003, 2048, 7168, 8), (8, 192, 64, 3)]
)
def test_the_experts_and_their_gradients_lower_for_a_gpu(tokens, width, hidden, groups):
  def run(x, w, size, d):
    return jax.vjp(lambda x, w: grouped_matmul_gpu.grouped_matmul(x, w, size), x, w)[1](d)

  shapes = (tokens, width), (groups, width, hidden), (groups,), (tokens, hidden)
  text = lowered(run, *shapes)
  assert 'grouped_matmul_dx' in text and 'grouped_matmul_dw' in text


@pytest.mark.parametrize('width, vocab', [(1536, 151_936), (7168, 129_280), (64, 512)])
def test_the_head_lowers_for_a_gpu(width, vocab):
  run = lambda x, w, target: output_head_gpu.token_scores(x, w, target, 0.7)
  assert 'mosaic_gpu' in lowered(run, (4096, width), (vocab, width), (4096,))


def test_what_the_kernels_do_not_take_is_refused_with_its_numbers():
  size, target = jnp.array([3]), jnp.zeros(8, jnp.int32)
  wide = lambda *shape, dtype='bfloat16': jnp.zeros(shape, dtype)
  with pytest.raises(ValueError, match='16 bits.*float32'):
    grouped_matmul_gpu.grouped_matmul(wide(8, 64, dtype='float32'), wide(1, 64, 64), size)
  with pytest.raises(ValueError, match=r'multiples of 64, not \(64, 96\)'):
    grouped_matmul_gpu.grouped_matmul(wide(8, 64), wide(1, 64, 96), size)
  with pytest.raises(ValueError, match=r'multiples of 64, not \(40,\)'):
    output_head_gpu.token_scores(wide(8, 40), wide(16, 40), target, 1.0)
  with pytest.raises(ValueError, match='multiples of 8, not 13'):
    output_head_gpu.token_scores(wide(8, 64), wide(13, 64), target, 1.0)
