"""What counts as the last number of a reply, and whether it is paid."""

import pytest

from r1jax.rewards import last_number, service
from r1jax.rewards.verdict import Kind

# text -> the number that it states.
READ = {
  '4 * 4 = 16 stones': '16',
  '8 + 6 equals 14.': '14',
  'There are 3 * (2 glasses / 6) = 6 grapes': '6',
  '9 x 8 = 72.• Michael': '72',
  '5-3=2': '2',
  '#### 42': '42',
  'The answer is 42.': '42',
  '$1,234.50': '1,234.50',
  '(1,2)': '2',
  '1, 2, 3': '3',
  '12 cm^2': '12',
  '- 5 apples': '5',
  'x = - 5': '-5',
  'it is -5': '-5',
  'negative 5': '-5',
  '5 apples - 3 apples': '3',
  "1'000'000": '1000000',
  '5 000': '5000',
  'It is .5': '.5',
  '3 1/2': '3 1/2',
  '1½': '1½',
  '\\frac{1}{2}': '\\frac{1}{2}',
  '1.5 \\times 10^3': '1.5 \\times 10^3',
  '18 thousand': '18 thousand',
  '2\\pi': '2\\pi',
  '18:30': '18:30',
  '5 + 3': '5 + 3',
  '答案是18。': '18',
  'Ответ18.': '18',
  '答えは-18です': '-18',
  '$18{,}000$': '18000',
  '10,\\!000': '10000',
  '100 150 200': '200',
  '1 500 000': '1500000',
  '-$18.50': '-18.50',
  'non-negative 5': '5',
  '$5 + $3': '5 + $3',
  '5 minus 3': '5 minus 3',
  '2**10': '2**10',
  '18k': '18k',
  'The answer is 5!': '5',
  '5 s^{-1}': '5',
  'the 4^{th} one': '4',
  '18 quadrillion': '18 quadrillion',
  'sqrt(9) = 3': '3',
  'the sqrt(16)': None,
  'x7 and a_{12}': None,
  'none': None,
}
# gold -> replies that state it, and replies that state another number or none.
RIGHT = {
  '1/2': ('\\frac{1}{2}', '½', '.5', '1/2 of it', '0.5'),
  '-1/2': ('-\\frac{1}{2}', '-1/2', 'it is - 0.5'),
  '7/2': ('3 1/2', '3.5'),
  '1.5': ('1½', '1.50'),
  '1500000': ('1.5 million', '1,500,000', "1'500'000", '1 500 000'),
  '18000': ('18 thousand', '18,000'),
  '-5': ('negative 5', 'x = - 5', '-5'),
  '1000': ('1e3', '1,000'),
  '2': ('5 - 3 = 2', '- 2 apples', '(1,2)'),
}
WRONG = {
  '2': ('\\frac{1}{2}', '\\sqrt{2}', '2\\pi', '4 - 2', '12 cm^2', '3 1/2'),
  '1': ('1½', '1e3'),
  '18': ('18 thousand', '18 dozen', '9 + 9', '18 million', '18 quintillion', '18‰'),
  '10': ('2^10', '2^{10}', '5 * 10'),
  '30': ('18:30',),
  '3': ('5 + 3', '8-3', '3 / 4', '3 dozen', '5 plus 3', '$5 + $3', '5 – 3'),
  '5': ('negative 5', 'x = - 5', '10^5'),
  '0': ("1'000'000", '5 000', '18{,}000', '18\\,000'),
  '4': ('3 / 4', '16 / 4'),
}


@pytest.mark.parametrize('text, number', READ.items())
def test_a_number_is_read_with_all_that_makes_it_one(text, number):
  assert last_number.read(text) == number
  if number:
    assert last_number.read(f'First 7.\n{text}\nSo it goes.') == number


@pytest.fixture(scope='module')
def kind():
  """(gold, reply) -> the kind of its verdict by the last number."""
  config = service.RewardConfig(answer='last_number')
  return lambda gold, text: service.judge(text, gold, config).kind


@pytest.mark.parametrize('gold, text', [(g, t) for g, texts in RIGHT.items() for t in texts])
def test_who_states_the_number_is_paid(kind, gold, text):
  assert kind(gold, text) == Kind.CORRECT


@pytest.mark.parametrize('gold, text', [(g, t) for g, texts in WRONG.items() for t in texts])
def test_who_states_another_number_or_a_question_is_not(kind, gold, text):
  assert kind(gold, text) != Kind.CORRECT


def test_a_text_of_any_length_is_read_in_linear_time():
  parts = ('1 ', '1+', '\\frac{', '5 000 ', '1,23,', '^{1}', 'x 5 x', '\\sqrt{')
  for part in parts:
    last_number.read(part * 50_000)
