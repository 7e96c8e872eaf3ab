"""The KL on the teacher's distribution against NumPy, finite differences and itself in chunks."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax.algorithms import distillation, sft, tally
from r1jax.train import state, steps
from tests.model import tiny
from tests.train import steps_test

B, T, V = 4, 8, 11
RNG = np.random.default_rng(0)
TEACHER = RNG.normal(size=(B, T, V)) * 2
STUDENT = RNG.normal(size=(B, T, V)) * 2


def by_hand(teacher_BTV, student_BTV):
  softmax = lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)
  p, q = softmax(teacher_BTV), softmax(student_BTV)
  return (p * np.log(p / q)).sum(-1)


@pytest.fixture(autouse=True)
def mesh():
  with tiny.mesh():
    yield


def test_it_is_the_divergence_of_the_two_softmaxes_and_0_between_equals():
  found = distillation.forward_kl(TEACHER, STUDENT)
  np.testing.assert_allclose(found, by_hand(TEACHER, STUDENT), rtol=1e-5)
  shifted = TEACHER + RNG.normal(size=(B, T, 1))
  np.testing.assert_allclose(distillation.forward_kl(TEACHER, shifted), 0, atol=1e-6)


def test_its_gradient_is_that_of_finite_differences_and_none_reaches_the_teacher():
  total = lambda teacher, student: distillation.forward_kl(teacher, student).sum()
  to_teacher, to_student = jax.grad(total, argnums=(0, 1))(
    jnp.asarray(TEACHER), jnp.asarray(STUDENT)
  )
  assert not np.asarray(to_teacher).any()
  for index in [(0, 0, 0), (1, 3, 5), (3, 7, 10)]:
    step = np.zeros_like(STUDENT)
    step[index] = 1e-5
    ends = [by_hand(TEACHER, STUDENT + sign * step).sum() for sign in (1, -1)]
    assert float(to_student[index]) == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-4)


def heads():
  """Two small heads, hidden states for them, targets."""
  weights = [RNG.normal(size=(width, V)).astype(np.float32) for width in (6, 5)]
  hidden = [RNG.normal(size=(B * T, width)).astype(np.float32) for width in (6, 5)]
  return weights, hidden, RNG.integers(0, V, (B, T)).astype(np.int32)


@pytest.mark.parametrize('chunk, learned', [(2, 1.0), (4, 1.0), (2, 0.4), (4, 0.0)])
def test_chunks_change_neither_values_nor_gradients(chunk, learned):
  weights, hidden, target_BT = heads()
  mask_BT = np.random.default_rng(1).random((B, T)) < learned

  @jax.jit
  def whole(weights, states):
    logits = [(x @ w).reshape(B, T, V) for x, w in zip(states, weights)]
    logp_BTV = jax.nn.log_softmax(logits[1])
    logp_BT = jnp.take_along_axis(logp_BTV, target_BT[..., None], -1)[..., 0]
    figures_BT = logp_BT * jnp.cos(jnp.arange(T)) + distillation.forward_kl(*logits)
    return jnp.where(mask_BT, figures_BT, 0).sum()

  @jax.jit
  def parts(weights, states):
    one, other = (lambda x, w=w: x @ w for w in weights)
    logp_BT, kl_BT = distillation.chunked(one, other, states, target_BT, mask_BT, chunk)
    return (logp_BT * jnp.cos(jnp.arange(T))).sum() + kl_BT.sum()

  assert parts(weights, hidden) == pytest.approx(float(whole(weights, hidden)), rel=1e-5)
  expected = jax.grad(whole, argnums=(0, 1))(weights, hidden)
  found = jax.grad(parts, argnums=(0, 1))(weights, hidden)
  assert tiny.worst(found[0][1], expected[0][1]) < 1e-5
  assert tiny.worst(found[1][1], expected[1][1]) < 1e-5


def test_the_loss_mixes_both_over_learned_tokens_only():
  mask_BT = RNG.integers(0, 2, (B, T))
  batch = sft.Batch(mask_BT, np.full((B, T), 0.1, np.float32), np.ones((B, T), int))
  logp_BT = np.where(mask_BT, -RNG.gamma(2, 1, (B, T)), np.nan)
  kl_BT = np.where(mask_BT, RNG.gamma(2, 1, (B, T)), np.inf)
  value, figures = distillation.loss(distillation.KlConfig(0.25), batch, logp_BT, kl_BT)
  each = [0.75 * -logp_BT[i] + 0.25 * kl_BT[i] for i in map(tuple, np.argwhere(mask_BT))]
  assert float(value) == pytest.approx(0.1 * sum(each), rel=1e-5)
  found = tally.results(figures)
  assert float(found['distill/kl']) == pytest.approx(kl_BT[mask_BT == 1].mean(), rel=1e-5)


STUDENT_CFG = dataclasses.replace(tiny.GQA, layers=1, dense_layers=1, scan_layers=False)


def update(weight, cfg=STUDENT_CFG, seed=1):
  rows = steps_test.micro_batches()
  batch = steps_test.language_batch(rows)
  before = state.create(tiny.weights(cfg, seed), steps_test.DESCENT, False)
  after, metrics = steps.distill_update(
    before,
    tiny.weights(STUDENT_CFG, 0),
    batch,
    cfg=cfg,
    teacher_cfg=STUDENT_CFG,
    kcfg=distillation.KlConfig(weight, 4),
    tx=steps_test.DESCENT,
  )
  return tiny.host(after), metrics


def test_without_weight_it_is_the_update_on_samples():
  after, metrics = update(0.0)
  before = state.create(tiny.weights(STUDENT_CFG, 1), steps_test.DESCENT, False)
  expected, figures = steps.language_update(
    before,
    steps_test.language_batch(steps_test.micro_batches()),
    cfg=STUDENT_CFG,
    **steps_test.LANGUAGE_OPTIONS,
  )
  assert float(metrics['sft/nll']) == pytest.approx(float(figures['sft/nll']), rel=1e-5)
  assert tiny.worst(after.params, tiny.host(expected.params)) < 1e-5


def test_a_student_equal_to_its_teacher_has_no_divergence_and_no_gradient():
  _, metrics = update(1.0, seed=0)
  assert abs(float(metrics['distill/kl'])) < 1e-6
  assert float(metrics['optimizer/grad_norm']) < 1e-5


@pytest.mark.parametrize('shape', [(2, 2, 1, 2), (1, 2, 1, 1, 2)])
def test_the_update_is_the_same_on_every_mesh(shape):
  expected, metrics = update(0.5)
  with tiny.mesh(*shape):
    found, others = update(0.5)
  assert tiny.worst(found.params, expected.params) < 1e-5
  assert tiny.worst(others, metrics) < 1e-4


def test_what_has_no_meaning_is_refused():
  with pytest.raises(ValueError, match='^weight=1.5 is not a number within 0..1'):
    distillation.KlConfig(1.5)
  weights, hidden, target_BT = heads()
  with pytest.raises(ValueError, match='8 tokens do not divide into chunks of 3'):
    distillation.chunked(None, None, hidden, target_BT, target_BT > 0, 3)
