"""Changes that make a job fit, and the search for the best mesh."""

import dataclasses
import itertools
import math

import jax

from r1jax import config as config_lib
from r1jax import sharding
from r1jax.model import config as model_config
from r1jax.planning import memory, sizes
from r1jax.stages import rl_schedule

_LEVELS = 9


@dataclasses.dataclass(frozen=True)
class Candidate:
  """A job that differs from what was asked by `changes`, as flags that a person can type."""

  job: config_lib.Job
  cfg: model_config.ModelConfig
  shape: tuple[int, ...]
  changes: tuple[str, ...]
  guess: float


def described(shape):
  """A mesh of that shape without devices."""
  shape = sharding.levels(sharding.full(shape), shape[2])
  explicit = (jax.sharding.AxisType.Explicit,) * len(shape)
  return jax.sharding.AbstractMesh(shape, sharding.MESH_AXES, axis_types=explicit)


def refused(job, cfg, shape):
  """Why a job cannot train on a mesh of that shape, or sample on its own; '' where it can."""
  # Asked of the same checks that a run asks, on meshes without devices.
  mesh, own = described(shape), job.rl.rollout_mesh
  job = sizes.least(job, mesh)
  try:
    cfg.check_mesh(dict(mesh.shape))
    if own:
      rl_schedule.check_batches(job, mesh)
      cfg.check_mesh(dict(described(own).shape))
    else:
      rl_schedule.check(job, mesh)
  except ValueError as error:
    return str(error)
  return ''


def too_much(kept, chip):
  """Why a job's arrays (`memory.ArrayBytes`) alone exceed a chip's memory; '' where they do not."""
  inside = {
    'an update holds gradients': kept.gradients,
    'a rollout holds its weights and cache': kept.decoding + kept.cache,
  }
  for what, size in inside.items():
    if kept.state + size > chip.memory:
      gib = [f'{n / 2**30:,.1f}' for n in (size, kept.state, chip.memory)]
      return f'{what} of {gib[0]} GiB per device beside {gib[1]} of state, {chip.name} has {gib[2]}'
  return ''


def shapes(count):
  """Every mesh of `count` devices: all ways to write it as fsdp x expert x tensor x context."""
  # `data` stays 1: `fsdp` splits the batch as well and the weights besides.
  divisors = [n for n in range(1, count + 1) if count % n == 0]
  ways = itertools.product(divisors, repeat=3)
  whole = (way for way in ways if count % math.prod(way) == 0)
  return [(1, count // math.prod(way), *way) for way in whole]


def candidates(job, cfg, count, limit, cost):
  """Yields lists of jobs that should fit in `limit` bytes by their guess, the least change first.

  The jobs of a list differ in their mesh and come in the order of `cost` (of a `Candidate`). The
  lists: other meshes; one row and the slots of a prompt a shard; moments, then the reference in
  bfloat16; layers' inputs on the host; no layout of the rollout's own; 1/2, 1/4, 1/8 of the length.
  """
  for level in range(_LEVELS):
    fitting = [c for c in at_level(job, cfg, count, level) if c.guess < limit]
    yield sorted(fitting, key=cost)


def at_level(job, cfg, count, level):
  """The job on every mesh that it can run on, with the changes up to `level` of `candidates`."""
  # Without experts their axis would split nothing.
  meshes = [s for s in shapes(count) if cfg.moe_layers or s[2] == 1]
  options = [_changed(job, cfg, shape, level) for shape in meshes]
  return [c for c in options if c and not refused(c.job, c.cfg, c.shape)]


def _changed(job, cfg, shape, level):
  """The job on another mesh with `level` of the changes made; None where nothing divides."""
  mesh = described(shape)
  row_shards = sharding.row_shards(mesh)
  changes = [f'--config.mesh={",".join(map(str, shape))}'] if shape != job.mesh else []
  rl, sample, data = job.rl, job.sample, job.data
  # Level 1: one row and the slots of one prompt a shard; at level 0 rows are rounded up to shards.
  rows = row_shards if level else -(-rl.rows // row_shards) * row_shards
  new = {'rows': rows}
  if level and (not sample.slots or sample.slots > sample.group):
    sample = dataclasses.replace(sample, slots=sample.group)
    changes.append(f'--config.sample.slots={sample.group}')
  # Levels 2 and 3: smaller types, moments before the reference.
  if level >= 3:
    new['reference_dtype'] = 'bfloat16'
  # Level 4: layers' inputs wait on the host.
  if level >= 4 and not cfg.offload:
    cfg = dataclasses.replace(cfg, remat=True, offload=True)
    changes += [f'--config.runtime.{name}=True' for name in ('remat', 'offload')]
  # Level 5: no second set of weights for the rollout, at the cost of gathering at each token.
  if level >= 5:
    new['rollout_layout'] = 'same'
  # Levels 6 to 8: half the length, a quarter, an eighth. This changes what is learned.
  if level >= 6:
    max_new = sample.max_new >> (level - 5)
    sample = dataclasses.replace(sample, max_new=max_new)
    changes.append(f'--config.sample.max_new={max_new}')
    schedule = tuple((start, min(length, max_new)) for start, length in rl.length_schedule)
    new |= {'capacity': data.max_prompt + max_new, 'length_schedule': schedule}
  changes += [f'--config.rl.{k}={_flag(v)}' for k, v in new.items() if getattr(rl, k) != v]
  # Level 2, last as it belongs to another section of the config.
  optimizer = job.optimizer
  if level >= 2 and optimizer.moments != 'bfloat16':
    optimizer = dataclasses.replace(optimizer, moments='bfloat16')
    changes.append('--config.optimizer.moments=bfloat16')
  rl = dataclasses.replace(rl, **new)
  model = cfg if job.model else None
  runtime = dataclasses.replace(job.runtime, remat=cfg.remat, offload=cfg.offload)
  job = dataclasses.replace(
    job, mesh=shape, model=model, runtime=runtime, rl=rl, sample=sample, optimizer=optimizer
  )
  try:
    cfg.check_mesh(dict(mesh.shape))
  except ValueError:
    return None
  return Candidate(job, cfg, shape, tuple(changes), memory.guess(job, cfg, mesh))


def _flag(value):
  # A shell would take the parentheses for its own.
  return f"'{value}'" if isinstance(value, tuple) else value


def largest(job, cfg, mesh, free, measured):
  """(rows, length) that still fit with the rest unchanged, by scaling what was compiled.

  `free` bytes are left to the activations of an update, `measured` is what they take now.
  """
  shards = sharding.row_shards(mesh)
  rows = int(job.rl.rows / shards * free / measured) * shards
  # The guess is wrong by a factor that is about the same at other lengths.
  length = job.rl.capacity
  factor = measured / memory.activations(cfg, mesh, job.rl.rows, length)
  low, high = 0, length * 16
  # Bisection, as attention's scores make it no straight line.
  while high - low > 256:
    middle = (low + high) // 2
    fits = factor * memory.activations(cfg, mesh, job.rl.rows, middle) <= free
    low, high = (middle, high) if fits else (low, middle)
  return rows, low
