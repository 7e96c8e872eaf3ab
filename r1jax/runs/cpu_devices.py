"""A CPU's cores as devices of the mesh.

XLA runs a program's operations one after the other, and the small ones on one core. Two devices,
each with half of the batch, keep two cores busy: a step of the tiny run is 20 % faster
(docs/results.md). More than two were not measured.
"""

import os

import jax

from r1jax import cores, sharding
from r1jax import params as params_lib
from r1jax.model import transformer
from r1jax.planning import fit, planner

_COUNT = 2
# Weights above which each device's whole copy for a rollout would be much memory; what is gained
# there was not measured.
_SMALL = 50_000_000


def share(job):
  """Lets JAX make two devices of a CPU's cores for RL of a small model whose batches divide.

  To be called before anything asks for devices. A number that the user gave stays
  (JAX_NUM_CPU_DEVICES, or XLA_FLAGS), and so does a mesh that says all its sizes. Platforms other
  than CPUs stay as they are.
  """
  # What the user asked for goes before what is quick.
  said = jax.config.jax_num_cpu_devices > 0 or 'device_count' in os.environ.get('XLA_FLAGS', '')
  if said or len(cores.available()) < _COUNT or not _may(job):
    return
  # Looked at last: it may read a checkpoint's config.
  cfg = planner.architecture(job)
  small = params_lib.count(transformer.specs(cfg)) <= _SMALL
  if small and not fit.refused(job, cfg, sharding.sizes(job.mesh, _COUNT)):
    jax.config.update('jax_num_cpu_devices', _COUNT)


def _may(job):
  """Whether the job is one that gains: RL in turns, on whatever devices there are."""
  turns = job.stage == 'reasoning_rl' and not job.rl.staleness
  return turns and -1 in job.mesh and job.runtime.kernels in ('auto', 'reference', 'cpu')
