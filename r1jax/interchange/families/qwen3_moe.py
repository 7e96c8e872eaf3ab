"""Qwen3-30B-A3B and 235B-A22B: Qwen3's attention, softmax-routed experts, none of them shared."""

from r1jax.interchange import keys
from r1jax.interchange.families import qwen3, shared
from r1jax.model import config

MODEL_TYPE, ARCHITECTURE, GGUF = 'qwen3_moe', 'Qwen3MoeForCausalLM', 'qwen3moe'
FIXED = qwen3.FIXED
ATTENTION, EXPERTS = shared.GROUPED_ATTENTION, shared.EXPERTS


def read(hub, dispatch):
  """ModelConfig's fields of attention and feed-forward."""
  grouped = shared.read_grouped(hub, shared.split_width(hub))
  layers, dense = keys.integer(hub, 'num_hidden_layers'), _dense_layers(hub)
  moe = _experts(hub, dispatch) if dense < layers else None
  return grouped | dict(qkv_bias=False, qk_norm=True, dense_layers=dense, moe=moe)


def _dense_layers(hub):
  """How many layers have no experts; ValueError where those are not the first ones."""
  layers = keys.integer(hub, 'num_hidden_layers', high=keys.MOST_LAYERS)
  step, without = keys.integer(hub, 'decoder_sparse_step', 1), keys.listed(hub, 'mlp_only_layers')
  # transformers' rule: experts in each `step`-th layer, but for the layers that are listed.
  dense = [i for i in range(layers) if i in without or (i + 1) % step]
  if dense != list(range(len(dense))):
    raise ValueError(
      f'decoder_sparse_step={step} with mlp_only_layers={without} puts dense layers behind layers '
      'with experts; only dense layers that come first are supported'
    )
  return len(dense)


def _experts(hub, dispatch):
  # transformers 5 saves the count under another name than the published files have.
  count = 'num_experts' if hub.get('num_experts') is not None else 'num_local_experts'
  return config.MoeConfig(
    experts=keys.integer(hub, count, high=keys.MOST_EXPERTS),
    per_token=keys.integer(hub, 'num_experts_per_tok', 8),
    ffn=keys.integer(hub, 'moe_intermediate_size'),
    # One softmax over all experts: no shared ones, no groups, no bias of the selection.
    shared=0,
    groups=1,
    top_groups=1,
    scale=1.0,
    scores='softmax',
    bias=False,
    normalise=keys.flag(hub, 'norm_topk_prob', False),  # the library's default, not the models'
    dispatch=dispatch,
  )


def write(cfg):
  """The keys of config.json that `read` reads."""
  return qwen3.write(cfg) | {
    'use_sliding_window': False,
    'decoder_sparse_step': 1,
    'mlp_only_layers': list(range(cfg.dense_layers)),
    'num_experts': cfg.moe.experts,
    'num_experts_per_tok': cfg.moe.per_token,
    'moe_intermediate_size': cfg.moe.ffn,
    'norm_topk_prob': cfg.moe.normalise,
  }


def lacks(cfg):
  """What a ModelConfig has that this family has not, '' where it fits."""
  if cfg.qkv_bias or not cfg.qk_norm:
    return f'it has head norms and no bias on q, k and v: {cfg.qkv_bias=}, {cfg.qk_norm=}'
  moe = cfg.moe
  if not moe:
    return 'it has experts: cfg.moe=None'
  if moe.scores != 'softmax' or moe.bias or moe.shared or moe.groups > 1 or moe.scale != 1:
    return f'{moe.scores=}, {moe.bias=}, {moe.shared=}, {moe.groups=}, {moe.scale=}'
  return shared.not_grouped(cfg)


def no_gguf(cfg):
  """Why llama.cpp would not run it, '' where it does."""
  if cfg.dense_layers:
    return f'llama.cpp runs qwen3moe with experts in all layers only: {cfg.dense_layers=}'
  return '' if cfg.moe.normalise else 'llama.cpp runs qwen3moe with norm_topk_prob=true only'
