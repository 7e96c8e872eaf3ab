"""What Linux alone has is done without elsewhere: such a system is made by taking it away.

The calls are absent in the process and in every worker that it starts, as on macOS, and address
space cannot be limited there either.
"""

import contextlib
import json
import os
import subprocess
import sys

import pytest

from r1jax.rewards import code, service
from r1jax.rewards.code import isolation, sandbox
from r1jax.rewards.verdict import Kind, Task
from r1jax.rewards.workers import pool
from tests import small_runs

# Runs `python [-P] -m MODULE ...` without those calls; workers are started by it too.
WITHOUT = """
import ctypes, os, resource, runpy, signal, sys

LINUX = {
  os: ('pidfd_open', 'sched_getaffinity', 'sched_setaffinity', 'memfd_create', 'eventfd'),
  signal: ('pidfd_send_signal',),
}
for module, names in LINUX.items():
  for name in names:
    if hasattr(module, name):
      delattr(module, name)

class Library(ctypes.CDLL):
  def __getattr__(self, name):
    if name == 'prctl':
      raise AttributeError(name)
    return super().__getattr__(name)

ctypes.CDLL = Library
limit = resource.setrlimit

def setrlimit(what, limits):
  if what == resource.RLIMIT_AS:
    raise ValueError('current limit exceeds maximum limit')
  limit(what, limits)

resource.setrlimit = setrlimit
sys.executable = os.environ['WITHOUT_LINUX'] = LAUNCHER
sys.platform = 'darwin' if 'serve' in ' '.join(sys.argv) else sys.platform
words = [one for one in sys.argv[1:] if one != '-P']
assert words[0] == '-m', words
sys.argv = words[1:]
sys.path.insert(0, ROOT)
runpy.run_module(words[1], run_name='__main__', alter_sys=True)
"""


@pytest.fixture
def launcher(tmp_path):
  """A Python to be called as `python -m MODULE ...`, on a system that is not Linux."""
  script = tmp_path / 'python'
  program = WITHOUT.replace('LAUNCHER', repr(str(script))).replace(
    'ROOT', repr(str(small_runs.ROOT))
  )
  (tmp_path / 'without.py').write_text(program)
  script.write_text(f'#!/bin/sh\nexec {sys.executable} -P {tmp_path}/without.py "$@"\n')
  script.chmod(0o755)
  return script


def test_workers_compare_answers_and_refuse_programs(launcher, monkeypatch):
  monkeypatch.setattr(pool.sys, 'executable', str(launcher))
  made = pool.Pool(1, 1 << 30)
  try:
    compare = lambda answer: made.submit(Task('math', 30, ('\\sqrt{12}', answer))).result(120)
    assert compare('2\\sqrt{3}').kind == Kind.CORRECT
    assert compare('2\\sqrt{5}').kind == Kind.WRONG
    # The code reward is refused by its name, whatever is installed.
    found = made.submit(Task('code', 30, ('```python\n1\n```', TESTS, code.CodeConfig()))).result(
      60
    )
    assert found.kind == Kind.VERIFIER_ERROR
    assert 'rewards for code need Linux' in found.why and 'pidfd_open' in found.why
  finally:
    made.close()


def test_a_worker_ends_with_its_input(launcher):
  # As it does where its parent dies: there is no signal that would tell it.
  worker = subprocess.Popen(
    [launcher, '-P', '-m', 'r1jax.rewards.workers.serve', str(1 << 30), str(os.getpid())],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
  )
  with worker:
    assert worker.stdout.readline() == b'"ready"\n'
    worker.stdin.close()
    assert worker.wait(timeout=60) == 0


TESTS = code.Tests((code.StdinTest('', '1\n'),))


def test_a_function_of_the_users_is_called(launcher, monkeypatch, tmp_path):
  monkeypatch.setattr(pool.sys, 'executable', str(launcher))
  (tmp_path / 'mine.py').write_text('def score(texts):\n  return [len(text) for text in texts]')
  config = service.RewardConfig(function=f'{tmp_path}/mine.py:score')
  with contextlib.closing(service.RewardService(config)) as rewards:
    (found,) = rewards.submit([service.Item('four', '1')]).result()
  assert found.verdicts['score'].score == 4


@pytest.mark.parametrize('absent', ['pidfd_open', 'prctl'])
def test_the_code_reward_names_what_a_system_lacks(monkeypatch, absent):
  monkeypatch.setattr(isolation, 'lacking', lambda: absent)
  with pytest.raises(sandbox.SandboxError, match=f'need Linux: this system .* has no {absent}'):
    sandbox.require(allow_unsandboxed=True)


def test_linux_lacks_nothing():
  assert isolation.lacking() == '' or not sys.platform.startswith('linux')


def test_completions_are_graded(launcher, tmp_path):
  rows = [{'kind': 'math', 'completion': '\\boxed{2\\sqrt{3}}', 'gold': '\\sqrt{12}'}]
  (tmp_path / 'c.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
  done = subprocess.run(
    [launcher, '-m', 'r1jax', 'grade', tmp_path / 'c.jsonl', f'--json={tmp_path}/out.jsonl'],
    capture_output=True,
    text=True,
    env=small_runs.environment(),
    check=False,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  assert json.loads((tmp_path / 'out.jsonl').read_text())['score'] == 1


@pytest.mark.heavy
def test_a_run_goes_from_its_start_to_its_end(launcher, tmp_path, small):
  settings = small | {'rl__updates': 2, 'reward__language': 1.0}
  command = small_runs.command(tmp_path / 'run', **settings)
  done = subprocess.run(
    [launcher, *command[1:]],
    cwd=small_runs.ROOT,
    capture_output=True,
    text=True,
    env=small_runs.environment(),
    check=False,
  )
  assert done.returncode == 0, done.stderr[-3000:]
  assert (tmp_path / 'run' / 'model' / 'model.safetensors').exists()
  rows = [json.loads(line) for line in (tmp_path / 'run' / 'metrics.jsonl').open()]
  # That of language is judged by workers.
  assert [row['step'] for row in rows] == [1, 2] and 'reward/language' in rows[0]
