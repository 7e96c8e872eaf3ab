"""Cross-entropy and the targets of the extra heads against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax.algorithms import sft, tally

SEGMENT_BT = np.array([[1, 1, 1, 1, 2, 2, 2, 0], [1, 2, 2, 2, 2, 2, 0, 0]])


def example(junk=0.0):
  rng = np.random.default_rng(0)
  mask_BT = np.array([[0, 1, 1, 1, 0, 1, 1, 0], [0, 0, 1, 1, 1, 1, 0, 0]])
  logp_DBT = np.where(mask_BT, -rng.gamma(2, 1, (3, 2, 8)), junk).astype(np.float32)
  weight_BT = np.where(mask_BT, 1 / mask_BT.sum(), junk).astype(np.float32)
  return sft.Batch(mask_BT, weight_BT, SEGMENT_BT), logp_DBT


def loops(batch, logp_DBT, mtp_weight):
  total = 0.0
  for depth, logp_BT in enumerate(logp_DBT):
    scale = mtp_weight / (len(logp_DBT) - 1) if depth else 1.0
    for b, t in np.argwhere(batch.mask_BT):
      source = t - 1 - depth
      if source >= 0 and SEGMENT_BT[b, source] == SEGMENT_BT[b, t]:
        total -= scale * batch.weight_BT[b, t] * logp_BT[b, t]
  return total


@pytest.mark.parametrize('depths', [0, 1, 2])
@pytest.mark.parametrize('junk', [0.0, np.nan, -np.inf])
def test_the_loss_is_that_of_loops_over_reachable_targets(depths, junk):
  batch, logp_DBT = example(junk)
  run = lambda x: sft.loss(batch, x[0], tuple(x[1 : depths + 1]), 0.3)
  (value, _), grad_DBT = jax.value_and_grad(run, has_aux=True)(jnp.asarray(logp_DBT))
  expected = loops(batch, logp_DBT[: depths + 1], 0.3)
  assert value == pytest.approx(expected, rel=1e-5)
  assert np.isfinite(grad_DBT).all() and not np.asarray(grad_DBT)[:, batch.mask_BT == 0].any()


def test_figures_are_means_over_learned_tokens_whatever_the_micro_batches():
  batch, logp_DBT = example(np.nan)
  row = lambda b: jax.tree.map(lambda x: x[b : b + 1], batch)
  losses, tallies = zip(*(sft.loss(row(b), logp_DBT[0, b : b + 1]) for b in range(2)))
  figures = tally.results(tally.merge(*tallies))
  nll_X = -logp_DBT[0][batch.mask_BT == 1]
  assert sum(losses) == pytest.approx(nll_X.mean(), rel=1e-5)
  assert figures['sft/nll'] == pytest.approx(nll_X.mean(), rel=1e-5)
  assert figures['sft/token_probability'] == pytest.approx(np.exp(-nll_X).mean(), rel=1e-5)


def test_a_weight_of_another_shape_is_refused_rather_than_broadcast():
  batch, logp_DBT = example()
  with pytest.raises(AssertionError, match='shape'):
    sft.loss(batch.replace(weight_BT=batch.weight_BT[:, :1]), logp_DBT[0])
  with pytest.raises(AssertionError, match='shape'):
    sft.loss(batch, logp_DBT[0], (logp_DBT[1, :1],), 0.3)
