"""Machines by name: their data sheets, and devices to compile for without having them.

`v4:`, `v5e:`, `v5p:` and `v6e:` shapes come from libtpu, `h100:8` from JAX's CUDA plugin: both hold
the real compiler, which needs no device. Without the plugin CPU devices stand in for GPUs. This
machine is `cpu:N`, with so many devices.
"""

import dataclasses
import os
import re
import time

import jax
import jax.numpy as jnp
from jax.experimental import topologies

from r1jax.planning import gpus


@dataclasses.dataclass(frozen=True)
class Chip:
  """Data sheet of one device.

  Attributes:
    name: as in a topology's name.
    memory: bytes a device can hold.
    peak: bfloat16 FLOP/s; float32 for a CPU and T4, which has no units for the other.
    bandwidth: bytes/s of that memory.
    link: bytes/s to other devices, all links together, one direction.
    network: bytes/s from other nodes, a device's share; 0 where a topology is one node always.
    clock: cycles/s of the matrix units, for the compiler's own cycle counts; 0 where it gives none.
    host_devices: devices of one host.
    source: where the numbers are from.
  """

  name: str
  memory: float
  peak: float
  bandwidth: float
  link: float
  network: float
  clock: float
  host_devices: int
  source: str


_GIB, _TPU, _GPU = 2**30, 'cloud.google.com/tpu/docs/', 'NVIDIA data sheet '

# Between DGX hosts each GPU has an adapter of 200 (A100) or 400 Gb/s (docs.nvidia.com/dgx-basepod).
# The clock is the peak over what the matrix units do a cycle: v4 and v5p 8 units of 128 x 128, v5e
# 4 of them, v6e 2 of 256 x 256 counted twice, two FLOPs each.
CHIPS = {
  chip.name: chip
  for chip in (
    Chip('v4', 32 * _GIB, 275e12, 1.2e12, 300e9, 0, 1.05e9, 4, f'{_TPU}v4'),
    Chip('v5e', 16 * _GIB, 197e12, 0.8e12, 200e9, 0, 1.5e9, 4, f'{_TPU}v6e (its column v5e)'),
    Chip('v5p', 95 * _GIB, 459e12, 2.765e12, 600e9, 0, 1.75e9, 4, f'{_TPU}v5p'),
    Chip('v6e', 32 * _GIB, 918e12, 1.6e12, 400e9, 0, 1.75e9, 4, f'{_TPU}v6e'),
    # Cards without links: PCI Express 3 and 4, one node.
    Chip('t4', 16e9, 8.1e12, 0.32e12, 16e9, 0, 0, 4, f'{_GPU}T4'),
    Chip('l4', 24e9, 121e12, 0.3e12, 32e9, 0, 0, 8, f'{_GPU}L4'),
    Chip('a100', 80e9, 312e12, 2.039e12, 300e9, 25e9, 0, 8, f'{_GPU}A100 SXM 80GB'),
    Chip('h100', 80e9, 989e12, 3.35e12, 450e9, 50e9, 0, 8, f'{_GPU}H100 SXM'),
    Chip('h200', 141e9, 989e12, 4.8e12, 450e9, 50e9, 0, 8, f'{_GPU}H200 SXM'),
    Chip('b200', 180e9, 2250e12, 8e12, 900e9, 50e9, 0, 8, f'{_GPU}DGX B200'),
  )
}


@dataclasses.dataclass(frozen=True)
class Target:
  """Devices that a plan compiles for.

  `exact` says whether the devices' own compiler is asked, or the CPU's stands in for a GPU's.
  """

  name: str
  chip: Chip
  devices: tuple
  exact: bool

  @property
  def hosts(self):
    """Hosts that hold the devices."""
    return -(-len(self.devices) // self.chip.host_devices)


def target(name):
  """'v5p:8x8x16', 'cpu', 'cpu:8' or 'h100:8' -> `Target`.

  Raises:
    ValueError: no such machine, or what it takes to compile for it is missing.
  """
  kind, _, shape = name.partition(':')
  # '8' or nothing; not '0', '08' or '2x4'.
  if kind == 'cpu' or kind in gpus.BOARDS:
    if not re.fullmatch(r'([1-9]\d*)?', shape):
      raise ValueError(
        f'topology {name!r}: expected a whole number of devices, 1 or more, behind the colon'
      )
    count = int(shape or 1)
    own = _gpu_devices(kind, count) if kind in gpus.BOARDS else ()
    devices = own or _cpu_devices(count)
    chip = CHIPS[kind] if kind in gpus.BOARDS else _measured_cpu(count)
    return Target(name, chip, devices, kind == 'cpu' or bool(own))
  # '4x4' or '4x4x8'; not '16' or '4x4x4x4'.
  if kind not in CHIPS or not re.fullmatch(r'\d+x\d+(x\d+)?', shape):
    raise ValueError(
      f'topology {name!r} is not a TPU slice like v5e:4x4 or v5p:4x4x8, cpu:N, or one of '
      f'{", ".join(gpus.BOARDS)} with a number (h100:8)'
    )
  return Target(name, CHIPS[kind], _tpu_devices(name, shape), True)


def _tpu_devices(name, shape):
  # Nobody is asked which machine this is: no TPU is here, and none is needed.
  os.environ.setdefault('TPU_SKIP_MDS_QUERY', '1')
  os.environ.setdefault('ALLOW_MULTIPLE_LIBTPU_LOAD', '1')
  os.environ.setdefault('TPU_WORKER_HOSTNAMES', 'localhost')
  os.environ.setdefault('TPU_ACCELERATOR_TYPE', 'v5litepod-16')
  # libtpu takes a host of four chips, 2x2, for granted; a single one (Colab's v5e-1) is its own.
  single = {'chips_per_host_bounds': (1, 1, 1)} if shape == '1x1' else {}
  try:
    topology = topologies.get_topology_desc(platform='tpu', topology_name=name, **single)
  except Exception as error:  # whatever libtpu raises: its absence is no ImportError
    why = str(error).splitlines()[0]
    hint = "the TPU compiler comes with pip install -e '.[tpu]'"
    # Such as 'Topology layout "v5e:3x3" is not divisible by the given ... bounds "2x2x1"'.
    if 'not divisible' in why:
      hint = 'hosts have 2x2 chips: a slice is 1x1, or even along its first two sides'
    raise ValueError(f'topology {name!r}: {why}; {hint}') from error
  return tuple(topology.devices)


def _gpu_devices(kind, count):
  """GPUs of the plugin's compiler, on as few hosts as hold them; none where no plugin is."""
  hosts = -(-count // CHIPS[kind].host_devices)
  if count % hosts:
    raise ValueError(f'topology {kind}:{count}: {count} do not divide over {hosts} hosts')
  try:
    described = topologies.get_topology_desc(
      kind,
      platform='cuda',
      target_config=gpus.BOARDS[kind].config(),
      topology=f'1x{hosts}x{count // hosts}',
    )
  except NotImplementedError:  # no plugin has registered itself
    return ()
  return tuple(described.devices)


def _cpu_devices(count):
  devices = jax.devices('cpu')
  if len(devices) < count:
    raise ValueError(
      f'{count} CPU devices wanted, {len(devices)} are here: set '
      f'XLA_FLAGS=--xla_force_host_platform_device_count={count}'
    )
  return tuple(devices[:count])


def _measured_cpu(count):
  """This machine as `count` devices: float32 matmul and copy rates, measured in a second."""
  product, copy = jax.jit(lambda a: a @ a), jax.jit(lambda a: a + 1)
  a, b = jnp.ones((1536, 1536), jnp.float32), jnp.ones(2**25, jnp.float32)
  peak = 2 * 1536**3 / _seconds(product, a)
  bandwidth = 2 * b.nbytes / _seconds(copy, b)
  memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
  # Devices of one machine share its cores and its memory.
  share = (memory / count, peak / count, *[bandwidth / count] * 3)
  return Chip('cpu', *share, 0, count, 'measured here just now')


def _seconds(f, x):
  """Best of four runs."""
  f(x).block_until_ready()
  best = float('inf')
  for _ in range(4):
    began = time.perf_counter()
    f(x).block_until_ready()
    best = min(best, time.perf_counter() - began)
  return best
