"""General requests: scores by part, and replies that are the one which a request leaves."""

import pytest

from r1jax.evaluation import scenarios
from r1jax.rewards import service
from r1jax.rewards.verdict import Kind, Verdict


@pytest.mark.parametrize(
  'text, found',
  [
    (' <think> t </think> <answer> A cat eats fish </answer>', True),
    (' <think> t </think> <answer> a cat  eats fish</answer>', True),
    (' <think> t </think> <answer> no </answer> <answer> a cat eats fish </answer>', True),
    (' <think> t </think> <answer> a cat eats fish and mice </answer>', False),
    (' <think> <answer> a cat eats fish </answer> </think>', False),
    (' a cat eats fish', False),
    ('', False),
  ],
)
def test_a_reply_is_as_wanted_where_its_last_answer_says_that_and_no_more(text, found):
  assert scenarios.is_wanted(text, 'a cat eats fish') is found


def test_white_space_between_chinese_signs_does_not_count():
  text = ' <think> 想 </think> <answer> 猫 有 4 条腿 </answer>'
  assert scenarios.is_wanted(text, '猫有 4 条腿') and not scenarios.is_wanted(text, '猫有 2 条腿')


def test_scores_leave_out_what_a_model_failed_to_judge():
  good, failed = Verdict(0.5, Kind.CORRECT), Verdict(0.0, Kind.VERIFIER_ERROR)
  rewards = [
    service.Reward({'helpful': good, 'format': good}, 1.0),
    service.Reward({'helpful': failed}, 0.0),
    service.Reward({'harmless': good}, 0.5),
  ]
  assert scenarios.scores(rewards) == {'helpful': [0.5], 'format': [0.5], 'harmless': [0.5]}
