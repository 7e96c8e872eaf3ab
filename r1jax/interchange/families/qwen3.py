"""Qwen3 and R1-0528-Qwen3: norms on queries and keys, heads of a width of their own."""

from r1jax.interchange import keys
from r1jax.interchange.families import shared

MODEL_TYPE, ARCHITECTURE, GGUF = 'qwen3', 'Qwen3ForCausalLM', 'qwen3'
FIXED = {'attention_bias': (False,), 'use_sliding_window': (False,)}
ATTENTION, EXPERTS = shared.GROUPED_ATTENTION, {}
HEAD_WIDTH = 128  # where config.json gives none, whatever the model's width


def read(hub, dispatch):
  """ModelConfig's fields of attention and feed-forward."""
  del dispatch  # there are no experts
  grouped = shared.read_grouped(hub, keys.integer(hub, 'head_dim', HEAD_WIDTH))
  return grouped | shared.read_dense(hub) | dict(qkv_bias=False, qk_norm=True)


def write(cfg):
  """The keys of config.json that `read` reads."""
  return shared.write_grouped(cfg) | {'attention_bias': False}


def lacks(cfg):
  """What a ModelConfig has that this family has not, '' where it fits."""
  if cfg.qkv_bias or not cfg.qk_norm:
    return f'it has head norms and no bias on q, k and v: {cfg.qkv_bias=}, {cfg.qk_norm=}'
  return shared.not_dense(cfg)


def no_gguf(cfg):
  """Why llama.cpp would not run it, '' where it does."""
  del cfg
  return ''
