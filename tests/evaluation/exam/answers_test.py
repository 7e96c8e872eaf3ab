"""Answers are found where the paper looks for them, and votes go by value, not by spelling."""

import pytest

from r1jax.evaluation.exam import answers
from r1jax.rewards import choice, code, service
from r1jax.rewards.code import isolation
from r1jax.rewards.verdict import Kind

LETTER = choice.Letter('B', 'ABCD')
needs_sandbox = pytest.mark.skipif(
  isolation.available() is None, reason=f'needs bubblewrap: {isolation.INSTALL}'
)


def judge(*pairs):
  rewards = service.RewardService()
  try:
    found = rewards.submit([service.Item(text, gold) for text, gold in pairs]).result()
  finally:
    rewards.close()
  return [mark.verdicts['accuracy'].kind for mark in found]


@pytest.mark.parametrize(
  'reply, answer',
  [
    ('<think> 4 </think> so it is \\boxed{8}', '8'),
    ('<think> \\boxed{7} </think> <answer> 8 </answer>', ' 8 '),
    ('<think>\nhmm \\boxed{7}', None),
    ('the answer is 8', None),
  ],
)
def test_mathematics_is_read_from_the_last_box_or_answer_outside_the_thought(reply, answer):
  assert answers.stated(reply, '8') == answer


@pytest.mark.parametrize(
  'reply, letter',
  [
    ('<think> A? </think>\nIt binds.\nANSWER: B', 'B'),
    ('It binds.\n\n**Answer: (B)**\n', 'B'),
    ('<think> x </think> <answer> B </answer>', 'B'),
    ('so \\boxed{\\text{B}}', 'B'),
    ('ANSWER: A\nor perhaps another', None),
    ('<think> ANSWER: B', None),
    ('ANSWER: E', None),
  ],
)
def test_a_choice_is_read_from_the_last_line_too(reply, letter):
  assert answers.stated(reply, LETTER) == letter
  (kind,) = judge((reply, LETTER))
  assert kind == (Kind.CORRECT if letter else Kind.UNPARSEABLE)


@needs_sandbox
def test_programs_may_use_what_their_site_imports_and_methods_of_a_solution():
  method = """<think> easy </think>
```python
class Solution:
    def total(self, xs: List[int]) -> int:
        return pow(sum(xs), 1, 1000)
```"""
  adds = 'print(sum(map(int, input().split())))'
  script = f'```python\nfrom __future__ import annotations\n{adds}\n```'
  calls = code.Tests((code.CallTest('total', ([1, 2],), 3), code.CallTest('total', ([],), 0)))
  lines = code.Tests((code.StdinTest('1 2\n', '3\n'),))
  wrong = method.replace('sum(xs)', 'len(xs)')
  found = judge((method, calls), (wrong, calls), (script, lines), ('no program', lines))
  assert found == [Kind.CORRECT, Kind.WRONG, Kind.CORRECT, Kind.UNPARSEABLE]
  assert answers.stated(script, lines) is None


def test_equal_values_are_one_vote_however_they_are_written():
  texts = ['1/2', '0.5', '\\frac{1}{2}', '3', '$3$', '3.0', '\\sqrt{8}', '2\\sqrt{2}', None, 'x']
  kinds = [Kind.WRONG] * 8 + [Kind.UNPARSEABLE, Kind.WRONG]
  found = answers.votes(texts, kinds, '7')
  assert len({found[i] for i in (0, 1, 2)}) == 1 and len({found[i] for i in (3, 4, 5)}) == 1
  assert found[6] == found[7] and found[8] is None
  assert len(set(found)) == 5 and 0 not in found


def test_all_correct_answers_are_one_vote_and_never_that_of_a_wrong_one():
  texts = ['50%', '0.5', '50', '0.5 ']
  kinds = [Kind.CORRECT, Kind.CORRECT, Kind.WRONG, Kind.CORRECT]
  assert answers.votes(texts, kinds, '7') == [0, 0, 1, 0]
