"""Ops of the performance-critical core; the model calls these names and nothing below them.

Each takes `form`, which of its implementations runs: 'reference' (plain JAX, any platform) or 'tpu'
(Pallas). `resolve` turns what a user asks for into one of them. README.md has the contracts.
"""

import jax

from r1jax.kernels import reference, tpu
from r1jax.kernels.output_head import Scores

__all__ = [
  'ASKED',
  'FORMS',
  'Scores',
  'attention',
  'describe',
  'gqa_decode',
  'grouped_matmul',
  'mla_decode',
  'resolve',
  'token_scores',
]

ASKED = ('auto', 'reference', 'tpu', 'gpu')
_MODULES = {'reference': reference, 'tpu': tpu}
FORMS = tuple(_MODULES)


def resolve(asked, platform=None):
  """The form that runs where `asked` for on `platform` (default: where JAX runs).

  Raises:
    ValueError: what was asked for does not exist here, and why.
  """
  if asked not in ASKED:
    raise ValueError(f'kernels={asked!r} is not one of {", ".join(ASKED)}')
  if asked in ('reference', 'auto'):  # auto takes what has been run: no Pallas kernel has, yet
    return 'reference'
  platform = platform or jax.default_backend()
  if asked not in FORMS:
    raise ValueError(
      f'kernels={asked!r}: no kernel of this project has been run on a {asked}, so there are none; '
      "'auto' or 'reference' leaves the ops to XLA"
    )
  if platform != asked:
    raise ValueError(f"kernels={asked!r} runs on a {asked} only; this is a {platform}: use 'auto'")
  return asked


def describe(form, platform):
  """One line for the plan: which kernels run, and why not others."""
  if form != 'reference':
    return f'{form}: Pallas kernels, all but the gradient of the output head'
  why = {
    'tpu': '; our Pallas kernels have not been run on a TPU yet: --config.runtime.kernels=tpu',
    'gpu': '; there is no kernel of our own for GPUs',
  }.get(platform, '')
  return f'reference: plain JAX, compiled by XLA for {platform}{why}'


def attention(q_BTNH, k_BTYH, v_BTYU, segment_BT, scale, form='reference'):
  """Causal attention within segments of packed rows -> [B, T, N, U] in v's type."""
  return _MODULES[form].attention(q_BTNH, k_BTYH, v_BTYU, segment_BT, scale)


def mla_decode(q_BNA, cache_BSA, keep_BS, value_width, scale, form='reference'):
  """One query a sequence over the shared latent cache -> [B, N, value_width]."""
  return _MODULES[form].mla_decode(q_BNA, cache_BSA, keep_BS, value_width, scale)


def gqa_decode(q_BNH, k_BYHS, v_BYSU, keep_BS, scale, form='reference'):
  """One query a sequence over per-head caches -> [B, N, U]."""
  return _MODULES[form].gqa_decode(q_BNH, k_BYHS, v_BYSU, keep_BS, scale)


def grouped_matmul(x_XD, w_EDM, size_E, form='reference'):
  """Rows in E consecutive groups, each times its own matrix; rows beyond them are zero."""
  return _MODULES[form].grouped_matmul(x_XD, w_EDM, size_E)


def token_scores(x_XD, w_VD, target_X, temperature, form='reference'):
  """`Scores` of the targets under softmax(x @ w.T / temperature), without the logits in memory."""
  return _MODULES[form].token_scores(x_XD, w_VD, target_X, temperature)
