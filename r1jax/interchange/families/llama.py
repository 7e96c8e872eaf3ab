"""Llama 2, 3 and what took their architecture over: SmolLM2, R1-Distill-Llama."""

from r1jax.interchange.families import shared

MODEL_TYPE, ARCHITECTURE, GGUF = 'llama', 'LlamaForCausalLM', 'llama'
# With a bias there would be weights for which this family has no place.
FIXED = {'attention_bias': (False,), 'mlp_bias': (False,)}
ATTENTION, EXPERTS = shared.GROUPED_ATTENTION, {}


def read(hub, dispatch):
  """ModelConfig's fields of attention and feed-forward."""
  del dispatch  # there are no experts
  grouped = shared.read_grouped(hub, shared.split_width(hub))
  return grouped | shared.read_dense(hub) | dict(qkv_bias=False, qk_norm=False)


def write(cfg):
  """The keys of config.json that `read` reads."""
  return shared.write_grouped(cfg) | {'attention_bias': False}


def lacks(cfg):
  """What a ModelConfig has that this family has not, '' where it fits."""
  if cfg.qkv_bias or cfg.qk_norm:
    return f'it has no bias on q, k and v and no head norms: {cfg.qkv_bias=}, {cfg.qk_norm=}'
  return shared.not_dense(cfg)


def no_gguf(cfg):
  """Why llama.cpp would not run it, '' where it does."""
  del cfg
  return ''
