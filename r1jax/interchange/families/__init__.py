"""The model families of the hub, one file each: config in and out, tensor names, limits of GGUF.

A new family is a file with the names of the others and its place in `ALL`. Which tokenizer a model
has is no matter of its family: R1's distillations have DeepSeek's tokens over Qwen's and Llama's
words, so `gguf_vocabulary` looks at the tokenizer itself.
"""

from r1jax.interchange.families import deepseek_v3, llama, qwen2, qwen3, qwen3_moe

ALL = {family.MODEL_TYPE: family for family in (deepseek_v3, qwen2, qwen3, qwen3_moe, llama)}


def of(cfg):
  """The family (a module) that has a ModelConfig; ValueError, family by family, where none has."""
  reasons = {name: family.lacks(cfg) for name, family in ALL.items()}
  for name, reason in reasons.items():
    if not reason:
      return ALL[name]
  listed = '; '.join(f'{name}: {reason}' for name, reason in reasons.items())
  raise ValueError(f'no hub family has this mixture, so it cannot be written for the hub: {listed}')
