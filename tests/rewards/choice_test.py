"""The stated formats of an option letter."""

import pytest

from r1jax.rewards import choice, service
from r1jax.rewards.verdict import Kind

ONE = (
  'B', 'b', 'B.', '(B)', '[B]', 'B)', '**B**', '\\boxed{B}', '\\text{B}', '$B$', 'B: the cat',
  '(B) the cat', 'B. 12 cm',
  'Option B', 'The answer is B', 'The correct answer is (B).', 'Answer: B', 'B - a dog', 'B. A dog',
  '{"answer": "B"}', '{"reasoning": "(C) is odd", "answer": "B"}',
  'Antwort: B', '**Antwort:** B', 'Réponse : B', 'Re\u0301ponse : (B)', 'La réponse est B.',
  'Respuesta: B', 'Die richtige Antwort ist B', 'La respuesta correcta es B', '정답: B', '回答：B',
  'Ответ: B', '{B}', '{{B}}', '{(B)}', '\\rm B', '\\boxed{\\rm B}', '{\\rm B}', '\\text B',
  '\\bm{B}', '$\\mathbf B$',
  'B. x', 'B. x and y', 'B. if x then y', 'B. c is the speed of light', 'B. vitamin c',
  'B. the third law', 'B (the second option)', 'B. which is the second option',
  '答案：B', '正确答案是 B', '选B', 'I think the answer is (B).', 'I believe that the answer is B',
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
  '答案不是B',
  'Antwort: B oder C',
  'Antwort: nicht B',
  'Antwort B',
  'Antwort: B. Nein, die dritte',
  'La réponse est B ou C',
  'Réponse : Bad',
  'Ответ: не B',
  '{B, C}',
  '{B} {C}',
  '{B} or {C}',
  '\\{B\\}',
  'x^{B}',
  '\\rm Bad',
  '{\\rm B} \\text{ or } {\\rm C}',
  '\uff22',
  'Antwort: \uff22',
  'B. c',
  'B.\nd',
  'B) c',
  '(B) (c)',
  'B. option c',
  'B. also c',
  'B. c is right too',
  'B. then c',
  'B. vs c',
  'B. 2nd: c',
  'B. c?',
  'B. as well as the third',
  'B as well as c',
  'B. which is the third option too',
  # Whether this is the text of an option is not known here.
  'Berlin (B)',
  'B. Both A and C',
  'B. Either A or C',
  '\\boxed{C} \\text{ or } \\boxed{B}',
  '\\boxed{A} \\boxed{B}',
  '{"answer": "A or B"}',
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


def test_the_text_of_an_option_that_is_known_offers_no_other():
  options = ('red', 'd', 'not b', 'neither', 'the third')
  judge = lambda answer, gold: _judge(answer, gold, 'ABCDE', options)
  for letter, text in zip('ABCDE', options):
    for answer in (f'{letter}. {text}', f'({letter}) {text.title()}.', f'{letter}: {text} '):
      assert judge(answer, letter) == Kind.CORRECT
  for answer in ('D. the third', 'D. not b', 'C. d', 'B. c'):
    assert judge(answer, answer[0]) == Kind.UNPARSEABLE
  # The letter counts, whatever is said beside it.
  assert judge('B. red', 'B') == Kind.CORRECT


@pytest.mark.parametrize(
  'text', ['Both A and B', 'neither A nor B.', 'All of A, B, and C', 'Both (A) and (C)']
)
def test_an_option_may_be_about_the_options_before_it(text):
  assert _judge(f'D. {text}', 'D') == Kind.CORRECT
  assert _judge(f'(D) {text}', 'D') == Kind.CORRECT
  assert _judge(f'D. {text}', 'A') == Kind.WRONG


def test_the_pronoun_is_no_choice():
  assert _judge('I think the answer is (C).', 'C', 'ABCDEFGHIJ') == Kind.CORRECT
  assert _judge('I', 'I', 'ABCDEFGHIJ') == Kind.CORRECT


def test_the_last_line_may_have_its_letter_in_braces():
  assert service.judge('So.\nANSWER: {C}', choice.Letter('C')).kind == Kind.CORRECT
  assert service.judge('So.\nANSWER: {B, C}', choice.Letter('C')).kind == Kind.UNPARSEABLE


def test_letters_beyond_the_options_are_no_answer_and_a_bad_gold_letter_is_our_error():
  assert _judge('E', 'B', 'ABCD') == Kind.UNPARSEABLE
  assert _judge('B', 'E', 'ABCD') == Kind.VERIFIER_ERROR


@pytest.mark.parametrize(
  'completion, kind',
  [
    ('<think>x</think> ANSWER: B\n<think>ANSWER: C', Kind.WRONG),
    ('<think>x</think> ANSWER: C\n<think>ANSWER: B</think>', Kind.CORRECT),
    ('<think>x</think> <think>ANSWER: C', Kind.UNPARSEABLE),
    ('<THINK>ANSWER: C</THINK>', Kind.UNPARSEABLE),
    ('<thinking>ANSWER: B</thinking> ANSWER: C', Kind.CORRECT),
    ('ANSWER: B</think> ANSWER: C', Kind.CORRECT),
  ],
)
def test_a_letter_in_an_open_thought_states_nothing(completion, kind):
  assert service.judge(completion, choice.Letter('C')).kind == kind
