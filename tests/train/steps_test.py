"""The jitted steps: same gradient on every mesh and however cut, and what each leaves alone."""

import dataclasses

import jax
import numpy as np
import optax
import pytest

from r1jax.algorithms import grpo, sft
from r1jax.train import optimizer, state, steps
from tests.model import tiny

T, SPEED, TEMPERATURE = 8, 0.001, 0.7
LENGTHS = [[8], [5, 3], [4, 2], [8], [3, 3, 2], [8], [7], [2, 6]]
# Plain descent that leaves the gradient in its state, where the tests read it.
DESCENT = optimizer.Optimizer(
  optimizer.skip_nonfinite(optax.chain(optax.trace(0.0), optax.scale(-0.1))),
  optimizer.schedule(optimizer.OptimizerConfig(lr=0.1)),
)
LANGUAGE = dataclasses.replace(tiny.MLA, layers=2, dense_layers=0, remat=False)
POLICY = dataclasses.replace(LANGUAGE, mtp_layers=0, scan_layers=False)
LANGUAGE_OPTIONS = {'mtp_weight': 0.3, 'tx': DESCENT, 'balance': 0.01, 'bias_speed': SPEED}
POLICY_OPTIONS = {
  'gcfg': grpo.GrpoConfig(beta=0.1),
  'tx': DESCENT,
  'temperature': TEMPERATURE,
  'reference_every': 2,
}


@pytest.fixture(scope='module', autouse=True)
def mesh():
  with tiny.mesh():
    yield


def device(tree):
  """[A, B, T] arrays with B split over the mesh that is set."""
  return jax.tree.map(lambda x: tiny.put(x, axis=1, name='rows'), tree)


def micro_batches(seeds=(0, 1), kept=None):
  """Two micro-batches of eight rows in NumPy; of a, only the rows `kept[a]` are not emptied."""
  micro = [tiny.host(tiny.rows(LENGTHS, T, seed)) for seed in seeds]
  for rows, names in zip(micro, kept or []):
    empty = ~np.isin(np.arange(8), names)[:, None]
    rows.token[:], rows.segment[:] = (np.where(empty, 0, x) for x in (rows.token, rows.segment))
  return jax.tree.map(lambda *x: np.stack(x), *micro)


def language_batch(rows, count=2):
  mask = ((rows.segment > 0) & (rows.position > 0)).astype(np.float32)
  loss = sft.Batch(mask, mask / mask[:count].sum(), rows.segment)
  return steps.Batch(device(rows), device(loss), np.int32(count))


def language(rows=None, count=2, cfg=LANGUAGE, **changes):
  """One language update: (weights before, state after, metrics), in NumPy."""
  batch = language_batch(micro_batches() if rows is None else rows, count)
  batch = batch.replace(loss=batch.loss.replace(**changes))
  before = state.create(tiny.weights(cfg), DESCENT, False)
  weights = tiny.host(before.params)
  after, metrics = steps.language_update(before, batch, cfg=cfg, **LANGUAGE_OPTIONS)
  return weights, tiny.host(after), metrics


def gradient(after):
  return after.optimizer.inner[0].trace


def policy_batch(rows, logp_ABT, count=2):
  """Completions begin at the third token of a sequence; each has its own advantage."""
  mask = ((rows.segment > 0) & (rows.position > 1)).astype(np.float32)
  names = 10 * np.sort(rows.token, axis=-1)[..., -1:] + rows.segment
  advantage = np.sin(names).astype(np.float32)
  weight = mask / mask[:count].sum()
  loss = grpo.Batch(mask, advantage, weight, logp_ABT, logp_ABT)
  return steps.Batch(device(rows), device(loss), np.int32(count))


def scores(rows, count=2):
  rows, mask = device((rows, rows.position > 0))
  return steps.score(tiny.weights(POLICY), POLICY, rows, mask, np.int32(count), TEMPERATURE)


def policy_update(before, batch):
  return steps.grpo_update(before, batch, cfg=POLICY, **POLICY_OPTIONS)


def fresh_policy():
  return state.create(tiny.weights(POLICY), DESCENT, True)


def off_policy(rows, count=2):
  """A batch whose old log-probabilities are not the policy's own: ratios and KL matter."""
  logp_ABT = np.asarray(scores(rows)) + 0.1 * np.cos(rows.token)
  return policy_batch(rows, logp_ABT.astype(np.float32), count)


@pytest.fixture(scope='module')
def reference():
  return language()


@pytest.mark.parametrize(
  'shape, remat',
  [
    ((2, 1, 2, 2), False),
    ((1, 2, 4, 1), True),
    ((1, 2, 1, 1, 4), True),
    ((1, 1, 2, 2, 2), False),
  ],
)
def test_loss_and_gradient_are_the_same_on_every_mesh(reference, shape, remat):
  with tiny.mesh(*shape):
    _, after, metrics = language(cfg=dataclasses.replace(LANGUAGE, remat=remat))
  assert tiny.worst(metrics, reference[2]) < 1e-5
  assert tiny.worst(gradient(after), gradient(reference[1])) < 1e-5


def test_the_loss_is_the_cross_entropy_and_the_bias_moves_by_the_sign_rule(reference):
  weights, after, metrics = reference
  rows, total, seen, load = micro_batches(), 0.0, 0, 0
  for a in range(2):
    micro = jax.tree.map(lambda x, a=a: tiny.put(x[a], name='rows'), rows)
    logits_BTV, output = tiny.forward(tiny.weights(LANGUAGE), LANGUAGE, micro)
    logp_BTV = np.asarray(jax.nn.log_softmax(logits_BTV))
    for b, t in np.argwhere((rows.segment[a] > 0) & (rows.position[a] > 0)):
      total, seen = total - logp_BTV[b, t - 1, rows.token[a, b, t]], seen + 1
    load = load + np.asarray(output.router['load_LE'])
  assert metrics['sft/nll'] == pytest.approx(total / seen, rel=1e-5)
  uneven = np.sign(load - load.mean(-1, keepdims=True))
  moved = bias(after.params['moe']) - bias(weights['moe'])
  np.testing.assert_allclose(moved, -SPEED * uneven, atol=1e-6)
  moved = bias(after.params['mtp']['block']) - bias(weights['mtp']['block'])
  assert set(np.round(moved / SPEED, 2).ravel()) <= {-1, 0, 1}
  assert moved.any()


def bias(block):
  return block['ffn']['router_bias']


def test_a_mixture_without_a_selection_bias_is_trained_and_has_none():
  moe = dataclasses.replace(
    LANGUAGE.moe, groups=1, top_groups=1, scale=1.0, scores='softmax', bias=False, shared=0
  )
  cfg = dataclasses.replace(LANGUAGE, moe=moe, mtp_layers=0)
  weights, after, metrics = language(cfg=cfg)
  assert metrics['router/load_max'] >= 1
  assert set(after.params['moe']['ffn']) == {'w_router', 'experts'}
  moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), weights['moe'], after.params['moe'])
  assert min(jax.tree.leaves(moved)) > 0


def test_everything_but_the_bias_has_a_gradient_and_moves_against_it(reference):
  weights, after, _ = reference
  for path, size in jax.tree_util.tree_leaves_with_path(gradient(after)):
    assert np.abs(size).any() != ('router_bias' in jax.tree_util.keystr(path)), path
  np.testing.assert_allclose(
    after.params['embed'], weights['embed'] - 0.1 * gradient(after)['embed'], atol=1e-6
  )
  assert after.step == 1


def test_the_same_micro_batch_twice_has_the_gradient_of_once_without_recompilation(reference):
  programs = steps.language_update._cache_size()
  rows = micro_batches(seeds=(0, 0))
  _, once, figures_once = language(rows, count=1)
  _, twice, figures_twice = language(rows, count=2)
  assert tiny.worst(gradient(twice), gradient(once)) < 1e-5
  assert tiny.worst(figures_twice, figures_once) < 1e-5
  assert steps.language_update._cache_size() == programs


def test_another_schedule_is_followed_without_recompilation(reference):
  programs = steps.language_update._cache_size()
  schedule = optimizer.schedule(optimizer.OptimizerConfig(lr=0.7, warmup=7))
  options = LANGUAGE_OPTIONS | {'tx': DESCENT.replace(schedule=schedule)}
  before = state.create(tiny.weights(LANGUAGE), DESCENT, False)
  batch = language_batch(micro_batches())
  _, metrics = steps.language_update(before, batch, cfg=LANGUAGE, **options)
  assert metrics['optimizer/lr'] == pytest.approx(0.1)
  assert steps.language_update._cache_size() == programs


def test_micro_batches_beyond_the_count_are_not_read(reference):
  rows = micro_batches()
  junk = micro_batches()
  junk.token[1] = 7
  _, clean, _ = language(rows, count=1)
  weight = np.asarray(language_batch(rows, 1).loss.weight_BT).copy()
  weight[1] = np.nan
  _, junked, _ = language(junk, count=1, weight_BT=tiny.put(weight, axis=1, name='rows'))
  assert tiny.worst(junked.params, clean.params) == 0


def test_gradients_that_are_not_finite_change_nothing_and_are_counted(reference):
  weight = np.asarray(language_batch(micro_batches()).loss.weight_BT).copy()
  weight[0, 0, 3] = np.inf
  weights, after, metrics = language(weight_BT=tiny.put(weight, axis=1, name='rows'))
  assert metrics['optimizer/skipped'] == 1
  assert after.step == 1
  assert tiny.worst(after.params, weights) == 0


def test_scores_are_the_log_probabilities_of_a_forward_pass_at_the_temperature():
  rows = micro_batches()
  found = np.asarray(scores(rows, count=1))
  micro = jax.tree.map(lambda x: tiny.put(x[0], name='rows'), rows)
  logits_BTV, _ = tiny.forward(tiny.weights(POLICY), POLICY, micro)
  logp_BTV = np.asarray(jax.nn.log_softmax(logits_BTV / TEMPERATURE))
  for b, t in np.argwhere(rows.position[0] > 0):
    expected = logp_BTV[b, t - 1, rows.token[0, b, t]]
    assert found[0, b, t] == pytest.approx(expected, abs=1e-5)
  assert not found[1].any()


def test_the_first_on_policy_update_has_ratio_one_and_no_divergence():
  rows = micro_batches()
  _, metrics = policy_update(fresh_policy(), policy_batch(rows, np.asarray(scores(rows))))
  assert metrics['grpo/ratio'] == pytest.approx(1, abs=1e-6)
  assert metrics['grpo/ratio_max'] == pytest.approx(1, abs=1e-5)
  assert abs(metrics['grpo/kl']) < 1e-6
  assert metrics['grpo/clip_low'] == metrics['grpo/clip_high'] == 0


def test_rows_spread_over_micro_batches_have_the_gradient_of_one_big_batch():
  whole = micro_batches(seeds=(0, 0))
  spread = micro_batches(seeds=(0, 0), kept=[[0, 1, 5], [2, 3, 4, 6, 7]])
  one, figures_one = policy_update(fresh_policy(), off_policy(whole, count=1))
  programs = steps.grpo_update._cache_size()
  two, figures_two = policy_update(fresh_policy(), off_policy(spread, count=2))
  assert tiny.worst(gradient(two), gradient(one)) < 1e-5
  assert tiny.worst(figures_two, figures_one) < 1e-5
  assert steps.grpo_update._cache_size() == programs


def test_a_policy_update_leaves_the_router_s_bias_alone_and_gives_its_state_away():
  before = fresh_policy()
  weights = tiny.host(before.params)
  after, _ = policy_update(before, off_policy(micro_batches()))
  np.testing.assert_array_equal(bias(after.params['moe']), bias(weights['moe']))
  assert not np.array_equal(
    after.params['moe']['ffn']['w_router'], weights['moe']['ffn']['w_router']
  )
  assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before.params))


def test_the_reference_becomes_the_policy_after_every_second_update_only():
  now, batch = fresh_policy(), off_policy(micro_batches())
  policies, references = [tiny.host(now.params)], []
  for _ in range(5):
    now, _ = policy_update(now, batch)
    policies.append(tiny.host(now.params))
    references.append(tiny.host(now.reference))
  for reference, source in zip(references, (0, 2, 2, 4, 4)):
    assert tiny.worst(reference, policies[source]) == 0
  assert tiny.worst(policies[4], policies[2]) > 0


def test_a_reference_that_is_never_refreshed_stays_the_same_object():
  now = state.TrainState(params=1, reference=2, optimizer=None, step=np.int32(4))
  assert state.refresh_reference(now, 0) is now
