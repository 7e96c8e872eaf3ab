"""Routed experts: DeepSeekMoE's (reference §2.4) and Qwen3-MoE's.

DeepSeek scores by a sigmoid, chooses by the scores plus a bias within the best groups of experts,
and has a shared expert. Qwen3 scores by a softmax and has none of the others.

No token is ever dropped. `dense` dispatch multiplies every token by every expert and weights by the
gate, the fastest form while experts are tiny; `sorted` computes only the chosen experts. Both run
expert parallel, see dispatch.py.
"""

from functools import partial

import jax
import jax.numpy as jnp

from r1jax import sharding
from r1jax.model import dispatch, layers
from r1jax.params import Param

SCORES = {'sigmoid': jax.nn.sigmoid, 'softmax': jax.nn.softmax}  # of the router's logits_XE


def params(cfg):
  """Weights of one MoE layer; the router and its selection bias stay in float32."""
  moe = cfg.moe
  up = Param((moe.experts, cfg.width, moe.ffn), ('experts', 'expert_embed', 'ffn'))
  down = Param((moe.experts, moe.ffn, cfg.width), ('experts', 'ffn', 'expert_embed'))
  tree = {
    'w_router': Param((cfg.width, moe.experts), ('embed', None), float32=True),
    'experts': {'w_gate': up, 'w_up': up, 'w_down': down},
  }
  if moe.bias:
    bias = Param((moe.experts,), (None,), init='zeros', trainable=False, float32=True)
    tree['router_bias'] = bias
  if moe.shared:
    tree['shared'] = layers.swiglu_params(cfg.width, moe.ffn * moe.shared)
  return tree


def feed_forward(params, cfg, x_XD, token_mask_BT):
  """The chosen experts and the shared one; returns (y_XD, router statistics of unmasked tokens)."""
  score_XE, chosen_XK, gate_XK = route(params, cfg.moe, x_XD)
  mask_X = sharding.flat(token_mask_BT)
  served_XK = jnp.where(mask_X[:, None], chosen_XK, -1)  # all padding would queue at one expert
  y_XD = dispatch.to_experts(params['experts'], cfg, x_XD, served_XK, gate_XK.astype(x_XD.dtype))
  if cfg.moe.shared:
    y_XD = y_XD + layers.swiglu(params['shared'], x_XD)
  return y_XD, statistics(cfg.moe, score_XE, chosen_XK, token_mask_BT)


def route(params, moe, x_XD):
  """Scores, chosen experts and their gates, all in float32.

  The bias moves the selection only; gates are the unbiased scores (reference §2.4).
  """
  logits_XE = jnp.einsum('xd,de->xe', x_XD.astype(jnp.float32), params['w_router'])
  score_XE = SCORES[moe.scores](logits_XE)
  biased_XE = score_XE + params['router_bias'] if moe.bias else score_XE
  biased_XE = jax.lax.stop_gradient(biased_XE)
  rows = jax.typeof(biased_XE).sharding.spec
  # An island, because the compiler left alone gathers the scores of all tokens for top_k.
  select = jax.shard_map(partial(_select, moe), in_specs=rows, out_specs=rows)
  chosen_XK = select(biased_XE)
  hot_XKE = jax.nn.one_hot(chosen_XK, moe.experts)
  gate_XK = jnp.einsum('xke,xe->xk', hot_XKE, score_XE)
  if moe.normalise:
    gate_XK = gate_XK / gate_XK.sum(-1, keepdims=True)
  return score_XE, chosen_XK, gate_XK * moe.scale


def _select(moe, biased_XE):
  """The best experts of the best groups."""
  if moe.top_groups < moe.groups:
    biased_XE = _mask_groups(moe, biased_XE)
  return jax.lax.top_k(biased_XE, moe.per_token)[1]


def _mask_groups(moe, biased_XE):
  """-inf outside the top groups, a group's score being the sum of its two best experts."""
  X, E = biased_XE.shape
  grouped = biased_XE.reshape(X, moe.groups, E // moe.groups)
  # Groups of two need no choice, and a CPU sorts for one.
  best = grouped if E // moe.groups <= 2 else jax.lax.top_k(grouped, 2)[0]
  best_XG = best.sum(-1)
  top_XG = jax.lax.top_k(best_XG, moe.top_groups)[1]
  keep_XG = jax.nn.one_hot(top_XG, moe.groups).sum(1) > 0
  return jnp.where(keep_XG[:, :, None], grouped, -jnp.inf).reshape(X, E)


def statistics(moe, score_XE, chosen_XK, token_mask_BT):
  """`load_E`, tokens per expert, and `balance`, the sequence-wise loss (reference §2.4).

  The latter is summed over rows, which may hold several documents; masked tokens count in neither.
  """
  mask_BT1 = token_mask_BT.astype(jnp.float32)[:, :, None]
  hot_XE = jax.nn.one_hot(chosen_XK, moe.experts).sum(1)
  score_XE = score_XE / score_XE.sum(-1, keepdims=True)
  hot_BTE, score_BTE = (sharding.in_rows(a, token_mask_BT) * mask_BT1 for a in (hot_XE, score_XE))
  # f_i: the share of tokens that went to an expert, 1 where all are even. V3's eq. 18 counts the
  # top K of the unbiased scores instead; here it is where the tokens really went, by biased scores
  # and within the best groups. Being counted it has no gradient; the scores' mean P_i has.
  tokens_B1 = jnp.maximum(mask_BT1.sum(1), 1)
  fraction_BE = hot_BTE.sum(1) * moe.experts / (moe.per_token * tokens_B1)
  balance = (jax.lax.stop_gradient(fraction_BE) * score_BTE.sum(1) / tokens_B1).sum()
  return {'load_E': jax.lax.stop_gradient(hot_BTE).sum((0, 1)), 'balance': balance}


def updated_bias(bias_LE, load_LE, speed):
  """The sign rule: overloaded experts -speed, underloaded ones +speed (reference §2.4)."""
  return bias_LE - speed * jnp.sign(load_LE - load_LE.mean(-1, keepdims=True))
