"""The tokenizer: exact round trips, template and tags as single pieces, reproducible training."""

import hypothesis
import pytest
from hypothesis import strategies as st

from r1jax.data import template, tokenizer
from r1jax.data.tasks import corpus

DOCUMENTS = [corpus.document(0, index) for index in range(2000)]
MODEL = tokenizer.train_sentencepiece((d.text for d in DOCUMENTS), 512)
TOK = tokenizer.SentencePieceTokenizer(MODEL)
_FRAGMENTS = st.sampled_from(
  [
    *template.TAGS,
    template.TEMPLATE_HEAD,
    template.TEMPLATE_TAIL,
    '\u2581',
    '<s>',
    '</s>',
    '<pad>',
    '<unk>',
    '<0x41>',
    ' ',
    '\n',
    '\0',
    '\ufffd',
    ' ⁇ ',
    ' 12',
  ]
)


@hypothesis.given(st.lists(st.text() | _FRAGMENTS).map(''.join))
def test_any_text_comes_back_exactly(text):
  ids = TOK.encode(text)
  assert TOK.decode(ids) == text
  assert all(0 <= i < TOK.vocab_size for i in ids)
  assert not {TOK.pad_id, TOK.bos_id, TOK.eos_id, tokenizer.UNK_ID} & set(ids)


@hypothesis.given(st.lists(st.integers(0, 511)))
def test_any_ids_decode_to_text_that_can_be_encoded(ids):
  text = TOK.decode(ids)
  assert TOK.decode(TOK.encode(text)) == text


def test_prompt_and_reply_are_tokenized_apart_as_together():
  for document in DOCUMENTS[:500]:
    prompt, reply = TOK.encode(document.prompt), TOK.encode(document.reply)
    assert TOK.encode(document.text) == prompt + reply


def test_a_sampled_reply_parses_as_the_text_it_was_made_from():
  for document in DOCUMENTS[:500]:
    assert template.parse(TOK.decode(TOK.encode(document.reply))) == template.parse(document.reply)


def test_the_template_costs_two_tokens():
  ids = TOK.encode(template.render('What is 3 + 5'))
  head, tail = (TOK.piece_id(piece) for piece in tokenizer.TEMPLATE_PIECES)
  assert ids[0] == head and ids[-1] == tail
  assert ids[1:-1] == TOK.encode(' What is 3 + 5')


def test_each_tag_is_one_token_with_and_without_its_space():
  for tag in template.TAGS:
    assert TOK.encode(tag) == [TOK.piece_id(tag)]
    assert TOK.encode(f' {tag}') == [TOK.piece_id(f' {tag}')]


def test_a_number_of_the_world_is_one_piece_and_others_go_by_digits():
  assert TOK.encode(' 12 3') == [TOK.piece_id(' 12'), TOK.piece_id(' 3')]
  assert TOK.decode(TOK.encode(' 125 70')) == ' 125 70'
  assert len(TOK.encode(' 70')) == 2


def test_beginning_of_sequence_is_added_only_when_asked_for():
  assert TOK.encode('3', bos=True) == [TOK.bos_id, *TOK.encode('3')]
  assert TOK.decode([TOK.bos_id, *TOK.encode('3'), TOK.eos_id, TOK.pad_id]) == '3'


def test_words_of_the_world_are_few_tokens():
  prompts = [len(TOK.encode(d.prompt)) for d in DOCUMENTS]
  assert sum(prompts) / len(prompts) < 25 and max(prompts) <= 40
  for style, most in {'bare': 5, 'tagged': 10, 'worked_tagged': 42, 'corrected': 52}.items():
    lengths = [len(TOK.encode(d.reply)) for d in DOCUMENTS if d.style == style]
    assert sum(lengths) / len(lengths) < most, style


def test_training_twice_gives_the_same_bytes(tmp_path):
  again = tokenizer.train_sentencepiece(
    (d.text for d in DOCUMENTS), 512, out_path=tmp_path / 'world.model'
  )
  assert again == MODEL == (tmp_path / 'world.model').read_bytes()
  assert tokenizer.SentencePieceTokenizer(tmp_path / 'world.model').encode('3') == TOK.encode('3')


def test_the_longer_of_two_user_defined_pieces_wins():
  texts = ['one two three'] * 10
  model = tokenizer.train_sentencepiece(texts, 280, ('ab', 'ab cd', 'b c'))
  tok = tokenizer.SentencePieceTokenizer(model)
  assert tok.encode('ab cd') == [tok.piece_id('ab cd')]


def test_a_piece_that_is_not_there_and_a_vocabulary_that_cannot_be_are_refused():
  with pytest.raises(ValueError, match="'no such piece' is not a piece of this vocabulary of 512"):
    TOK.piece_id('no such piece')
  with pytest.raises(ValueError, match='cannot train a vocabulary of 5000 pieces'):
    tokenizer.train_sentencepiece(['one two'], 5000)


def test_a_rendered_conversation_has_its_control_ids_and_one_beginning():
  begin, end = TOK.bos_id, TOK.eos_id
  turn = [*TOK.encode(' 3'), end]
  assert TOK.encode_marked('<s> 3</s>') == TOK.encode_marked(' 3</s>') == [begin, *turn]
  assert TOK.encode_marked('<s> 3</s> 3</s>') == [begin, *turn, *turn]
