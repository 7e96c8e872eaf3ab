"""A reward worker: reads one request a line, writes one verdict a line (`pool.Pool` talks to it).

Imports neither JAX nor NumPy. Its address space is limited, and it dies with the process that
started it.
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

from r1jax.rewards import code, language, repetition
from r1jax.rewards.code import sandbox
from r1jax.rewards.math import symbolic
from r1jax.rewards.verdict import Kind, Verdict

_PR_SET_PDEATHSIG = 1


class CodeChecks:
  """Code rewards with the next sandbox always started while the present one runs."""

  def __init__(self):
    self._wanted = None
    self._spare = None

  def check(self, completion, tests, config):
    """`code.check` in the sandbox that waits, if it has the limits asked for."""
    wanted = (config.limits, config.allow_unsandboxed)
    if wanted != self._wanted:
      self.close()
    self._wanted = wanted
    return code.check(completion, tests, config, self._take)

  def _take(self):
    box, self._spare = self._spare or self._start(), self._start()
    return box

  def _start(self):
    return sandbox.Sandbox(*self._wanted)

  def close(self):
    """Ends the waiting sandbox."""
    if self._spare:
      self._spare.close()
    self._spare = None


_codes = CodeChecks()
CHECKS = {
  'math': symbolic.compare,
  'code': _codes.check,
  'language': language.check,
  'repetition': repetition.check,
}


def _answer(line):
  try:
    check, arguments = pickle.loads(base64.b64decode(line))  # written by our own parent process
    verdict = CHECKS[check](*arguments)
  except MemoryError:
    verdict = Verdict(0.0, Kind.TIMEOUT, 'over the memory limit')
  except Exception as error:  # whatever went wrong is our failure, reported with its reason
    verdict = Verdict(0.0, Kind.VERIFIER_ERROR, f'{type(error).__name__}: {error}'[:300])
  return [verdict.score, verdict.kind.value, verdict.why]


def main(memory_bytes, parent):
  """Serves requests until the input ends."""
  ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
  if os.getppid() != parent:
    return
  channel = os.fdopen(os.dup(1), 'w')
  os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # a library that prints must not break the protocol
  resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
  resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
  symbolic.warm_up()
  print('"ready"', file=channel, flush=True)
  # Nobody reads what is said from now on: a full pipe would stop this process.
  os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
  first = _address_space()
  for line in sys.stdin:
    print(json.dumps(_answer(line)), file=channel, flush=True)
    # The parser takes a MemoryError for a text that is no formula. So a worker whose caches have
    # taken half of what it had ends, before right answers are called unparseable; another follows.
    if _address_space() - first > (memory_bytes - first) // 2:
      break
  _codes.close()


def _address_space():
  """Bytes of address space that this process takes."""
  pages = int(pathlib.Path('/proc/self/statm').read_text().split()[0])
  return pages * resource.getpagesize()


if __name__ == '__main__':
  main(int(sys.argv[1]), int(sys.argv[2]))
