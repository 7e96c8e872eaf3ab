"""The objective against NumPy loops, finite differences, and its own repacking."""

import dataclasses
import functools

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax.algorithms import grpo, tally
from tests.algorithms import oracle

CONFIGS = {
  'paper_r1': {'clip_low': 10.0, 'clip_high': 10.0},
  'default': {},
  'clip_higher_no_kl': {'clip_high': 0.28, 'beta': 0.0, 'aggregation': 'dapo'},
  'token': {'aggregation': 'token'},
  'dr_grpo': {'aggregation': 'dr_grpo', 'max_length': 9},
  'bnpo': {'aggregation': 'bnpo'},
  'cispo': {'aggregation': 'cispo', 'beta': 0.1},
  'cispo_sequence': {'aggregation': 'cispo', 'importance': 'sequence'},
  'cispo_no_floor': {'aggregation': 'cispo', 'clip_low': 1.0, 'clip_high': 0.4},
  'ratio_weighted_kl': {'kl_form': 'k3_ratio_weighted', 'beta': 0.5},
  'kl_limit': {'kl_limit': 0.05, 'beta': 0.5},
  'k1': {'kl_form': 'k1', 'beta': 0.5},
  'k1_limit': {'kl_form': 'k1', 'beta': 0.5, 'kl_limit': 0.2, 'importance': 'sequence'},
  'k2': {'kl_form': 'k2', 'beta': 0.5, 'aggregation': 'token'},
  'k2_limit': {'kl_form': 'k2', 'beta': 0.5, 'kl_limit': 0.05},
  'gspo': {'importance': 'sequence', 'clip_low': 0.05, 'clip_high': 0.1},
  'gspo_ratio_weighted': {
    'importance': 'sequence',
    'kl_form': 'k3_ratio_weighted',
    'beta': 0.3,
    'tis_cap': 1.2,
  },
  'dual_clip': {'dual_clip': 1.3},
  'delta': {'delta': 1.25},
  'tis': {'tis_cap': 1.1},
  'everything': {
    'tis_cap': 1.1,
    'dual_clip': 1.4,
    'delta': 1.5,
    'kl_form': 'k3_ratio_weighted',
    'kl_limit': 0.3,
    'beta': 0.2,
    'clip_high': 0.28,
    'aggregation': 'token',
  },
}
every_option = pytest.mark.parametrize('options', CONFIGS.values(), ids=CONFIGS.keys())


@functools.partial(jax.jit, static_argnums=0)
def value_grad(cfg, batch, logp_BT):
  return jax.value_and_grad(lambda x: grpo.loss(cfg, batch, x), has_aux=True)(logp_BT)


@every_option
def test_the_terms_of_the_tokens_sum_to_the_loss_and_none_lies_outside(options):
  cfg = grpo.GrpoConfig(**options)
  data = oracle.sequences(np.random.default_rng(3), count=4)
  weight_B = grpo.token_weights([len(x) for x in data['logp']], cfg)
  batch, logp_BT, _ = oracle.pack(data, weight_B, [[0, 1], [2], [3]], 12, junk=np.nan)
  parts = grpo.terms(cfg, batch, logp_BT)
  loss, _ = grpo.loss(cfg, batch, logp_BT)
  assert set(parts) == {'policy', 'kl', 'ratio'}
  found = float(parts['policy'].sum() + parts['kl'].sum())
  np.testing.assert_allclose(found, loss, rtol=1e-5, atol=1e-7)
  outside_BT = np.asarray(batch.mask_BT) == 0
  assert not any(np.asarray(values)[outside_BT].any() for values in parts.values())


def packed_value_grad(cfg, data, layout, width, junk=0.0, parts=1):
  """Loss, per-sequence gradients and figures from rows cut into `parts` micro-batches."""
  rows_per_part = -(-len(layout) // parts)
  part_of = {i: b // rows_per_part for b, row in enumerate(layout) for i in row}
  lengths = [len(x) for x in data['logp']]
  count = range(len(lengths))
  weight_B = grpo.token_weights(lengths, cfg, [part_of[i] for i in count])
  batch, logp_BT, where = oracle.pack(data, weight_B, layout, width, junk)
  total, grads, figures = 0.0, [], None
  for start in range(0, len(layout), rows_per_part):
    cut = lambda x, s=start: None if x is None else jnp.asarray(x[s : s + rows_per_part])
    part = jax.tree.map(cut, batch)
    (value, seen), grad_BT = value_grad(cfg, part, cut(logp_BT))
    total, figures = total + value, seen if figures is None else tally.merge(figures, seen)
    grads.append(np.asarray(grad_BT))
  grad_BT = np.concatenate(grads)
  elsewhere_BT = grad_BT[np.asarray(batch.mask_BT) == 0]
  assert not elsewhere_BT.any(), 'gradient outside of completions'
  return float(total), [grad_BT[where[i]] for i in count], tally.results(figures)


@every_option
def test_loss_and_gradient_agree_with_numpy_loops_and_finite_differences(options):
  cfg = grpo.GrpoConfig(**options)
  data = oracle.sequences(np.random.default_rng(3))
  with jax.enable_x64(True):
    value, grads, _ = packed_value_grad(cfg, data, oracle.alone(data), 8)
  assert value == pytest.approx(oracle.loss(cfg, data), rel=1e-6)
  held = _away_from_kinks(cfg, data)
  for i, grad_T in enumerate(grads):
    for t in range(len(grad_T)):
      ends = []
      for step in (1e-6, -1e-6):
        moved = {**held, 'logp': [x.copy() for x in held['logp']]}
        moved['logp'][i][t] += step
        ends.append(
          oracle.loss(cfg, moved) if cfg.aggregation != 'cispo' else _cispo(cfg, data, moved)
        )
      assert grad_T[t] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-7)


def _away_from_kinks(cfg, data):
  """The data, which must lie off the kinks of clip and min: there a difference means nothing."""
  bounds = [1 - cfg.clip_low, 1 + cfg.clip_high, cfg.delta or 9, cfg.dual_clip or 9]
  for logp, old in zip(data['logp'], data['old_logp_BT']):
    ratio_T = np.exp(logp - old)
    ratio_T = np.append(ratio_T, np.exp(np.mean(logp - old)))
    assert np.abs(ratio_T[:, None] - bounds).min() > 1e-5
  return data


def _cispo(cfg, data, moved):
  """CISPO with its clipped ratio held at the value before the move, as sg() demands."""
  held = 0.0
  count = sum(len(x) for x in data['logp'])
  for i, logp in enumerate(data['logp']):
    old, ref, now = data['old_logp_BT'][i], data['ref_logp_BT'][i], moved['logp'][i]
    ratio = np.exp(logp - old) if cfg.importance == 'token' else np.exp(np.mean(logp - old))
    clipped = np.clip(ratio, 1 - cfg.clip_low, 1 + cfg.clip_high)
    kl = np.exp(ref - now) - (ref - now) - 1
    held += np.sum(-clipped * data['advantage'][i] * now + cfg.beta * kl)
  return held / count


@every_option
def test_packing_and_micro_batches_change_neither_loss_nor_gradient_nor_figures(options):
  cfg = grpo.GrpoConfig(**options)
  data = oracle.sequences(np.random.default_rng(5))
  expected, grads, figures = packed_value_grad(cfg, data, oracle.alone(data), 8)
  layout = [[4, 0], [7, 2, 1], [3], [6, 5]]
  parts = 1 if cfg.aggregation == 'bnpo' else 2
  value, packed_grads, packed_figures = packed_value_grad(cfg, data, layout, 26, np.nan, parts)
  assert value == pytest.approx(expected, rel=1e-5, abs=1e-7)
  chex.assert_trees_all_close(packed_grads, grads, rtol=1e-5, atol=1e-7)
  assert packed_figures.keys() == figures.keys()
  for name in figures:
    assert float(packed_figures[name]) == pytest.approx(float(figures[name]), rel=1e-5), name


@hypothesis.settings(max_examples=25, deadline=None, derandomize=True)
@hypothesis.given(seed=st.integers(0, 10**6), order=st.permutations(range(6)))
def test_the_order_of_packing_is_of_no_consequence(seed, order):
  cfg = grpo.GrpoConfig(importance='sequence', kl_form='k3_ratio_weighted', beta=0.1, tis_cap=2.0)
  data = oracle.sequences(np.random.default_rng(seed), count=6)
  cut = seed % 5 + 1
  value, grads, _ = packed_value_grad(cfg, data, [order[:cut], order[cut:]], 48, 1e30)
  assert value == pytest.approx(oracle.loss(cfg, data), rel=2e-5, abs=1e-6)
  assert all(np.isfinite(grad_T).all() for grad_T in grads)


@pytest.mark.parametrize('name', sorted(CONFIGS.keys() - {'default', 'bnpo'}))
def test_every_option_acts_on_the_data_it_is_tested_with(name):
  data = oracle.sequences(np.random.default_rng(3))
  cfg = grpo.GrpoConfig(**CONFIGS[name])
  plain = dataclasses.replace(grpo.GrpoConfig(), beta=cfg.beta)
  assert oracle.loss(cfg, data) != pytest.approx(oracle.loss(plain, data), rel=1e-3)


def test_bnpo_averages_the_means_of_its_micro_batches():
  cfg = grpo.GrpoConfig(aggregation='bnpo')
  data = oracle.sequences(np.random.default_rng(6))
  pick = lambda ids: {k: [x[i] for i in ids] for k, x in data.items()}
  halves = [oracle.loss(cfg, pick(ids)) for ids in ([0, 1, 2, 3], [4, 5, 6, 7])]
  value, _, _ = packed_value_grad(cfg, data, oracle.alone(data), 8, parts=2)
  assert value == pytest.approx(np.mean(halves), rel=1e-5)


@pytest.mark.parametrize('junk', [np.nan, np.inf, -np.inf, 1e38])
@every_option
def test_what_stands_under_the_mask_does_not_matter(options, junk):
  cfg = grpo.GrpoConfig(**options)
  data = oracle.sequences(np.random.default_rng(8))
  clean = packed_value_grad(cfg, data, oracle.alone(data), 8, junk=0.0)
  dirty = packed_value_grad(cfg, data, oracle.alone(data), 8, junk=junk)
  assert dirty[0] == clean[0]
  assert all((a == b).all() for a, b in zip(dirty[1], clean[1]))
  assert {k: float(v) for k, v in dirty[2].items()} == {k: float(v) for k, v in clean[2].items()}


@pytest.mark.parametrize('importance', ['token', 'sequence'])
@pytest.mark.parametrize('given', [True, False])
def test_on_the_first_on_policy_step_the_ratio_is_exactly_1(importance, given):
  cfg = grpo.GrpoConfig(importance=importance, beta=0.0, aggregation='token')
  data = oracle.sequences(np.random.default_rng(9))
  batch, logp_BT, _ = oracle.pack(data, grpo.token_weights([4] * 8, cfg), [[0, 1], [2, 3]], 26)
  batch = dataclasses.replace(batch, old_logp_BT=logp_BT if given else None)
  (_, figures), grad_BT = value_grad(cfg, batch, logp_BT)
  figures = tally.results(figures)
  assert figures['grpo/ratio_max'] == 1
  # The mean's weights 1/length are summed twice, on some machines in two orders: a rounding apart.
  assert figures['grpo/ratio'] == pytest.approx(1, rel=2e-7)
  assert figures['grpo/clip_low'] == figures['grpo/clip_high'] == figures['grpo/old_kl'] == 0
  expected_BT = -batch.advantage_BT * batch.weight_BT * batch.mask_BT
  np.testing.assert_allclose(grad_BT, expected_BT, rtol=1e-5, atol=1e-8)


def test_zero_advantage_and_no_kl_leave_no_gradient_at_all():
  cfg = grpo.GrpoConfig(beta=0.0)
  data = oracle.sequences(np.random.default_rng(10))
  data['advantage'][:] = 0.0
  value, grads, _ = packed_value_grad(cfg, data, oracle.alone(data), 8)
  assert value == 0 and not any(grad_T.any() for grad_T in grads)


def test_the_paper_clip_of_10_binds_only_above_a_ratio_of_11():
  cfg = grpo.GrpoConfig(clip_low=10.0, clip_high=10.0, beta=0.0, aggregation='token')
  log_ratio_BT = jnp.log(jnp.array([[0.001, 10.9, 11.1, 11.1]]))
  ones_BT = jnp.ones_like(log_ratio_BT)
  batch = grpo.Batch(ones_BT, jnp.array([[-1.0, 1, 1, -1]]), ones_BT, jnp.zeros_like(ones_BT))
  (_, figures), grad_BT = value_grad(cfg, batch, log_ratio_BT)
  assert [bool(g) for g in grad_BT[0]] == [True, True, False, True]
  assert tally.results(figures)['grpo/clip_high'] == 0.25


def test_under_cispo_a_token_is_counted_where_its_weight_is_clipped_whatever_its_advantage():
  # Ratios 1.5, 1.5, 0.5, 1 with advantages of both signs.
  logp_BT = jnp.log(jnp.array([[1.5, 1.5, 0.5, 1.0]]))
  ones_BT = jnp.ones((1, 4))
  batch = grpo.Batch(
    mask_BT=ones_BT,
    advantage_BT=jnp.array([[1.0, -1.0, 1.0, 1.0]]),
    weight_BT=ones_BT,
    old_logp_BT=jnp.zeros((1, 4)),
  )
  for aggregation, low, high in (('cispo', 0.25, 0.5), ('token', 0.0, 0.25)):
    _, figures = grpo.loss(grpo.GrpoConfig(aggregation=aggregation, beta=0.0), batch, logp_BT)
    found = tally.results(figures)
    assert (found['grpo/clip_low'], found['grpo/clip_high']) == (low, high)


def test_a_log_ratio_beyond_the_limit_stays_finite():
  cfg = grpo.GrpoConfig(beta=0.1)
  ones_BT = jnp.ones((1, 2))
  batch = grpo.Batch(ones_BT, -ones_BT, ones_BT, jnp.full((1, 2), -500.0), jnp.full((1, 2), 500.0))
  (value, _), grad_BT = value_grad(cfg, batch, -ones_BT)
  assert np.isfinite(value) and np.isfinite(grad_BT).all()
  assert value == pytest.approx(2 * np.exp(20) + 0.2 * (np.exp(20) - 21), rel=1e-5)


def test_figures_are_plain_averages_over_the_completion_tokens():
  cfg = grpo.GrpoConfig(tis_cap=1.1, dual_clip=1.2)
  data = oracle.sequences(np.random.default_rng(11))
  batch, logp_BT, _ = oracle.pack(data, np.ones(8), oracle.alone(data), 8, np.nan)
  _, figures = grpo.loss(cfg, batch, logp_BT, entropy_BT=np.where(batch.mask_BT, 0.5, np.nan))
  figures = {k: float(v) for k, v in tally.results(figures).items()}
  logp, old, ref, sampler = (np.concatenate(data[k]) for k in ('logp', *oracle.FIELDS))
  sign = np.concatenate([np.full(len(x), a) for x, a in zip(data['logp'], data['advantage'])])
  ratio, gap = np.exp(logp - old), old - sampler
  expected = {
    'grpo/kl': np.mean(np.exp(ref - logp) - (ref - logp) - 1),
    'grpo/clip_low': np.mean((ratio < 0.8) & (sign < 0)),
    'grpo/clip_high': np.mean((ratio > 1.2) & (sign > 0)),
    'grpo/dual_clip': np.mean((ratio > 1.2) & (sign < 0)),
    'grpo/ratio': np.mean(ratio),
    'grpo/ratio_max': np.max(ratio),
    'grpo/old_kl': np.mean(old - logp),
    'grpo/entropy': 0.5,
    'grpo/tis_weight': np.mean(np.minimum(np.exp(gap), 1.1)),
    'grpo/tis_capped': np.mean(np.exp(gap) > 1.1),
    'parity/logp_mean': np.mean(np.abs(gap)),
    'parity/logp_max': np.max(np.abs(gap)),
  }
  assert figures == pytest.approx(expected, rel=1e-5)


def test_the_samplers_log_probabilities_take_the_place_of_the_old_ones():
  data = oracle.sequences(np.random.default_rng(12))
  batch, logp_BT, _ = oracle.pack(data, np.ones(8), oracle.alone(data), 8, np.nan)
  scored = batch.replace(old_logp_BT=batch.sampler_logp_BT)
  for options in ({}, {'importance': 'sequence'}, {'aggregation': 'cispo'}):
    (wanted, figures), slope = value_grad(grpo.GrpoConfig(**options), scored, logp_BT)
    cfg = grpo.GrpoConfig(old_logp='sampler', **options)
    # The trainer's are not read, nor is the gap between the two measured: it is in the ratio.
    for one in (batch, batch.replace(old_logp_BT=None)):
      (value, own), gradient = value_grad(cfg, one, logp_BT)
      assert value == wanted and np.array_equal(gradient, slope)
    figures, own = tally.results(figures), tally.results(own)
    assert own == {k: v for k, v in figures.items() if not k.startswith('parity/')} != figures


def test_the_samplers_log_probabilities_leave_nothing_to_weigh():
  with pytest.raises(ValueError, match=r"old_logp='sampler'.*tis_cap=2.0 must be None"):
    grpo.GrpoConfig(old_logp='sampler', tis_cap=2.0)


@pytest.mark.parametrize(
  'options, missing',
  [
    ({'beta': 0.1}, 'ref_logp_BT'),
    ({'beta': 0.0, 'old_logp': 'sampler'}, 'sampler_logp_BT'),
    ({'beta': 0.0, 'tis_cap': 2.0}, 'sampler_logp_BT'),
    ({'beta': 0.0, 'importance': 'sequence'}, 'segment_BT'),
  ],
)
def test_an_array_that_the_options_need_but_is_absent_is_named(options, missing):
  ones_BT = jnp.ones((1, 2))
  with pytest.raises(ValueError, match=missing):
    grpo.loss(grpo.GrpoConfig(**options), grpo.Batch(ones_BT, ones_BT, ones_BT), ones_BT)


@pytest.mark.parametrize('name', ['advantage_BT', 'weight_BT', 'old_logp_BT', 'mask_BT'])
def test_an_array_of_another_shape_is_refused_rather_than_broadcast(name):
  ones_BT = jnp.ones((2, 3))
  batch = grpo.Batch(*[ones_BT] * 5).replace(**{name: ones_BT[:, :1]})
  with pytest.raises(AssertionError, match='shape'):
    grpo.loss(grpo.GrpoConfig(), batch, ones_BT)


def divergence(logit_V, ref_V):
  """KL(policy | reference) of two categorical distributions, the first one given by logits."""
  logp_V = jax.nn.log_softmax(logit_V)
  return jnp.sum(jnp.exp(logp_V) * (logp_V - ref_V))


def reversed_divergence(logit_V, ref_V):
  """KL(reference | policy)."""
  return jnp.sum(jnp.exp(ref_V) * (ref_V - jax.nn.log_softmax(logit_V)))


@pytest.mark.parametrize(
  'form, unbiased, gradient_of',
  [
    ('k1', True, lambda logit_V, ref_V: 0.0 * logit_V.sum()),
    ('k2', False, divergence),
    ('k3', True, reversed_divergence),
    ('k3_ratio_weighted', True, divergence),
  ],
)
def test_the_mean_of_a_kl_form_over_all_tokens_and_of_its_gradient(form, unbiased, gradient_of):
  cfg = grpo.GrpoConfig(kl_form=form, beta=1.0)
  rng = np.random.default_rng(0)
  with jax.enable_x64(True):
    logit_V, ref_V = rng.normal(size=9), np.log(rng.dirichlet(np.ones(9)))
    ones_BT = np.ones((1, 9))
    # Every token once, weighted by its probability: the sum is the expectation.
    prob_BT = np.asarray(jax.nn.softmax(logit_V))[None]
    batch = grpo.Batch(ones_BT, 0 * ones_BT, prob_BT, ref_logp_BT=ref_V[None])
    run = lambda x_V: grpo.loss(cfg, batch, jax.nn.log_softmax(x_V)[None])[0]
    value, grad_V = jax.value_and_grad(run)(jnp.asarray(logit_V))
    expected_V = jax.grad(gradient_of)(jnp.asarray(logit_V), ref_V)
  assert (abs(value - divergence(logit_V, ref_V)) < 1e-6) == unbiased
  np.testing.assert_allclose(grad_V, expected_V, atol=1e-12)
