"""Cold start and rejection sampling: what the data sets of Dev1 and Dev3 are made of."""

import dataclasses
import re

import pytest

from r1jax.algorithms import rejection
from r1jax.data import examples, template
from r1jax.data.tasks import seeds, tiny_world
from r1jax.pipeline import cold_start, harvest, resample
from r1jax.rewards import format, service

NOTHING = rejection.Heldout([], 10)
BOTH = ('en', 'zh')


def sample(index, number=0, language='en', **changes):
  """A correct reply to question `index`."""
  reply = f' <think> we add  3 and {index} </think> <answer> {index + 3} </answer>'
  one = rejection.Candidate(f'What is 3 + {index}', reply, language, 20, True, True)
  one = dataclasses.replace(one, **changes)
  return harvest.Sample(index, number, 'symbols', str(index + 3), one)


def sieve(**changes):
  return rejection.Sieve(rejection.FilterConfig(**changes), NOTHING)


def test_the_readable_form_is_the_thought_then_a_summary_with_the_right_answer():
  found = cold_start.curate([sample(4)], cold_start.ColdStartConfig(seeds=0), sieve(), 'abc', BOTH)
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
  found = cold_start.curate(samples, cold_start.ColdStartConfig(2, seeds=0), sieved, '', BOTH)
  assert [one.provenance['question'] for one in found] == [2, 3]
  assert sieved.dropped == {'wrong answer': 1}


def test_seeds_stand_as_often_as_asked_beside_the_samples():
  found = cold_start.curate([sample(4)], cold_start.ColdStartConfig(seeds=2), sieve(), '', BOTH)
  assert len(found) == 1 + 2 * len(seeds.SEEDS)
  assert found[1].provenance == {'source': 'seed', 'number': 0}


@pytest.mark.parametrize('seed', seeds.SEEDS, ids=lambda seed: seed.question)
def test_every_seed_is_a_readable_right_reply_to_a_training_question(seed):
  reply = cold_start.reply(seed.thought, seed.answer, seed.language)
  assert tiny_world.split_of(seed.question) == tiny_world.TRAIN
  assert format.check(reply).score == 1 and service.judge(reply, seed.answer).score == 1
  one = rejection.Candidate(seed.question, reply, seed.language, 30, True, True)
  assert rejection.fault(one, rejection.FilterConfig()) == ''
  for step in seed.thought.split(', '):
    if '=' in step:
      left, right = re.sub('^[^0-9]+', '', step).split(' = ')
      assert eval(left) == int(right), step


def test_seeds_in_a_language_that_nobody_asks_in_are_left_out():
  found = cold_start.curate([], cold_start.ColdStartConfig(), sieve(), '', ('zh',))
  assert {one.language for one in found} == {'zh'} and len(found) > 10


def test_a_seed_near_a_held_out_question_is_left_out_and_counted():
  held = rejection.Heldout([seeds.SEEDS[0].question], 10)
  sieved = rejection.Sieve(rejection.FilterConfig(), held)
  found = cold_start.curate([], cold_start.ColdStartConfig(), sieved, '', BOTH)
  assert [one.provenance['number'] for one in found] == list(range(1, len(seeds.SEEDS)))
  assert sieved.figures() == {'kept': 0, 'dropped: contaminated seed': 1}


def test_general_data_has_the_papers_share():
  assert resample.ResampleConfig().general == 0.221  # 177,812 of 804,745
  general = [examples.Example(f'Write {i}', 'x', 'en', 'writing', {}) for i in range(50)]
  cfg = resample.ResampleConfig(general=0.25)
  found = resample.curate([sample(i) for i in range(30)], cfg, sieve(), 'abc', general)
  assert len(found) == 40 and [one.domain for one in found].count('writing') == 10
  assert found[0].reply == sample(0).candidate.reply.strip()
  assert found[0].provenance == {'source': 'dev2', 'model': 'abc', 'question': 0, 'sample': 0}
  assert resample.proportions(found)['domain: symbols'] == 30


def test_too_few_general_examples_are_said_with_the_numbers():
  cfg = resample.ResampleConfig(general=0.25)
  with pytest.raises(ValueError, match='30 reasoning .* ask for 10 general examples, there are 0'):
    resample.curate([sample(i) for i in range(30)], cfg, sieve(), '', [])


def test_held_out_general_questions_are_left_out():
  held = rejection.Heldout(['Write 1'], 10)
  general = [examples.Example(f'Write {i}', 'x', 'en', 'writing', {}) for i in range(4)]
  cfg = resample.ResampleConfig(general=0.5)
  sieved = rejection.Sieve(rejection.FilterConfig(), held)
  found = resample.curate([sample(i) for i in range(4)], cfg, sieved, '', general)
  assert [one.question for one in found[4:]] == ['Write 0', 'Write 2', 'Write 3']


def test_tags_survive_the_rewriting():
  assert template.parse(cold_start.reply('so\n\n\nwe  add', '7', 'zh')).thought == ' so\n\nwe add '
