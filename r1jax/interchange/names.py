"""Which tensor of a hub checkpoint is which part of our parameter tree, by the family's tables.

A hub tensor is a torch weight ([out, in] where ours is [in, out]) and lies at one index of our
stacked leaf: layer, or layer and expert. DeepSeek's rotary rows are interleaved pairs there
(reference §2.3, §2.9), where ours are two halves.
"""

import dataclasses

import numpy as np

from r1jax.interchange import families
from r1jax.interchange.families import shared
from r1jax.model import transformer


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
  rule: shared.Rule


# What a tensor outside the layers, and what the multi-token module of a model, is called.
TOP = {
  ('embed',): shared.Rule('model.embed_tokens.weight', transposed=False),
  ('norm',): shared.vector('model.norm.weight'),
  ('head',): shared.Rule('lm_head.weight', transposed=False),
}
MTP = {
  ('norm_embed',): shared.vector('enorm.weight'),
  ('norm_hidden',): shared.vector('hnorm.weight'),
  ('w_join',): shared.Rule('eh_proj.weight'),
  ('norm',): shared.vector('shared_head.norm.weight'),
}


def table(cfg):
  """All hub tensors of a model as a list of `Entry`, in the hub's order of layers."""
  # Outside the layers, then layer by layer: the order in which a checkpoint is written.
  specs, family = transformer.specs(cfg), families.of(cfg)
  rules = shared.NORMS | family.ATTENTION
  outside = [(path, rule) for path, rule in TOP.items() if path[0] in specs]
  entries = [_entry(cfg, specs, path, rule, (), '') for path, rule in outside]
  for layer in range(cfg.layers):
    # Ours are two stacks, so a layer's number in its stack is not that on the hub.
    kind = 'dense' if layer < cfg.dense_layers else 'moe'
    at = layer - (0 if kind == 'dense' else cfg.dense_layers)
    ffn = shared.DENSE if kind == 'dense' else family.EXPERTS
    entries += _layer(cfg, specs, (kind,), rules | ffn, at, layer)
  # The multi-token module is one layer more, with a block like the model's last one.
  ffn = family.EXPERTS if cfg.moe_layers else shared.DENSE
  for at in range(cfg.mtp_layers):
    entries += _layer(cfg, specs, ('mtp',), MTP, at, cfg.layers + at)
    entries += _layer(cfg, specs, ('mtp', 'block'), rules | ffn, at, cfg.layers + at)
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
  # Pairs (0, 1), (2, 3), ... on the hub become the halves (0, 2, ...) and (1, 3, ...) of ours.
  order = np.arange(outputs)
  even, odd = np.arange(0, cfg.head_rope, 2), np.arange(1, cfg.head_rope, 2)
  pairs = np.concatenate([even, odd])
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
