"""The output head where a loss is, and the policy before the first update: the same update."""

import jax
import numpy as np
import pytest

from r1jax.kernels import output_head_some
from r1jax.stages import packing
from r1jax.train import state, steps
from tests.model import tiny
from tests.stages import shared_prompts_test as shared
from tests.train import steps_test

METRICS = ('grpo/loss', 'grpo/entropy', 'optimizer/grad_norm')


@pytest.fixture
def in_blocks(monkeypatch):
  """Makes the head of even the smallest models go by in blocks of four tokens."""

  def begin():
    monkeypatch.setattr(output_head_some, 'worth', lambda *sizes: True)
    monkeypatch.setattr(output_head_some, 'block_size', lambda tokens: 4)
    jax.clear_caches()

  yield begin
  jax.clear_caches()


@pytest.mark.heavy
@pytest.mark.parametrize('model', shared.MODELS)
def test_values_and_gradients_are_those_of_the_head_of_all_tokens(model, in_blocks):
  out, cfg = shared.sampled(7), shared.MODELS[model]
  with tiny.mesh():
    logp, gradient, metrics = shared.trained(cfg, out, shared.WHOLE)
  in_blocks()
  for layout in (shared.WHOLE, shared.SHARED):
    for shape in ((1, 1, 1, 1), (1, 2, 2, 2)):
      with tiny.mesh(*shape):
        found, its_gradient, its_metrics = shared.trained(cfg, out, layout)
      np.testing.assert_allclose(found, logp, atol=1e-5)
      assert tiny.worst(its_gradient, gradient) < 1e-5
      for name in METRICS:
        np.testing.assert_allclose(its_metrics[name], metrics[name], rtol=1e-5, atol=1e-6)


@pytest.mark.heavy
def test_a_language_update_with_tokens_two_ahead_is_the_same(in_blocks):
  with tiny.mesh():
    _, expected, metrics = steps_test.language()
  in_blocks()
  with tiny.mesh(1, 1, 2, 2, 2):
    _, found, its_metrics = steps_test.language()
  assert tiny.worst(its_metrics, metrics) < 1e-5
  assert tiny.worst(steps_test.gradient(found), steps_test.gradient(expected)) < 1e-5


@pytest.mark.heavy  # its bound is for programs that are compiled as those of users are
def test_a_first_update_without_scores_is_that_with_them_and_shares_a_later_one_s_program():
  cfg, out = shared.MODELS['gqa'], shared.sampled(7)
  one = shared.packed(out, shared.WHOLE)
  options = {'cfg': cfg, 'gcfg': shared.GCFG, 'tx': shared.DESCENT, 'reference_every': 100}

  def update(minibatch):
    before = state.create(tiny.weights(cfg), shared.DESCENT, False)
    batch = packing.put(minibatch.batch)
    after, metrics = steps.grpo_update(before, batch, temperature=0.7, **options)
    return tiny.host((after.optimizer.inner[0].trace, metrics))

  with tiny.mesh():
    rows, mask = packing.put((one.batch.rows, one.batch.loss.mask_BT))
    old = np.asarray(steps.score(tiny.weights(cfg), cfg, rows, mask, one.batch.count, 0.7))
    gradient, metrics = update(one.with_old(old))
    programs = steps.grpo_update._cache_size()
    its_gradient, its_metrics = update(one.with_old(None))
    assert steps.grpo_update._cache_size() == programs
    changed, _ = update(one.with_old(old + 0.3))
  assert tiny.worst(its_gradient, gradient) < 1e-6
  assert its_metrics['grpo/ratio'] == its_metrics['grpo/ratio_max'] == 1
  for name, value in metrics.items():
    np.testing.assert_allclose(its_metrics[name], value, rtol=1e-6, atol=1e-6)
  # The scores of another policy do matter.
  assert tiny.worst(changed, gradient) > 1e-3
