"""JSON answers are compared as values: against Python's own reading, and where that is too lax."""

import json
import random

import pytest

from r1jax.data import template
from r1jax.rewards import accuracy, json_value, service
from r1jax.rewards.verdict import Kind


def _judge(gold, text):
  return service.judge(f'<answer>{text}</answer>', json_value.Json.read({'json': gold}, '')[0])


def _value(source, depth=3):
  """A random JSON value without decimals, which Python compares as this verifier must."""
  kind = source.randrange(6 if depth else 4)
  if kind < 4:
    return (source.randrange(-9, 9), None, source.choice('abc'), source.random() < 0.5)[kind]
  if kind == 4:
    return [_value(source, depth - 1) for _ in range(source.randrange(4))]
  return {key: _value(source, depth - 1) for key in source.sample('abcde', source.randrange(4))}


def _shuffled(source, value):
  """The same value, the keys of its objects in another order."""
  if isinstance(value, list):
    return [_shuffled(source, part) for part in value]
  if isinstance(value, dict):
    return {key: _shuffled(source, value[key]) for key in source.sample(list(value), len(value))}
  return value


def test_random_values_equal_themselves_in_any_order_of_keys_and_nothing_else():
  source = random.Random(0)
  values = [_value(source) for _ in range(300)]
  for one, other in zip(values, values[1:]):
    again = json.dumps(_shuffled(source, one), indent=source.choice((None, 2)))
    assert _judge(one, again).kind == Kind.CORRECT, (one, again)
    # Type by type, as Python's 1 == True is no equality of JSON.
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (_judge(one, json.dumps(other)).kind == Kind.CORRECT) == same, (one, other)


@pytest.mark.parametrize(
  'gold, answer',
  [
    (1, '1.0'), (100, '1e2'), (0.5, '5e-1'), (0.1, '0.10'), (2.0, '2'), (0, '-0'),
    (12345678901234567890, '12345678901234567890.0'), (1e300, '1e300'),
  ],
)  # fmt: skip
def test_numbers_are_compared_by_value(gold, answer):
  assert _judge(gold, answer).kind == Kind.CORRECT


@pytest.mark.parametrize(
  'gold, answer, why',
  [
    ({'a': [1, 2]}, '{"a": [1, 3]}', 'answer.a[1]: 3, expected 2'),
    ({'a': 1}, '{"b": 1}', "answer: the key 'a' is in one of the two only"),
    ([1, 2], '[1]', 'answer: 1 items, expected 2'),
    ('x', '{"y": 1}', 'answer: {"y": "1"}, expected "x"'),
    (12345678901, '12345678902.0', 'answer: 12345678902.0, expected 12345678901'),
  ],
)
def test_a_wrong_value_is_told_apart_where_it_first_differs(gold, answer, why):
  found = _judge(gold, answer)
  assert (found.kind, found.why) == (Kind.WRONG, why)


@pytest.mark.parametrize(
  'answer, why',
  [
    ('{"a": 1', 'not JSON (column 8'),
    ('seven', 'not JSON (column 1'),
    ('[NaN]', 'NaN is no number in JSON'),
    ('-Infinity', '-Infinity is no number in JSON'),
    ('{"a": 1, "a": 1}', 'an object with a key twice'),
    ('[' * 5000 + ']' * 5000, 'JSON that is nested more than 100 deep'),
    ('[' * 102 + ']' * 102, 'JSON that is nested more than 100 deep'),
    ('1e' + '9' * 40, 'not JSON that can be read: InvalidOperation'),
    ('7' * 30_000, 'an answer of 30000 characters; at most 20004 are read'),
    ('', 'not JSON'),
  ],
)
def test_what_is_no_json_is_unparseable_with_the_reason(answer, why):
  found = _judge(7, answer)
  assert found.kind == Kind.UNPARSEABLE and found.why.startswith(why), found


@pytest.mark.parametrize(
  'completion, text',
  [
    ('<think>[1]</think> <answer>[2]</answer>', '[2]'),
    ('<think>[1]</think> so\n```json\n[2]\n```\n', '[2]\n'),
    ('<answer>it is\n```\n[2]\n```\n</answer>', '[2]\n'),
    ('so \\boxed{[2]}', '[2]'),
    ('<think>[2]</think>', None),
  ],
)
def test_the_value_stands_in_tags_a_block_or_a_box(completion, text):
  gold = json_value.Json('[2]')
  assert gold.stated(completion, template.parse(completion)) == text
  found = service.judge(completion, gold).kind
  assert found == (Kind.CORRECT if text else Kind.UNPARSEABLE)


@pytest.mark.parametrize('way, right', [('tags', '[2]'), ('box', '[3]'), ('last_number', '5')])
def test_the_value_stands_where_the_config_says(way, right):
  completion = '```json\n[2]\n```\n\\boxed{[3]} of 5'
  config = service.RewardConfig(answer=way)
  for text in ('[2]', '[3]', '5'):
    gold = json_value.Json(text)
    found = gold.check(completion, accuracy.read(completion, way), config)
    assert (found.kind == Kind.CORRECT) is (text == right), found


def test_equal_values_are_one_vote_and_text_that_is_no_json_votes_by_its_spelling():
  gold = json_value.Json('1')
  assert gold.same('{"a": 1.0, "b": 2}', '{"b": 2, "a": 1}')
  assert not gold.same('[1, 2]', '[2, 1]') and not gold.same('[1', '[2')
  assert gold.same('[1', '[1')
