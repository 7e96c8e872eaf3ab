"""A prompt that stands once for its completions trains as one that stands in front of each."""

import dataclasses

import jax
import numpy as np
import optax
import pytest

from r1jax import kernels
from r1jax.algorithms import grpo
from r1jax.sampling import rollout
from r1jax.stages import packing
from r1jax.train import optimizer, state, steps
from tests.model import tiny

GROUP, TEMPERATURE = 4, 0.7
GCFG = grpo.GrpoConfig(beta=0.0)
WHOLE = packing.Layout(sequences=16, rows=8, capacity=32)
SHARED = dataclasses.replace(WHOLE, shared=True)
# As in tests/train/steps_test.py: the gradient is left in the state.
DESCENT = optimizer.Optimizer(
  optimizer.skip_nonfinite(optax.chain(optax.trace(0.0), optax.scale(-0.1))),
  optimizer.schedule(optimizer.OptimizerConfig(lr=0.1)),
)
MODELS = {
  'tiles': dataclasses.replace(tiny.GQA, remat=False, kernels='cpu'),
  'gqa': dataclasses.replace(tiny.GQA, remat=False),
  'mla': dataclasses.replace(tiny.MLA, mtp_layers=0, scan_layers=False),
}


def sampled(seed=0, longest=10, prompt_lengths=(1, 9, 4, 2)):
  """A rollout of random tokens, one prompt of one token among them."""
  rng = np.random.default_rng(seed)
  prompts = tuple(rng.integers(1, 60, size).tolist() for size in prompt_lengths)
  length_B = rng.integers(1, longest + 1, len(prompts) * GROUP)
  real_BT = np.arange(longest) < length_B[:, None]
  token_BT = np.where(real_BT, rng.integers(1, 60, real_BT.shape), 0).astype(np.int32)
  logp_BT = np.where(real_BT, -rng.random(real_BT.shape), 0).astype(np.float32)
  return rollout.Rollout(prompts, token_BT, logp_BT, length_B, length_B < longest)


def packed(out, layout, chosen=None):
  """A mini-batch of the rollout; every sequence has an advantage of its own."""
  chosen = np.arange(len(out.length_B)) if chosen is None else chosen
  return packing.for_grpo(out, chosen, np.sin(np.arange(len(out.length_B)) + 1.0), layout, GCFG)


@pytest.mark.parametrize('seed', range(5))
def test_every_learned_token_sees_its_whole_past_and_nothing_else(seed):
  out = sampled(seed)
  rows = packed(out, SHARED).batch.rows
  one = packed(out, SHARED)
  learned = 0
  for micro, row, t in zip(*np.nonzero(one.batch.loss.mask_BT)):
    token, segment, position, prefix = (
      getattr(rows, name)[micro, row] for name in ('token', 'segment', 'position', 'prefix')
    )
    sees = (segment == segment[t]) | (segment == prefix[t])
    at = np.flatnonzero(sees[: t + 1])
    b = one.source[micro, row, t]
    past = [*out.prompts[b // GROUP], *out.completion(b)][: position[t] + 1]
    assert token[at].tolist() == past and position[at].tolist() == list(range(len(past)))
    assert at[-2] == t - 1  # by which token its probability is told
    learned += 1
  assert learned == out.length_B.sum()


def test_a_prompt_is_computed_once_for_the_completions_of_a_row():
  out = sampled(prompt_lengths=(9,) * 4, longest=4)
  shared, whole = (packed(out, layout).batch.rows.segment > 0 for layout in (SHARED, WHOLE))
  # 8 tokens of each prompt once, its last one in front of each completion.
  assert shared.sum() == 4 * 8 + 16 + out.length_B.sum()
  assert whole.sum() == 16 * 9 + out.length_B.sum()


def test_prompts_are_shared_where_that_takes_no_more_micro_batches():
  # Of completions of 20 tokens behind a prompt of 21 a row of 64 holds a pair, shared, and whole
  # one sequence. Where no row holds two of a group the prompt is computed for each.
  for longest, shared, count in ((20, True, 4), (40, False, 8)):
    out = sampled(prompt_lengths=(21,) * 2, longest=longest)
    out = dataclasses.replace(out, length_B=np.full(8, longest))
    layout = packing.Layout(sequences=8, rows=1, capacity=64, shared=True)
    one = packed(out, layout)
    assert (one.shared, one.batch.count) == (shared, count)
    # One compiled step takes both.
    assert one.batch.rows.prefix.shape == one.batch.rows.segment.shape
    found = np.zeros_like(out.logp_BT)
    packing.unpack(one, one.batch.loss.sampler_logp_BT, found, out.prompts, GROUP)
    assert np.array_equal(found, out.logp_BT)


def test_a_group_that_no_row_holds_has_its_prompt_in_several():
  out = sampled(prompt_lengths=(12, 12), longest=15, seed=3)
  one = packed(out, SHARED)
  assert set(np.unique(one.source)) == {-1, *range(len(out.length_B))}
  found = np.zeros_like(out.logp_BT)
  packing.unpack(one, one.batch.loss.sampler_logp_BT, found, out.prompts, GROUP)
  assert np.array_equal(found, out.logp_BT)


def test_a_mini_batch_may_hold_some_of_a_group():
  out, found = sampled(), None
  found = np.zeros_like(out.logp_BT)
  for chosen in packing.split(16, 4, 1):
    layout = dataclasses.replace(SHARED, sequences=4, rows=2)
    one = packed(out, layout, chosen)
    packing.unpack(one, one.batch.loss.sampler_logp_BT, found, out.prompts, GROUP)
  assert np.array_equal(found, out.logp_BT)


def test_an_empty_mini_batch_has_the_shapes_and_types_of_a_packed_one():
  described = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
  assert described(packing.empty(SHARED, False, False)) == described(packed(sampled(), SHARED))


def trained(cfg, out, layout):
  """(log-probabilities by reply, gradient, metrics) of an update, in NumPy."""
  one = packed(out, layout)
  batch = packing.put(one.batch)
  arguments = (cfg, batch.rows, batch.loss.mask_BT, one.batch.count, TEMPERATURE)
  logp_ABT = steps.score(tiny.weights(cfg), *arguments)
  logp_BT = np.zeros_like(out.logp_BT)
  packing.unpack(one, np.asarray(logp_ABT), logp_BT, out.prompts, GROUP)
  before = state.create(tiny.weights(cfg), DESCENT, False)
  options = {'cfg': cfg, 'gcfg': GCFG, 'tx': DESCENT, 'temperature': TEMPERATURE}
  after, metrics = steps.grpo_update(before, batch, reference_every=100, **options)
  return logp_BT, tiny.host(after.optimizer.inner[0].trace), tiny.host(metrics)


@pytest.mark.parametrize('model', MODELS)
@pytest.mark.parametrize('shape', [(1, 1, 1, 1), (1, 2, 2, 2)])
def test_values_and_gradients_are_those_of_whole_sequences(model, shape):
  out, cfg = sampled(7), MODELS[model]
  with tiny.mesh():
    logp, gradient, metrics = trained(cfg, out, WHOLE)
  with tiny.mesh(*shape):
    logp_shared, gradient_shared, metrics_shared = trained(cfg, out, SHARED)
  np.testing.assert_allclose(logp_shared, logp, atol=1e-5)
  assert tiny.worst(gradient_shared, gradient) < 1e-5
  for name in ('grpo/loss', 'grpo/entropy', 'optimizer/grad_norm'):
    np.testing.assert_allclose(metrics_shared[name], metrics[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('form', ['tpu', 'gpu'])
def test_a_kernel_that_shares_no_prefix_refuses(form):
  with pytest.raises(ValueError, match='shared prefixes'):
    kernels.attention(None, None, None, None, 1.0, form, np.zeros((1, 1)))


def test_the_pairs_of_attention_are_those_of_whole_sequences_without_what_is_shared():
  out = sampled(prompt_lengths=(9,) * 4, longest=4)
  shared, whole = packed(out, SHARED), packed(out, WHOLE)
  assert whole.pairs == sum(n * (n + 1) // 2 for n in 9 + out.length_B)
  # Of each group three of four prompts are not computed, but for their last token.
  rows = np.unique(np.argwhere(shared.batch.rows.segment > 0)[:, :2], axis=0)
  assert len(rows) == 4 and shared.pairs == whole.pairs - 4 * 3 * (8 * 9 // 2)
  assert shared.tokens == whole.tokens - 4 * 3 * 8
