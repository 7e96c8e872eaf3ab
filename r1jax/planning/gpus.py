"""GPUs as XLA's compiler wants them described, so that it can compile for one that is not here."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Board:
  """What differs between boards, named as in XLA's `GpuDeviceInfoProto`; sizes in bytes."""

  name: str
  compute_capability: str
  core_count: int
  fpus_per_core: int
  clock_rate_ghz: float
  shared_memory_per_core: int
  l2_cache_size: int
  device_memory_size: int
  memory_bandwidth: int
  threads_per_core_limit: int = 2048

  @property
  def device_kind(self):
    """Its name, as a `jax.Device` calls it."""
    return self.name

  def config(self):
    """The board as text of XLA's `GpuTargetConfigProto`."""
    own = dataclasses.asdict(self)
    name, capability = own.pop('name'), own.pop('compute_capability')
    major, minor = capability.split('.')
    # One KiB of a core's shared memory is the system's own.
    own['shared_memory_per_block_optin'] = self.shared_memory_per_core - 1024
    info = ' '.join(f'{key}: {value}' for key, value in (_COMMON | own).items())
    return (
      f'gpu_device_info {{ {info} cuda_compute_capability {{ major: {major} minor: {minor} }} }} '
      # The oldest cuDNN that JAX takes; nothing of it is loaded.
      'platform_name: "CUDA" dnn_version_info { major: 9 minor: 12 } '
      f'device_description_str: "{name}"'
    )


_COMMON = {
  'threads_per_block_limit': 1024,
  'threads_per_warp': 32,
  'block_dim_limit_x': 2**31 - 1,
  'block_dim_limit_y': 2**16 - 1,
  'block_dim_limit_z': 2**16 - 1,
  'registers_per_core_limit': 2**16,
  'registers_per_block_limit': 2**16,
  'shared_memory_per_block': 49152,
}
_HOPPER = dict(
  compute_capability='9.0',
  core_count=132,
  fpus_per_core=128,
  clock_rate_ghz=1.98,
  shared_memory_per_core=233472,
  l2_cache_size=52428800,
)
# As XLA has read them off devices: github.com/openxla/xla, xla/backends/gpu/target_config/specs,
# a100_sxm_80, h100_sxm, h200 and b200.txtpb. T4 and L4 by NVIDIA's papers on Turing and Ada.
BOARDS = {
  't4': Board(
    name='Tesla T4',
    compute_capability='7.5',
    core_count=40,
    fpus_per_core=64,
    clock_rate_ghz=1.59,
    shared_memory_per_core=65536,
    l2_cache_size=4194304,
    device_memory_size=16000000000,
    memory_bandwidth=320000000000,
    threads_per_core_limit=1024,
  ),
  'l4': Board(
    name='NVIDIA L4',
    compute_capability='8.9',
    core_count=58,
    fpus_per_core=128,
    clock_rate_ghz=2.04,
    shared_memory_per_core=102400,
    l2_cache_size=50331648,
    device_memory_size=24000000000,
    memory_bandwidth=300000000000,
    threads_per_core_limit=1536,
  ),
  'a100': Board(
    name='NVIDIA A100-SXM4-80GB',
    compute_capability='8.0',
    core_count=108,
    fpus_per_core=64,
    clock_rate_ghz=1.41,
    shared_memory_per_core=167936,
    l2_cache_size=41943040,
    device_memory_size=85100068864,
    memory_bandwidth=2039040000000,
  ),
  'h100': Board(
    name='NVIDIA H100 80GB HBM3',
    device_memory_size=84942979072,
    memory_bandwidth=3352320000000,
    **_HOPPER,
  ),
  'h200': Board(
    name='NVIDIA H200 141GB HBM3e',
    device_memory_size=151397597184,
    memory_bandwidth=4800000000000,
    **_HOPPER,
  ),
  'b200': Board(
    name='NVIDIA B200',
    compute_capability='10.0',
    core_count=148,
    fpus_per_core=128,
    clock_rate_ghz=1.965,
    shared_memory_per_core=233472,
    l2_cache_size=132644864,
    device_memory_size=191514411008,
    memory_bandwidth=7672320000000,
  ),
}
