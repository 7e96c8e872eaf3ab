"""A reward worker that runs our own checks, in an address space of limited size."""

import resource
import sys

from r1jax.rewards import code, language, repetition
from r1jax.rewards.code import sandbox
from r1jax.rewards.math import symbolic
from r1jax.rewards.verdict import Kind, Verdict
from r1jax.rewards.workers import protocol


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


def _answer(request):
  try:
    check, arguments = request()
    verdict = CHECKS[check](*arguments)
  except MemoryError:
    verdict = Verdict(0.0, Kind.TIMEOUT, 'over the memory limit')
  except Exception as error:  # whatever went wrong is our failure, reported with its reason
    verdict = Verdict(0.0, Kind.VERIFIER_ERROR, f'{type(error).__name__}: {error}'[:300])
  return [verdict.score, verdict.kind.value, verdict.why]


def main(memory_bytes, parent):
  """Serves requests until the input ends."""
  protocol.serve(_answer, parent, resource.RLIMIT_AS, memory_bytes, symbolic.warm_up, retires=True)
  _codes.close()


if __name__ == '__main__':
  main(int(sys.argv[1]), int(sys.argv[2]))
