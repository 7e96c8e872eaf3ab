"""Cold start and rejection sampling: what the data sets of Dev1 and Dev3 are made of."""

import dataclasses
import re

import pytest

from r1jax.algorithms import filtering
from r1jax.data import examples, template
from r1jax.data.tasks import handwritten, tiny_world
from r1jax.rewards import format, service
from r1jax.stages import cold_start, rejection, samples

NOTHING = filtering.Heldout([], 10)
BOTH = ('en', 'zh')


def sample(index, number=0, language='en', **changes):
  """A correct reply to question `index`."""
  reply = f' <think> we add  3 and {index} </think> <answer> {index + 3} </answer>'
  one = filtering.Candidate(f'What is 3 + {index}', reply, language, 20, True, True)
  one = dataclasses.replace(one, **changes)
  return samples.Sample(index, number, 'symbols', str(index + 3), one)


def sieve(**changes):
  return filtering.Sieve(filtering.FilterConfig(**changes), NOTHING)


def test_the_readable_form_is_the_thought_then_a_summary_with_the_right_answer():
  found = cold_start.curate(
    [sample(4)], cold_start.ColdStartConfig(handwritten=0), sieve(), 'abc', BOTH
  )
  assert [one.reply for one in found] == [
    '<think> we add 3 and 4 </think> <answer> the answer is 7 </answer>'
  ]
  assert found[0].provenance == {
    'source': 'r1_zero', 'model': 'abc', 'question': 4, 'sample': 0,
    'original': sample(4).candidate.reply,
  }  # fmt: skip


def test_bad_samples_are_left_out_and_the_number_is_bounded():
  samples = [sample(1, correct=False), sample(2), sample(3), sample(4)]
  sieved = sieve()
  found = cold_start.curate(samples, cold_start.ColdStartConfig(2, handwritten=0), sieved, '', BOTH)
  assert [one.provenance['question'] for one in found] == [2, 3]
  assert sieved.dropped == {'wrong answer': 1}


def test_seeds_stand_as_often_as_asked_beside_the_samples():
  found = cold_start.curate(
    [sample(4)], cold_start.ColdStartConfig(handwritten=2), sieve(), '', BOTH
  )
  assert len(found) == 1 + 2 * len(handwritten.EXAMPLES)
  assert found[1].provenance == {'source': 'handwritten', 'number': 0}


@pytest.mark.parametrize('one', handwritten.EXAMPLES, ids=lambda one: one.question)
def test_every_handwritten_example_is_a_readable_right_reply_to_a_training_question(one):
  reply = cold_start.reply(one.thought, one.answer, one.language)
  assert tiny_world.split_of(one.question) == tiny_world.TRAIN
  assert format.check(reply).score == 1 and service.judge(reply, one.answer).score == 1
  candidate = filtering.Candidate(one.question, reply, one.language, 30, True, True)
  assert filtering.fault(candidate, filtering.FilterConfig()) == ''
  for step in one.thought.split(', '):
    if '=' in step:
      left, right = re.sub('^[^0-9]+', '', step).split(' = ')
      assert eval(left) == int(right), step


def test_handwritten_examples_in_a_language_that_nobody_asks_in_are_left_out():
  found = cold_start.curate([], cold_start.ColdStartConfig(), sieve(), '', ('zh',))
  assert {one.language for one in found} == {'zh'} and len(found) > 10


def test_a_handwritten_example_near_a_held_out_question_is_left_out_and_counted():
  held = filtering.Heldout([handwritten.EXAMPLES[0].question], 10)
  sieved = filtering.Sieve(filtering.FilterConfig(), held)
  found = cold_start.curate([], cold_start.ColdStartConfig(), sieved, '', BOTH)
  assert [one.provenance['number'] for one in found] == list(range(1, len(handwritten.EXAMPLES)))
  assert sieved.figures() == {'kept': 0, 'dropped: contaminated handwritten': 1}


def test_general_data_has_the_papers_share():
  assert rejection.RejectionConfig().general == 0.221  # 177,812 of 804,745
  general = [examples.Example(f'Write {i}', 'x', 'en', 'writing', {}) for i in range(50)]
  cfg = rejection.RejectionConfig(general=0.25)
  found = rejection.curate([sample(i) for i in range(30)], cfg, sieve(), 'abc', general)
  assert len(found) == 40 and [one.domain for one in found].count('writing') == 10
  assert found[0].reply == sample(0).candidate.reply.strip()
  assert found[0].provenance == {'source': 'dev2', 'model': 'abc', 'question': 0, 'sample': 0}
  assert rejection.proportions(found)['domain: symbols'] == 30


def test_too_few_general_examples_are_said_with_the_numbers():
  cfg = rejection.RejectionConfig(general=0.25)
  with pytest.raises(ValueError, match='30 reasoning .* ask for 10 general examples, there are 0'):
    rejection.curate([sample(i) for i in range(30)], cfg, sieve(), '', [])


def test_held_out_general_questions_are_left_out():
  held = filtering.Heldout(['Write 1'], 10)
  general = [examples.Example(f'Write {i}', 'x', 'en', 'writing', {}) for i in range(4)]
  cfg = rejection.RejectionConfig(general=0.5)
  sieved = filtering.Sieve(filtering.FilterConfig(), held)
  found = rejection.curate([sample(i) for i in range(4)], cfg, sieved, '', general)
  assert [one.question for one in found[4:]] == ['Write 0', 'Write 2', 'Write 3']


def test_tags_survive_the_rewriting():
  assert template.parse(cold_start.reply('so\n\n\nwe  add', '7', 'zh')).thought == ' so\n\nwe add '
