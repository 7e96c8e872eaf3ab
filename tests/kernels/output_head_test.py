"""The output head in chunks against the softmax of its logits in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax.kernels import output_head, output_head_some


def example(tokens, vocab, dtype, seed=0):
  rng = np.random.default_rng(seed)
  x, w = rng.normal(size=(tokens, 6)), rng.normal(size=(vocab, 6))
  cast = (jnp.asarray(a, dtype) for a in (x, w))
  return *cast, jnp.asarray(rng.integers(-3, vocab + 3, tokens), jnp.int32)


def expected(x, w, target, temperature):
  """Norm, chosen logit and mean, a token at a time; targets outside choose 0."""
  z = np.float64(x) @ np.float64(w).T / temperature
  norm = np.log(np.exp(z).sum(-1))
  inside = (target >= 0) & (target < len(w))
  chosen = np.where(inside, z[np.arange(len(z)), np.clip(target, 0, len(w) - 1)], 0)
  return norm, chosen, (np.exp(z - norm[:, None]) * z).sum(-1)


def gradients(x, w, target, cotangents, temperature):
  """Gradients of the weighted sum of the three figures, by the softmax's own derivative."""
  x, w, z = np.float64(x), np.float64(w), np.float64(x) @ np.float64(w).T / temperature
  norm, _, mean = expected(x, w, target, temperature)
  a, b, c = (d[:, None] for d in cotangents)
  d = np.exp(z - norm[:, None]) * (a + c * (1 + z - mean[:, None]))
  d = (d + b * (np.arange(len(w)) == target[:, None])) / temperature
  return d @ w, d.T @ x


@pytest.mark.parametrize('dtype, bound', [('float32', 2e-5), ('bfloat16', 0.02)])
@pytest.mark.parametrize('tokens, vocab, chunk', [(9, 23, 5), (9, 20, 5), (1, 7, 3), (5, 8, 8)])
def test_figures_and_gradients_are_those_of_the_whole_softmax(tokens, vocab, chunk, dtype, bound):
  x, w, target = example(tokens, vocab, dtype)
  cotangents = np.random.default_rng(1).normal(size=(3, tokens)).astype('f')
  score = jax.jit(lambda x, w: output_head.token_scores(x, w, target, 0.7, chunk))
  found, pull = jax.vjp(score, x, w)
  for a, b in zip(found, expected(x, w, np.asarray(target), 0.7)):
    assert a.dtype == jnp.float32
    np.testing.assert_allclose(a, b, atol=bound)
  for a, b in zip(pull(output_head.Scores(*cotangents)), gradients(x, w, target, cotangents, 0.7)):
    np.testing.assert_allclose(np.float64(a), b, atol=bound * np.abs(b).max())


def test_large_logits_exist_in_chunks_only():
  assert output_head.chunk_size(2304, 512, 128) == 512
  for tokens, vocab, width in [(6144, 151_936, 1536), (32_768, 129_280, 7168), (10**6, 4096, 64)]:
    chunk = output_head.chunk_size(tokens, vocab, width)
    assert chunk % 128 == 0 and (chunk == 128 or 4 * tokens * chunk <= output_head.CHUNK_BYTES)
  x, w = (jax.ShapeDtypeStruct((n, 64), 'float32') for n in (4096, 16_384))
  target = jax.ShapeDtypeStruct((4096,), 'int32')

  def loss(x, w, target):
    return sum(s.sum() for s in output_head.token_scores(x, w, target, 1.0))

  memory = jax.jit(jax.grad(loss, (0, 1))).lower(x, w, target).compile().memory_analysis()
  assert memory.temp_size_in_bytes < 4 * 4096 * 16_384 / 4


@pytest.mark.parametrize('dtype, bound', [('float32', 2e-5), ('bfloat16', 0.02)])
@pytest.mark.parametrize('share, block', [(0.4, 4), (0.4, 9), (1.0, 4), (0.0, 4)])
def test_the_head_of_some_tokens_gives_their_figures_and_gradients(share, block, dtype, bound):
  x, w, target = example(9, 23, dtype)
  mask = np.random.default_rng(2).random(9) < share
  cotangents = np.random.default_rng(1).normal(size=(3, 9)).astype('f')
  form = lambda *arguments: output_head.token_scores(*arguments, chunk=5)

  @jax.jit
  def score(x, w):
    return output_head_some.token_scores(x, w, target, 0.7, jnp.asarray(mask), form, block)

  found, pull = jax.vjp(score, x, w)
  for a, b in zip(found, expected(x, w, np.asarray(target), 0.7)):
    assert a.dtype == jnp.float32
    np.testing.assert_allclose(a, np.where(mask, b, 0), atol=bound)
  # What comes back for a token that was not asked for is nobody's, and counts nothing.
  wanted = gradients(x, w, target, np.where(mask, cotangents, 0), 0.7)
  for a, b in zip(pull(output_head.Scores(*cotangents)), wanted):
    np.testing.assert_allclose(np.float64(a), b, atol=bound * max(np.abs(b).max(), 1e-30))


def test_only_the_blocks_that_hold_a_token_are_computed():
  calls, rng, x = [], np.random.default_rng(0), jnp.ones((32, 6))

  def form(x, w, target, temperature):
    jax.debug.callback(lambda: calls.append(len(x)))
    return output_head.token_scores(x, w, target, temperature)

  for learned in (0, 9, 32):
    calls.clear()
    mask = jnp.asarray(rng.permutation(np.arange(32) < learned))
    some = output_head_some.token_scores(x, x, jnp.zeros(32, int), 1.0, mask, form, 8)
    jax.block_until_ready(some)
    jax.effects_barrier()
    assert calls == [8] * -(-learned // 8)


def test_a_small_product_stays_whole():
  assert not output_head_some.worth(2304, 512, 128)  # the tiny run
  assert output_head_some.worth(1536, 49_152, 576)  # SmolLM2 on a laptop
  assert output_head_some.block_size(1536) == 128
  assert output_head_some.block_size(66_560 * 8) % 128 == 0
