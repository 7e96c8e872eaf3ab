"""Preference data: one flaw a pair, lengths that tell nothing, labels by what a reply says."""

import collections
import json

import numpy as np
import pytest

from r1jax.data import examples, template
from r1jax.data import pairs as files
from r1jax.data.tasks import general_files, tiny_world

PAIRS = [general_files.helpful_pair(3, index) for index in range(2000)]
RESPONSES = [general_files.labelled_response(3, index) for index in range(2000)]
_DEEDS = ('go at night', 'is easy', 'stupid', '夜里', '很容易', '真笨')


def test_the_rejected_reply_is_another_one_and_every_flaw_occurs():
  assert all(p.chosen != p.rejected and p.chosen and p.rejected for p in PAIRS)
  counts = collections.Counter(p.flaw for p in PAIRS)
  assert set(counts) == set(general_files.FLAWS) and min(counts.values()) > 0.05 * len(PAIRS)


def test_no_threshold_on_length_tells_the_chosen_from_the_rejected():
  lengths = np.array(
    [[general_files.units(p.chosen), general_files.units(p.rejected)] for p in PAIRS]
  )
  longer = np.sign(lengths[:, 1] - lengths[:, 0])
  for sign in (-1, 0, 1):
    assert abs((longer == sign).mean() - 1 / 3) < 0.06
  assert abs(lengths[:, 0].mean() - lengths[:, 1].mean()) < 0.1 * lengths[:, 0].mean()
  letters = np.sign([len(p.rejected) - len(p.chosen) for p in PAIRS])
  assert abs((letters > 0).mean() - (letters < 0).mean()) < 0.15


def test_a_reply_in_the_wrong_language_is_wholly_in_it():
  for pair in PAIRS:
    if pair.flaw == 'language':
      assert pair.rejected.isascii() == (pair.language == 'zh')
    elif pair.language == 'en':
      assert pair.rejected.isascii()


def test_a_broken_reply_holds_the_same_words_and_a_cut_one_begins_alike():
  for pair in PAIRS:
    if pair.flaw == 'broken':
      assert sorted(pair.rejected.replace(' ', '')) == sorted(pair.chosen.replace(' ', ''))
    if pair.flaw == 'cut':
      assert pair.chosen.startswith(pair.rejected)
    if pair.flaw == 'repeats':
      assert pair.rejected.startswith(pair.chosen)


def test_a_wrong_line_is_about_something_else():
  for pair in PAIRS:
    if pair.flaw == 'wrong' and 'about a' in pair.question:
      subject, place = pair.question.split(' about ')[1].split(' ')[:3], pair.question.split()[-1]
      assert not (pair.rejected.split()[:3] == subject and pair.rejected.split()[-1] == place)


def test_half_of_the_responses_are_safe_and_the_text_says_which():
  assert abs(np.mean([r.safe for r in RESPONSES]) - 0.5) < 0.06
  assert {r.manner for r in RESPONSES} == set(general_files.MANNERS)
  for response in RESPONSES:
    assert template.parse(response.text).well_formed
    assert response.safe != any(deed in response.text for deed in _DEEDS), response


def test_some_harm_stands_in_the_thought_only_and_some_in_the_answer_only():
  for response in RESPONSES:
    reply = template.parse(response.text)
    inside, outside = (any(d in t for d in _DEEDS) for t in (reply.thought, reply.answers[0]))
    expected = {'complies': (True, True), 'plans': (True, False)}
    default = (False, False) if response.safe else (False, True)
    assert (inside, outside) == expected.get(response.manner, default), response


def test_pairs_and_responses_of_the_two_splits_share_no_question():
  for make, seen in (
    (general_files.helpful_pair, PAIRS),
    (general_files.labelled_response, RESPONSES),
  ):
    held = {make(3, index, 'heldout').question for index in range(200)}
    assert not held & {one.question for one in seen}
    assert {tiny_world.split_of(q) for q in held} == {'heldout'}


def test_a_pair_depends_on_seed_and_index_only():
  pairs, responses = general_files.Pairs(3, 2000), general_files.Responses(3, 2000)
  assert [pairs[i] for i in (1999, 4)] == [PAIRS[1999], PAIRS[4]] and len(pairs) == 2000
  assert [responses[i] for i in (1999, 4)] == [RESPONSES[1999], RESPONSES[4]]
  for source, name in ((pairs, 'pair'), (responses, 'response')):
    with pytest.raises(IndexError, match=f'{name} 2000 of 2000'):
      source[2000]


def test_written_files_are_those_that_the_stages_read(tmp_path):
  general_files.write(tmp_path, 0, 60)
  for name in ('helpful', 'harmless'):
    pairs = files.load(tmp_path / f'{name}.jsonl')
    assert len(pairs) == 60
    for pair in pairs:
      assert template.parse(pair.chosen).well_formed and template.parse(pair.rejected).well_formed
      assert tiny_world.split_of(pair.question) == 'train'
  requests = files.load_requests(tmp_path / 'requests.jsonl')
  assert {r.kind for r in requests} == {'helpful', 'harmless'}
  assert {r.language for r in requests} == {'en', 'zh'}
  replied = examples.Examples(tmp_path / 'general.array_record')
  assert {one.domain for one in replied} == {'writing', 'factual', 'self', 'translation'}
  assert all(template.parse(one.reply).well_formed for one in replied) and len(replied) == 60
  lines = (tmp_path / 'harmless.jsonl').read_text(encoding='utf-8').splitlines()
  assert all(any(deed in json.loads(line)['rejected'] for deed in _DEEDS) for line in lines)
