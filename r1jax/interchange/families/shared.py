"""What model families share on the hub: how a weight is written, and the usual names and keys."""

import dataclasses

from r1jax.interchange import keys


@dataclasses.dataclass(frozen=True)
class Rule:
  """How one weight of a layer is written on the hub.

  Attributes:
    name: its name within the layer.
    transposed: whether the hub stores [out, in].
    rotary: 'heads' where every head's last `head_rope` outputs are interleaved pairs, 'tail' where
      only the last `head_rope` outputs of all are, '' where none is.
  """

  name: str
  # torch's linear layers hold [out, in], ours [in, out] (reference §2.9).
  transposed: bool = True
  rotary: str = ''


def vector(name):
  """The `Rule` of a norm's scale or a bias."""
  return Rule(name, transposed=False)


# Path of our leaf within a layer -> how the hub writes it. A leaf that a model lacks is skipped, so
# one table serves families with and without biases, norms and shared experts.
NORMS = {
  ('norm_attention',): vector('input_layernorm.weight'),
  ('norm_ffn',): vector('post_attention_layernorm.weight'),
}
GROUPED_ATTENTION = {
  ('attention', 'w_q'): Rule('self_attn.q_proj.weight'),
  ('attention', 'w_k'): Rule('self_attn.k_proj.weight'),
  ('attention', 'w_v'): Rule('self_attn.v_proj.weight'),
  ('attention', 'w_out'): Rule('self_attn.o_proj.weight'),
  ('attention', 'b_q'): vector('self_attn.q_proj.bias'),
  ('attention', 'b_k'): vector('self_attn.k_proj.bias'),
  ('attention', 'b_v'): vector('self_attn.v_proj.bias'),
  ('attention', 'q_norm'): vector('self_attn.q_norm.weight'),
  ('attention', 'k_norm'): vector('self_attn.k_norm.weight'),
}
DENSE = {
  ('ffn', 'w_gate'): Rule('mlp.gate_proj.weight'),
  ('ffn', 'w_up'): Rule('mlp.up_proj.weight'),
  ('ffn', 'w_down'): Rule('mlp.down_proj.weight'),
}
EXPERTS = {
  ('ffn', 'w_router'): Rule('mlp.gate.weight'),
  ('ffn', 'experts', 'w_gate'): Rule('mlp.experts.{expert}.gate_proj.weight'),
  ('ffn', 'experts', 'w_up'): Rule('mlp.experts.{expert}.up_proj.weight'),
  ('ffn', 'experts', 'w_down'): Rule('mlp.experts.{expert}.down_proj.weight'),
}


def read_grouped(hub, head_width):
  """ModelConfig's fields of grouped-query attention with heads of `head_width`, in one part."""
  heads = keys.integer(hub, 'num_attention_heads')
  return dict(
    attention='gqa',
    # Nothing of latent attention: keys and values are projected from the residual.
    q_latent=0,
    kv_latent=0,
    head_nope=0,
    head_rope=head_width,
    head_value=head_width,
    # Older files lack the key: every head then has a key and a value of its own.
    kv_heads=keys.integer(hub, 'num_key_value_heads', heads),
    mtp_layers=0,
  )


def read_dense(hub):
  """ModelConfig's fields of a model without experts."""
  return dict(dense_layers=keys.integer(hub, 'num_hidden_layers'), moe=None)


def split_width(hub):
  """Width of a head where config.json gives none: the model's width over its heads."""
  heads = keys.integer(hub, 'num_attention_heads')
  return keys.integer(hub, 'head_dim', keys.integer(hub, 'hidden_size') // heads)


def write_grouped(cfg):
  """The keys that `read_grouped` reads."""
  return {'num_key_value_heads': cfg.kv_heads, 'head_dim': cfg.head_rope}


def not_grouped(cfg):
  """Why a ModelConfig has not the attention of `read_grouped`; '' where it has."""
  if cfg.attention != 'gqa':
    return f'attention={cfg.attention!r} is not gqa'
  if cfg.head_nope or cfg.head_value != cfg.head_rope:
    return f'heads in two parts: {cfg.head_nope=}, {cfg.head_rope=}, {cfg.head_value=}'
  return f'{cfg.mtp_layers=}: it has no multi-token module' if cfg.mtp_layers else ''


def not_dense(cfg):
  """Why a ModelConfig is not dense with grouped-query attention; '' where it is."""
  return f'it has no experts: {cfg.moe=}' if cfg.moe else not_grouped(cfg)
