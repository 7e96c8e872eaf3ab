"""Rotary embedding: the published numbers of YaRN and loops in NumPy."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from r1jax.model import config, rope

YARN = config.ModelConfig().rope
V3_LENGTH = config.ModelConfig().max_length


def test_yarn_keeps_slots_up_to_10_and_stretches_slots_from_23_by_40():
  plain = rope.frequencies(config.RopeConfig(), 64, V3_LENGTH)
  ratio = plain / rope.frequencies(YARN, 64, V3_LENGTH)
  np.testing.assert_allclose(ratio[:11], 1, rtol=1e-12)
  np.testing.assert_allclose(ratio[23:], 40, rtol=1e-12)
  assert ((ratio[11:23] > 1) & (ratio[11:23] < 40)).all()
  ramp = [(slot - 10) / (23 - 10) for slot in range(11, 23)]
  np.testing.assert_allclose(1 / ratio[11:23], [1 - r + r / 40 for r in ramp], rtol=1e-12)


def test_the_softmax_scale_of_v3_is_0_135234_beyond_4096_positions():
  assert rope.softmax_scale(YARN, 192, V3_LENGTH) == pytest.approx(0.135234, abs=5e-7)
  assert rope.softmax_scale(YARN, 192, 4096) == pytest.approx(192**-0.5)
  assert rope.amplitude(YARN, V3_LENGTH) == 1.0


def test_yarn_changes_nothing_within_the_original_length():
  plain = rope.frequencies(config.RopeConfig(), 64, 4096)
  np.testing.assert_array_equal(rope.frequencies(YARN, 64, 4096), plain)


def test_llama3_scaling_is_a_loop_over_wavelengths():
  cfg = config.RopeConfig(theta=500_000.0, kind='llama3', factor=8.0, original_length=8192)
  expected = []
  for slot in range(64):
    freq = 500_000.0 ** (-2 * slot / 128)
    wavelength = 2 * math.pi / freq
    if wavelength > 8192 / 1.0:
      freq /= 8
    elif wavelength > 8192 / 4.0:
      smooth = (8192 / wavelength - 1.0) / (4.0 - 1.0)
      freq = (1 - smooth) * freq / 8 + smooth * freq
    expected.append(freq)
  np.testing.assert_allclose(rope.frequencies(cfg, 128, 131_072), expected, rtol=1e-12)


def test_rotation_turns_each_pair_by_position_times_frequency():
  x = np.random.default_rng(0).normal(size=(3, 2, 8)).astype(np.float32)
  position = np.array([0, 5, 11])
  cos, sin = rope.tables(config.RopeConfig(theta=100.0), 8, 64, jnp.asarray(position))
  turned = np.asarray(rope.rotate(jnp.asarray(x), cos, sin))
  pair = (x[..., :4] + 1j * x[..., 4:]) * np.exp(
    1j * position[:, None, None] * 100.0 ** (-np.arange(0, 8, 2) / 8)
  )
  np.testing.assert_allclose(turned, np.concatenate([pair.real, pair.imag], -1), atol=1e-5)


def test_scores_of_rotated_vectors_depend_on_the_distance_only():
  q, k = np.random.default_rng(1).normal(size=(2, 1, 1, 8)).astype(np.float32)

  def score(at_q, at_k):
    rotated = (
      rope.rotate(x, *rope.tables(config.RopeConfig(), 8, 64, jnp.array([at])))
      for x, at in ((q, at_q), (k, at_k))
    )
    return float(np.vdot(*rotated))

  assert score(7, 3) == pytest.approx(score(29, 25), abs=1e-5)
  assert score(7, 3) != pytest.approx(score(7, 5), abs=1e-3)


def test_an_unknown_kind_is_refused():
  with pytest.raises(ValueError, match='ntk'):
    config.RopeConfig(kind='ntk')
