"""What a device computes in: bfloat16 only where it has units for it.

NVIDIA's GPUs have them from compute capability 8.0 on (A100, RTX 30). On older ones, such as T4 and
V100, XLA turns each bfloat16 operation into float32 ones with conversions around them: slower than
float32, and rounded all the same.
"""

import re

_FIRST = (8, 0)  # compute capability
# NVIDIA's capabilities. Yes: `7.5`, `10.0`. No: `gfx90a`, as AMD's GPUs call theirs.
_CAPABILITY = re.compile(r'(\d+)\.(\d+)')


def compute_dtype(asked, device):
  """The type to compute in where `asked` is asked for.

  Args:
    asked: 'float32', 'bfloat16' or 'float16'.
    device: `jax.Device`.

  Returns:
    'float32' for bfloat16 on a GPU below compute capability 8.0, else `asked`.
  """
  capability = _CAPABILITY.fullmatch(str(getattr(device, 'compute_capability', '')))
  # Devices that do not say one have the type, or have it as CPUs do.
  old = bool(capability) and tuple(map(int, capability.groups())) < _FIRST
  return 'float32' if old and asked == 'bfloat16' else asked


def told(device):
  """One line for the user of a device for which another type was chosen."""
  return (
    f'{device.device_kind} (compute capability {device.compute_capability}) has no units for '
    'bfloat16: it computes in float32'
  )
