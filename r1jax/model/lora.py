"""LoRA: frozen matrices with a trained low-rank side path, xW + scale (xA)B (arXiv 2106.09685).

An `Adapted` stands in the parameter tree where its matrix stood, and `layers.project` takes either:
trainer, sampler and everything that maps over the tree are the same with adapters and without.
"""

import dataclasses
from typing import Annotated, Any

import flax.struct
import jax
import numpy as np

from r1jax import params as params_lib
from r1jax import ranges
from r1jax.params import Param

# What a user can adapt, by the hub's names of modules, which are peft's too -> our leaf.
ATTENTION = {
  'q_proj': 'w_q',
  'k_proj': 'w_k',
  'v_proj': 'w_v',
  'o_proj': 'w_out',
  'q_a_proj': 'w_q_down',
  'q_b_proj': 'w_q_up',
  'kv_a_proj_with_mqa': 'w_kv_down',
}
FFN = {'gate_proj': 'w_gate', 'up_proj': 'w_up', 'down_proj': 'w_down'}
GROUPS = {'attention': ATTENTION, 'ffn': FFN}
# Parts of a model that other tools adapt and this one does not, with the reason.
_REFUSED = {
  'kv_b_proj': 'a step of decoding applies it to the query and never multiplies by it',
  'experts': 'routed experts are multiplied in groups, which have no side path',
  'lm_head': 'the head is read in chunks of the vocabulary, which have no side path',
  'embed_tokens': 'its rows are looked up, not multiplied',
}


@dataclasses.dataclass(frozen=True)
class LoraConfig:
  """What is trained beside frozen weights.

  Attributes:
    rank: columns of A and rows of B; 0 trains all weights.
    alpha: the side path counts alpha / rank.
    targets: 'attention', 'ffn' (not the routed experts), or modules by the hub's names: 'q_proj'.
  """

  rank: ranges.Size = 0
  alpha: Annotated[float, ranges.Range(0, 1e6, above=True)] = 32.0
  targets: tuple[str, ...] = ('attention', 'ffn')

  def __post_init__(self):
    ranges.check(self)
    ranges.require(self, len(self.targets) > 0, '{targets} must name one part at least')


@flax.struct.dataclass
class Adapted:
  """A matrix [D, F] that is frozen, and its adapter.

  Attributes:
    base: the matrix, of any type.
    a, b: float32 [D, r] and [r, F]; stacked layers have a leading axis, as `base` has.
    scale: of the side path.
  """

  base: Any
  a: Any
  b: Any
  scale: float = flax.struct.field(pytree_node=False)


def is_adapted(leaf):
  """Whether `leaf` is a matrix with an adapter, for `tree.map(..., is_leaf=is_adapted)`."""
  return isinstance(leaf, Adapted)


def check(lora, width, blocks):
  """Raises ValueError, with the key as the user writes it, where adapters do not fit a model.

  Args:
    lora: LoraConfig.
    width: of the residual stream.
    blocks: spec trees of the model's kinds of layer.
  """
  if lora.rank > width:
    raise ValueError(
      f'config.lora.rank={lora.rank} is above the width of the model, {width}: no matrix of that '
      'width has so many directions'
    )
  here = {name for block in blocks for part in _parts(block).values() for name in part}
  for target in lora.targets:
    if target in _REFUSED:
      raise ValueError(f'config.lora.targets: {target!r} takes no adapter: {_REFUSED[target]}')
    modules = GROUPS.get(target, {target: (ATTENTION | FFN).get(target)})
    if target not in GROUPS and target not in ATTENTION | FFN:
      raise ValueError(
        f'config.lora.targets: {target!r} is not one of {", ".join([*GROUPS, *ATTENTION, *FFN])}'
      )
    if not here & set(modules.values()):
      there = [name for name, leaf in (ATTENTION | FFN).items() if leaf in here]
      raise ValueError(
        f'config.lora.targets: this model has no {target!r} that takes an adapter, only '
        f'{", ".join(there)}'
      )


def adapt(lora, block):
  """The specs of one layer with an `Adapted` in place of each target."""
  if not lora.rank:
    return block
  modules = {}
  for target in lora.targets:
    modules |= GROUPS.get(target) or {target: (ATTENTION | FFN)[target]}
  chosen = set(modules.values())

  def beside(part):
    new = {name: _adapted(lora, p) for name, p in part.items() if name in chosen}
    return part | new

  adapted = {place: beside(part) for place, part in _parts(block).items()}
  ffn = block['ffn'] | {'shared': adapted['shared']} if 'shared' in adapted else block['ffn']
  return block | {'attention': adapted['attention'], 'ffn': adapted.get('ffn', ffn)}


def freeze(specs):
  """The spec tree with everything but adapters frozen."""

  def still(leaf):
    if is_adapted(leaf):
      return leaf.replace(base=still(leaf.base))
    return dataclasses.replace(leaf, trainable=False, frozen=True)

  stop = lambda leaf: is_adapted(leaf) or params_lib.is_param(leaf)
  return jax.tree.map(still, specs, is_leaf=stop)


def delta(a, b, scale):
  """What an adapter adds to its matrix: float32 NumPy [D, F] of A [D, r] and B [r, F]."""
  # Summed in float64, so that the order of the sum does not show.
  product = a.astype(np.float64) @ b.astype(np.float64)
  return (scale * product).astype(np.float32)


def without(cfg):
  """The ModelConfig of the same model once its adapters are merged."""
  return dataclasses.replace(cfg, lora=LoraConfig())


def attach(params, specs, key):
  """A base's weights with new adapters: A random, B zero, so that the model is still the base.

  Args:
    params: tree of the model without adapters.
    specs: spec tree of the model with them.
    key: PRNG key; each matrix has one of its own, named by its path.
  """
  wanted = params_lib.trained(specs)
  new = jax.jit(lambda key: params_lib.init(wanted, key, 0.0, 'float32'))(key)

  def one(spec, fresh, weight):
    return spec.replace(base=weight, a=fresh.a, b=fresh.b) if is_adapted(spec) else weight

  stop = lambda leaf: is_adapted(leaf) or params_lib.is_param(leaf)
  return jax.tree.map(one, specs, new, params, is_leaf=stop)


def _parts(block):
  """Name -> specs of the parts of a layer that may have adapters."""
  ffn = block['ffn']
  if 'experts' not in ffn:
    return {'attention': block['attention'], 'ffn': ffn}
  shared = {'shared': ffn['shared']} if 'shared' in ffn else {}
  return {'attention': block['attention']} | shared


def _adapted(lora, p):
  inner, outer = p.shape
  # In float32 whatever the base is: at LoRA's rates too an update is below a bfloat16 step.
  a = Param((inner, lora.rank), (p.axes[0], None), init='fan_in', float32=True)
  b = Param((lora.rank, outer), (None, p.axes[1]), init='zeros', float32=True)
  return Adapted(p, a, b, lora.alpha / lora.rank)
