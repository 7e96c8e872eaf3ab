"""The code reward: the last program of a completion against tests, in a sandbox (reference section
1.4).

A test passes when its output, reported over the sandbox's private channel, equals the expected
one. The
expected output never enters the sandbox, so there is nothing there to read, patch or forge: the
comparison
is made here, on plain text. Every test runs in a fresh process.
"""

import dataclasses
import json
import math
import time

from r1jax.data import template
from r1jax.rewards import accuracy, sandbox
from r1jax.rewards.program import CallTest, StdinTest, Tests  # noqa: F401 - for callers
from r1jax.rewards.verdict import Kind, Verdict

LONGEST_PROGRAM = 64_000  # characters
_FENCE = '```'


@dataclasses.dataclass(frozen=True)
class CodeConfig:
  """How programs are run and scored.

  Attributes:
    scoring: `all` (1 when every test passes) or `fraction` (share of tests passed).
    limits: of each test.
    total_seconds: wall-clock time of all tests of one program together.
    allow_unsandboxed: run without bubblewrap where it is missing: rlimits and seccomp only.
  """

  scoring: str = 'all'
  limits: sandbox.Limits = sandbox.Limits()
  total_seconds: float = 20.0
  allow_unsandboxed: bool = False

  def __post_init__(self):
    if self.scoring not in ('all', 'fraction'):
      raise ValueError(f'scoring is all or fraction, not {self.scoring!r}')


def check(completion, tests, config=None, spare=None):
  """Verdict on the program in `completion` (str) against `tests` (StdinTest and CallTest, one or
  more).

  `spare` is a started `sandbox.Sandbox` to use. Raises SandboxError at once without bubblewrap.
  """
  config = config or CodeConfig()
  if not tests:
    return Verdict(0.0, Kind.VERIFIER_ERROR, 'no tests')
  sandbox.require(config.allow_unsandboxed)
  program = extract(completion)
  if program is None:
    return Verdict(0.0, Kind.UNPARSEABLE, 'no program outside the thought')
  if len(program) > LONGEST_PROGRAM:
    return Verdict(0.0, Kind.UNPARSEABLE, f'a program of {len(program)} characters')
  return summary(run(program, tests, config, spare), config.scoring)


def extract(completion):
  """The last fenced block of the last `<answer>`, that answer itself, or the last block after the
  thought.
  """
  reply = template.parse(completion)
  text = reply.answers[-1] if reply.answers else accuracy.outside_thought(completion)
  block = last_block(text)
  if block is not None:
    return block
  return text.strip('\n') if reply.answers and text.strip() else None


def last_block(text):
  """The content of the last complete fenced block of `text`, or None; an unclosed fence is no
  block.
  """
  found, opened = None, None
  for line in text.splitlines(keepends=True):
    if not line.strip().startswith(_FENCE):
      if opened is not None:
        opened.append(line)
    elif opened is None:
      opened = []
    elif line.strip() == _FENCE:
      found, opened = opened, None
    else:
      opened.append(line)
  return None if found is None else ''.join(found)


def run(program, tests, config, spare=None):
  """One Verdict per test of `program` (str), in order; `all` scoring stops at the first failure."""
  verdicts = []
  with spare or sandbox.Sandbox(config.limits, config.allow_unsandboxed) as box:
    try:
      box.load(program, any(isinstance(test, CallTest) for test in tests))
      _run_tests(box, tests, config, verdicts)
    except sandbox.ProgramError as error:
      # What the program did to its own sandbox is its fault, in this test and those it prevented.
      verdicts += [Verdict(0.0, Kind.WRONG, str(error))] * (len(tests) - len(verdicts))
    except sandbox.SandboxError as error:
      return [Verdict(0.0, Kind.VERIFIER_ERROR, str(error))]
  return verdicts


def _run_tests(box, tests, config, verdicts):
  deadline = time.monotonic() + config.total_seconds
  for test in tests:
    verdicts.append(_one(box, test, deadline))
    if config.scoring == 'all' and verdicts[-1].kind != Kind.CORRECT:
      return


def summary(verdicts, scoring):
  """One Verdict for a program from those of its tests."""
  passed = sum(v.kind == Kind.CORRECT for v in verdicts)
  failed = next((v for v in verdicts if v.kind != Kind.CORRECT), None)
  if failed is None:
    return Verdict(1.0, Kind.CORRECT)
  if any(v.kind == Kind.VERIFIER_ERROR for v in verdicts):
    return next(v for v in verdicts if v.kind == Kind.VERIFIER_ERROR)
  score = passed / len(verdicts) if scoring == 'fraction' else 0.0
  return Verdict(score, failed.kind, f'test {verdicts.index(failed) + 1}: {failed.why}')


def _one(box, test, deadline):
  if time.monotonic() > deadline:
    return Verdict(0.0, Kind.TIMEOUT, 'over the time of all tests together')
  stdin = isinstance(test, StdinTest)
  why, status, output = box.run(
    {'stdin': test.stdin} if stdin else {'call': test.call, 'args': list(test.args)}
  )
  if why == 'time' or status == -24:  # SIGXCPU
    return Verdict(0.0, Kind.TIMEOUT, 'over the time limit')
  if why == 'output':
    return Verdict(0.0, Kind.WRONG, 'over the output limit')
  if status:
    return Verdict(0.0, Kind.WRONG, f'exit status {status}')
  same = _same_text(test.stdout, output) if stdin else _same_result(test.expected, output)
  return Verdict(1.0, Kind.CORRECT) if same else Verdict(0.0, Kind.WRONG, 'another output')


def _same_text(expected, output):
  return _lines(expected) == _lines(output.decode('utf-8', 'replace'))


def _lines(text):
  return [line.rstrip() for line in text.replace('\r\n', '\n').rstrip().split('\n')]


def _same_result(expected, output):
  try:
    return _same(expected, json.loads(output))
  except (ValueError, RecursionError):
    return False


def _same(expected, got):
  if isinstance(expected, bool) or isinstance(got, bool) or expected is None or got is None:
    return expected is got
  if isinstance(expected, (int, float)) and isinstance(got, (int, float)):
    return _same_number(expected, got)
  if isinstance(expected, str):
    return expected == got
  if isinstance(expected, (list, tuple)):
    return isinstance(got, list) and len(got) == len(expected) and all(map(_same, expected, got))
  if isinstance(expected, (set, frozenset)):
    return isinstance(got, dict) and _same_set(sorted(expected, key=repr), got.get('set'))
  if isinstance(expected, dict):
    return isinstance(got, dict) and _same_set([list(i) for i in expected.items()], got.get('dict'))
  return False


def _same_number(expected, got):
  if isinstance(expected, int) and isinstance(got, int):
    return expected == got
  return math.isclose(expected, got, rel_tol=1e-9, abs_tol=1e-12)


def _same_set(expected, got):
  if not isinstance(got, list) or len(got) != len(expected):
    return False
  rest = list(got)
  for item in expected:
    found = next((i for i, other in enumerate(rest) if _same(item, other)), None)
    if found is None:
      return False
    del rest[found]
  return True
