"""What a program sees and keeps inside the sandbox, measured by programs inside it."""

import os

import pytest

from r1jax.rewards.code import attacks, filters, isolation, sandbox

pytestmark = pytest.mark.skipif(
  isolation.available() is None, reason=f'needs bubblewrap: {isolation.INSTALL}'
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
    'print("SECRET_OF_THE_HOST" in os.environ, os.getpid() < 10, os.getuid() > 60_000)\n'
  )
  assert _output(program)[2].split('\n')[:2] == ['[] False False', 'False True True']


@pytest.mark.parametrize(
  'step',
  [
    'open("/x", "w")',
    'open("/usr/x", "w")',
    'os.fork()',
    'os.execv("/usr/bin/env", ["env"])',
    'os.kill(1, 0)',
    'socket.socket()',
    'socket.socketpair(type=socket.SOCK_DGRAM)',
    'socket.socketpair()[0].connect("/x")',
    'socket.socketpair()[0].bind("\\0r1jax-leak")',
    'socket.socketpair()[0].sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, b"\\0" * 4)])',
    'socket.socketpair()[0].send(b"x", socket.MSG_OOB)',
    'os.memfd_create("x")',
    'os.setsid()',
    'os.unshare(0x10000000) if hasattr(os, "unshare") else os.fork()',
    'os.chmod("/dev/null", 0o666)',
    'os.fchmod(2, 0o666)',
    'os.chown("/dev/null", -1, -1)',
    'os.utime("/dev/null")',
    'os.setxattr("/dev/null", "user.x", b"x")',
    'os.mknod("/tmp/x")',
    'os.setpriority(os.PRIO_USER, 0, 19)',
    'os.setuid(0)',
    'resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (0, 0))',
    'fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid())',
  ],
)
def test_forbidden_steps_raise_inside(step):
  program = (
    f'import fcntl, os, resource, socket\ntry:\n  {step}\nexcept OSError as error:\n'
    f'  print("refused", error.errno)\n'
  )
  assert _output(program)[2].startswith('refused')


def test_an_event_loop_runs_and_talks_to_its_own_process():
  program = (
    'import asyncio, sys\n'
    'async def twice(x):\n  await asyncio.sleep(0.01)\n  return 2 * x\n'
    'async def main():\n'
    '  thread = await asyncio.to_thread(sys.stdin.readline)\n'
    '  print(await asyncio.gather(*map(twice, map(int, thread.split()))))\n'
    'asyncio.run(main())\n'
  )
  assert _output(program, stdin='3 4\n') == ('ended', 0, '[6, 8]\n')


@pytest.mark.parametrize('size', ['1 << 30, -1', '-1, -1', '1 << 20, 1 << 20'])
def test_a_program_may_set_its_stack_and_gets_no_other(size):
  program = (
    'import resource, sys\nbefore = resource.getrlimit(resource.RLIMIT_STACK)\n'
    f'resource.setrlimit(resource.RLIMIT_STACK, ({size}))\n'
    'sys.setrecursionlimit(1 << 20)\n'
    'depth = lambda n: n and 1 + depth(n - 1)\n'
    'print(resource.getrlimit(resource.RLIMIT_STACK) == before, depth(20_000))\n'
  )
  assert _output(program) == ('ended', 0, 'True 20000\n')


def test_another_limit_is_not_raised():
  program = 'import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))\n'
  assert _output(program)[:2] == ('ended', 1)


def test_each_test_runs_in_a_fresh_process_with_a_fresh_memory():
  program = 'import os\nprint(os.getpid())\n'
  with sandbox.Sandbox(sandbox.Limits()) as box:
    box.load(program, calls=False)
    first, second = (box.run({'stdin': ''})[2] for _ in range(2))
  assert first != second


def test_the_filter_is_a_valid_program_that_ends_in_a_return():
  steps = filters.program()
  assert len(steps) % 8 == 0 and steps[-8:-6] == b'\x06\x00'


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
  assert sandbox.running() == [] and attacks.leaks() == []


def test_a_sandbox_that_cannot_start_says_so_and_does_not_blame_the_program(monkeypatch):
  monkeypatch.setattr(isolation, 'available', lambda: '/bin/false')
  monkeypatch.setattr(isolation, 'way', lambda bubblewrap: isolation.MAPPED)
  with (
    pytest.raises(sandbox.SandboxError, match='did not start'),
    sandbox.Sandbox(sandbox.Limits()) as box,
  ):
    box.load('print(1)', calls=False)


def test_a_program_owns_no_device_and_reads_no_file_that_is_roots_own(tmp_path):
  program = (
    'import os\nfor d in ("/dev/null", "/usr"): print(os.stat(d).st_uid == os.getuid())\n'
    'print(os.getresuid() == (os.getuid(),) * 3, os.getgroups() in ([], [os.getgid()]))\n'
  )
  assert _output(program)[2].split() == ['False', 'False', 'True', 'True']


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root, whose programs must not be root')
def test_root_that_can_give_programs_no_user_of_their_own_is_refused(monkeypatch):
  monkeypatch.setattr(isolation, 'ROOT_WAYS', (isolation.Way(('--no-such-option',)),) * 2)
  monkeypatch.setattr(isolation, 'available', lambda: '/usr/bin/../bin/bwrap')  # not cached yet
  with pytest.raises(sandbox.SandboxError, match='Train as an ordinary user'):
    sandbox.require(allow_unsandboxed=False)


def test_a_deep_stack_a_thread_and_numpy_fit_the_limits_of_a_reward():
  program = (
    'import threading\nimport numpy\nthreading.stack_size(1 << 26)\n'
    't = threading.Thread(target=lambda: print(numpy.ones(3).sum()))\nt.start()\nt.join()\n'
  )
  assert _output(program, sandbox.Limits())[2].strip() == '3.0'
