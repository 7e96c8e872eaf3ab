"""The code reward: what passes, what fails, and why."""

import pytest

from r1jax.rewards import code, sandbox
from r1jax.rewards.verdict import Kind

SUM = (code.StdinTest('3 4\n', '7\n'), code.StdinTest('5 6\n', '11\n'))
ADD = (code.CallTest('add', (3, 4), 7), code.CallTest('add', ([1], [2]), [1, 2]))
PRINTS = 'a, b = map(int, input().split())\nprint(a + b)\n'

needs_bubblewrap = pytest.mark.skipif(
  sandbox.available() is None, reason=f'needs bubblewrap: {sandbox.INSTALL}'
)


def _fenced(program):
  return f'<think>a</think> <answer>\n```python\n{program}```\n</answer>'


@needs_bubblewrap
@pytest.mark.parametrize(
  'completion, tests, kind',
  [
    (_fenced(PRINTS), SUM, Kind.CORRECT),
    (f'<answer>{PRINTS}</answer>', SUM, Kind.CORRECT),
    (f'<think>x</think>\n```\n{PRINTS}```\n', SUM, Kind.CORRECT),
    (f'```\nprint(1)\n```\nbetter:\n```python\n{PRINTS}```', SUM, Kind.CORRECT),
    (_fenced(PRINTS.replace('+', '-')), SUM, Kind.WRONG),
    (_fenced('def add(a, b):\n  return a + b\n'), ADD, Kind.CORRECT),
    (_fenced('def add(a, b):\n  return a\n'), ADD, Kind.WRONG),
    (_fenced('import sys\nprint(sum(map(int, sys.stdin.read().split())))\nsys.exit()\n'
    ''), SUM, Kind.CORRECT),
    (_fenced('import threading\ndef main():\n  print(sum(map(int, input().split())))\n'
             't = threading.Thread(target=main)\nt.start()\nt.join()\n'), SUM, Kind.CORRECT),
    (f'<think>\n```\n{PRINTS}```\n</think> done', SUM, Kind.UNPARSEABLE),
    ('no program', SUM, Kind.UNPARSEABLE),
    (_fenced('while True: pass\n'), SUM, Kind.TIMEOUT),
    (_fenced('def ('), SUM, Kind.WRONG),
  ],
)  # fmt: skip
def test_a_program_is_judged_by_its_output(completion, tests, kind):
  config = code.CodeConfig(limits=sandbox.Limits(seconds=1.0))
  verdict = code.check(completion, tests, config)
  assert verdict.kind == kind, verdict
  assert verdict.score == (kind == Kind.CORRECT)


@needs_bubblewrap
def test_fraction_scoring_pays_the_share_of_passed_tests_and_names_the_first_failure():
  completion = _fenced('a, b = map(int, input().split())\nprint(7)\n')
  verdict = code.check(completion, SUM, code.CodeConfig(scoring='fraction'))
  assert (verdict.score, verdict.kind) == (0.5, Kind.WRONG)
  assert verdict.why.startswith('test 2')


@needs_bubblewrap
@pytest.mark.parametrize(
  'body, expected, same',
  [
    ('(1, 2)', [1, 2], True), ('{2, 1}', {1, 2}, True), ('{1: [2]}', {1: [2]}, True),
    ('0.1 + 0.2', 0.3, True),
    ('"a"', 'a', True), ('None', None, True), ('True', True, True), ('1', True, False),
    ('True', 1, False),
    ('2.0', 2, True), ('"1"', 1, False), ('[1, 2]', {1, 2}, False), ('float("nan")',
    float('nan'), False),
    ('object()', None, False), ('10**5000', 0, False), ('2**200', 2**200, True), ('{1: 2}',
    {1: 3}, False),
  ],
)  # fmt: skip
def test_results_of_calls_are_compared_as_plain_values(body, expected, same):
  verdict = code.check(_fenced(f'def f():\n  return {body}\n'), (code.CallTest('f', (), expected),))
  assert (verdict.kind == Kind.CORRECT) == same, verdict


def test_without_bubblewrap_it_refuses_to_start_with_the_install_line(monkeypatch):
  monkeypatch.setattr(sandbox, 'available', lambda: None)
  with pytest.raises(sandbox.SandboxError, match='apt-get install -y bubblewrap'):
    code.check(_fenced(PRINTS), SUM)


def test_when_allowed_it_runs_without_bubblewrap_and_leaves_nothing(monkeypatch):
  monkeypatch.setattr(sandbox, 'available', lambda: None)
  config = code.CodeConfig(allow_unsandboxed=True, limits=sandbox.Limits(seconds=1.0))
  survivor = (
    'import os, time\nopen("left", "w").write("x")\nos.mkdir("d")\n'
    'if os.fork() == 0: time.sleep(99)\n'
  )
  assert code.check(_fenced(PRINTS), SUM, config).kind == Kind.CORRECT
  assert code.check(_fenced(survivor), SUM, config).kind == Kind.WRONG
  assert code.check(_fenced('while True: pass\n'), SUM, config).kind == Kind.TIMEOUT
  assert sandbox.running() == []


def test_no_tests_are_our_error_and_a_wrong_scoring_is_refused():
  assert code.check(_fenced(PRINTS), ()).kind == Kind.VERIFIER_ERROR
  with pytest.raises(ValueError, match='all or fraction'):
    code.CodeConfig(scoring='some')


def test_the_last_complete_block_is_the_program():
  assert code.last_block('```py\na\n```\ntext\n```\nb\n```\n```\nc') == 'b\n'
  assert code.last_block('no fence') is None
