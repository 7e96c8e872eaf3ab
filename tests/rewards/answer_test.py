"""Where an answer is looked for: tags, the last box, or the last number."""

import pytest

from r1jax.rewards import accuracy, format, service
from r1jax.rewards.verdict import Kind


@pytest.mark.parametrize(
  'completion, number',
  [
    ('12', '12'),
    ('The answer is 1,234.', '1,234'),
    ('5 - 3 = 2', '2'),
    ('5-3', '5-3'),
    ('it is -7.', '-7'),
    ('x7 and 3.50 dollars', '3.50'),
    ('one half, 1/2', '1/2'),
    ('<think> 5 </think> so 6', '6'),
    ('no digits at all', None),
    ('<think> 5 </think>', None),
    ('', None),
  ],
)
def test_the_last_number_outside_the_thought_is_the_answer(completion, number):
  reply = accuracy.read(completion, 'last_number')
  assert accuracy.final_answer(completion, reply) == number


@pytest.mark.parametrize(
  'answer, completion, right',
  [
    ('tags', '<answer> 4 </answer> not 5', True),
    ('last_number', '<answer> 4 </answer> not 5', False),
    ('last_number', '2 + 2 is 4', True),
    ('tags', '2 + 2 is 4', False),
    ('box', '\\boxed{4} and <answer> 5 </answer>', True),
    ('tags', '\\boxed{4} and <answer> 5 </answer>', False),
  ],
)
def test_the_same_completion_is_read_as_the_config_says(answer, completion, right):
  found = service.judge(completion, '4', service.RewardConfig(answer=answer))
  assert (found.kind == Kind.CORRECT) is right


@pytest.mark.parametrize(
  'answer, completion, formed',
  [
    ('last_number', 'it is 4', True),
    ('last_number', 'it is four', False),
    ('box', 'so \\boxed{4}', True),
    ('box', '\\boxed{4} or \\boxed{5}', False),
    ('box', '<think> \\boxed{3} </think> \\boxed{4}', True),
    ('tags', 'it is 4', False),
  ],
)
def test_the_format_wanted_is_the_one_that_is_asked_for(answer, completion, formed):
  reply = accuracy.read(completion, answer)
  assert bool(format.asked(completion, reply, answer).score) is formed
