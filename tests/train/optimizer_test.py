"""AdamW follows its formula, on every mesh, and never swallows a gradient that is not finite."""

import dataclasses
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax import sharding
from r1jax.train import optimizer

SHAPES = {'matrix': (8, 16), 'norm': (16,), 'bias': (8,)}
SPECS = {'matrix': jax.P('fsdp', 'tensor'), 'norm': jax.P('tensor'), 'bias': jax.P(None)}
TRAINABLE = {'matrix': True, 'norm': True, 'bias': False}
DECAY = {'matrix': True, 'norm': False, 'bias': False}


def _mesh(*shape):
  count = math.prod(shape)
  if len(jax.devices()) < count:
    pytest.skip(f'needs {count} devices (XLA_FLAGS=--xla_force_host_platform_device_count=8)')
  return jax.set_mesh(sharding.make_mesh(shape, jax.devices()[:count]))


@pytest.fixture(autouse=True)
def one_device():
  with _mesh(1, 1, 1, 1):
    yield


def _tree(seed, scale=1.0, dtype='f4'):
  rng = np.random.default_rng(seed)
  host = {name: scale * rng.normal(size=shape) for name, shape in SHAPES.items()}
  return {name: sharding.put(host[name].astype(dtype), SPECS[name]) for name in SHAPES}


def make(config):
  rule = optimizer.rule(optimizer.unscheduled(config), TRAINABLE, DECAY)
  return optimizer.Optimizer(rule, optimizer.schedule(config))


def _run(config, grads, dtype='f4'):
  """Weights, state and the metrics of each step after training on `grads`."""
  tx = make(config)
  weights = _tree(0, dtype=dtype)
  state = jax.jit(tx.init)(weights)
  step = jax.jit(lambda *a: optimizer.step(tx, *a))
  found = []
  for g in grads:
    weights, state, metrics = step(g, state, weights)
    found.append({name: float(value) for name, value in metrics.items()})
  return weights, state, found


def _adamw_by_hand(config, grads):
  """The textbook, one weight at a time, in float64."""
  weights = {name: np.asarray(value, 'f8') for name, value in _tree(0).items()}
  first = {name: np.zeros_like(value) for name, value in weights.items()}
  second = {name: np.zeros_like(value) for name, value in weights.items()}
  for t, tree in enumerate(grads, 1):
    host = {name: np.asarray(tree[name], 'f8') for name in SHAPES if TRAINABLE[name]}
    norm = math.sqrt(sum((g**2).sum() for g in host.values()))
    for name, g in host.items():
      g = g * min(1.0, config.clip_norm / norm)
      first[name] = config.b1 * first[name] + (1 - config.b1) * g
      second[name] = config.b2 * second[name] + (1 - config.b2) * g * g
      mean = first[name] / (1 - config.b1**t)
      spread = np.sqrt(second[name] / (1 - config.b2**t)) + config.eps
      decay = config.weight_decay * DECAY[name] * weights[name]
      weights[name] = weights[name] - float(_lr(config, t - 1)) * (mean / spread + decay)
  return weights


def _lr(config, done):
  """Warm-up and schedule, from their definition."""
  if done < config.warmup:
    return config.lr * (done + 1) / config.warmup
  if config.schedule == 'constant':
    return config.lr
  share = min(1.0, (done - config.warmup) / (config.steps - config.warmup))
  low = config.lr * config.end_fraction
  return low + (config.lr - low) * (1 + math.cos(math.pi * share)) / 2


CONFIGS = [
  optimizer.OptimizerConfig(lr=0.01, clip_norm=1e9),
  optimizer.OptimizerConfig(lr=0.01, weight_decay=0.3, clip_norm=0.5),
  optimizer.OptimizerConfig(lr=0.01, schedule='cosine', warmup=2, steps=6, weight_decay=0.1),
]


@pytest.mark.parametrize('config', CONFIGS)
def test_weights_follow_adamw_written_by_hand(config):
  grads = [_tree(seed, scale=seed) for seed in range(1, 9)]
  weights, _, _ = _run(config, grads)
  by_hand = jax.tree.map(np.float32, _adamw_by_hand(config, grads))
  chex.assert_trees_all_close(weights, by_hand, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize('schedule', ['constant', 'cosine'])
@pytest.mark.parametrize('warmup', [0, 1, 2, 7])
def test_the_schedule_is_its_definition_and_never_starts_at_zero(schedule, warmup):
  config = optimizer.OptimizerConfig(lr=3e-4, schedule=schedule, warmup=warmup, steps=20)
  rates = np.asarray(optimizer.learning_rate(optimizer.schedule(config), jnp.arange(30)))
  np.testing.assert_allclose(rates, [_lr(config, n) for n in range(30)], rtol=1e-5)
  assert rates[0] > 0 and max(rates) == pytest.approx(3e-4)


@pytest.mark.parametrize('mesh', [(2, 1, 2, 2), (1, 2, 4, 1), (1, 2, 1, 4)])
def test_every_mesh_makes_the_same_update_and_keeps_the_shardings(mesh):
  grads = [_tree(seed) for seed in (1, 2, 3)]
  expected, _, figures = _run(CONFIGS[1], grads)
  with _mesh(*mesh):
    weights, state, found = _run(CONFIGS[1], [_tree(seed) for seed in (1, 2, 3)])
    moments = [leaf for leaf in jax.tree.leaves(state) if leaf.shape == SHAPES['matrix']]
    assert [m.sharding.spec for m in moments] == [SPECS['matrix']] * 2
    assert weights['matrix'].sharding.spec == SPECS['matrix']
  chex.assert_trees_all_close(weights, expected, rtol=1e-5, atol=1e-7)
  assert found[-1]['optimizer/grad_norm'] == pytest.approx(figures[-1]['optimizer/grad_norm'])


def _bits(tree):
  return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def _with(array, value):
  host = np.array(array)
  host.flat[3] = value
  return jax.device_put(host, array.sharding)


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize('name', list(SHAPES))
def test_a_gradient_that_is_not_finite_changes_no_bit_but_the_counts(value, name):
  good, bad = [_tree(1), _tree(2)], _tree(3)
  bad[name] = _with(bad[name], value)
  weights, state, _ = _run(CONFIGS[2], good)
  tx = make(CONFIGS[2])
  weights['norm'] = _with(weights['norm'], -0.0)
  after, skipped, metrics = jax.jit(lambda *a: optimizer.step(tx, *a))(bad, state, weights)
  assert _bits(after) == _bits(weights) and _bits(skipped.inner) == _bits(state.inner)
  assert (int(skipped.made), int(skipped.in_a_row), int(skipped.total)) == (2, 1, 1)
  assert not np.isfinite(metrics['optimizer/grad_norm'])


def test_after_a_skipped_update_training_goes_on_as_if_it_had_not_been():
  bad = _tree(9)
  bad['matrix'] = bad['matrix'] * np.nan
  grads = [_tree(1), _tree(2), _tree(3)]
  expected, plain, _ = _run(CONFIGS[2], grads)
  weights, state, found = _run(CONFIGS[2], [bad, grads[0], bad, bad, grads[1], grads[2]])
  assert _bits(weights) == _bits(expected) and _bits(state.inner) == _bits(plain.inner)
  assert [m['optimizer/skipped_in_a_row'] for m in found] == [1, 0, 1, 2, 0, 0]
  assert [m['optimizer/skipped'] for m in found] == [1, 1, 2, 3, 3, 3]
  assert int(state.made) == 3


def test_a_run_of_skipped_updates_stops_with_the_reason():
  config = optimizer.OptimizerConfig(lr=0.02, max_skipped=3)
  metrics = {'optimizer/skipped_in_a_row': 2.0, 'optimizer/skipped': 5.0}
  optimizer.check_streak(config, metrics)
  with pytest.raises(
    optimizer.NonFiniteError, match='gradients of 3 updates in a row.*6 skipped.*0.02'
  ):
    optimizer.check_streak(config, {'optimizer/skipped_in_a_row': 3.0, 'optimizer/skipped': 6.0})


def test_untrained_weights_have_no_state_and_never_move():
  weights, state, _ = _run(CONFIGS[1], [_tree(1), _tree(2)])
  assert _bits(weights['bias']) == _bits(_tree(0)['bias'])
  assert not [leaf for leaf in jax.tree.leaves(state) if leaf.shape == SHAPES['bias']]


def test_bfloat16_weights_have_float32_moments_and_keep_their_type():
  weights, state, _ = _run(CONFIGS[0], [_tree(1, dtype=jnp.bfloat16)], dtype=jnp.bfloat16)
  assert {leaf.dtype.name for leaf in jax.tree.leaves(weights)} == {'bfloat16'}
  assert {leaf.dtype.name for leaf in jax.tree.leaves(state)} == {'float32', 'int32'}


@pytest.mark.parametrize(
  'settings, message',
  [
    ({'schedule': 'linear'}, "'linear' is not"),
    ({'schedule': 'cosine', 'steps': 5, 'warmup': 5}, 'steps=5 > warmup=5'),
    ({'lr': -1.0}, 'lr=-1.0 is not a number within 0'),
    ({'lr': float('nan')}, 'lr=nan is not a number'),
    ({'clip_norm': 0.0}, 'clip_norm=0.0 is not a number above 0'),
    ({'max_skipped': 0}, 'max_skipped=0 is not a whole number within 1'),
  ],
)
def test_settings_that_make_no_sense_are_refused_with_their_numbers(settings, message):
  with pytest.raises(ValueError, match=message):
    optimizer.OptimizerConfig(**{'lr': 1e-3, **settings})


def test_moments_in_bfloat16_cost_half_and_change_little():
  grads = [_tree(seed) for seed in range(1, 6)]
  exact = optimizer.OptimizerConfig(lr=0.01)
  small = dataclasses.replace(exact, moments='bfloat16')
  (weights, _, _), (rounded, state, _) = _run(exact, grads), _run(small, grads)
  moments = [leaf for leaf in jax.tree.leaves(state) if leaf.shape == SHAPES['matrix']]
  assert [m.dtype for m in moments] == [jnp.bfloat16] * 2
  moved = np.abs(np.asarray(weights['matrix']) - np.asarray(_tree(0)['matrix'])).max()
  gap = np.abs(np.asarray(weights['matrix']) - np.asarray(rounded['matrix'])).max()
  assert rounded['matrix'].dtype == jnp.float32 and 0 < gap < 0.02 * moved


def test_a_type_of_moments_that_is_none_is_refused():
  with pytest.raises(ValueError, match="moments='int8'"):
    optimizer.OptimizerConfig(lr=0.01, moments='int8')
