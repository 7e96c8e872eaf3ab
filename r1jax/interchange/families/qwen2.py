"""Qwen2, Qwen2.5 and R1-Distill-Qwen: a bias on queries, keys and values."""

from r1jax.interchange.families import shared

MODEL_TYPE, ARCHITECTURE, GGUF = 'qwen2', 'Qwen2ForCausalLM', 'qwen2'
# With one of these set, attention would differ from ours.
FIXED = {'use_sliding_window': (False,), 'use_mrope': (False,)}
ATTENTION, EXPERTS = shared.GROUPED_ATTENTION, {}


def read(hub, dispatch):
  """ModelConfig's fields of attention and feed-forward."""
  del dispatch  # there are no experts
  grouped = shared.read_grouped(hub, shared.split_width(hub))
  return grouped | shared.read_dense(hub) | dict(qkv_bias=True, qk_norm=False)


def write(cfg):
  """The keys of config.json that `read` reads."""
  return shared.write_grouped(cfg) | {'use_sliding_window': False}


def lacks(cfg):
  """What a ModelConfig has that this family has not, '' where it fits."""
  if not cfg.qkv_bias or cfg.qk_norm:
    return f'it has a bias on q, k and v and no head norms: {cfg.qkv_bias=}, {cfg.qk_norm=}'
  return shared.not_dense(cfg)


def no_gguf(cfg):
  """Why llama.cpp would not run it, '' where it does."""
  del cfg
  return ''
