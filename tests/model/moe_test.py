"""Router and experts against loops over tokens, the island against finite differences."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax import params as params_lib
from r1jax.model import moe
from tests.model import tiny

MOE = tiny.MLA.moe
RNG = np.random.default_rng(0)


@pytest.fixture(scope='module', autouse=True)
def mesh():
  with tiny.mesh():
    yield


def normal(*shape, dtype=np.float32):
  return RNG.normal(size=shape).astype(dtype)


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def route_token(cfg, score_E, bias_E):
  """One token's selection: best groups by their two best experts, then best experts."""
  biased_E = score_E + bias_E
  size = cfg.experts // cfg.groups
  groups = [range(g * size, (g + 1) * size) for g in range(cfg.groups)]
  strength = [sum(sorted(biased_E[list(group)])[-2:]) for group in groups]
  best = np.argsort(strength)[-cfg.top_groups :]
  allowed = [e for g in best for e in groups[g]]
  chosen = sorted(allowed, key=lambda e: -biased_E[e])[: cfg.per_token]
  gate = score_E[chosen]
  return chosen, gate / gate.sum() * cfg.scale


@pytest.mark.parametrize('shape', [(16, 4, 2, 3), (12, 2, 1, 4), (8, 1, 1, 2)])
def test_the_router_is_a_loop_over_tokens(shape):
  experts, groups, top_groups, per_token = shape
  cfg = dataclasses.replace(
    MOE, experts=experts, groups=groups, top_groups=top_groups, per_token=per_token
  )
  x, weights = normal(40, 6), {'w_router': normal(6, experts), 'router_bias': normal(experts)}
  score, chosen, gate = (np.asarray(a) for a in moe.route(weights, cfg, x))
  np.testing.assert_allclose(score, sigmoid(x @ weights['w_router']), atol=1e-5)
  for t in range(40):
    picked, gates = route_token(cfg, score[t], weights['router_bias'])
    assert list(chosen[t]) == picked
    np.testing.assert_allclose(gate[t], gates, rtol=1e-5)


@pytest.mark.parametrize('normalise', [True, False])
def test_a_softmax_router_without_a_bias_takes_the_most_likely_experts(normalise):
  cfg = dataclasses.replace(
    MOE, groups=1, top_groups=1, scale=1.0, scores='softmax', bias=False, normalise=normalise
  )
  x, w_router = normal(40, 6), normal(6, MOE.experts)
  score, chosen, gate = (np.asarray(a) for a in moe.route({'w_router': w_router}, cfg, x))
  power = np.exp((x @ w_router).astype(np.float64))
  likely = power / power.sum(-1, keepdims=True)
  np.testing.assert_allclose(score, likely, rtol=1e-4)
  for t in range(40):
    picked = sorted(range(MOE.experts), key=lambda e: -likely[t, e])[: MOE.per_token]
    assert list(chosen[t]) == picked
    wanted = likely[t, picked]
    np.testing.assert_allclose(gate[t], wanted / wanted.sum() if normalise else wanted, rtol=1e-4)


def test_the_bias_moves_the_selection_and_has_no_gradient():
  x, w_router = normal(40, 6), normal(6, 8)

  def gates(bias):
    _, chosen, gate = moe.route({'w_router': w_router, 'router_bias': bias}, MOE, x)
    return (gate**2).sum(), (chosen, gate)

  pushed = np.where(np.arange(8) == 3, 5, 0).astype(np.float32)
  _, (chosen, _) = gates(pushed)
  gradient, (plain, _) = jax.grad(gates, has_aux=True)(np.zeros(8, np.float32))
  assert (np.asarray(chosen) == 3).any(1).all()
  assert not (np.asarray(plain) == 3).any(1).all()
  assert not np.asarray(gradient).any()


def test_a_uniform_bias_changes_neither_selection_nor_gates():
  x, w_router = normal(40, 6), normal(6, 8)
  outs = [
    moe.route({'w_router': w_router, 'router_bias': np.full(8, bias, np.float32)}, MOE, x)[1:]
    for bias in (0.0, -3.0)
  ]
  np.testing.assert_array_equal(*(np.sort(o[0]) for o in outs))
  np.testing.assert_allclose(outs[0][1].sum(-1), MOE.scale, rtol=1e-5)


def layer_loss(weights, cfg, x_XD, probe_XD):
  weights = params_lib.gather(weights, moe.params(cfg))
  y_XD, _ = moe.feed_forward(weights, cfg, x_XD, jnp.ones((1, len(x_XD)), bool))
  return (y_XD * probe_XD).sum(), y_XD


def loop_loss(weights, cfg, x_XD, probe_XD):
  """The same layer, one expert after the other on every token, with no dispatch at all."""
  _, chosen_XK, gate_XK = moe.route(weights, cfg.moe, x_XD)

  def expert(w, x):
    return (jax.nn.silu(x @ w['w_gate']) * (x @ w['w_up'])) @ w['w_down']

  y_XD = expert(weights['shared'], x_XD) if cfg.moe.shared else jnp.zeros_like(x_XD)
  for e in range(cfg.moe.experts):
    gate_X = (gate_XK * (chosen_XK == e)).sum(1)
    own = {name: w[e] for name, w in weights['experts'].items()}
    y_XD = y_XD + gate_X[:, None] * expert(own, x_XD)
  return (y_XD * probe_XD).sum(), y_XD


QWEN3 = dict(groups=1, top_groups=1, scale=1.0, scores='softmax', bias=False, shared=0)


@pytest.fixture(scope='module', params=[{}, QWEN3], ids=['deepseek', 'qwen3'])
def looped(request):
  cfg = dataclasses.replace(tiny.MLA, moe=dataclasses.replace(MOE, **request.param))
  weights = tiny.fill(moe.params(cfg))
  x_XD, probe_XD = tiny.put(normal(24, 32)), tiny.put(normal(24, 32))
  run = jax.jit(jax.grad(loop_loss, argnums=(0, 2), has_aux=True), static_argnums=1)
  whole = tiny.host((weights, x_XD, probe_XD))
  return cfg, weights, x_XD, probe_XD, run(whole[0], cfg, *whole[1:])


@pytest.mark.parametrize('dispatch', ['dense', 'sorted'])
def test_both_dispatches_are_a_loop_over_experts_in_values_and_gradients(looped, dispatch):
  cfg, weights, x_XD, probe_XD, expected = looped
  cfg = dataclasses.replace(cfg, moe=dataclasses.replace(cfg.moe, dispatch=dispatch))
  run = jax.jit(jax.grad(layer_loss, argnums=(0, 2), has_aux=True), static_argnums=1)
  actual = run(weights, cfg, x_XD, probe_XD)
  assert tiny.worst(actual, expected) < 1e-5


def test_the_statistics_are_loops_over_unmasked_tokens():
  B, T, E, K = 3, 5, MOE.experts, MOE.per_token
  score, mask = sigmoid(normal(B, T, E)), RNG.random((B, T)) < 0.7
  mask[2] = False
  chosen = np.argsort(RNG.random((B, T, E)))[..., :K].astype(np.int32)
  load, balance = np.zeros(E), 0.0
  for b in range(B):
    seen = [t for t in range(T) if mask[b, t]]
    for e in range(E):
      hits = sum(e in chosen[b, t] for t in seen)
      load[e] += hits
      share = [score[b, t, e] / score[b, t].sum() for t in seen]
      balance += E / K * hits / max(len(seen), 1) * sum(share) / max(len(seen), 1)
  flat = (score.reshape(-1, E), chosen.reshape(-1, K))
  found = moe.statistics(MOE, *(jnp.asarray(a) for a in flat), jnp.asarray(mask))
  np.testing.assert_array_equal(found['load_E'], load)
  assert float(found['balance']) == pytest.approx(balance, rel=1e-5)


def test_an_even_router_has_a_balance_loss_of_one_a_row_and_a_collapsed_one_more():
  even = np.full((16, 8), 0.5, np.float32)
  rotating = (np.arange(16)[:, None] + np.arange(3)) % 8
  mask = jnp.ones((2, 8), bool)
  assert float(moe.statistics(MOE, even, rotating, mask)['balance']) == pytest.approx(2)
  skewed = np.where(np.arange(8) < 3, 0.9, 0.1).astype(np.float32) * np.ones((16, 1), np.float32)
  collapsed = np.tile(np.arange(3), (16, 1))
  assert float(moe.statistics(MOE, skewed, collapsed, mask)['balance']) > 4


def test_the_bias_falls_for_overloaded_experts_and_rises_for_underloaded_ones():
  bias, load = np.zeros((2, 4), np.float32), np.array([[9, 1, 5, 5], [4, 4, 4, 4]], np.float32)
  moved = moe.updated_bias(bias, load, 0.001)
  np.testing.assert_allclose(moved, [[-0.001, 0.001, 0, 0], [0, 0, 0, 0]], atol=1e-9)
