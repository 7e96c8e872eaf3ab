"""The stated formats of an option letter."""

import pytest

from r1jax.rewards import choice, service
from r1jax.rewards.verdict import Kind

ONE = (
  'B', 'b', 'B.', '(B)', '[B]', 'B)', '**B**', '\\boxed{B}', '\\text{B}', '$B$', 'B: the cat',
  '(B) the cat', 'B. 12 cm',
  'Option B', 'The answer is B', 'The correct answer is (B).', 'Answer: B', 'B - a dog', 'B. A dog',
)  # fmt: skip
NONE = (
  '',
  'A or B',
  'A, B',
  'B, C',
  'A/B',
  'ABCDE',
  'Bad',
  'Z',
  'not B',
  '(A) or (B)',
  'B) and also (C)',
  '\u0412',
  'B' * 5000,
)


def _judge(answer, *gold):
  return service.judge(f'<answer>{answer}</answer>', choice.Letter(*gold)).kind


@pytest.mark.parametrize('answer', ONE)
def test_a_single_letter_is_read(answer):
  assert _judge(answer, 'B') == Kind.CORRECT
  assert _judge(answer, 'C') == Kind.WRONG


@pytest.mark.parametrize('answer', NONE)
def test_no_letter_or_several_letters_state_nothing(answer):
  assert _judge(answer, 'B') == Kind.UNPARSEABLE


def test_letters_beyond_the_options_are_no_answer_and_a_bad_gold_letter_is_our_error():
  assert _judge('E', 'B', 'ABCD') == Kind.UNPARSEABLE
  assert _judge('B', 'E', 'ABCD') == Kind.VERIFIER_ERROR
