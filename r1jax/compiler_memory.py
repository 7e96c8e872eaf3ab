"""What compiling takes of this process's memory, as the kernel has seen it.

The kernel keeps the most memory that a process has held. That mark is set back as a compilation
begins and read as it ends. Where it cannot be (macOS, a read-only /proc) nothing is measured.
"""

import functools
import pathlib

import jax

from r1jax import processes

_BEGINS = '/jax/core/compile/jaxpr_to_mlir_module_duration'  # lowered: XLA is next
_ENDS = '/jax/core/compile/backend_compile_duration'
_STATUS = pathlib.Path('/proc/self/status')
_LEAST = 2**30 / 10  # bytes that are worth a line
_GIB = 2**30


@functools.cache
def watch():
  """The process's `Watch`, which begins with the first call."""
  return Watch()


class Watch:
  """Measures each compilation of this process.

  Attributes:
    most: bytes that one has taken at most, above what was held before it.
    held: bytes that were held before that one.
  """

  def __init__(self):
    self.most = self.held = 0
    self._before, self._told = None, 0
    jax.monitoring.register_event_duration_secs_listener(self._passed)

  def news(self):
    """A sentence for the user; '' where nothing was measured, or hardly more than was said."""
    if self.most < self._told + _LEAST:
      return ''
    self._told = self.most
    return (
      f'compiling has taken up to {self.most / _GIB:.1f} GiB of this machine, beside '
      f'{self.held / _GIB:.1f} held before'
    )

  def _passed(self, event, duration, **kwargs):
    if event == _BEGINS:
      self._before = _line('VmRSS') if processes.forget_peak() else None
    elif event == _ENDS and self._before is not None:
      # What other threads took meanwhile is counted too: nothing tells it apart.
      taken = _line('VmHWM') - self._before
      if taken > self.most:
        self.most, self.held = taken, self._before
      self._before = None


def _line(name):
  """Bytes of a line of /proc/self/status."""
  lines = _STATUS.read_text().splitlines()
  return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
