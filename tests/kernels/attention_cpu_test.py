"""Attention for the cores of a CPU: tiles that nobody sees are left out, and only those."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax import kernels
from r1jax.kernels import attention_cpu, oracle, reference

RNG = np.random.default_rng(0)


def normal(*shape):
  return RNG.normal(size=shape).astype(np.float32)


def groups(rng, length, prompt, completion, size):
  """(segment, prefix) of one row: prompts, each with its completions behind it, then padding."""
  segment, prefix, number = [], [], 0
  while len(segment) < length - 2 * (prompt + completion):
    number += 1
    first = number
    here = rng.integers(1, prompt + 1)
    segment, prefix = segment + [first] * here, prefix + [-1] * here
    for _ in range(size):
      number += 1
      here = rng.integers(1, completion + 1)
      segment, prefix = segment + [number] * here, prefix + [first] * here
  fill = max(length - len(segment), 0)
  return (segment + [0] * fill)[:length], (prefix + [-1] * fill)[:length]


def packed(seed, rows, length):
  rng = np.random.default_rng(seed)
  made = [groups(rng, length, 20, 30, 3) for _ in range(rows)]
  return tuple(jnp.asarray([one[i] for one in made], jnp.int32) for i in (0, 1))


def run(form, operands, segment, prefix, d):
  """(result, gradients) on the tokens of sequences, zero elsewhere."""
  real = (segment > 0)[:, :, None, None]

  def loss(*operands):
    out = kernels.attention(*operands, segment, 0.3, form, prefix)
    return (jnp.where(real, out, 0) * d).sum(), jnp.where(real, out, 0)

  gradients, out = jax.jit(jax.grad(loss, (0, 1, 2), has_aux=True))(*operands)
  return out, *gradients


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('length, heads, key_heads', [(130, 4, 2), (300, 3, 1), (64, 2, 2)])
def test_shared_prompts_have_the_values_and_gradients_of_the_plain_form(
  seed, length, heads, key_heads
):
  segment, prefix = packed(seed, 3, length)
  shapes = ((3, length, heads, 8), (3, length, key_heads, 8), (3, length, key_heads, 5))
  operands, d = tuple(normal(*s) for s in shapes), normal(3, length, heads, 5)
  found = run('cpu', operands, segment, prefix, d)
  for one, other in zip(found, run('reference', operands, segment, prefix, d), strict=True):
    np.testing.assert_allclose(one, other, atol=2e-5)


def seen(segment, prefix):
  """bool [B, T, T]: who sees whom, as the contract says it."""
  same = (segment[:, :, None] == segment[:, None]) | (prefix[:, :, None] == segment[:, None])
  return same & np.tri(segment.shape[1], dtype=bool) & (segment > 0)[:, :, None]


@pytest.mark.parametrize('seed', range(5))
def test_the_tiles_visited_hold_every_pair_and_few_that_hold_none(seed):
  segment, prefix = packed(seed, 4, 1024)
  who = attention_cpu._who(segment, prefix, 64)
  pairs = seen(np.asarray(segment), np.asarray(prefix)).reshape(4, 16, 64, 16, 64).any((2, 4))
  visited = np.zeros_like(pairs)
  for b, i in np.ndindex(4, 16):
    visited[b, i, who.tile_BIJ[b, i, : who.count_BI[b, i]]] = True
  assert not (pairs & ~visited).any()
  # Ranges of ids overlap a little further than ids do; a whole triangle has 544 tiles.
  assert visited.sum() <= 1.2 * pairs.sum() < 0.5 * 4 * np.tri(16).sum()


def test_a_row_of_padding_visits_nothing_and_is_zero():
  segment = jnp.zeros((2, 100), jnp.int32).at[0, :30].set(1)
  who = attention_cpu._who(segment[:, :96], jnp.full((2, 96), -1), 48)
  assert who.count_BI.tolist() == [[1, 0], [0, 0]]
  operands = normal(2, 100, 2, 4), normal(2, 100, 2, 4), normal(2, 100, 2, 4)
  out = attention_cpu.attention(*operands, segment, 1.0)
  assert not out[1].any() and np.isfinite(out).all()


def test_keys_that_are_far_larger_than_those_seen_before_leave_the_rest_exact():
  # A softmax that goes by in tiles has to shrink what it has summed up.
  q, k, v = normal(1, 200, 1, 4), normal(1, 200, 1, 4), normal(1, 200, 1, 4)
  k[:, 150:] *= 40
  segment = np.ones((1, 200), np.int32)
  out = attention_cpu.attention(q, k, v, jnp.asarray(segment), 1.0)
  np.testing.assert_allclose(out, oracle.attention(q, k, v, segment, 1.0), atol=1e-5)


def test_memory_grows_with_the_row_and_not_with_its_square():
  def temporaries(form, length):
    shapes = [jax.ShapeDtypeStruct((1, length, 2, 8), jnp.float32)] * 3
    ids = jax.ShapeDtypeStruct((1, length), jnp.int32)
    loss = lambda q, k, v, ids: kernels.attention(q, k, v, ids, 1.0, form).sum()
    compiled = jax.jit(jax.grad(loss, (0, 1, 2))).lower(*shapes, ids).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  # Once the result and the gradients, not the scores: those of 1,024 tokens alone are 8 MiB.
  assert temporaries('cpu', 1024) < 2 * 2**20 < 4 * 2**20 < temporaries('reference', 1024)
  assert temporaries('cpu', 4096) < 4.5 * temporaries('cpu', 1024)
  assert reference.REMADE >= 1024  # else the comparison above says nothing
