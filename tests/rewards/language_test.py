"""Language consistency of the thought."""

import pytest

from r1jax.rewards import language
from r1jax.rewards.verdict import Kind


def _share(thought, target):
  return language.check(f'<think>{thought}</think> <answer>1</answer>', target).score


@pytest.mark.parametrize(
  'thought, english, chinese',
  [
    ('We add three and four to get seven.', 1, 0),
    ('我们先算三加四等于七。', 0, 1),
    ('We add 三 and 四 here', 4 / 6, 2 / 6),
    ("It's the sum, isn't it?", 1, 0),
    ('首先 $x^2 + \\text{the old value}$ 然后 `print(hello world)`', 0, 1),
    ('Add \\frac{alpha}{beta} to it, 42 times', 1, 0),
    ('Мы складываем числа', 0, 0),
    ('先足してから掛けます', 0, 3 / 10),
  ],
)
def test_the_share_of_words_is_counted_by_script(thought, english, chinese):
  assert _share(thought, 'zh') == pytest.approx(chinese, abs=0.01)
  assert _share(thought, 'en') == pytest.approx(english, abs=0.01)


@pytest.mark.parametrize(
  'thought',
  [
    'Wir addieren die Zahlen und dann haben wir das',
    'nous avons deux pommes et donc il est',
    'primero tenemos dos y luego los tres más',
  ],
)
def test_other_latin_languages_are_not_english(thought):
  assert _share(thought, 'en') < 0.5


def test_only_the_thought_counts_and_without_one_there_is_nothing_to_judge():
  assert language.check('<think>we add</think> <answer>我们</answer>').score == 1
  assert language.check('<answer>we add</answer>').kind == Kind.UNPARSEABLE
  assert language.check('<think>12 + 3</think>').kind == Kind.UNPARSEABLE
  with pytest.raises(ValueError, match='known: en, zh'):
    language.check('<think>a</think>', 'fr')
