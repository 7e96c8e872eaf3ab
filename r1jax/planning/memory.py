"""Bytes on one device: what the shardings and the compiler say, and a guess before compiling."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from r1jax import params as params_lib
from r1jax import sharding
from r1jax.kernels import attention_cpu, output_head, output_head_some, reference
from r1jax.model import dispatch, transformer
from r1jax.planning import phases, residuals
from r1jax.sampling import handover


@dataclasses.dataclass(frozen=True)
class Split:
  """Where the bytes of one device are during a phase.

  `decoding`: the rollout's own weights; `ahead`: the older sets that rollouts ahead of training
  are sampled by (`rl.staleness`).
  """

  parameters: float
  reference: float
  optimizer: float
  decoding: float
  ahead: float
  gradients: float
  cache: float
  activations: float
  batch: float

  @property
  def total(self):
    """All of them."""
    return sum(dataclasses.astuple(self))


@dataclasses.dataclass(frozen=True)
class ArrayBytes:
  """Exact bytes of the long-lived arrays, and of what lives inside the programs."""

  parameters: float
  reference: float
  optimizer: float
  decoding: float
  ahead: float
  gradients: float
  cache: float

  @property
  def state(self):
    """What stays on the device in every phase."""
    return self.parameters + self.reference + self.optimizer + self.ahead


def held(job, cfg, mesh):
  """`ArrayBytes` of a job on a mesh (which may be abstract)."""
  _, state, frozen = phases.state(job, cfg, mesh)
  # Beside frozen weights, all that grows with what is trained is as small as adapters are.
  trained = phases.bytes_held(state.params)
  return ArrayBytes(
    trained + phases.bytes_held(frozen),
    phases.bytes_held(state.reference),
    phases.bytes_held(state.optimizer),
    handover.held(cfg, mesh) if phases.hands_over(job, cfg, mesh) else 0.0,
    job.rl.staleness * trained,
    trained,
    cache(job, cfg, mesh),
  )


def apart(job, cfg, train, sample):
  """`ArrayBytes` of the devices that train and of those that only sample (`rl.rollout_mesh`).

  The latter keep copies of the weights alone: the one they sample by and, as `ahead`, later ones.
  """
  trains, samples = (held(job, cfg, mesh) for mesh in (train, sample))
  # A gradient is as large as what is trained.
  ahead = (job.rl.staleness - 1) * samples.gradients
  return (
    dataclasses.replace(trains, decoding=0.0, ahead=0.0, cache=0.0),
    dataclasses.replace(samples, reference=0.0, optimizer=0.0, gradients=0.0, ahead=ahead),
  )


def cache(job, cfg, mesh):
  """Bytes on one device of the cache of a rollout's slots and of the prompts that wait."""
  # Latent attention keeps one row for all heads, whole on each device of `tensor`.
  row = cfg.kv_latent + cfg.head_rope
  if cfg.attention == 'gqa':
    row = cfg.kv_heads * (cfg.head_qk + cfg.head_value) / sharding.ways(mesh, 'heads')
  held = phases.slots(job, mesh)
  # Beside the slots, a row for each prompt of a wave, as wide as a prompt.
  columns = held.rows * (job.data.max_prompt + job.sample.max_new) + held.wave * job.data.max_prompt
  size = jnp.dtype(cfg.compute_dtype).itemsize
  return columns * row * cfg.layers * size


def split(compiled, kept):
  """`Split` of a phase; the state stays on the devices in every phase.

  What a program holds of gradients or cache is exact; activations are the rest of its temporaries.
  """
  gradients = kept.gradients if compiled.name == 'update' else 0.0
  cache = kept.cache if compiled.name == 'rollout' else 0.0
  # The compiler may need less than what they take apart, where it reuses memory.
  inside = min(gradients + cache, compiled.temporaries)
  scale = inside / (gradients + cache) if inside else 0.0
  decoding = kept.decoding if compiled.name in ('weight hand-over', 'rollout') else 0.0
  # The long-lived arrays that are arguments of the program; the rest of those is the batch.
  own = {
    'weight hand-over': kept.parameters + decoding,
    'rollout': decoding or kept.parameters,
    'update': kept.parameters + kept.reference + kept.optimizer,
  }.get(compiled.name, kept.parameters)
  beside = compiled.arguments + compiled.outputs - compiled.shared - own
  return Split(
    parameters=kept.parameters,
    reference=kept.reference,
    optimizer=kept.optimizer,
    decoding=decoding,
    ahead=kept.ahead,
    gradients=gradients * scale,
    cache=cache * scale,
    activations=compiled.temporaries - inside,
    batch=max(beside, 0.0),
  )


def guess(job, cfg, mesh):
  """Bytes at the peak of an update and of a rollout before anything is compiled.

  Formulas of the reference ops, good for ranking meshes: attention keeps scores of a block of
  queries in float32, the sorted experts what `model.dispatch` lets them see at once, the head its
  whole matrix, the gradient of that, and a chunk of logits.
  """
  kept, size = held(job, cfg, mesh), jnp.dtype(cfg.compute_dtype).itemsize
  # An update at its peak, and a rollout at its.
  update = kept.state + kept.gradients + activations(cfg, mesh, job.rl.rows, job.rl.capacity)
  layers = 2 * layer_values(cfg, mesh) * size
  rollout = kept.state + kept.decoding + 1.5 * kept.cache + layers
  return max(update, rollout)


def activations(cfg, mesh, all_rows, length):
  """Guess of what micro-batches of `all_rows` rows of `length` tokens add to state and gradients.

  For Qwen 1.5B on v5e:2x4, 8 rows of 4,096 and of 32,768 tokens, the compiler asked for 3.6 and 7.0
  GiB where this gave 4.0 and 7.7; since then the head has been counted in smaller blocks.
  """
  shards, size = sharding.row_shards(mesh), jnp.dtype(cfg.compute_dtype).itemsize
  rows = all_rows / shards
  context = sharding.row_devices(mesh)
  tokens = math.ceil(rows * length / context)
  heads = cfg.heads / sharding.ways(mesh, 'heads')
  # Scores, their softmax and its gradient, in float32: of one tile, or of one block of queries.
  queries = min(length, max(64, length / 8), reference.BLOCK)
  pairs = attention_cpu.TILE**2 if cfg.kernels == 'cpu' else rows * queries * length
  scores = 3 * 4 * heads / context * pairs
  if cfg.kernels == 'cudnn':  # no scores: a mask of whole rows in 16 bits, and its gradient
    scores = 2 * 2 * rows * length**2
  vocab = cfg.vocab / sharding.ways(mesh, 'vocab')
  # The matrix and, unless it is frozen, its gradient in float32, both again in bfloat16; logits of
  # a block of tokens against a chunk of the vocabulary, their softmax and its gradient.
  logits = output_head_some.block_size(tokens) * output_head.chunk_size(tokens, vocab, cfg.width)
  head = (6 if cfg.lora.rank else 12) * vocab * cfg.width + 3 * 4 * logits
  # The input of each layer, kept for the backward pass; with `offload` of those on their way.
  residual = (2 if cfg.offload else cfg.layers) * tokens * cfg.width * size
  if not cfg.remat:
    residual = cfg.layers * rows * residuals.of_layer(cfg, length, mesh)
  # Queries, keys, values and outputs with their gradients, of the layer at work.
  heads_wide = 8 * tokens * heads * (cfg.head_qk + cfg.head_value) * size
  experts = 0.0
  if cfg.moe_layers:
    nodes, near = sharding.expert_shards(mesh)
    seen = dispatch.rows(cfg, tokens, nodes, near)
    copies = dispatch.copies(cfg, nodes * near)
    wide = 2 * cfg.width + 3 * cfg.moe.ffn / sharding.ways(mesh, 'ffn')
    experts = 2 * size * seen * (3 * cfg.width + copies * wide)
  # Two layers' weights: one at work, the next on its way. Scores, experts and head never meet.
  weights = 2 * layer_values(cfg, mesh) * size
  return residual + weights + heads_wide + max(scores, experts, head)


def layer_values(cfg, mesh):
  """Values of the largest layer's weights as used: whole over `fsdp`, split over the other axes."""
  kind = 'moe' if cfg.moe_layers else 'dense'

  def one(p):
    where = jax.sharding.NamedSharding(mesh, sharding.gathered(p.axes))
    return math.prod(where.shard_shape(p.shape))

  specs = transformer.block_specs(cfg, kind)
  return sum(one(p) for p in jax.tree.leaves(specs, is_leaf=params_lib.is_param))


def size(count):
  """Bytes in GiB, few of them in MiB: '1.50 GiB', '12.0 MiB'."""
  return f'{count / 2**30:,.2f} GiB' if count > 2**30 / 10 else f'{count / 2**20:,.1f} MiB'
