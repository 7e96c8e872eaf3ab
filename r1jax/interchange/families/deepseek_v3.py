"""DeepSeek-V3 and R1: latent attention, experts with a selection bias, a multi-token module."""

from r1jax.interchange import keys
from r1jax.interchange.families import shared
from r1jax.model import config

MODEL_TYPE, ARCHITECTURE, GGUF = 'deepseek_v3', 'DeepseekV3ForCausalLM', 'deepseek2'
# Key -> values that our attention and router can do; a checkpoint with another one is refused.
FIXED = {
  'attention_bias': (False,),
  'rope_interleave': (True,),
  'scoring_func': ('sigmoid',),
  'topk_method': ('noaux_tc',),
  'moe_layer_freq': (1,),
}
# Rotary rows are interleaved pairs on the hub (reference §2.3, §2.9).
ATTENTION = {
  ('attention', 'w_q'): shared.Rule('self_attn.q_proj.weight', rotary='heads'),
  ('attention', 'w_q_down'): shared.Rule('self_attn.q_a_proj.weight'),
  ('attention', 'q_norm'): shared.vector('self_attn.q_a_layernorm.weight'),
  ('attention', 'w_q_up'): shared.Rule('self_attn.q_b_proj.weight', rotary='heads'),
  ('attention', 'w_kv_down'): shared.Rule('self_attn.kv_a_proj_with_mqa.weight', rotary='tail'),
  ('attention', 'kv_norm'): shared.vector('self_attn.kv_a_layernorm.weight'),
  ('attention', 'w_kv_up'): shared.Rule('self_attn.kv_b_proj.weight'),
  ('attention', 'w_out'): shared.Rule('self_attn.o_proj.weight'),
}
EXPERTS = shared.EXPERTS | {
  ('ffn', 'router_bias'): shared.vector('mlp.gate.e_score_correction_bias'),
  ('ffn', 'shared', 'w_gate'): shared.Rule('mlp.shared_experts.gate_proj.weight'),
  ('ffn', 'shared', 'w_up'): shared.Rule('mlp.shared_experts.up_proj.weight'),
  ('ffn', 'shared', 'w_down'): shared.Rule('mlp.shared_experts.down_proj.weight'),
}


def read(hub, dispatch):
  """ModelConfig's fields of attention, feed-forward and the multi-token module."""
  heads = keys.integer(hub, 'num_attention_heads')
  # The reference gives every head a key and a value of its own, made of one latent.
  if keys.integer(hub, 'num_key_value_heads', heads) != heads:
    raise ValueError(
      f'num_key_value_heads={hub["num_key_value_heads"]}: latent attention has one for each of the '
      f'num_attention_heads={heads}'
    )
  if hub.get('tie_word_embeddings'):
    raise ValueError('tie_word_embeddings=true is not supported for deepseek_v3')
  layers = keys.integer(hub, 'num_hidden_layers')
  # The key may name more layers than a small model has.
  dense = min(keys.integer(hub, 'first_k_dense_replace', low=0), layers)
  return dict(
    attention='mla',
    # null or 0 where queries are projected at once, as in the V2-Lite shape (reference §2.8).
    q_latent=keys.integer(hub, 'q_lora_rank', 0, low=0),
    kv_latent=keys.integer(hub, 'kv_lora_rank'),
    head_nope=keys.integer(hub, 'qk_nope_head_dim'),
    head_rope=keys.integer(hub, 'qk_rope_head_dim'),
    head_value=keys.integer(hub, 'v_head_dim'),
    dense_layers=dense,
    moe=_experts(hub, dispatch) if dense < layers else None,
    mtp_layers=keys.integer(hub, 'num_nextn_predict_layers', 0, low=0),
  )


def _experts(hub, dispatch):
  return config.MoeConfig(
    experts=keys.integer(hub, 'n_routed_experts', high=keys.MOST_EXPERTS),
    per_token=keys.integer(hub, 'num_experts_per_tok'),
    ffn=keys.integer(hub, 'moe_intermediate_size'),
    shared=keys.integer(hub, 'n_shared_experts'),
    groups=keys.integer(hub, 'n_group'),
    top_groups=keys.integer(hub, 'topk_group'),
    scale=keys.real(hub, 'routed_scaling_factor'),
    normalise=keys.flag(hub, 'norm_topk_prob', True),
    dispatch=dispatch,
  )


def write(cfg):
  """The keys of config.json that `read` reads."""
  hub = {
    # As published: unfolded from the latent, every head has a key and a value.
    'num_key_value_heads': cfg.heads,
    'attention_bias': False,
    'q_lora_rank': cfg.q_latent or None,
    'kv_lora_rank': cfg.kv_latent,
    'qk_nope_head_dim': cfg.head_nope,
    'qk_rope_head_dim': cfg.head_rope,
    'v_head_dim': cfg.head_value,
    'first_k_dense_replace': cfg.dense_layers,
    'num_nextn_predict_layers': cfg.mtp_layers,
  }
  if not cfg.moe_layers:
    return hub
  return hub | {
    'n_routed_experts': cfg.moe.experts,
    'num_experts_per_tok': cfg.moe.per_token,
    'moe_intermediate_size': cfg.moe.ffn,
    'n_shared_experts': cfg.moe.shared,
    'n_group': cfg.moe.groups,
    'topk_group': cfg.moe.top_groups,
    'routed_scaling_factor': cfg.moe.scale,
    'norm_topk_prob': cfg.moe.normalise,
    # What `FIXED` takes, written out for readers with other defaults.
    'scoring_func': 'sigmoid',
    'topk_method': 'noaux_tc',
    'moe_layer_freq': 1,
    'ep_size': 1,
  }


def lacks(cfg):
  """What a ModelConfig has that this family has not, '' where it fits."""
  if cfg.attention != 'mla':
    return f'attention={cfg.attention!r} is not mla'
  if cfg.qkv_bias or cfg.qk_norm or cfg.tied:
    return (
      f'it has no biases, head norms or tied head: {cfg.qkv_bias=}, {cfg.qk_norm=}, {cfg.tied=}'
    )
  moe = cfg.moe
  if moe and (moe.scores != 'sigmoid' or not moe.bias or not moe.shared):
    return f'it has sigmoid scores with a bias, shared: {moe.scores=}, {moe.bias=}, {moe.shared=}'
  return ''


def no_gguf(cfg):
  """Why llama.cpp would not run it, '' where it does."""
  if not cfg.q_latent:
    return 'llama.cpp runs deepseek2 without q_lora_rank only in its own two sizes'
  return ''
