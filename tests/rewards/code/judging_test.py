"""The code reward: what passes, what fails, and why."""

import sys

import pytest

from r1jax.rewards import code
from r1jax.rewards.code import extraction, isolation, record, sandbox
from r1jax.rewards.verdict import Kind

SUM = code.Tests((code.StdinTest('3 4\n', '7\n'), code.StdinTest('5 6\n', '11\n')))
ADD = code.Tests((code.CallTest('add', (3, 4), 7), code.CallTest('add', ([1], [2]), [1, 2])))
PRINTS = 'a, b = map(int, input().split())\nprint(a + b)\n'

needs_bubblewrap = pytest.mark.skipif(
  isolation.available() is None, reason=f'needs bubblewrap: {isolation.INSTALL}'
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
  verdict = code.check(
    _fenced(f'def f():\n  return {body}\n'), code.Tests((code.CallTest('f', (), expected),))
  )
  assert (verdict.kind == Kind.CORRECT) == same, verdict


def test_without_bubblewrap_it_refuses_to_start_with_the_install_line(monkeypatch):
  monkeypatch.setattr(isolation, 'available', lambda: None)
  with pytest.raises(sandbox.SandboxError, match='apt-get install -y bubblewrap') as raised:
    code.check(_fenced(PRINTS), SUM)
  assert 'overwrite and delete' in str(raised.value)


def test_when_allowed_it_runs_without_bubblewrap_and_leaves_nothing(monkeypatch):
  monkeypatch.setattr(isolation, 'available', lambda: None)
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
  assert code.check(_fenced(PRINTS), code.Tests(())).kind == Kind.VERIFIER_ERROR
  with pytest.raises(ValueError, match="scoring='some' is not one of 'all', 'fraction'"):
    code.CodeConfig(scoring='some')
  with pytest.raises(ValueError, match='python or livecodebench'):
    code.Tests((), rules='codeforces')


@pytest.mark.parametrize(
  'completion, program',
  [
    ('<think>x</think> <think>\n```\na\n```\n', None),
    ('<think>x</think>\n```\na\n```\n<think>\n```\nb\n```\n</think>', 'a\n'),
    ('<think>x</think> <think>y</think>\n```\na\n```\n', 'a\n'),
    ('<thinking>\n```\na\n```\n</thinking>', None),
    ('<think>x</think> <answer><think>\n```\na\n```\n</answer>', None),
  ],
)
def test_a_program_in_an_open_thought_is_not_handed_in(completion, program):
  assert extraction.extract(completion) == program


def test_the_last_complete_block_is_the_program():
  assert extraction.last_block('```py\na\n```\ntext\n```\nb\n```\n```\nc') == 'b\n'
  assert extraction.last_block('no fence') is None


@pytest.mark.parametrize(
  'text, block',
  [
    ('1. Write:\n\n   ```python\n   def f():\n\n     x\n   ```\n', 'def f():\n\n  x\n'),
    ('- ```python\n  def f():\n    x\n  ```', 'def f():\n  x\n'),
    ('10) ```\n    a\n    ```', 'a\n'),
    ('\t```\n\ta\n\t\tb\n\t```', 'a\n\tb\n'),
    # Lines with less of it, as in a text of many lines, lose what they have.
    ('  ```\n  a = """\n b\nc"""\n  ```', 'a = """\nb\nc"""\n'),
    # A program that does not stand under its fence is left as it is.
    ('  ```\nif a:\n  b\n  ```', 'if a:\n  b\n'),
    ('````\na\n```\nb\n```\n````', 'a\n```\nb\n```\n'),
    ('```\na\n`````', 'a\n'),
    ('~~~python\na\n~~~', 'a\n'),
    ('~~~\na\n```\n~~~', 'a\n```\n'),
    ('```\na\n~~~\nb\n```', 'a\n~~~\nb\n'),
    ('```\na\n- ```\n```', 'a\n- ```\n'),
    ('~~~~~\n```\na\n```\n~~~', 'a\n'),
    ('```x``` is code:\n```\na\n```', 'a\n'),
    ('````\na\n```', None),
    ('```\na\n~~~', None),
    ('``\na\n``', None),
    ('a ```\nb\n', None),
  ],
)
def test_fences_are_those_of_commonmark(text, block):
  assert extraction.last_block(text) == block


@pytest.mark.parametrize('line', ['```\n', '`', '~~~x\n', '````\n```\n', '1. ', ' ', '- ```\n'])
def test_a_million_characters_of_fences_are_read_at_once(line):
  extraction.last_block(line * (1_000_000 // len(line)))


def test_a_block_that_says_python_goes_before_what_it_prints():
  shown = '\nExample:\n```\n7\n```\n'
  for name in ('python', 'py', 'Python3'):
    assert code.check(f'```{name}\n{PRINTS}```{shown}', SUM).kind == Kind.CORRECT
  # Without a name, and by LiveCodeBench's rules, the last one is the program.
  assert code.check(f'```\n{PRINTS}```{shown}', SUM).kind == Kind.WRONG
  theirs = code.Tests(SUM.tests, 'livecodebench')
  assert code.check(f'```python\n{PRINTS}```{shown}', theirs).kind == Kind.WRONG
  assert code.check(f'{shown}```python\n{PRINTS}```', theirs).kind == Kind.CORRECT


def _kind(program, stdin, stdout, rules='python'):
  config = code.CodeConfig(limits=sandbox.Limits(seconds=3.0))
  tests = code.Tests((code.StdinTest(stdin, stdout),), rules)
  return code.check(_fenced(f'{program}\n'), tests, config).kind


STOP = 'n = int(input())\nprint(n)\nif n < 0:\n  {}\n'


@needs_bubblewrap
@pytest.mark.parametrize(
  'end, python, livecodebench',
  [
    ('exit()', True, True), ('exit(0)', True, True), ('quit()', True, False),
    ('sys.exit()', True, True), ('raise SystemExit', True, True), ('exit(3)', False, True),
    ('sys.exit("done")', False, True), ('1 / 0', False, False), ('sys.stdout.close()', True, None),
  ],
)  # fmt: skip
def test_a_program_may_end_in_every_way_that_python_and_the_runner_have(end, python, livecodebench):
  program = 'import sys\n' + STOP.format(end)
  assert (_kind(program, '-3\n', '-3\n') == Kind.CORRECT) == python
  if livecodebench is not None:  # its runner holds the output in memory, where close does nothing
    found = _kind(program, '-3\n', '-3\n', record.LIVECODEBENCH)
    assert (found == Kind.CORRECT) == livecodebench


@needs_bubblewrap
@pytest.mark.parametrize(
  'program',
  [
    'import atexit, io, sys\nsys.stdout = io.StringIO()\n'
    'atexit.register(lambda: sys.__stdout__.write(sys.stdout.getvalue()))\nprint(7)\n',
    'import threading, time\n'
    'threading.Thread(target=lambda: (time.sleep(0.1), print(7))).start()\n',
    'import os\nos.write(1, b"7\\n")\n',
    'if __name__ == "__main__":\n  print(7)\n',
    'import dataclasses, sys\n@dataclasses.dataclass\nclass A:\n  n: "int"\n'
    'print(A(7).n if sys.modules["__main__"].A is A and len(sys.argv) == 1 else 0)\n',
    'print(open(0).read() and 7)\n',
  ],
)
def test_a_program_sees_the_interpreter_that_runs_any_script(program):
  assert _kind(program, 'x\n', '7\n') == Kind.CORRECT


@needs_bubblewrap
@pytest.mark.parametrize(
  'program',
  [
    'print(gcd(14, 21))', 'def f(xs: List[int]):\n  return heappop(xs)\nprint(f([7]))',
    'print(datetime.date(2024, 1, 7).day, end=" ")', 'print(pow(7, 1, 10))',
    'print(eval("lcm(7, 1)"))', 'from __future__ import annotations\nprint(Counter("a" * 7)["a"])',
    'stdout.write("7")', 'def f(gcd):\n  return gcd\nprint(f(7))',
    'print(7 if "sys" in globals() else 0)', 'print(sum(count * 0 for count in [1]) + floor(7.5))',
  ],
)  # fmt: skip
def test_programs_find_the_names_that_livecodebench_imports_for_them(program):
  assert _kind(program, '', '7\n') == Kind.CORRECT


@needs_bubblewrap
def test_recursion_goes_as_deep_as_the_runners_limit():
  deep = 'def g(n):\n  return n and 1 + g(n - 1)\nprint(g({}))\n'
  assert _kind(deep.format(49_000), '', '49000\n') == Kind.CORRECT
  assert _kind(deep.format(50_001), '', '50001\n') == Kind.WRONG


@needs_bubblewrap
@pytest.mark.skipif(sys.version_info >= (3, 12), reason='Python 3.12 limits recursion in C itself')
def test_recursion_through_c_code_has_the_stack_it_needs():
  program = '@functools.cache\ndef f(n):\n  return n and 1 + f(n - 1)\nprint(f(20_000))\n'
  assert _kind(program, '', '20000\n') == Kind.CORRECT


@needs_bubblewrap
def test_numbers_of_fifty_thousand_digits_are_printed():
  assert _kind('print(10 ** 40_000)', '', f'1{"0" * 40_000}\n') == Kind.CORRECT


@needs_bubblewrap
def test_numpy_is_there_and_its_numbers_count_as_results():
  program = 'import numpy as np\ndef f(xs):\n  return [np.array(xs).sum(), np.float32(0.5)]\n'
  for rules in ('python', 'livecodebench'):
    tests = code.Tests((code.CallTest('f', ([3, 4],), [7, 0.5]),), rules)
    assert code.check(_fenced(program), tests).kind == Kind.CORRECT


@needs_bubblewrap
def test_what_a_script_does_is_left_out_where_a_function_is_called():
  body = 'def add(a, b):\n  return a + b\n\nif __name__ == "__main__":\n  {}\n'
  assert code.check(_fenced(body.format('print(add(int(input()), 1))')), ADD).kind == Kind.CORRECT
  script = body.format('print(add(*map(int, input().split())))')
  assert code.check(_fenced(script), SUM).kind == Kind.CORRECT


def test_a_method_of_a_solution_is_called_where_there_is_one():
  method = 'class Solution:\n  def add(self, a, b):\n    return a + b\n'
  assert code.check(_fenced(method), ADD).kind == Kind.CORRECT
  assert code.check(_fenced(f'Solution = 7\n{PRINTS}'), SUM).kind == Kind.CORRECT


@needs_bubblewrap
def test_a_number_that_no_float_can_be_near_is_a_wrong_answer_and_no_error():
  tests = code.Tests((code.CallTest('f', (), 1.5),))
  assert code.check(_fenced('def f():\n  return 10 ** 400\n'), tests).kind == Kind.WRONG


@needs_bubblewrap
def test_a_sandbox_that_stops_working_is_a_verifier_error_and_never_a_wrong_program(monkeypatch):
  # Without the device that programs write errors to, every program fails, right ones too.
  monkeypatch.setattr(isolation, 'DEVICES', ('/dev/zero', '/dev/urandom'))
  for tests in (SUM, ADD):
    verdict = code.check(_fenced(PRINTS), tests)
    assert verdict.kind == Kind.VERIFIER_ERROR and 'a right program gave' in verdict.why
