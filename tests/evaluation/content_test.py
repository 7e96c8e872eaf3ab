"""A right answer counts in any form; a wrong one in none."""

import contextlib

import numpy as np
import pytest

from r1jax.data import problem
from r1jax.evaluation import content, replies
from r1jax.rewards import choice, service
from r1jax.sampling import rollout

ORDER = '2, 4, 7'


@pytest.mark.parametrize(
  ('text', 'gold', 'stated'),
  [
    ('so the answer is 9', '9', '9'),
    ('<think> 2 + 7 = 9 </think> nothing', '9', '9'),
    ('<think> it is 9 <answer>', '9', '9'),
    ('no number', '9', None),
    ('<think> hm </think> 2, 4, 7', ORDER, ORDER),
    ('it is\nRome\n', 'Rome', 'Rome'),
    ('', 'Rome', None),
    ('so ' * 40 + 'Rome', 'Rome', None),
    ('<answer> B', choice.Letter('B'), 'B'),
  ],
)
def test_the_last_thing_is_found_whatever_the_tags(text, gold, stated):
  assert content.last_stated(text, gold) == stated


def _replies(texts, gold):
  """`replies.Replies` of these texts to one question, judged as a run judges."""
  rewards = service.RewardService()
  with contextlib.closing(rewards):
    scores = rewards.submit([service.Item(text, gold) for text in texts]).result()
  count = len(texts)
  zeros = np.zeros((count, 1))
  drawn = rollout.Rollout(([1],), zeros.astype(int), zeros, np.ones(count, int), zeros[:, 0] < 1)
  return replies.Replies(
    (problem.Problem('q', gold, 'sum', 1),), drawn, tuple(texts), tuple(scores)
  )


@pytest.mark.parametrize(
  ('gold', 'texts', 'right'),
  [
    ('9', ('<answer> 9 </answer>', 'it is 9', 'it is 8', 'no', '9 <answer> 8 </answer>'),
     [1, 1, 0, 0, 0]),
    ('Rome', ('the answer is\nRome', 'Paris'), [1, 0]),
    (choice.Letter('B'), ('<answer> B', 'A'), [1, 0]),
  ],
)  # fmt: skip
def test_what_is_right_in_form_too_is_right_in_content(gold, texts, right):
  with contextlib.closing(content.Reader(service.RewardConfig())) as reader:
    out = _replies(texts, gold)
    found = reader.right(out)
  np.testing.assert_array_equal(found, [right])
  assert (found >= out.correct_PG).all()
