"""Which tensor of a hub checkpoint is which part of our parameter tree: one table a family.

A hub tensor is a torch weight ([out, in] where ours is [in, out]), lies at one index of our stacked
leaf (layer, or layer and expert) and, for DeepSeek, has its rotary rows as interleaved pairs
(reference §2.3, §2.9).
"""

import dataclasses

import numpy as np

from r1jax.model import transformer


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
  transposed: bool = True
  rotary: str = ''


@dataclasses.dataclass(frozen=True)
class Entry:
  """One hub tensor and its place in our tree.

  Attributes:
    name: the tensor's name on the hub.
    leaf: path of our leaf in the tree of `transformer.specs`.
    index: the tensor's place in the leading, stacked axes of the leaf.
    shape: the tensor's shape on the hub.
    rule: transposition and rotary order.
  """

  name: str
  leaf: tuple[str, ...]
  index: tuple[int, ...]
  shape: tuple[int, ...]
  rule: Rule


def _vector(name):
  return Rule(name, transposed=False)


NORMS = {
  ('norm_attention',): _vector('input_layernorm.weight'),
  ('norm_ffn',): _vector('post_attention_layernorm.weight'),
}
MLA = {
  ('attention', 'w_q'): Rule('self_attn.q_proj.weight', rotary='heads'),
  ('attention', 'w_q_down'): Rule('self_attn.q_a_proj.weight'),
  ('attention', 'q_norm'): _vector('self_attn.q_a_layernorm.weight'),
  ('attention', 'w_q_up'): Rule('self_attn.q_b_proj.weight', rotary='heads'),
  ('attention', 'w_kv_down'): Rule('self_attn.kv_a_proj_with_mqa.weight', rotary='tail'),
  ('attention', 'kv_norm'): _vector('self_attn.kv_a_layernorm.weight'),
  ('attention', 'w_kv_up'): Rule('self_attn.kv_b_proj.weight'),
  ('attention', 'w_out'): Rule('self_attn.o_proj.weight'),
}
GQA = {
  ('attention', 'w_q'): Rule('self_attn.q_proj.weight'),
  ('attention', 'w_k'): Rule('self_attn.k_proj.weight'),
  ('attention', 'w_v'): Rule('self_attn.v_proj.weight'),
  ('attention', 'w_out'): Rule('self_attn.o_proj.weight'),
  ('attention', 'b_q'): _vector('self_attn.q_proj.bias'),
  ('attention', 'b_k'): _vector('self_attn.k_proj.bias'),
  ('attention', 'b_v'): _vector('self_attn.v_proj.bias'),
  ('attention', 'q_norm'): _vector('self_attn.q_norm.weight'),
  ('attention', 'k_norm'): _vector('self_attn.k_norm.weight'),
}
DENSE = {
  ('ffn', 'w_gate'): Rule('mlp.gate_proj.weight'),
  ('ffn', 'w_up'): Rule('mlp.up_proj.weight'),
  ('ffn', 'w_down'): Rule('mlp.down_proj.weight'),
}
MOE = {
  ('ffn', 'w_router'): Rule('mlp.gate.weight'),
  ('ffn', 'router_bias'): _vector('mlp.gate.e_score_correction_bias'),
  ('ffn', 'experts', 'w_gate'): Rule('mlp.experts.{expert}.gate_proj.weight'),
  ('ffn', 'experts', 'w_up'): Rule('mlp.experts.{expert}.up_proj.weight'),
  ('ffn', 'experts', 'w_down'): Rule('mlp.experts.{expert}.down_proj.weight'),
  ('ffn', 'shared', 'w_gate'): Rule('mlp.shared_experts.gate_proj.weight'),
  ('ffn', 'shared', 'w_up'): Rule('mlp.shared_experts.up_proj.weight'),
  ('ffn', 'shared', 'w_down'): Rule('mlp.shared_experts.down_proj.weight'),
}
MTP = {
  ('norm_embed',): _vector('enorm.weight'),
  ('norm_hidden',): _vector('hnorm.weight'),
  ('w_join',): Rule('eh_proj.weight'),
  ('norm',): _vector('shared_head.norm.weight'),
}
TOP = {
  ('embed',): Rule('model.embed_tokens.weight', transposed=False),
  ('norm',): _vector('model.norm.weight'),
  ('head',): Rule('lm_head.weight', transposed=False),
}


def family(cfg):
  """The hub's `model_type` of a ModelConfig; ValueError for a mixture that no family there has."""
  if cfg.attention == 'mla':
    if cfg.qkv_bias or cfg.qk_norm or cfg.tied:
      raise ValueError(f'deepseek_v3 has no {cfg.qkv_bias=}, {cfg.qk_norm=} or {cfg.tied=}')
    return 'deepseek_v3'
  if cfg.moe or cfg.mtp_layers or cfg.head_nope or cfg.head_value != cfg.head_rope:
    raise ValueError(
      'no hub family has grouped-query attention with experts, a multi-token module or heads in '
      f'two parts: {cfg.moe=}, {cfg.mtp_layers=}, {cfg.head_nope=}, {cfg.head_rope=}, '
      f'{cfg.head_value=}'
    )
  if cfg.qkv_bias and cfg.qk_norm:
    raise ValueError('no hub family has both a bias (qwen2) and a norm (qwen3) on queries and keys')
  return 'qwen2' if cfg.qkv_bias else 'qwen3' if cfg.qk_norm else 'llama'


def table(cfg):
  """All hub tensors of a model as a list of `Entry`, in the hub's order of layers."""
  specs = transformer.specs(cfg)
  rules = MLA if cfg.attention == 'mla' else GQA
  entries = [
    _entry(cfg, specs, path, rule, (), '') for path, rule in TOP.items() if path[0] in specs
  ]
  for layer in range(cfg.layers):
    kind = 'dense' if layer < cfg.dense_layers else 'moe'
    at = layer - (0 if kind == 'dense' else cfg.dense_layers)
    ffn = DENSE if kind == 'dense' else MOE
    entries += _layer(cfg, specs, (kind,), NORMS | rules | ffn, at, layer)
  ffn = MOE if cfg.moe_layers else DENSE
  for at in range(cfg.mtp_layers):
    entries += _layer(cfg, specs, ('mtp',), MTP, at, cfg.layers + at)
    entries += _layer(cfg, specs, ('mtp', 'block'), NORMS | rules | ffn, at, cfg.layers + at)
  return entries


def copies(cfg):
  """Tensors that repeat another one on the hub: name -> the name that they must equal.

  The MTP layer carries the embedding and the head again; a tied model may carry its head.
  """
  same = {'lm_head.weight': 'model.embed_tokens.weight'} if cfg.tied else {}
  head = 'model.embed_tokens.weight' if cfg.tied else 'lm_head.weight'
  for layer in range(cfg.layers, cfg.layers + cfg.mtp_layers):
    same[f'model.layers.{layer}.embed_tokens.weight'] = 'model.embed_tokens.weight'
    same[f'model.layers.{layer}.shared_head.head.weight'] = head
  return same


def spec_at(specs, path):
  """The spec (or array) at `path` of a tree of dicts."""
  for key in path:
    specs = specs[key]
  return specs


def rotary_order(cfg, rule, outputs):
  """Hub row of each of our columns where the rotary ones are in another order, else None."""
  if not rule.rotary or cfg.attention != 'mla':
    return None
  order = np.arange(outputs)
  pairs = np.concatenate([np.arange(0, cfg.head_rope, 2), np.arange(1, cfg.head_rope, 2)])
  group = cfg.head_qk if rule.rotary == 'heads' else outputs
  for end in range(group, outputs + 1, group):
    order[end - cfg.head_rope : end] = end - cfg.head_rope + pairs
  return order


def _layer(cfg, specs, root, rules, at, layer):
  """Entries of one layer: the rules whose leaf this model has."""
  entries = []
  for path, rule in rules.items():
    if not _has(specs, root + path):
      continue
    experts = range(cfg.moe.experts) if 'experts' in path else [None]
    for expert in experts:
      index = (at,) if expert is None else (at, expert)
      entries.append(
        _entry(cfg, specs, root + path, rule, index, f'model.layers.{layer}.', expert=expert)
      )
  return entries


def _entry(cfg, specs, path, rule, index, prefix, expert=None):
  shape = spec_at(specs, path).shape[len(index) :]
  name = prefix + rule.name.replace('{expert}', str(expert))
  return Entry(name, path, index, shape[::-1] if rule.transposed else shape, rule)


def _has(specs, path):
  for key in path:
    if key not in specs:
      return False
    specs = specs[key]
  return True
