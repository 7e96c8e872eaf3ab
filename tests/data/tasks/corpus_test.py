"""The corpus: shares, right and wrong answers, canonical white space, held-out questions absent."""

import re

import pytest

from r1jax.data import template
from r1jax.data.tasks import corpus, tiny_world
from tests.data.tasks import tiny_world_test

DOCUMENTS = [corpus.document(5, index) for index in range(4000)]
_WORKED = ('worked', 'worked_tagged', 'corrected')


def _near_share(hits, total, share):
  return abs(hits / total - share) < 5 * (share * (1 - share) / total) ** 0.5


def _given(reply):
  """The answer of a reply: in its tags or, without any, its last number."""
  parsed = template.parse(reply)
  return parsed.answers[0].strip() if parsed.answers else re.findall(r'\d+', reply)[-1]


def test_styles_and_forms_come_in_their_shares():
  cfg = corpus.CorpusConfig()
  for style in corpus.STYLES:
    hits = sum(d.style == style for d in DOCUMENTS)
    assert _near_share(hits, len(DOCUMENTS), getattr(cfg, style)), style
  hits = sum(d.prompt != template.render(d.problem.question) for d in DOCUMENTS)
  assert _near_share(hits, len(DOCUMENTS), cfg.web_form)


def test_documents_ask_training_questions_and_carry_their_true_answer():
  corpus.check_training_texts(d.text for d in DOCUMENTS)
  for document in DOCUMENTS:
    question = corpus.question_of(document.text)
    assert question == document.problem.question
    assert str(tiny_world_test.solve(question)[0]) == document.problem.answer


def test_worked_documents_are_right_and_the_others_often_wrong():
  at_once = [d for d in DOCUMENTS if d.style not in _WORKED]
  for document in DOCUMENTS:
    if document.style in _WORKED:
      assert _given(document.reply) == document.problem.answer, document
  hits = sum(_given(d.reply) == d.problem.answer for d in at_once)
  assert _near_share(hits, len(at_once), corpus.CorpusConfig().right)
  assert all(abs(int(_given(d.reply)) - int(d.problem.answer)) <= 4 for d in at_once)


def test_only_tagged_styles_have_the_format_of_the_template():
  for document in DOCUMENTS:
    tagged = document.style in ('tagged', 'worked_tagged', 'corrected')
    assert template.parse(document.reply).well_formed == tagged, document


def test_a_correction_withdraws_one_wrong_step():
  for document in DOCUMENTS:
    lines = (template.parse(document.reply).thought or '').strip().split(', ')
    assert ('wait' in lines) == (document.style == 'corrected')
    if document.style == 'corrected':
      at = lines.index('wait')
      slip, right = lines[at - 1], lines[at + 1]
      assert slip != right and slip.split()[:-1] == right.split()[:-1]
      assert tuple(lines[: at - 1] + lines[at + 1 :]) == document.problem.steps


def test_white_space_has_one_form():
  for document in DOCUMENTS:
    assert re.fullmatch(r'( \S+)+', document.reply), document.reply
    assert '  ' not in document.text and document.prompt == document.prompt.strip()


def test_a_document_depends_on_seed_and_index_only():
  source = corpus.Corpus(5, 4000)
  assert [source[i] for i in (3999, 7)] == [DOCUMENTS[3999], DOCUMENTS[7]]
  assert corpus.document(6, 7) != DOCUMENTS[7]
  with pytest.raises(IndexError, match='document 4000 of 4000'):
    source[4000]


def test_a_heldout_question_in_training_text_is_found():
  held = tiny_world.problem(0, 0, split='heldout').question
  for text in (template.render(held) + ' 3', f'Question: {held}. Answer: 3'):
    with pytest.raises(ValueError, match='training text 1 asks a held-out question'):
      corpus.check_training_texts([DOCUMENTS[0].text, text])
  with pytest.raises(ValueError, match='no question found'):
    corpus.check_training_texts(['Once upon a time'])


@pytest.mark.parametrize('wrong', [dict(bare=-0.1), dict(right=1.5), dict(web_form=-1)])
def test_impossible_shares_are_refused(wrong):
  with pytest.raises(ValueError, match='share|within'):
    corpus.CorpusConfig(**wrong)


def test_a_share_of_one_makes_every_document_of_that_style():
  only = corpus.CorpusConfig(bare=0, tagged=0, worked=0, worked_tagged=0, corrected=1, web_form=0)
  assert {corpus.document(0, i, only).style for i in range(50)} == {'corrected'}
