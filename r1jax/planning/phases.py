"""The programs of an RL job, compiled for devices that need not exist: nothing is allocated.

Four programs make the job: `handover.lay_out` (where decoding has a layout of its own),
`sample.generate` (a rollout of as many requests as it has slots), `steps.score` and
`steps.grpo_update`, each in its scanned form, so that 61 layers compile like one.
"""

import dataclasses
import re
import time

import jax
import jax.numpy as jnp
import numpy as np

from r1jax import params as params_lib
from r1jax import sharding
from r1jax.model import dispatch, transformer
from r1jax.planning import hlo
from r1jax.sampling import handover, sample, table
from r1jax.stages import packing, reasoning_rl
from r1jax.train import state as state_lib
from r1jax.train import steps

NAMES = ('weight hand-over', 'rollout', 'log-probabilities', 'update')
_STOPS = (64, 8)  # stop sequences and their length: a tokenizer's own differ a little


@dataclasses.dataclass(frozen=True)
class Compiled:
  """A program as the compiler left it, bytes and work on one device.

  Attributes:
    name: one of `NAMES`.
    arguments, outputs, shared, temporaries: bytes; `shared` are outputs in arguments' place.
      `temporaries` is what the compiler asked for where that was too much, the others are then 0.
    host: bytes that wait in the host's memory meanwhile (`runtime.offload`).
    program: collectives and cycles; None where it did not compile.
    refused: the compiler's reason, '' where there is none.
    seconds: the compilation took.
  """

  name: str
  arguments: float
  outputs: float
  shared: float
  temporaries: float
  host: float
  program: hlo.Program | None
  refused: str
  seconds: float


SAMPLING = NAMES[:2]  # where rollouts have devices of their own (`rl.rollout_mesh`), these do


def names(job, cfg, mesh):
  """The programs of a job that samples on `mesh`, in the order in which they run."""
  return NAMES if hands_over(job, cfg, mesh) else NAMES[1:]


def hands_over(job, cfg, mesh):
  """Whether a rollout on `mesh` has a layout of the weights of its own."""
  return job.rl.rollout_layout == 'decode' and handover.needed(cfg, mesh)


def state(job, cfg, mesh):
  """(optimizer, abstract `TrainState`, abstract frozen weights) of a job, placed on `mesh`."""
  specs = transformer.specs(cfg)
  tx = state_lib.make_optimizer(job.optimizer, specs)
  whole = params_lib.abstract(specs, cfg.param_dtype, mesh)
  trained, frozen = params_lib.split(specs, whole)
  # Where no mesh is set, JAX 0.12 places `zeros_like` of a sharded array on one device.
  with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
    make = lambda w: reasoning_rl.initial_state(job, cfg, tx, w)
    return tx, jax.eval_shape(make, trained), frozen


def bytes_held(tree):
  """Bytes of an abstract tree on one device, by its shardings."""

  def one(x):
    shape = x.sharding.shard_shape(x.shape) if x.sharding else x.shape
    return float(np.prod(shape, dtype=float)) * x.dtype.itemsize

  return sum(one(x) for x in jax.tree.leaves(tree))


def slots(job, mesh):
  """`table.Sizes` of the job's rollouts on the mesh that samples."""
  return table.sizes(
    job.rl.prompts, job.sample.group, job.sample.slots, sharding.batch_shards(mesh)
  )


def compile_one(name, job, cfg, mesh):
  """Compiles one program of the job -> `Compiled`; too little memory is a result, not an error."""
  began = time.monotonic()
  with jax.set_mesh(mesh):
    lowered = LOWER[name](job, cfg, mesh)
    try:
      done = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
      # Too little memory is an answer; anything else is a fault of ours.
      if 'RESOURCE_EXHAUSTED' not in str(error):
        raise
      spent = time.monotonic() - began
      why = str(error)
      return Compiled(name, 0, 0, 0, wanted(why), 0, None, why.split('\n')[0], spent)
  memory, text = done.memory_analysis(), done.as_text()
  # Outputs in arguments' place are counted once.
  fixed = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
  peak = memory.peak_memory_in_bytes - memory.generated_code_size_in_bytes - fixed
  # The TPU's figure for temporaries is their sum, its peak is what is alive at once, perhaps less
  # than arguments and outputs together; on a CPU or a GPU they are one allocation, which the CPU's
  # peak leaves out.
  alive = peak if mesh.devices.flat[0].platform == 'tpu' else memory.temp_size_in_bytes
  temporaries = min(memory.temp_size_in_bytes, max(alive, 0)) + hlo.library_bytes(text)
  return Compiled(
    name,
    memory.argument_size_in_bytes,
    memory.output_size_in_bytes,
    memory.alias_size_in_bytes,
    temporaries,
    memory.host_temp_size_in_bytes,
    hlo.read(text, sharding.nodes(mesh)),
    '',
    time.monotonic() - began,
  )


def wanted(message):
  """Bytes that a refusing compiler says the program needs."""
  sizes = re.findall(r'(?:\(|[Uu]sed )([\d.]+)([KMGT])', message)
  # '(16.5G' or 'Used 16.5G of'; not '16.5 GiB'.
  if not sizes:
    raise ValueError(f'the compiler ran out of memory without a number: {message[:300]}')
  power = {'K': 10, 'M': 20, 'G': 30, 'T': 40}
  return max(float(size) * 2 ** power[unit] for size, unit in sizes)


def expert_rows(job, cfg, mesh):
  """How tokens reach their experts in each phase; nothing where all experts are on each device."""
  if not cfg.moe_layers or sharding.ways(mesh, 'experts') == 1:
    return []
  held, shards = slots(job, mesh), sharding.batch_shards(mesh)
  tokens = {
    'update': job.rl.rows * job.rl.capacity,
    'prefill': held.wave * shards * job.data.max_prompt,
    'decoding': held.rows * shards,
  }
  where = sharding.expert_shards(mesh)
  said = [f'{name} {dispatch.describe(cfg, n // shards, *where)}' for name, n in tokens.items()]
  return [('experts', '; '.join(said))]


def _placed(mesh, shape, dtype, *axes):
  where = jax.sharding.NamedSharding(mesh, sharding.act(*axes))
  return jax.ShapeDtypeStruct(shape, dtype, sharding=where)


def _batch(job, cfg, mesh):
  one = packing.empty(
    reasoning_rl.layout(job, cfg), reasoning_rl.scores_old(job), bool(job.grpo.beta)
  ).batch
  # The count of micro-batches is everywhere.
  axes = lambda x: (None, 'rows', None) if x.ndim == 3 else ()
  put = lambda x: _placed(mesh, x.shape, x.dtype, *axes(x))
  return jax.tree.map(put, one)


def _weights(job, cfg, mesh):
  """All weights, in the layout of training."""
  _, held, frozen = state(job, cfg, mesh)
  return params_lib.join(held.params, frozen)


def _sampling(job, cfg, mesh):
  """The weights that a rollout reads."""
  weights = _weights(job, cfg, mesh)
  if not hands_over(job, cfg, mesh):
    return weights
  return jax.eval_shape(lambda w: handover.lay_out(w, cfg), weights)


def _hand_over(job, cfg, mesh):
  return handover.lay_out.lower(_weights(job, cfg, mesh), cfg)


def _rollout(job, cfg, mesh):
  held = slots(job, mesh)
  prompts = held.wave * held.shards
  key = jax.eval_shape(lambda: jax.random.key(0))
  return sample.generate.lower(
    _sampling(job, cfg, mesh),
    cfg,
    job.sample,
    _placed(mesh, (prompts, job.data.max_prompt), jnp.int32, 'batch', None),
    _placed(mesh, (prompts,), jnp.int32, 'batch'),
    _placed(mesh, (), key.dtype),
    cap=_placed(mesh, (), jnp.int32),
    stop_KW=_placed(mesh, _STOPS, jnp.int32, None, None),
    rows=held.rows,
  )


def _score(job, cfg, mesh):
  weights, batch = _weights(job, cfg, mesh), _batch(job, cfg, mesh)
  arguments = (batch.rows, batch.loss.mask_BT, batch.count, job.sample.temperature)
  return steps.score.lower(weights, cfg, *arguments)


def _update(job, cfg, mesh):
  tx, abstract, frozen = state(job, cfg, mesh)
  return steps.grpo_update.lower(
    abstract,
    _batch(job, cfg, mesh),
    frozen,
    cfg=cfg,
    gcfg=job.grpo,
    tx=tx,
    temperature=job.sample.temperature,
    reference_every=job.rl.reference_every,
  )


# How each program is lowered: (job, cfg, mesh) -> `jax.stages.Lowered`.
LOWER = dict(zip(NAMES, (_hand_over, _rollout, _score, _update)))
