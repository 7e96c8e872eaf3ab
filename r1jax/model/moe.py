"""DeepSeekMoE (reference §2.4): sigmoid scores, bias-corrected group-limited top-k, a shared
expert.

No token is ever dropped. `dense` dispatch multiplies every token by every expert and weights by the
gate, the fastest form while experts are tiny; `sorted` computes only the chosen experts, and is the
island that runs expert parallel.
"""

from functools import partial

import jax
import jax.numpy as jnp

from r1jax import kernels, sharding
from r1jax.model import layers
from r1jax.params import Param


def params(cfg):
  """Weights of one MoE layer; the router and its selection bias stay in float32."""
  moe = cfg.moe
  up = Param((moe.experts, cfg.width, moe.ffn), ('experts', 'expert_embed', 'ffn'))
  down = Param((moe.experts, moe.ffn, cfg.width), ('experts', 'ffn', 'expert_embed'))
  return {
    'w_router': Param((cfg.width, moe.experts), ('embed', None), float32=True),
    'router_bias': Param((moe.experts,), (None,), init='zeros', trainable=False, float32=True),
    'experts': {'w_gate': up, 'w_up': up, 'w_down': down},
    'shared': layers.swiglu_params(cfg.width, moe.ffn * moe.shared),
  }


def feed_forward(params, cfg, x_XD, token_mask_BT):
  """Shared expert plus the chosen ones; returns (y_XD, router statistics of unmasked tokens)."""
  score_XE, chosen_XK, gate_XK = route(params, cfg.moe, x_XD)
  local = {'dense': _dense, 'sorted': partial(_sorted, form=cfg.kernels)}[cfg.moe.dispatch]
  y_XD = _dispatch(local, params['experts'], x_XD, chosen_XK, gate_XK.astype(x_XD.dtype))
  y_XD = y_XD + layers.swiglu(params['shared'], x_XD)
  return y_XD, statistics(cfg.moe, score_XE, chosen_XK, token_mask_BT)


def route(params, moe, x_XD):
  """Scores, chosen experts and their gates, all in float32.

  The bias moves the selection only; gates are the unbiased scores (reference §2.4).
  """
  logits_XE = jnp.einsum('xd,de->xe', x_XD.astype(jnp.float32), params['w_router'])
  score_XE = jax.nn.sigmoid(logits_XE)
  biased_XE = jax.lax.stop_gradient(score_XE + params['router_bias'])
  if moe.top_groups < moe.groups:
    biased_XE = _mask_groups(moe, biased_XE)
  chosen_XK = jax.lax.top_k(biased_XE, moe.per_token)[1]
  hot_XKE = jax.nn.one_hot(chosen_XK, moe.experts)
  gate_XK = jnp.einsum('xke,xe->xk', hot_XKE, score_XE)
  if moe.normalise:
    gate_XK = gate_XK / gate_XK.sum(-1, keepdims=True)
  return score_XE, chosen_XK, gate_XK * moe.scale


def _mask_groups(moe, biased_XE):
  """-inf outside the top groups, a group's score being the sum of its two best experts."""
  X, E = biased_XE.shape
  grouped = biased_XE.reshape(X, moe.groups, E // moe.groups)
  best_XG = jax.lax.top_k(grouped, min(2, E // moe.groups))[0].sum(-1)
  top_XG = jax.lax.top_k(best_XG, moe.top_groups)[1]
  keep_XG = jax.nn.one_hot(top_XG, moe.groups).sum(1) > 0
  return jnp.where(keep_XG[:, :, None], grouped, -jnp.inf).reshape(X, E)


def statistics(moe, score_XE, chosen_XK, token_mask_BT):
  """`load_E`: tokens per expert; `balance`: sum over rows of the sequence-wise loss (reference
  §2.4).
  """
  B, T = token_mask_BT.shape
  mask_BT1 = token_mask_BT.astype(jnp.float32)[:, :, None]
  hot_XE = jax.nn.one_hot(chosen_XK, moe.experts).sum(1)
  rows = (B, T, moe.experts)
  hot_BTE, score_BTE = (
    jax.lax.reshape(a, rows, out_sharding=sharding.act('batch', None, None)) * mask_BT1
    for a in (hot_XE, score_XE / score_XE.sum(-1, keepdims=True))
  )
  tokens_B1 = jnp.maximum(mask_BT1.sum(1), 1)
  fraction_BE = hot_BTE.sum(1) * moe.experts / (moe.per_token * tokens_B1)
  balance = (jax.lax.stop_gradient(fraction_BE) * score_BTE.sum(1) / tokens_B1).sum()
  return {'load_E': jax.lax.stop_gradient(hot_BTE).sum((0, 1)), 'balance': balance}


def updated_bias(bias_LE, load_LE, speed):
  """The sign rule: overloaded experts -speed, underloaded ones +speed (reference §2.4)."""
  return bias_LE - speed * jnp.sign(load_LE - load_LE.mean(-1, keepdims=True))


def _dispatch(local, experts, x_XD, chosen_XK, gate_XK):
  """The island around both dispatches: every expert shard serves all tokens of its `expert` row.

  `local(experts, x_XD, chosen_XK, gate_XK)` sees the shard's own experts, all tokens of the row and
  the chosen experts counted from its first one (outside 0..E means another shard's); it returns its
  part of y.
  """
  rows = sharding.act('batch', None)
  up, down = sharding.act('experts', None, 'ffn'), sharding.act('experts', 'ffn', None)

  def shard(experts, x_XD, chosen_XK, gate_XK):
    x_XD, chosen_XK, gate_XK = (
      jax.lax.all_gather(a, 'expert', axis=0, tiled=True) for a in (x_XD, chosen_XK, gate_XK)
    )
    # Without the cast, the gradient of what is equal on all `tensor` shards is summed wrongly.
    x_XD, gate_XK = (jax.lax.pcast(a, 'tensor', to='varying') for a in (x_XD, gate_XK))
    first = jax.lax.axis_index('expert') * experts['w_gate'].shape[0]
    y_XD = jax.lax.psum(local(experts, x_XD, chosen_XK - first, gate_XK), 'tensor')
    return jax.lax.psum_scatter(y_XD, 'expert', scatter_dimension=0, tiled=True)

  specs = ({'w_gate': up, 'w_up': up, 'w_down': down}, rows, rows, rows)
  experts = jax.tree.map(lambda w: w.astype(x_XD.dtype), experts)
  return jax.shard_map(shard, in_specs=specs, out_specs=rows)(experts, x_XD, chosen_XK, gate_XK)


def _dense(experts, x_XD, chosen_XK, gate_XK):
  """Every expert on every token, the experts side by side in two-dimensional matmuls."""
  E, D, M = experts['w_gate'].shape
  hot_XKE = chosen_XK[:, :, None] == jnp.arange(E)
  gate_XE = jnp.where(hot_XKE, gate_XK[:, :, None], 0).sum(1)
  gate_XJ = jnp.repeat(gate_XE, M, axis=1)

  def side_by_side(w_EDM):
    return w_EDM.transpose(1, 0, 2).reshape(D, E * M)

  up_XJ = x_XD @ side_by_side(experts['w_up'])
  h_XJ = jax.nn.silu(x_XD @ side_by_side(experts['w_gate'])) * up_XJ
  return (h_XJ * gate_XJ) @ experts['w_down'].reshape(E * M, D)


def _sorted(experts, x_XD, chosen_XK, gate_XK, form='reference'):
  """Tokens sorted by expert and one grouped matmul a weight; other shards' tokens sort behind,
  unread.
  """
  E, per_token = experts['w_gate'].shape[0], chosen_XK.shape[1]
  chosen_J = chosen_XK.reshape(-1)
  bucket_J = jnp.where((chosen_J >= 0) & (chosen_J < E), chosen_J, E)
  bucket_J, order_J = jax.lax.sort((bucket_J, jax.lax.iota(jnp.int32, bucket_J.size)), num_keys=1)
  size_E = (bucket_J[:, None] == jnp.arange(E)).sum(0, dtype=jnp.int32)
  x_JD = x_XD[order_J // per_token]
  up_JM = kernels.grouped_matmul(x_JD, experts['w_up'], size_E, form)
  h_JM = jax.nn.silu(kernels.grouped_matmul(x_JD, experts['w_gate'], size_E, form)) * up_JM
  y_JD = kernels.grouped_matmul(h_JM, experts['w_down'], size_E, form)
  weight_J = jnp.where(bucket_J < E, gate_XK.reshape(-1)[order_J], 0)
  return jnp.zeros_like(x_XD).at[order_J // per_token].add(y_JD * weight_J[:, None])
