"""Verdicts of LiveCodeBench's published runner, stored beside this file, against ours.

Each row of livecodebench.jsonl is a program with its tests and what `run_test` of
lcb_runner/evaluation/testing_util.py said of it (Python 3.11, a process per row). These rows differ
by intent, each a right program that the runner's construction calls wrong: it puts a stand-in for
standard input that cannot be iterated, and another for `open`; it runs programs as the body of a
function, where `global` finds nothing; and it calls one object of `Solution` for all tests.
"""

import json
import pathlib

import pytest

from r1jax.rewards import code
from r1jax.rewards.code import isolation, sandbox

ROWS = [
  json.loads(line)
  for line in pathlib.Path(__file__).with_name('livecodebench.jsonl').read_text().splitlines()
]
DIFFERENT = ('for l in sys.stdin', 'open(0)', 'global x', 'self.n+=1')
pytestmark = pytest.mark.skipif(
  isolation.available() is None, reason=f'needs bubblewrap: {isolation.INSTALL}'
)


def _tests(row):
  pairs = list(zip(row['inputs'], row['outputs']))
  if row['function'] is None:
    made = [code.StdinTest(*pair) for pair in pairs]
  else:
    read = [([json.loads(one) for one in i.split('\n')], json.loads(o)) for i, o in pairs]
    made = [code.CallTest(row['function'], tuple(args), out) for args, out in read]
  return code.Tests(tuple(made), rules='livecodebench')


def _agrees(row):
  config = code.CodeConfig(limits=sandbox.Limits(seconds=6.0, memory_mib=2048))
  verdict = code.check(f'```\n{row["program"]}\n```', _tests(row), config)
  return (verdict.score == 1) == row['runner']


def test_programs_get_the_verdicts_of_the_published_runner():
  rows = [row for row in ROWS if not any(text in row['program'] for text in DIFFERENT)]
  assert len(rows) == len(ROWS) - len(DIFFERENT)
  assert [row for row in rows[::3] if not _agrees(row)] == []


@pytest.mark.heavy
def test_all_stored_programs_get_the_verdicts_of_the_published_runner_but_those_named():
  apart = [row['program'] for row in ROWS if not _agrees(row)]
  assert len(apart) == len(DIFFERENT)
  assert all(any(text in program for text in DIFFERENT) for program in apart)
