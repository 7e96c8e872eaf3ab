"""The pairs of math-verify's own tests that are final answers, judged as they are there.

The table holds pairs of texts and what that suite asserts of them (commit 5d148cf, Apache-2.0, see
NOTICE): facts, without its long solutions. docs/rewards.md lists what is no final answer, and the
two differences, which are marked.
"""

import json
import pathlib

import pytest

from r1jax.rewards import golds, service

_ROWS = [
  json.loads(line)
  for line in pathlib.Path(__file__).with_suffix('.jsonl').with_stem('math_verify').open()
]


def _right(row):
  gold = golds.graded({'kind': 'math', 'gold': row['gold']})
  completion = row.get('completion') or f'<answer>{row["answer"]}</answer>'
  return service.judge(completion, gold).score == 1


def test_one_pair_in_a_hundred_differs_at_most():
  differing = [row for row in _ROWS if row.get('differs')]
  assert len(_ROWS) >= 190 and len(differing) == 2


@pytest.mark.parametrize('row', _ROWS, ids=range(len(_ROWS)))
def test_a_final_answer_is_judged_as_math_verify_says(row):
  assert (_right(row) == row['right']) != bool(row.get('differs')), row
