"""Multi-head latent attention (reference §2.2): plain for training, absorbed for decoding.

The cache holds one row of kv_latent + head_rope values per token (576 for V3), shared by all heads.
"""

import jax.numpy as jnp

from r1jax import kernels, sharding
from r1jax.model import attention, layers, rope
from r1jax.model import cache as cache_lib
from r1jax.params import Param

# The reference implementation gives the norms of both latents this, whatever `rms_norm_eps` says.
LATENT_EPS = 1e-6


def params(cfg):
  """Weights of one MLA layer."""
  query = {'w_q': Param((cfg.width, cfg.heads * cfg.head_qk), ('embed', 'heads'))}
  if cfg.q_latent:
    query = {
      'w_q_down': Param((cfg.width, cfg.q_latent), ('embed', 'latent')),
      'q_norm': layers.rms_norm_params(cfg.q_latent),
      'w_q_up': Param((cfg.q_latent, cfg.heads * cfg.head_qk), ('embed', 'heads')),
    }
  both = cfg.heads * (cfg.head_nope + cfg.head_value)
  return query | {
    'w_kv_down': Param((cfg.width, cfg.kv_latent + cfg.head_rope), ('embed', 'latent')),
    'kv_norm': layers.rms_norm_params(cfg.kv_latent),
    'w_kv_up': Param((cfg.kv_latent, both), ('embed', 'heads')),
    'w_out': Param((cfg.heads * cfg.head_value, cfg.width), ('heads', 'embed')),
  }


def attend(params, cfg, x_XD, ctx):
  """Attention over packed rows; returns (out_XD, this layer's cache entries [B, T, *])."""
  nope_XNH, pe_XNR = _query(params, cfg, x_XD, ctx)
  latent_XC, pe_XR = _latent(params, cfg, x_XD, ctx)
  kv_XF = layers.project(latent_XC, params['w_kv_up'], 'heads')
  head = ('batch', 'heads', None)
  kv_XNF = attention.split_heads(
    kv_XF, (len(x_XD), cfg.heads, cfg.head_nope + cfg.head_value), head
  )
  # One rotary key a token, for all heads.
  shared = jnp.broadcast_to(pe_XR[:, None], pe_XNR.shape, out_sharding=sharding.act(*head))
  q_XNH = jnp.concatenate([nope_XNH, pe_XNR], -1)
  k_XNH = jnp.concatenate([kv_XNF[..., : cfg.head_nope], shared], -1)
  v_XNU = kv_XNF[..., cfg.head_nope :]
  out_XNU = attention.causal(q_XNH, k_XNH, v_XNU, ctx, _scale(cfg), cfg.kernels)
  entry_XA = jnp.concatenate([latent_XC, pe_XR], -1)
  return attention.output(params['w_out'], out_XNU), {
    'latent': sharding.in_rows(entry_XA, ctx.segment_BT)
  }


def decode(params, cfg, x_BD, ctx, cache):
  """One token a sequence against the latent cache; returns (out_BD, cache with it written)."""
  nope_BNH, pe_BNR = _query(params, cfg, x_BD, ctx)
  latent_BC, pe_BR = _latent(params, cfg, x_BD, ctx)
  row_B1A = jnp.concatenate([latent_BC, pe_BR], -1)[:, None]
  latent_BSA = cache_lib.write(cache['latent'], 'latent', row_B1A, ctx.column_B)
  # Absorbed: the keys' half of the up-projection is applied to the query, so that all heads read
  # the cached latent itself.
  up = attention.split_heads(
    params['w_kv_up'].astype(x_BD.dtype),
    (cfg.kv_latent, cfg.heads, cfg.head_nope + cfg.head_value),
    (None, 'heads', None),
  )
  absorbed_BNC = jnp.einsum('bnh,cnh->bnc', nope_BNH, up[..., : cfg.head_nope])
  q_BNA = jnp.concatenate([absorbed_BNC, pe_BNR], -1)

  def local(q, latent, keep):
    return kernels.mla_decode(q, latent, keep, cfg.kv_latent, _scale(cfg), cfg.kernels)

  head = ('batch', 'heads', None)
  axes = (head, ('batch', None, None), ('batch', None))
  mixed_BNC = attention.island(local, axes, head)(q_BNA, latent_BSA, ctx.keep_BS)
  out_BNU = jnp.einsum('bnc,cnu->bnu', mixed_BNC, up[..., cfg.head_nope :])
  return attention.output(params['w_out'], out_BNU), {'latent': latent_BSA}


def _scale(cfg):
  return rope.softmax_scale(cfg.rope, cfg.head_qk, cfg.max_length)


def _query(params, cfg, x_XD, ctx):
  # V3 squeezes the query too; V2-Lite's form projects it at once.
  if cfg.q_latent:
    x_XD = layers.project(x_XD, params['w_q_down'], None)
    x_XD = layers.rms_norm(params['q_norm'], x_XD, LATENT_EPS)
  q_XF = layers.project(x_XD, params['w_q_up' if cfg.q_latent else 'w_q'], 'heads')
  shape = (len(x_XD), cfg.heads, cfg.head_qk)
  q = attention.split_heads(q_XF, shape, ('batch', 'heads', None))
  nope_XNH, pe_XNR = q[..., : cfg.head_nope], q[..., cfg.head_nope :]
  return nope_XNH, rope.rotate(pe_XNR, ctx.cos_XR, ctx.sin_XR)


def _latent(params, cfg, x_XD, ctx):
  down_XA = layers.project(x_XD, params['w_kv_down'], None)
  latent_XC = layers.rms_norm(params['kv_norm'], down_XA[:, : cfg.kv_latent], LATENT_EPS)
  pe_X1R = rope.rotate(down_XA[:, None, cfg.kv_latent :], ctx.cos_XR, ctx.sin_XR)
  return latent_XC, pe_X1R[:, 0]
