"""Grouped-query attention of the Qwen and Llama families (reference §3.3)."""

from r1jax import kernels, sharding
from r1jax.model import attention, layers, rope
from r1jax.model import cache as cache_lib
from r1jax.params import Param


def params(cfg):
  """Weights of one layer: bias on q, k, v for Qwen2, norms on q and k for Qwen3."""
  wide, narrow = cfg.heads * cfg.head_qk, cfg.kv_heads * cfg.head_qk
  values = cfg.kv_heads * cfg.head_value
  tree = {
    'w_q': Param((cfg.width, wide), ('embed', 'heads')),
    'w_k': Param((cfg.width, narrow), ('embed', 'heads')),
    'w_v': Param((cfg.width, values), ('embed', 'heads')),
    'w_out': Param((cfg.heads * cfg.head_value, cfg.width), ('heads', 'embed')),
  }
  if cfg.qkv_bias:
    sizes = {'b_q': wide, 'b_k': narrow, 'b_v': values}
    tree |= {name: Param((size,), ('heads',), init='zeros') for name, size in sizes.items()}
  if cfg.qk_norm:
    norm = layers.rms_norm_params(cfg.head_qk)
    tree |= {'q_norm': norm, 'k_norm': norm}
  return tree


def attend(params, cfg, x_XD, ctx):
  """Attention over packed rows; returns (out_XD, cache entries k [B, Y, H, T], v [B, Y, T, U])."""
  q, k, v = _query_key_value(params, cfg, x_XD, ctx)
  out_XNU = attention.causal(q, k, v, ctx, _scale(cfg), cfg.kernels)
  k_BTYH, v_BTYU = (sharding.in_rows(x, ctx.segment_BT) for x in (k, v))
  entries = {'k': k_BTYH.transpose(0, 2, 3, 1), 'v': v_BTYU.transpose(0, 2, 1, 3)}
  return attention.output(params['w_out'], out_XNU), entries


def decode(params, cfg, x_BD, ctx, cache):
  """One token a sequence against the cache; returns (out_BD, cache with the token written)."""
  q_BNH, k_BYH, v_BYU = _query_key_value(params, cfg, x_BD, ctx)
  k_BYHS = cache_lib.write(cache['k'], 'k', k_BYH[..., None], ctx.column_B)
  v_BYSU = cache_lib.write(cache['v'], 'v', v_BYU[:, :, None], ctx.column_B)

  def local(q, k, v, keep):
    return kernels.gqa_decode(q, k, v, keep, _scale(cfg), cfg.kernels)

  head, rows = ('batch', 'heads', None), ('batch', 'heads', None, None)
  axes = (head, rows, rows, ('batch', None))
  out_BNU = attention.island(local, axes, head)(q_BNH, k_BYHS, v_BYSU, ctx.keep_BS)
  return attention.output(params['w_out'], out_BNU), {'k': k_BYHS, 'v': v_BYSU}


# YaRN scales the softmax of DeepSeek's attention only; here all of it is in `rope.amplitude`.
def _scale(cfg):
  return cfg.head_qk**-0.5


def _query_key_value(params, cfg, x_XD, ctx):
  # Sizes differ by name: `kv_heads` keys and values serve groups of queries.
  def heads(name, count, width):
    x = layers.project(x_XD, params[f'w_{name}'], 'heads')
    if cfg.qkv_bias:
      x = x + params[f'b_{name}'].astype(x.dtype)
    return attention.split_heads(x, (len(x_XD), count, width), ('batch', 'heads', None))

  q = heads('q', cfg.heads, cfg.head_qk)
  k = heads('k', cfg.kv_heads, cfg.head_qk)
  # Before the rotation, as the reference does it: a norm over a head's own width.
  if cfg.qk_norm:
    q = layers.rms_norm(params['q_norm'], q, cfg.norm_eps)
    k = layers.rms_norm(params['k_norm'], k, cfg.norm_eps)
  q, k = (rope.rotate(x, ctx.cos_XR, ctx.sin_XR) for x in (q, k))
  return q, k, heads('v', cfg.kv_heads, cfg.head_value)
