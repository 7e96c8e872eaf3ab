"""What all reward workers do: one request a line in, one reply a line out (`pool.Pool` asks).

Imports neither JAX nor NumPy. A worker's memory is limited, and it dies with its parent process.
"""

import base64
import ctypes
import json
import os
import pathlib
import pickle
import resource
import signal
import sys
import traceback

_PR_SET_PDEATHSIG = 1


def serve(answer, parent, limit, memory_bytes, warm_up=lambda: None, retires=False):
  """Answers requests until the input ends.

  Args:
    answer: (check, arguments) of a `verdict.Task` -> what JSON can hold.
    parent: process id of who started this process.
    limit: what of `resource` is limited, RLIMIT_AS or RLIMIT_DATA.
    memory_bytes: to how much.
    warm_up: called before the first request is asked for.
    retires: whether it ends when it has taken half of what its limit left it; another follows. The
      parser of mathematics takes a MemoryError for a text that is no formula, so a worker whose
      caches are full would call right answers unparseable.
  """
  _die_with_parent()
  if os.getppid() != parent:
    return
  channel = os.fdopen(os.dup(1), 'w')
  os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # a library that prints must not break the protocol
  _limit(limit, memory_bytes)
  _limit(resource.RLIMIT_CORE, 0)
  try:
    warm_up()
  except BaseException:
    # Told here and left at once: with no memory left Python may crash while it takes itself apart.
    traceback.print_exc()
    sys.stderr.flush()
    os._exit(1)
  print('"ready"', file=channel, flush=True)
  # Nobody reads what is said from now on: a full pipe would stop this process.
  os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
  first = _address_space()
  for line in sys.stdin:
    # Written by our own parent process, and read by `answer`: unpickling may fail as well.
    request = lambda line=line: pickle.loads(base64.b64decode(line))
    print(json.dumps(answer(request)), file=channel, flush=True)
    if retires and _address_space() - first > (memory_bytes - first) // 2:
      break


def _die_with_parent():
  """Asks the kernel for SIGKILL where the parent dies; only Linux has that.

  Elsewhere a worker ends when its input does, which is at the end of the request that it is at.
  """
  prctl = getattr(ctypes.CDLL(None), 'prctl', None)
  if prctl:
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit(what, most):
  """Lowers a limit; macOS refuses some of them, and then the deadline alone holds a worker."""
  try:
    resource.setrlimit(what, (most, most))
  except (ValueError, OSError):
    if sys.platform.startswith('linux'):
      raise


def _address_space():
  """Bytes of address space that this process takes; 0 where the system does not say."""
  try:
    pages = int(pathlib.Path('/proc/self/statm').read_text().split()[0])
  except OSError:
    return 0
  return pages * resource.getpagesize()
