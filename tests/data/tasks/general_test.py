"""General requests: what they ask, the language of thought and reply, their splits."""

import collections
import re

import pytest

from r1jax.data import template
from r1jax.data.tasks import general, scenes, tiny_world
from r1jax.rewards import language

REQUESTS = [general.request(7, index) for index in range(2000)]
_HAN = re.compile(r'[\u4e00-\u9fff]')


def test_kinds_and_languages_come_in_their_shares():
  for kind, share in general.GeneralConfig().kinds:
    hits = sum(r.kind == kind for r in REQUESTS)
    assert abs(hits / len(REQUESTS) - share) < 5 * (share * (1 - share) / len(REQUESTS)) ** 0.5
  assert abs(sum(r.language == 'zh' for r in REQUESTS) / len(REQUESTS) - 0.5) < 0.06


def test_a_thought_is_wholly_in_the_language_of_the_request():
  for request in REQUESTS:
    assert language.check(request.text, request.language).score == 1, request
    assert template.parse(request.text).well_formed


def test_a_reply_is_in_the_language_of_the_request_unless_it_translates():
  for request in REQUESTS:
    assert (request.reply_language != request.language) == (request.kind == 'translation')
    for text, spoken in ((request.reply, 'zh'), (request.reply_other, 'en')):
      assert bool(_HAN.search(text)) == (request.reply_language == spoken), request


def test_a_fact_is_the_same_however_it_is_asked():
  said = collections.defaultdict(set)
  for request in REQUESTS:
    if request.kind == 'factual':
      said[request.question.split(', ')[-1].lower()].add(request.reply)
  assert len(said) == 2 * 3 * len(scenes.ANIMALS)
  assert all(len(replies) == 1 for replies in said.values())


def test_translations_of_both_directions_agree_on_every_noun():
  nouns = {english: chinese for english, _, chinese in scenes.ANIMALS}
  for request in REQUESTS:
    if request.kind == 'translation':
      english, chinese = sorted((request.reply, request.reply_other), key=lambda t: not t.isascii())
      assert nouns[english.split()[2]] in chinese


def test_harmful_requests_are_declined_and_say_what_was_asked():
  harmful = [r for r in REQUESTS if r.kind == general.HARMFUL]
  for request in harmful:
    assert ('cannot' in request.reply) or ('不能' in request.reply)
    assert request.harm and request.harm[1] != request.reply
  assert all(r.harm is None for r in REQUESTS if r.kind != general.HARMFUL)


def test_train_and_heldout_requests_never_meet():
  held = {general.request(7, index, split='heldout').question for index in range(200)}
  assert {tiny_world.split_of(q) for q in held} == {'heldout'}
  assert not held & {r.question for r in REQUESTS}
  assert {tiny_world.split_of(r.question) for r in REQUESTS} == {'train'}


def test_a_request_depends_on_seed_and_index_only():
  source = general.Requests(7, 2000)
  assert [source[i] for i in (1999, 3)] == [REQUESTS[1999], REQUESTS[3]] and len(source) == 2000
  assert general.request(8, 3) != REQUESTS[3]
  with pytest.raises(IndexError, match='request 2000 of 2000'):
    source[2000]


@pytest.mark.parametrize('wrong', [dict(kinds=(('riddles', 1.0),)), dict(languages=())])
def test_an_impossible_mixture_is_refused(wrong):
  with pytest.raises(ValueError, match='kinds|languages'):
    general.GeneralConfig(**wrong)
