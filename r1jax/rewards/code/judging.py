"""Programs judged by tests: each test runs in a fresh process of a sandbox.

A test passes when its output, reported over the sandbox's private channel, is the expected one. The
expected output never enters the sandbox, so there is nothing there to read, patch or forge: the
comparison is made here, on plain text.
"""

import dataclasses
import time
from typing import Annotated, Literal

from r1jax import ranges
from r1jax.rewards.code import comparison, extraction, record, sandbox
from r1jax.rewards.verdict import Kind, Verdict

LONGEST_PROGRAM = 64_000  # characters
_SIGXCPU = 24


@dataclasses.dataclass(frozen=True)
class CodeConfig:
  """How programs are run and scored.

  Attributes:
    scoring: `all` (1 when every test passes) or `fraction` (share of tests passed).
    limits: of each test.
    total_seconds: wall-clock time of all tests of one program together.
    allow_unsandboxed: run without bubblewrap where it is missing, under rlimits and seccomp only:
      programs can then read, overwrite and delete every file that this user can.
  """

  scoring: Literal['all', 'fraction'] = 'all'
  limits: sandbox.Limits = sandbox.Limits()
  total_seconds: Annotated[float, ranges.Range(0, 1e6, above=True)] = 20.0
  allow_unsandboxed: bool = False

  def __post_init__(self):
    ranges.check(self)


def check(completion, tests, config=None, take=None):
  """Verdict on the program in `completion` (str).

  Args:
    completion: text; `extraction.extract` finds the program in it.
    tests: `record.Tests`.
    config: `CodeConfig`, its defaults if None.
    take: () -> a started `sandbox.Sandbox`, which is closed afterwards; None starts one.

  Raises:
    SandboxError: programs cannot be run here as the config asks; it says what to do.
  """
  config = config or CodeConfig()
  if not tests.tests:
    return Verdict(0.0, Kind.VERIFIER_ERROR, 'no tests')
  sandbox.require(config.allow_unsandboxed)
  # LiveCodeBench's runner takes the last block, whatever it is called.
  program = extraction.extract(completion, tests.rules != record.LIVECODEBENCH)
  if program is None:
    return Verdict(0.0, Kind.UNPARSEABLE, 'no program outside the thought')
  if len(program) > LONGEST_PROGRAM:
    return Verdict(0.0, Kind.UNPARSEABLE, f'a program of {len(program)} characters')
  box = take() if take else sandbox.Sandbox(config.limits, config.allow_unsandboxed)
  return summary(run(program, tests, config, box), config.scoring)


def run(program, tests, config, started):
  """One Verdict per test of `program` (str), in order; `all` scoring stops at the first failure.

  `started` is a `sandbox.Sandbox`; it is closed.
  """
  verdicts = []
  calls = any(isinstance(test, record.CallTest) for test in tests.tests)
  with started as box:
    try:
      box.load(program, calls, tests.rules)
      _run_tests(box, tests, config, verdicts)
    except sandbox.ProgramError as error:
      # What the program did to its own sandbox is its fault, in this test and those it prevented.
      left = len(tests.tests) - len(verdicts)
      verdicts += [Verdict(0.0, Kind.WRONG, str(error))] * left
    except sandbox.SandboxError as error:
      return [Verdict(0.0, Kind.VERIFIER_ERROR, str(error))]
  return verdicts


def _run_tests(box, tests, config, verdicts):
  # Many slow tests of one program must not hold a worker for their sum.
  deadline = time.monotonic() + config.total_seconds
  for test in tests.tests:
    verdicts.append(_one(box, test, tests.rules, deadline))
    if config.scoring == 'all' and verdicts[-1].kind != Kind.CORRECT:
      return


def summary(verdicts, scoring):
  """One Verdict for a program from those of its tests."""
  passed = sum(v.kind == Kind.CORRECT for v in verdicts)
  failed = next((v for v in verdicts if v.kind != Kind.CORRECT), None)
  if failed is None:
    return Verdict(1.0, Kind.CORRECT)
  # Our own failure comes before the program's: its score would mean nothing.
  if any(v.kind == Kind.VERIFIER_ERROR for v in verdicts):
    return next(v for v in verdicts if v.kind == Kind.VERIFIER_ERROR)
  score = passed / len(verdicts) if scoring == 'fraction' else 0.0
  return Verdict(score, failed.kind, f'test {verdicts.index(failed) + 1}: {failed.why}')


def _one(box, test, rules, deadline):
  if time.monotonic() > deadline:
    return Verdict(0.0, Kind.TIMEOUT, 'over the time of all tests together')
  if isinstance(test, record.StdinTest):
    request = {'stdin': test.stdin}
  else:
    request = {'call': test.call, 'args': list(test.args)}
  why, status, output = box.run(request)
  # The wall clock ran out, or the processor time of several threads did.
  if why == 'time' or status == -_SIGXCPU:
    return Verdict(0.0, Kind.TIMEOUT, 'over the time limit')
  if why == 'output':
    return Verdict(0.0, Kind.WRONG, 'over the output limit')
  if status:
    return Verdict(0.0, Kind.WRONG, f'exit status {status}')
  if isinstance(test, record.StdinTest):
    same = comparison.same_output(test.stdout, output)
  else:
    same = comparison.same_result(test.expected, output, rules)
  return Verdict(1.0, Kind.CORRECT) if same else Verdict(0.0, Kind.WRONG, 'another output')
