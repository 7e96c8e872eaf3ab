"""What a run leaves in its folder, told before it has filled the disk."""

import pathlib
import shutil

import jax
import jax.numpy as jnp

from r1jax import params as params_lib
from r1jax.model import lora, transformer
from r1jax.planning import memory, phases


def need(job, cfg, mesh, updates):
  """(bytes of a checkpoint, most checkpoints at a time, bytes of the model that is exported).

  On disk a checkpoint is compressed, by a tenth or two.

  Args:
    job: `config.Job`; with a `grpo.beta` its checkpoints hold a reference.
    cfg: `ModelConfig` of what is trained.
    mesh: that of the run; what is counted are whole arrays, however many devices hold them.
    updates: of the whole run.
  """
  # Frozen weights are saved by their name alone.
  _, saved, _ = phases.state(job, cfg, mesh)
  checkpoint = sum(one.size * one.dtype.itemsize for one in jax.tree.leaves(saved))
  # One more while it is written: only then the oldest goes.
  count = job.loop.keep + 1 + job.loop.keep_best
  if every := job.loop.keep_every:
    count += updates // every
  made = -(-updates // job.loop.checkpoint_every) + 1  # with the one before the first update
  size = jnp.dtype(cfg.param_dtype).itemsize
  model = params_lib.count(transformer.specs(lora.without(cfg))) * size * (1 + job.loop.keep_best)
  return checkpoint, min(count, made), model


def row(job, cfg, mesh, updates):
  """(name, text) of the plan; none where the folder's file system does not say what is free."""
  folder = pathlib.Path(job.workdir).absolute()
  free = _free(folder)
  if free is None:
    return []
  checkpoint, count, model = need(job, cfg, mesh, updates)
  # What an earlier start has left makes room for what replaces it.
  there = sum(file.stat().st_size for file in folder.rglob('*') if file.is_file())
  most = count * checkpoint + model
  said = (
    f'at most {memory.size(most)} in {job.workdir}: {count} checkpoints of '
    f'{memory.size(checkpoint)}, the model {memory.size(model)}, samples; {memory.size(free)} are '
    'free'
  )
  if most > free + there:
    said = f'WILL NOT FIT: {said}; {_advice(job)}'
  return [('disk', said)]


def _free(folder):
  """Bytes that may still be written where the folder is or will be; None where nobody says."""
  try:
    place = next(one for one in (folder, *folder.parents) if one.is_dir())
    return shutil.disk_usage(place).free
  except OSError:
    return None


def _advice(job):
  if job.loop.keep_every:
    return 'keep fewer (--config.loop.keep_every=0), or make room'
  if job.loop.keep > 2:
    return 'keep fewer (--config.loop.keep=2), or make room'
  return 'make room, or name a folder on another disk: --config.workdir=DIR'
