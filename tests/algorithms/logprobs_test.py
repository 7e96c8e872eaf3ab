"""Log-probabilities of tokens against NumPy and on a mesh with the vocabulary sharded."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax.algorithms import logprobs


def example(dtype=np.float32):
  rng = np.random.default_rng(0)
  logits_BTV = rng.normal(0, 3, (2, 5, 11)).astype(dtype)
  return logits_BTV, rng.integers(0, 11, (2, 5)).astype(np.int32)


@pytest.mark.parametrize('temperature', [1.0, 0.7, 2.5])
def test_log_probability_is_that_of_the_tempered_softmax(temperature):
  logits_BTV, token_BT = example()
  prob_BTV = np.exp(logits_BTV.astype(np.float64) / temperature)
  prob_BTV /= prob_BTV.sum(-1, keepdims=True)
  chosen_BT = np.take_along_axis(np.log(prob_BTV), token_BT[..., None], -1)[..., 0]
  logp_BT = logprobs.token_logp(logits_BTV, token_BT, temperature)
  np.testing.assert_allclose(logp_BT, chosen_BT, rtol=1e-5)


def test_the_gradient_is_one_hot_minus_softmax_over_temperature():
  logits_BTV, token_BT = example()
  grad_BTV = jax.grad(lambda x: logprobs.token_logp(x, token_BT, 0.5).sum())(logits_BTV)
  expected_BTV = 2 * (jax.nn.one_hot(token_BT, 11) - jax.nn.softmax(2 * logits_BTV))
  np.testing.assert_allclose(grad_BTV, expected_BTV, atol=1e-5)


def test_bfloat16_logits_give_float32_and_float64_stays():
  logits_BTV, token_BT = example()
  low_BTV = jnp.asarray(logits_BTV, jnp.bfloat16)
  logp_BT = logprobs.token_logp(low_BTV, token_BT)
  assert logp_BT.dtype == jnp.float32
  full_BT = logprobs.token_logp(low_BTV.astype(jnp.float32), token_BT)
  np.testing.assert_array_equal(logp_BT, full_BT)
  with jax.enable_x64(True):
    assert logprobs.token_logp(example(np.float64)[0], token_BT).dtype == jnp.float64


def test_huge_and_forbidden_logits_neither_overflow_nor_turn_into_nan():
  logits_BTV = np.array([[[1e4, 1e4, -np.inf], [-1e4, -np.inf, -np.inf]]], np.float32)
  token_BT = np.array([[0, 0]], np.int32)
  logp_BT = logprobs.token_logp(logits_BTV, token_BT)
  np.testing.assert_allclose(logp_BT, [[-np.log(2), 0]], rtol=1e-6)
  assert np.isneginf(logprobs.token_logp(logits_BTV, np.array([[2, 1]]))).all()


@pytest.mark.parametrize('temperature', [0.0, -1.0, float('nan')])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
  with pytest.raises(ValueError, match='temperature'):
    logprobs.token_logp(*example(), temperature)


def test_shapes_that_do_not_belong_together_are_refused():
  logits_BTV, token_BT = example()
  with pytest.raises(ValueError, match=r'\(2, 5, 11\) and \(2, 4\)'):
    logprobs.token_logp(logits_BTV, token_BT[:, :4])


ON_A_MESH = """
import jax, numpy as np
from r1jax.algorithms import grpo, logprobs
from r1jax import sharding

rng = np.random.default_rng(0)
logits_BTV, token_BT = rng.normal(0, 2, (8, 12, 16)).astype('f'), rng.integers(0, 16, (8, 12))
float_BT = lambda: rng.normal(-1, 0.3, (8, 12)).astype('f')
segment_BT = np.sort(rng.integers(0, 3, (8, 12)))
mask_BT = rng.integers(0, 2, (8, 12))
batch = grpo.Batch(mask_BT, *(float_BT() for _ in range(5)), segment_BT)
cfg = grpo.GrpoConfig(importance='sequence', kl_form='k3_ratio_weighted', tis_cap=1.1, beta=0.1)

@jax.jit
def step(logits_BTV, token_BT, batch):
  def loss(logits_BTV):
    logp_BT = logprobs.token_logp(logits_BTV, token_BT, 0.7)
    return grpo.loss(cfg, batch, logp_BT, -logp_BT)
  return jax.value_and_grad(loss, has_aux=True)(logits_BTV)

seen = []
for shape in ((1, 1, 1, 1), (2, 1, 2, 2), (1, 2, 4, 1), (1, 2, 1, 4)):
  devices = jax.devices()[: int(np.prod(shape))]
  with jax.set_mesh(sharding.make_mesh(shape, devices)):
    rows = sharding.act('batch', None)
    there = jax.tree.map(lambda x: sharding.put(x, rows), batch)
    logits = sharding.put(logits_BTV, sharding.act('batch', None, 'vocab'))
    out = step(logits, sharding.put(token_BT, rows), there)
    assert out[1].shape == logits_BTV.shape
    seen.append(jax.tree.map(np.asarray, out))
for other in seen[1:]:
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), seen[0], other)
print('same on', len(seen), 'meshes')
"""


def test_loss_gradient_and_figures_are_the_same_on_every_mesh():
  flags = {'XLA_FLAGS': '--xla_force_host_platform_device_count=8', 'JAX_PLATFORMS': 'cpu'}
  command = [sys.executable, '-c', ON_A_MESH]
  done = subprocess.run(command, env={**os.environ, **flags}, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr[-3000:]
  assert 'same on 4 meshes' in done.stdout
