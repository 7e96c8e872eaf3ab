"""Hub tokenizers on the real files of DeepSeek-R1 and Qwen2."""

import gzip
import json

import pytest

from r1jax.data import tokenizer
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
