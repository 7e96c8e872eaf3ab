"""The ops by the form that runs them, and which form that is."""

import importlib
import os

import jax

from r1jax.kernels import output_head_some

ASKED = ('auto', 'reference', 'cpu', 'tpu', 'gpu', 'cudnn')
FORMS = ASKED[1:]
SHARING = ('reference', 'cpu', 'cudnn')  # forms whose attention knows shared prompts
# Slots of a cache, which has multiples of them: what a kernel reads at once; for XLA:CPU the widest
# vector of float32, as products over 133 slots take 1.4 times as long as over 136 or 144.
_BLOCK = {'gpu': 128, 'cpu': 16, 'reference': 16, 'cudnn': 16}
_TILED = 2  # cores of a device up to which one core's loop of tiles is no slower than all of them
_HOPPER = '9.0'  # the compute capability whose tensor core instructions the GPU kernels are
_AMPERE = 8  # the first figure of the lowest that cuDNN's attention takes


def _cores_per_device():
  """Cores of this process to each of its devices, where these are a CPU's."""
  own = os.sched_getaffinity(0) if hasattr(os, 'sched_getaffinity') else range(os.cpu_count() or 1)
  return len(own) / jax.local_device_count()


def _ops(form):
  # On demand: Mosaic GPU takes 0.2 s to import, and not every wheel of JAX has it.
  return importlib.import_module(f'r1jax.kernels.{form}')


def _ampere(device):
  """Whether it is an NVIDIA GPU of compute capability 8.0 or more."""
  # '7.5', '10.0'; AMD's GPUs say 'gfx90a', other devices nothing.
  major = str(getattr(device, 'compute_capability', '')).split('.')[0]
  return major.isdecimal() and int(major) >= _AMPERE


def resolve(asked, device=None):
  """The form that runs where `asked` for on `device`.

  Args:
    asked: one of ASKED.
    device: of JAX, or a `planning.gpus.Board`; by default JAX's first. For 'auto' and 'cpu' JAX is
      not asked for it, as it is too early for that: `config.Job.on` looks again.

  Raises:
    ValueError: what was asked for does not exist here, and why.
  """
  if asked not in ASKED:
    raise ValueError(f'kernels={asked!r} is not one of {", ".join(ASKED)}')
  if asked == 'reference':
    return asked
  if asked == 'auto':  # what has been run: no Pallas kernel has, yet
    # To ask JAX for its devices would settle how many a CPU is, which may be too early.
    tiles = getattr(device, 'platform', '') == 'cpu' and _cores_per_device() <= _TILED
    return 'cpu' if tiles else 'reference'
  if asked == 'cpu' and device is None:
    return asked
  device = device or jax.devices()[0]
  here, needed = getattr(device, 'platform', 'gpu'), 'gpu' if asked == 'cudnn' else asked
  if here != needed:
    raise ValueError(
      f"config.runtime.kernels={asked!r} runs on a {needed} only; this is a {here}: use 'auto'"
    )
  if asked == 'gpu' and device.compute_capability != _HOPPER:
    raise ValueError(
      f"config.runtime.kernels='gpu' needs a Hopper GPU, compute capability {_HOPPER}; this one "
      f"has {device.compute_capability}: use 'auto'"
    )
  if asked == 'cudnn' and not _ampere(device):
    raise ValueError(
      f"config.runtime.kernels='cudnn' needs an NVIDIA GPU of compute capability {_AMPERE}.0 or "
      f"more; this one has {device.compute_capability}: use 'auto'"
    )
  return asked


def describe(form, device):
  """One line for the plan: which kernels run on the device, and why not others."""
  platform = device.platform
  if form == 'cpu':
    return 'cpu: attention by tiles, MLA decoding; all else plain JAX compiled by XLA for cpu'
  if form == 'cudnn':
    return 'cudnn: attention by cuDNN, all else plain JAX compiled by XLA for gpu; never run on one'
  if form != 'reference':
    return (
      f'{form}: Pallas kernels, all but the gradient of the output head; never timed on a {form}'
    )
  plain = f'reference: plain JAX, compiled by XLA for {platform}'
  if platform == 'cpu':
    return f'{plain}; for one or two cores a device there is --config.runtime.kernels=cpu'
  others = {'tpu': 'our Pallas kernels'} if platform == 'tpu' else {}
  if getattr(device, 'compute_capability', '') == _HOPPER:
    others['gpu'] = 'our Pallas kernels'
  if _ampere(device):
    others['cudnn'] = "cuDNN's attention"
  tried = ' or '.join(f'--config.runtime.kernels={form} ({what})' for form, what in others.items())
  return f'{plain}; not run on a {platform.upper()} yet, to be tried: {tried}' if tried else plain


def whole_blocks(slots, form):
  """`slots` of a cache, rounded up to what the form's decoding reads."""
  block = _BLOCK.get(form, 1)
  return -(-slots // block) * block


def attention(q_BTNH, k_BTYH, v_BTYU, segment_BT, scale, form='reference', prefix_BT=None):
  """Causal attention within segments of packed rows -> [B, T, N, U] in v's type.

  `prefix_BT` names one more segment that a token sees, see `reference.attention`.
  """
  if prefix_BT is None:
    return _ops(form).attention(q_BTNH, k_BTYH, v_BTYU, segment_BT, scale)
  if form not in SHARING:
    raise ValueError(
      f'shared prefixes have no {form} kernel yet: --config.runtime.kernels=reference'
    )
  return _ops(form).attention(q_BTNH, k_BTYH, v_BTYU, segment_BT, scale, prefix_BT)


def mla_decode(q_BNA, cache_BSA, keep_BS, value_width, scale, form='reference'):
  """One query a sequence over the shared latent cache -> [B, N, value_width]."""
  return _ops(form).mla_decode(q_BNA, cache_BSA, keep_BS, value_width, scale)


def gqa_decode(q_BNH, k_BYHS, v_BYSU, keep_BS, scale, form='reference'):
  """One query a sequence over per-head caches -> [B, N, U]."""
  return _ops(form).gqa_decode(q_BNH, k_BYHS, v_BYSU, keep_BS, scale)


def grouped_matmul(x_XD, w_EDM, size_E, form='reference'):
  """Rows in E consecutive groups, each times its own matrix; rows beyond them are zero."""
  return _ops(form).grouped_matmul(x_XD, w_EDM, size_E)


def token_scores(x_XD, w_VD, target_X, temperature, form='reference', mask_X=None):
  """`Scores` of the targets under softmax(x @ w.T / temperature), without the logits in memory.

  With a boolean `mask_X` only its tokens are sure to be scored, and only those may be read.
  """
  score = _ops(form).token_scores
  if mask_X is None or not output_head_some.worth(len(x_XD), *w_VD.shape):
    return score(x_XD, w_VD, target_X, temperature)
  return output_head_some.token_scores(x_XD, w_VD, target_X, temperature, mask_X, score)
