"""The cores of this machine that this process may use."""

import os


def available():
  """Their numbers, ascending; where the system says only how many there are, as many from 0 on."""
  if hasattr(os, 'sched_getaffinity'):
    return sorted(os.sched_getaffinity(0))
  return list(range(os.cpu_count() or 1))  # macOS
