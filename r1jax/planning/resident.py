"""What a run takes of the memory that is there, told before it takes it.

On a CPU all devices share the memory with the process itself, and nobody but the kernel refuses.
"""

import dataclasses
import pathlib

import jax

from r1jax import sharding
from r1jax.planning import memory
from r1jax.sampling import handover

# Python, JAX, a tokenizer, compiled programs and what their compilation has left behind: measured
# at the begin of the first update of r1_zero:smollm2, 2.3 GiB with 1.5 GiB of state.
PROCESS = 0.8 * 2**30
_CGROUPS = ('memory.max', 'memory/memory.limit_in_bytes')  # of version 2 and 1
_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Updates:
  """What learns: the flag that names the rows of a micro-batch, their number and length.

  `beside`: bytes of further weights that stay, such as a teacher's. `saves`: whether checkpoints
  are written while updates go on.
  """

  flag: str
  rows: int
  length: int
  beside: float = 0.0
  saves: bool = False


def of_rl(job):
  """`Updates` of an RL job."""
  saves = job.rl.updates > job.loop.checkpoint_every
  return Updates('rl.rows', job.rl.rows, job.rl.capacity, saves=saves)


def peak(cfg, mesh, held, updates):
  """Bytes at the peak of an update or of a rollout, whichever is higher.

  On a CPU of this process, elsewhere of a device. `held`: `memory.ArrayBytes` of one device.
  """
  here = shared(mesh)
  return max(ask(cfg, mesh, held, updates, here) for ask in (in_update, in_rollout))


def shared(mesh):
  """Devices of the mesh that share this process's memory: a CPU's; 0 where each has its own."""
  cpu = _device(mesh).platform == 'cpu'
  return sum(one.process_index == jax.process_index() for one in mesh.devices.flat) if cpu else 0


def in_update(cfg, mesh, held, updates, here):
  """Bytes at the peak of an update: of a device, or of this process where `here` (of `shared`)."""
  # On a CPU the gradient of the micro-batch at work, and the sum over those before it; compilers
  # for other devices add in place.
  inside = (2 if here else 1) * held.gradients
  inside += memory.activations(cfg, mesh, updates.rows, updates.length)
  return _around(mesh, held, updates, here, inside, updates.saves)


def in_rollout(cfg, mesh, held, updates, here):
  """The same at the peak of a rollout."""
  weights, tpu = held.decoding, mesh.devices.flat[0].platform == 'tpu'
  # An unrolled sampler holds the layers beside the stacks that it has cut them from.
  cut = handover.layers(cfg, mesh, cfg.compute_dtype if weights else cfg.param_dtype)
  # Without a layout of its own decoding casts them: a TPU's compiler does so once for all tokens.
  if tpu and cfg.param_dtype != cfg.compute_dtype:
    weights = weights or handover.held(cfg, mesh)
  # While a step of the sampler writes to the cache, or slots become fewer, parts of it exist twice.
  # The state before the first update is written while the first rollout is sampled.
  return _around(mesh, held, updates, here, weights + cut + 1.5 * held.cache, True)


def _around(mesh, held, updates, here, inside, copied):
  """All that there is with `inside` on each device; `copied`: while a checkpoint is written."""
  one = held.state + inside
  if not here:
    return one + updates.beside / mesh.size
  # What is trained is as large as its gradient. A device with memory of its own keeps no copy.
  copy = held.gradients + held.optimizer + held.reference if copied else 0.0
  return PROCESS + updates.beside + here * (one + copy)


def row(cfg, mesh, held, updates):
  """(name, text) of the plan; none where nobody says how much memory there is."""
  name, whose, free = 'resident', 'of this machine', unused(mesh)
  if _device(mesh).platform != 'cpu':
    name, whose = ('device memory', 'per device, by a formula,')
  if free is None:
    return []
  need = peak(cfg, mesh, held, updates)
  said = f'about {need / _GIB:.1f} GiB {whose} at the peak, {free / _GIB:.1f} GiB are free'
  if need > free:
    said = f'WILL NOT FIT: {said}; {_advice(cfg, mesh, held, updates, free)}'
  return [(name, said)]


def unused(mesh):
  """Bytes that a run may still take, of this machine or of each device; None where nobody says."""
  device = _device(mesh)
  if device.platform == 'cpu':
    return available()
  stats = device.memory_stats() or {}
  return stats['bytes_limit'] - stats.get('bytes_in_use', 0) if 'bytes_limit' in stats else None


def available():
  """Bytes that this process may still take; None where the system does not say."""
  try:
    lines = pathlib.Path('/proc/meminfo').read_text().splitlines()
  except OSError:
    return None
  [line] = [one for one in lines if one.startswith('MemAvailable:')]
  free = int(line.split()[1]) * 1024
  limits = (pathlib.Path('/sys/fs/cgroup') / name for name in _CGROUPS)
  # A container's limit is for all that is in it; 'max' is none.
  texts = (path.read_text().strip() for path in limits if path.exists())
  return min([free, *(int(text) for text in texts if text.isdigit())])


def _advice(cfg, mesh, held, updates, free):
  """What fits, in the order of what it costs."""
  shards = sharding.row_shards(mesh)
  fewer = range(updates.rows - shards, 0, -shards)

  def most(cfg, choices):
    """The first number of rows that fits; None where none does."""
    needs = lambda rows: peak(cfg, mesh, held, dataclasses.replace(updates, rows=rows))
    return next((rows for rows in choices if needs(rows) <= free), None)

  if rows := most(cfg, fewer):
    return f'with --config.{updates.flag}={rows} it fits'
  remat = dataclasses.replace(cfg, remat=True)
  if not cfg.remat and (rows := most(remat, [updates.rows, *fewer])):
    return f'with --config.runtime.remat=True --config.{updates.flag}={rows} it fits, but slower'
  return 'take a smaller model, or adapters: --config.lora.rank=16'


def _device(mesh):
  """One of the devices of this process; all of them are alike."""
  return mesh.local_devices[0]
