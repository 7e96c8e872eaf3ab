"""What rejection sampling keeps and drops, and that it says why."""

import dataclasses

import pytest

from r1jax.algorithms import filtering

CFG = filtering.FilterConfig(language=0.9, longest=50, paragraph=8)
NOTHING = filtering.Heldout([], 10)


def candidate(thought='first we add three', answer='7', **changes):
  """A good candidate, but for `changes`."""
  reply = f' <think> {thought} </think> <answer> {answer} </answer>'
  base = filtering.Candidate('What is 3 + 4', reply, 'en', 20, True, True)
  return dataclasses.replace(base, **changes)


@pytest.mark.parametrize(
  'given, why',
  [
    (candidate(), ''),
    (candidate(scored=False), 'not scored'),
    (candidate(correct=False), 'wrong answer'),
    (candidate(reply='7'), 'wrong format'),
    (candidate(stopped=False), 'too long'),
    (candidate(tokens=51), 'too long'),
    (candidate('so it is ' * 20), 'repetition'),
    (candidate('first 加 three'), 'mixed language'),
    (candidate('先 把 三 加 四', language='zh'), ''),
    (candidate('3 + 4 = 7'), ''),
    (candidate('see ```x = 3``` here'), 'code block'),
    (candidate('one two three four five six seven eight nine'), 'long paragraph'),
    (candidate('one two three four five\n\nsix seven eight nine'), ''),
  ],
)
def test_each_fault_has_its_name(given, why):
  assert filtering.fault(given, CFG) == why


@pytest.mark.parametrize(
  'reply, why',
  [
    ('3 and 4 make 7.', ''),
    ('so it is ' * 20, 'repetition'),
    ('first 加 three', 'mixed language'),
    ('see ```x = 3``` here', 'code block'),
    ('one two three four five six seven eight nine', 'long paragraph'),
  ],
)
def test_of_models_that_were_asked_without_tags_the_whole_reply_is_read(reply, why):
  assert filtering.fault(candidate(reply=reply), CFG) == 'wrong format'
  assert filtering.fault(candidate(reply=reply), dataclasses.replace(CFG, tags=False)) == why


def test_readability_does_not_ask_whether_the_answer_is_right():
  assert filtering.unreadable(candidate(correct=False), CFG) == ''


def test_ten_words_in_a_row_of_a_heldout_question_contaminate():
  held = filtering.Heldout(['a b c d e f g h i j k'], 10)
  assert held.contains('x y B C D e f g h i j k z')
  assert held.contains('a b c d e f g h i j')
  assert not held.contains('a b c d e f g h i x j k')


def test_a_short_heldout_question_contaminates_only_as_a_whole():
  held = filtering.Heldout(['What is 3 + 4'], 10)
  assert held.contains('what is  3 + 4')
  assert not held.contains('What is 3 - 4')
  assert not held.contains('What is 3 + 4 + 5')


def test_chinese_signs_are_words_of_their_own():
  held = filtering.Heldout(['小明有五个苹果又买三个'], 10)
  assert held.contains('问小明有五个苹果又买三个吗')
  assert not held.contains('小明有六个苹果又买三个')


def test_the_sieve_drops_what_it_has_seen_and_counts_by_reason():
  sieve = filtering.Sieve(CFG, filtering.Heldout(['Tom has 5'], 10), most_per_question=2)
  other = candidate('then we add four')
  third = candidate('at last we add five')
  assert sieve.keep(candidate()) and not sieve.keep(candidate())
  assert sieve.keep(other) and not sieve.keep(third)
  assert not sieve.keep(candidate(question='Tom has 5'))
  assert not sieve.keep(candidate(correct=False))
  assert sieve.keep(dataclasses.replace(third, question='What is 4 + 3'))
  assert sieve.figures() == {
    'kept': 3,
    'dropped: contaminated': 1,
    'dropped: duplicate': 1,
    'dropped: enough of the question': 1,
    'dropped: wrong answer': 1,
  }


@pytest.mark.parametrize('wrong', [{'language': 1.5}, {'ngram': 0}, {'longest': -1}])
def test_thresholds_that_make_no_sense_are_refused(wrong):
  with pytest.raises(ValueError, match=next(iter(wrong))):
    filtering.FilterConfig(**wrong)
