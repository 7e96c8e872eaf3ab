"""Hub tokenizers on the real files of DeepSeek-R1 and Qwen2."""

import gzip
import json
import os
import re

import pytest

from r1jax.data import template, tokenizer
from tests import shared_data

R1_IDS = {  # reference §3.2
  '<｜begin▁of▁sentence｜>': 0,
  '<｜end▁of▁sentence｜>': 1,
  '<｜▁pad▁｜>': 2,
  '<｜User｜>': 128803,
  '<｜Assistant｜>': 128804,
  '<think>': 128798,
  '</think>': 128799,
}
MARK = '\n__ggml_vocab_test__\n'


def unpack(name, folder):
  """The shared tokenizer files of a model in `folder`, as the hub has them."""
  (folder / 'tokenizer.json').write_bytes(
    gzip.decompress(shared_data.path(f'{name}/tokenizer.json.gz').read_bytes())
  )
  settings = shared_data.path(f'{name}/tokenizer_config.json').read_bytes()
  (folder / 'tokenizer_config.json').write_bytes(settings)
  return folder


@pytest.fixture(scope='module')
def r1(tmp_path_factory):
  return tokenizer.load(unpack('deepseek_r1', tmp_path_factory.mktemp('r1')))


@pytest.fixture(scope='module')
def qwen(tmp_path_factory):
  return tokenizer.load(unpack('qwen2', tmp_path_factory.mktemp('qwen')))


def test_all_47_encode_cases_of_qwen2_agree(qwen):
  texts = shared_data.path('qwen2/encode_cases.inp').read_bytes().decode().split(MARK)
  lines = shared_data.path('qwen2/encode_cases.out').read_text().split('\n')
  assert len(texts) == len(lines) == 47
  for text, line in zip(texts, lines):
    assert qwen.encode(text) == [int(i) for i in line.split()], text


def test_r1_tokens_have_the_published_ids(r1):
  for text, token_id in R1_IDS.items():
    assert r1.piece_id(text) == token_id
    assert r1.encode(text) == [token_id]
  assert (r1.bos_id, r1.eos_id) == (0, 1)


def test_the_beginning_is_never_doubled(r1):
  assert r1.encode('Hi', bos=True) == [0, *r1.encode('Hi')]
  assert r1.encode('<｜begin▁of▁sentence｜>Hi', bos=True) == r1.encode('Hi', bos=True)


def test_qwen_documents_have_no_beginning(qwen):
  assert qwen.encode('Hi', bos=True) == qwen.encode('Hi')


def test_decoding_keeps_the_tags_and_drops_the_controls(r1):
  text = '<｜User｜>2+2? 🦙 é<｜Assistant｜><think>\nfour</think>4'
  assert r1.decode([*r1.encode(text, bos=True), r1.eos_id]) == text


def test_saving_and_loading_is_the_same_tokenizer(r1, tmp_path):
  r1.save(tmp_path)
  again = tokenizer.load(tmp_path)
  text = 'Let x² = 9.'
  assert again.encode(text, bos=True) == r1.encode(text, bos=True)
  assert again.pad_id == r1.pad_id


def test_truncation_in_the_file_is_not_obeyed(r1, tmp_path):
  r1.save(tmp_path)
  path = tmp_path / 'tokenizer.json'
  contents = json.loads(path.read_text())
  contents['truncation'] = {
    'direction': 'Right',
    'max_length': 2,
    'strategy': 'LongestFirst',
    'stride': 0,
  }
  path.write_text(json.dumps(contents))
  assert len(tokenizer.load(tmp_path).encode('one two three four five')) == 5


def test_a_wrong_place_is_named(tmp_path):
  with pytest.raises(ValueError, match='neither tokenizer.json nor tokenizer.model'):
    tokenizer.load(tmp_path)
  with pytest.raises(ValueError, match='no such tokenizer'):
    tokenizer.load(tmp_path / 'absent.model')
  (tmp_path / 'tokenizer.json').write_text('{}')
  with pytest.raises(ValueError, match='tokenizer.json: not a tokenizer'):
    tokenizer.load(tmp_path)


def test_a_word_of_several_tokens_is_not_a_piece(qwen):
  with pytest.raises(ValueError, match='is not a token'):
    qwen.piece_id('antidisestablishmentarianism')


def edit(folder, name, change):
  """Rewrites a JSON file of a folder (made where absent) after `change(contents)`."""
  path = folder / name
  contents = json.loads(path.read_text()) if path.exists() else {}
  change(contents)
  path.write_text(json.dumps(contents))


def test_a_switch_for_a_beginning_that_the_folder_does_not_name_adds_none(tmp_path):
  unpack('qwen2', tmp_path)
  edit(tmp_path, 'config.json', lambda c: c.update(bos_token_id=151_643))
  edit(tmp_path, 'tokenizer_config.json', lambda c: c.update(add_bos_token=True, bos_token=None))
  tok = tokenizer.load(tmp_path)
  assert tok.encode('Hi', bos=True) == tok.encode('Hi')  # transformers 5.24 adds none either
  (tmp_path / 'config.json').unlink()
  tok = tokenizer.load(tmp_path)
  assert tok.bos_id is None and tok.encode('Hi', bos=True) == tok.encode('Hi')


@pytest.mark.parametrize('special', [True, False])
def test_the_four_tags_are_text_even_where_they_are_special_tokens(special, tmp_path):
  unpack('qwen2', tmp_path)

  def mark(contents):
    first = 1 + max(token['id'] for token in contents['added_tokens'])
    kind = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=special)
    for i, tag in enumerate(template.TAGS, first):
      contents['added_tokens'].append(dict(kind, id=i, content=tag))

  edit(tmp_path, 'tokenizer.json', mark)
  raw = (tmp_path / 'tokenizer.json').read_bytes()
  tok = tokenizer.load(tmp_path)
  reply = '<think> 2 + 2 = 4 </think> <answer> 4 </answer>'
  ids = tok.encode(reply)
  assert len({tok.piece_id(tag) for tag in template.TAGS} & set(ids)) == 4
  assert tok.decode([*ids, tok.eos_id]) == reply
  assert template.parse(tok.decode(ids)) == template.parse(reply)
  tok.save(tmp_path)
  assert (tmp_path / 'tokenizer.json').read_bytes() == raw


def test_all_ids_that_end_a_turn_are_found_in_every_place(tmp_path):
  tok = tokenizer.load(unpack('qwen2', tmp_path))
  assert tokenizer.stop_ids(tmp_path, tok) == {tok.eos_id}
  edit(tmp_path, 'generation_config.json', lambda c: c.update(eos_token_id=[5, 6]))
  assert tokenizer.stop_ids(tmp_path, tok) == {tok.eos_id, 5, 6}
  edit(tmp_path, 'config.json', lambda c: c.update(eos_token_id=7))
  assert tokenizer.stop_ids(str(tmp_path), tok) == {tok.eos_id, 5, 6, 7}
  edit(tmp_path, 'config.json', lambda c: c.update(eos_token_id=None))
  assert tokenizer.stop_ids(tmp_path, tok) == {tok.eos_id, 5, 6}


@pytest.mark.parametrize('wrong', ['<|im_end|>', -1, True, 1.5, [5, None], {'id': 5}])
def test_an_end_that_is_no_id_is_named_with_file_and_key(wrong, tmp_path):
  tok = tokenizer.load(unpack('qwen2', tmp_path))
  edit(tmp_path, 'generation_config.json', lambda c: c.update(eos_token_id=wrong))
  with pytest.raises(ValueError, match='generation_config.json: eos_token_id=.* token id'):
    tokenizer.stop_ids(tmp_path, tok)


@pytest.mark.parametrize('wrong', [7, ['<|endoftext|>'], {'content': 7}, {'content': ['a']}])
def test_a_special_token_of_the_wrong_type_is_named_with_file_and_key(wrong, tmp_path):
  unpack('qwen2', tmp_path)
  edit(tmp_path, 'tokenizer_config.json', lambda c: c.update(eos_token=wrong))
  with pytest.raises(ValueError, match='tokenizer_config.json: eos_token=.* is no token'):
    tokenizer.load(tmp_path)


def decoder(*tokens):
  return {str(200_000 + i): {'content': text, 'special': True} for i, text in enumerate(tokens)}


@pytest.mark.parametrize(
  'name, contents, message',
  [
    ('tokenizer_config.json', {'added_tokens_decoder': decoder('<|a|>')}, "adds '<|a|>', which"),
    (
      'tokenizer_config.json',
      {'added_tokens_decoder': decoder('<1>', '<2>', '<3>', '<4>')},
      "'<3>', ..., which",
    ),
    ('tokenizer_config.json', {'added_tokens_decoder': [1]}, 'what is no token: [1]'),
    ('tokenizer_config.json', {'added_tokens_decoder': {'1': {}}}, 'what is no token'),
    ('added_tokens.json', {'<|a|>': 200_000}, "adds '<|a|>', which tokenizer.json lacks"),
  ],
)
def test_tokens_that_only_other_files_add_are_named(name, contents, message, tmp_path):
  unpack('qwen2', tmp_path)
  edit(tmp_path, 'tokenizer_config.json', lambda c: c.pop('added_tokens_decoder', None))
  edit(tmp_path, name, lambda c: c.update(contents))
  with pytest.raises(ValueError, match=re.escape(message)) as error:
    tokenizer.load(tmp_path)
  assert str(error.value).startswith(f'{tmp_path / name}: ')


def test_a_sentencepiece_file_that_is_none_is_named(tmp_path):
  (tmp_path / 'tokenizer.model').write_bytes(b'nothing')
  with pytest.raises(ValueError, match='tokenizer.model: not a SentencePiece model'):
    tokenizer.load(tmp_path)


def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(tmp_path):
  for name in ('tokenizer.json', 'tokenizer.model'):
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match=f'{name}: is no regular file'):
      tokenizer.load(tmp_path)
    (tmp_path / name).unlink()
