"""Changes that make a job fit, and the search for the best mesh."""

import dataclasses

import jax

from r1jax import sharding
from r1jax.pipeline import reasoning_rl
from r1jax.planning import memory


@dataclasses.dataclass(frozen=True)
class Candidate:
  """A job that differs from what was asked by `changes`, as flags that a person can type."""

  job: object
  shape: tuple[int, ...]
  changes: tuple[str, ...]
  guess: float


def described(shape):
  """A mesh of that shape without devices."""
  explicit = (jax.sharding.AxisType.Explicit,) * len(shape)
  return jax.sharding.AbstractMesh(shape, sharding.MESH_AXES, axis_types=explicit)


def resolve(shape, count):
  """A mesh shape with its -1 filled in; ValueError where it does not multiply to `count`."""
  known = 1
  for n in shape:
    known *= n if n != -1 else 1
  full = tuple(count // known if n == -1 else n for n in shape)
  size = 1
  for n in full:
    size *= n
  if size != count:
    raise ValueError(f'mesh={tuple(shape)} does not multiply to the {count} devices')
  return full


def refused(job, cfg, shape):
  """Why a job cannot run on a mesh of that shape; '' where it can."""
  mesh = described(shape)
  try:
    cfg.check_mesh(dict(mesh.shape))
    reasoning_rl.check(job, mesh)
  except ValueError as error:
    return str(error)
  return ''


def shapes(count):
  """Every mesh of `count` devices: all ways to write it as fsdp x expert x tensor."""
  divisors = [n for n in range(1, count + 1) if count % n == 0]
  return [
    (1, count // (expert * tensor), expert, tensor)
    for expert in divisors
    for tensor in divisors
    if count % (expert * tensor) == 0
  ]


def candidates(job, cfg, count, limit):
  """Jobs that should fit in `limit` bytes, by their guess, the least change first.

  In order: other meshes; one row and one prompt a shard; moments, then the reference in bfloat16;
  no layout of the rollout's own; half the length, a quarter, an eighth.
  """
  found = []
  for level in range(8):
    meshes = [s for s in shapes(count) if cfg.moe_layers or s[2] == 1]
    options = [_changed(job, cfg, shape, level) for shape in meshes]
    fitting = [c for c in options if c and c.guess < limit and not refused(c.job, cfg, c.shape)]
    # Few experts in a row and few tensor shards communicate least.
    found += sorted(fitting, key=lambda c: (c.shape[2] * c.shape[3], c.shape[2]))
  return found


def _changed(job, cfg, shape, level):
  """The job on another mesh with `level` of the changes made; None where nothing divides."""
  shards = sharding.batch_shards(described(shape))
  changes = [f'--config.mesh={",".join(map(str, shape))}'] if shape != job.mesh else []
  rl, sample, data = job.rl, job.sample, job.data
  rows = shards if level else -(-rl.rows // shards) * shards
  chunk = rl.rollout_chunk or rl.prompts
  chunk = shards if level else -(-chunk // shards) * shards
  if rl.prompts % chunk:
    return None
  new = {'rows': rows, 'rollout_chunk': chunk}
  if level >= 3:
    new['reference_dtype'] = 'bfloat16'
  if level >= 4:
    new['rollout_layout'] = 'same'
  if level >= 5:
    max_new = sample.max_new >> (level - 4)
    sample = dataclasses.replace(sample, max_new=max_new)
    changes.append(f'--config.sample.max_new={max_new}')
    schedule = tuple((start, min(length, max_new)) for start, length in rl.length_schedule)
    new |= {'capacity': data.max_prompt + max_new, 'length_schedule': schedule}
  changes += [f'--config.rl.{k}={_flag(v)}' for k, v in new.items() if getattr(rl, k) != v]
  optimizer = job.optimizer
  if level >= 2 and optimizer.moments != 'bfloat16':
    optimizer = dataclasses.replace(optimizer, moments='bfloat16')
    changes.append('--config.optimizer.moments=bfloat16')
  evaluation, more = _evaluation(job.evaluation, shards)
  rl = dataclasses.replace(rl, **new)
  job = dataclasses.replace(
    job, mesh=shape, rl=rl, sample=sample, optimizer=optimizer, evaluation=evaluation
  )
  try:
    cfg.check_mesh(dict(described(shape).shape))
  except ValueError:
    return None
  return Candidate(job, shape, (*changes, *more), memory.guess(job, cfg, described(shape)))


def _flag(value):
  return f"'{value}'" if isinstance(value, tuple) else value


def _evaluation(config, shards):
  """Held-out questions rounded up to whole shards, as the run demands."""
  new = {k: -(-getattr(config, k) // shards) * shards for k in ('questions', 'few')}
  changes = [f'--config.evaluation.{k}={v}' for k, v in new.items() if getattr(config, k) != v]
  return dataclasses.replace(config, **new), changes


def largest(job, cfg, mesh, free, measured):
  """(rows, length) that still fit with the rest unchanged, by scaling what was compiled.

  `free` bytes are left to the activations of an update, `measured` is what they take now.
  """
  shards = sharding.batch_shards(mesh)
  rows = int(job.rl.rows / shards * free / measured) * shards
  factor, length = measured / memory.activations(job, cfg, mesh), job.rl.capacity
  low, high = 0, length * 16
  while high - low > 256:
    middle = (low + high) // 2
    asked = dataclasses.replace(job, rl=dataclasses.replace(job.rl, capacity=middle))
    fits = factor * memory.activations(asked, cfg, mesh) <= free
    low, high = (middle, high) if fits else (low, middle)
  return rows, low
