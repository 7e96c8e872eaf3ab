"""The rows of the attack tables, and what the sandbox says to each."""

import pytest

from r1jax.rewards.code import attacks, isolation, sandbox
from r1jax.rewards.verdict import Kind

needs_bubblewrap = pytest.mark.skipif(
  isolation.available() is None, reason=f'needs bubblewrap: {isolation.INSTALL}'
)


def test_rows_are_named_once_and_none_may_be_paid():
  rows = attacks.load()
  assert len({(row.question, row.name) for row in rows}) == len(rows) >= 231
  judged = {Kind.WRONG, Kind.TIMEOUT, Kind.UNPARSEABLE}
  assert all(row.verdicts and set(row.verdicts) <= judged for row in rows)


def test_a_program_that_does_not_compile_attacks_the_compiler_on_purpose():
  meant = {
    'deep scopes',
    'a syntax bomb',
    'a null byte',
    'an endless compilation',
    'a lone surrogate in the source',
  }
  broken = set()
  for row in attacks.load():
    try:
      compile(row.program, row.name, 'exec')
    except (SyntaxError, ValueError, MemoryError, RecursionError):
      broken.add(row.name)
  # Which of these a compiler takes depends on the Python; no other may be broken.
  assert broken <= meant


@needs_bubblewrap
def test_an_attack_that_works_is_reported_as_paid(monkeypatch):
  works = attacks.Attack('printed', 'x', 'print(sum(map(int, input().split())))', ('wrong',))
  ((_, verdict, left),) = attacks.run([works])
  assert verdict.kind == Kind.CORRECT and left == []
  reads = attacks.Attack('secret', 'x', 'print("{port}".isdigit(), "{file}"[0])', ('wrong',))
  ((_, verdict, _),) = attacks.run([reads])
  assert verdict.kind == Kind.WRONG


def test_a_changed_device_and_a_file_left_are_leaks(monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  assert attacks.leaks() == []
  (tmp_path / 'r1jax-leak-file').touch()
  assert attacks.leaks() == [str(tmp_path / 'r1jax-leak-file')]
  (tmp_path / 'r1jax-leak-file').unlink()
  # Sandboxes of another process at work in the same folder are none of ours.
  (tmp_path / 'r1jax-code-1-x').mkdir()
  (tmp_path / f'{sandbox.folder_prefix()}x').mkdir()
  assert attacks.leaks() == [str(tmp_path / f'{sandbox.folder_prefix()}x')]
  (tmp_path / f'{sandbox.folder_prefix()}x').rmdir()
  monkeypatch.setitem(attacks.DEVICES, '/dev/null', (0o20000, 0, 0))
  assert attacks.leaks() == ['device /dev/null']


@needs_bubblewrap
@pytest.mark.heavy
def test_every_attack_gets_a_verdict_of_its_row_and_leaves_nothing():
  for attack, verdict, left in attacks.run(attacks.load()):
    assert verdict.kind in attack.verdicts and verdict.score == 0 and left == [], attack.name
