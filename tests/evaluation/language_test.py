"""Language and reflection of replies, counted."""

import pytest

from r1jax.evaluation import language

THOUGHT = '<think> {} </think> <answer> 7 </answer>'


@pytest.mark.parametrize(
  'thought, target, share',
  [
    ('so we add three', 'en', 1.0),
    ('so we 加 三', 'en', 0.5),
    ('so we 加 三', 'zh', 0.5),
    ('3 + 4 = 7', 'en', None),
    ('', 'en', None),
  ],
)
def test_consistency_is_the_share_of_words_in_the_language(thought, target, share):
  assert language.consistency(THOUGHT.format(thought), target) == share


def test_a_reply_without_a_thought_has_no_consistency():
  assert language.consistency('the answer is 7', 'en') is None


def test_wait_and_other_words_of_reflection_are_counted_as_words():
  assert language.reflections('Wait, that is wrong. waiting, 等一下, check') == (2, 4)
  assert language.reflections('butter') == (0, 0)


def test_figures_are_means_over_completions():
  texts = [THOUGHT.format('so we wait'), THOUGHT.format('so 加'), THOUGHT.format('1')]
  assert language.figures(texts, ['en', 'en', 'en']) == {
    'wait': 1 / 3,
    'reflection': 1 / 3,
    'language': 0.75,
    'mixed': 0.5,
  }
  assert language.figures([], []) == {}
