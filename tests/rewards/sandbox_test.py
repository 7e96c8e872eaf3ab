"""What a program sees and keeps inside the sandbox, measured by programs inside it."""

import pytest

from r1jax.rewards import sandbox, score_card
from r1jax.rewards.workers import harness

pytestmark = pytest.mark.skipif(
  sandbox.available() is None, reason=f'needs bubblewrap: {sandbox.INSTALL}'
)


def _output(program, limits=None, stdin=''):
  with sandbox.Sandbox(limits or sandbox.Limits(seconds=2.0)) as box:
    box.load(program, calls=False)
    why, status, output = box.run({'stdin': stdin})
  return why, status, output.decode()


def test_inside_there_is_only_the_interpreter_an_empty_tmp_and_no_environment(monkeypatch):
  monkeypatch.setenv('SECRET_OF_THE_HOST', 'x')
  program = (
    'import os\n'
    'print(sorted(os.listdir("/tmp")), os.path.exists("/proc/self"), '
    'os.path.exists("/etc/passwd"))\n'
    'print("SECRET_OF_THE_HOST" in os.environ, os.getpid() < 10, os.getuid())\n'
  )
  assert _output(program)[2].split('\n')[:2] == ['[] False False', 'False True 65534']


@pytest.mark.parametrize(
  'step',
  [
    'open("/x", "w")',
    'open("/usr/x", "w")',
    'os.fork()',
    'os.execv("/usr/bin/env", ["env"])',
    'os.kill(1, 0)',
    'socket.socket()',
    'os.memfd_create("x")',
    'os.setsid()',
    'os.unshare(0x10000000) if hasattr(os, "unshare") else os.fork()',
  ],
)
def test_forbidden_steps_raise_inside(step):
  program = (
    f'import os, socket\ntry:\n  {step}\nexcept OSError as error:\n'
    f'  print("refused", error.errno)\n'
  )
  assert _output(program)[2].startswith('refused')


def test_each_test_runs_in_a_fresh_process_with_a_fresh_memory():
  program = 'import os\nprint(os.getpid())\n'
  with sandbox.Sandbox(sandbox.Limits()) as box:
    box.load(program, calls=False)
    first, second = (box.run({'stdin': ''})[2] for _ in range(2))
  assert first != second


def test_the_filter_is_a_valid_program_that_ends_in_a_return():
  filters = harness.seccomp_program()
  assert len(filters) % 8 == 0 and filters[-8:-6] == b'\x06\x00'


def test_the_nonce_is_nowhere_in_the_memory_of_the_program():
  # The harness reads the nonce after the fork: a child that finds its own pages cannot find it.
  program = (
    'import gc, re\nfound = [o for o in gc.get_objects() if isinstance(o, dict) and "nonce" in o]\n'
    'words = [o for o in gc.get_objects() if isinstance(o, (list, tuple)) for p in o\n'
    '         if isinstance(p, str) and re.fullmatch("[0-9a-f]{32}", p)]\nprint(found, words)\n'
  )
  assert _output(program)[2].strip() == '[] []'


def test_output_time_and_memory_are_bounded():
  limits = sandbox.Limits(seconds=0.5, memory_mib=128, output_kib=8)
  assert _output('while True: print("x" * 1000)', limits)[0] == 'output'
  assert _output('while True: pass', limits)[0] == 'time'
  assert _output('x = bytearray(1 << 28)', limits)[:2] == ('ended', 1)


def test_nothing_is_left_when_a_sandbox_is_closed_at_any_stage():
  unused = sandbox.Sandbox(sandbox.Limits())
  loaded = sandbox.Sandbox(sandbox.Limits())
  loaded.load('print(1)', calls=False)
  assert len(sandbox.running()) >= 2
  for box in (unused, loaded):
    box.close()
  assert sandbox.running() == [] and score_card.leaks() == []


def test_a_sandbox_that_cannot_start_says_so_and_does_not_blame_the_program(monkeypatch):
  monkeypatch.setattr(sandbox, 'available', lambda: '/bin/false')
  with (
    pytest.raises(sandbox.SandboxError, match='did not start'),
    sandbox.Sandbox(sandbox.Limits()) as box,
  ):
    box.load('print(1)', calls=False)
