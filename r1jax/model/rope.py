"""Rotary position embedding: plain, YaRN (DeepSeek) and Llama-3 scaling (reference §2.3, §3.3).

Rotated vectors are kept as two halves (x1 | x2); import permutes interleaved pairs of checkpoints.
"""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np


def frequencies(cfg, width, max_length):
  """Angular frequency of each of the `width // 2` rotary pairs, float64 NumPy.

  YaRN stretches only beyond `cfg.original_length` positions, as in the reference implementation.
  """
  freq = cfg.theta ** -(np.arange(0, width, 2, dtype=np.float64) / width)
  if cfg.kind == 'yarn' and max_length > cfg.original_length:
    return _yarn(cfg, freq, width)
  if cfg.kind == 'llama3':
    return _llama3(cfg, freq)
  return freq


def _yarn(cfg, freq, width):
  # Number of the pair that turns so many times within the original length.
  def slot(rotations):
    return (
      width * math.log(cfg.original_length / (rotations * 2 * math.pi)) / (2 * math.log(cfg.theta))
    )

  # Fast pairs keep their frequency, slow ones are stretched by the factor, a ramp between.
  low = max(math.floor(slot(cfg.beta_fast)), 0)
  high = min(math.ceil(slot(cfg.beta_slow)), width - 1)
  ramp = (np.arange(width // 2) - low) / max(high - low, 1e-3)
  ramp = np.clip(ramp, 0, 1)
  return freq / cfg.factor * ramp + freq * (1 - ramp)


def _llama3(cfg, freq):
  # The same idea by wavelengths: short against the original length is kept, long is stretched.
  wavelength = 2 * math.pi / freq
  low, high = cfg.low_freq_factor, cfg.high_freq_factor
  smooth = np.clip((cfg.original_length / wavelength - low) / (high - low), 0, 1)
  return freq / cfg.factor * (1 - smooth) + freq * smooth


def stretch(cfg, width):
  """By how much the 'llama3' kind divides each of the `width // 2` frequencies, float64 NumPy."""
  plain = dataclasses.replace(cfg, kind='plain')
  length = cfg.original_length
  return frequencies(plain, width, length) / frequencies(cfg, width, length)


def _mscale(factor, weight):
  return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0


def amplitude(cfg, max_length):
  """Multiplier of cos and sin: 1 for V3, whose two mscales agree."""
  if cfg.kind != 'yarn' or max_length <= cfg.original_length:
    return 1.0
  return _mscale(cfg.factor, cfg.mscale) / _mscale(cfg.factor, cfg.mscale_all_dim)


def softmax_scale(cfg, head_width, max_length):
  """1/sqrt(head width), times mscale squared beyond the original length (reference §2.2)."""
  scale = head_width**-0.5
  if cfg.kind == 'yarn' and max_length > cfg.original_length and cfg.mscale_all_dim:
    scale *= _mscale(cfg.factor, cfg.mscale_all_dim) ** 2
  return scale


def tables(cfg, width, max_length, position_X):
  """cos_XR, sin_XR (float32, R = width / 2) at integer positions."""
  freq_R = jnp.asarray(frequencies(cfg, width, max_length), jnp.float32)
  angle_XR = position_X[:, None].astype(jnp.float32) * freq_R
  gain = amplitude(cfg, max_length)
  return jnp.cos(angle_XR) * gain, jnp.sin(angle_XR) * gain


def rotate(x_XNR, cos_XR, sin_XR):
  """Rotates the halves (x1 | x2) of the last axis in float32; keeps x's type."""
  x1, x2 = jnp.split(x_XNR.astype(jnp.float32), 2, axis=-1)
  cos, sin = cos_XR[:, None, :], sin_XR[:, None, :]
  turned = jnp.concatenate([x1 * cos - x2 * sin, x2 * cos + x1 * sin], axis=-1)
  return turned.astype(x_XNR.dtype)
