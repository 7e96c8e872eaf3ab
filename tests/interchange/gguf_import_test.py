"""GGUF files opened as checkpoints: every weight back in its place, all that is unknown refused."""

import dataclasses
import json
import math
import pathlib
import struct

import gguf as library
import jax
import numpy as np
import pytest

from r1jax import sharding
from r1jax.cli import commands
from r1jax.data import chat_template, tokenizer
from r1jax.interchange import (
  checkpoints,
  exporting,
  fetched,
  gguf,
  gguf_import,
  huggingface,
  placement,
  tensors,
)
from r1jax.model import transformer
from tests.interchange import families

NAMES = ['qwen2', 'qwen2_yarn', 'qwen2_untied', 'qwen3', 'llama', 'llama_wide_heads']
FETCHED = fetched.place('smollm2')  # found here: each test has a cache of its own
HERE = pathlib.Path(__file__).parent
SMOLLM2 = json.loads((HERE / 'smollm2_reference.json').read_text())
LLAMA_CPP = json.loads((HERE / 'smollm2_llama_cpp.json').read_text())


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
  """The user's cache, in a place of the test's own."""
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  return tmp_path / 'cache'


def written(folder, name, kind):
  """(hub folder, GGUF file) of the checkpoint `name`."""
  families.write(folder, name)
  families.write_tokenizer(folder)
  return folder, gguf.export(folder, folder / 'gguf', kind)


@pytest.mark.parametrize('name', NAMES)
def test_what_was_written_in_float32_is_read_bit_by_bit(name, tmp_path):
  given, path = written(tmp_path, name, 'f32')
  folder = checkpoints.open(path)
  cfg = huggingface.read_config(folder)
  meant = dataclasses.replace(huggingface.read_config(given), init_std=cfg.init_std)
  assert cfg == meant
  plan = huggingface.check(folder, cfg)
  weights = families.weights(families.CONFIGS[name])
  for entry in plan.entries:
    np.testing.assert_array_equal(plan.found[entry.name].read(), weights[entry.name])
    np.testing.assert_array_equal(plan.found[entry.name].read(3, 7), weights[entry.name][3:7])
  assert {entry.name for entry in plan.entries} == set(weights)


def test_the_tokenizer_of_the_file_gives_the_same_ids(tmp_path):
  given, path = written(tmp_path, 'qwen2', 'f32')
  tok, found = tokenizer.load(given), tokenizer.load(checkpoints.open(path))
  text = 'abab 12 ba<think>a</think><｜User｜>'
  assert found.encode(text) == tok.encode(text) and found.decode(tok.encode(text)) == text
  assert found.encode(text, bos=True) == tok.encode(text, bos=True)
  assert (found.bos_id, found.eos_id, found.pad_id) == (tok.bos_id, tok.eos_id, tok.pad_id)
  zero = chat_template.load(given, tok).source
  assert chat_template.load(checkpoints.open(path), found).source == zero


def test_blocks_are_dequantised_as_the_library_does(tmp_path):
  _, path = written(tmp_path, 'llama', 'q8_0')
  folder = checkpoints.open(path)
  cfg = huggingface.read_config(folder)
  plan = huggingface.check(folder, cfg)
  name = 'model.layers.1.self_attn.q_proj.weight'
  given = families.weights(families.CONFIGS['llama'])[name]
  kind = library.GGMLQuantizationType.Q8_0
  wanted = library.quants.dequantize(library.quants.quantize(given, kind), kind)
  np.testing.assert_array_equal(plan.found[name].read(), wanted)
  assert not np.array_equal(wanted, given)


def test_a_sharded_model_is_loaded_and_handed_on_as_a_hub_folder(tmp_path):
  _, path = written(tmp_path, 'llama', 'f32')
  folder = checkpoints.open(path)
  cfg = huggingface.read_config(folder)
  with jax.set_mesh(sharding.make_mesh((1, 4, 1, 2))):
    params = huggingface.load(folder, cfg, 'float32')
    for entry in huggingface.check(folder, cfg).entries:
      leaf = params
      for key in entry.leaf:
        leaf = leaf[key]
      given = families.weights(families.CONFIGS['llama'])[entry.name]
      np.testing.assert_array_equal(placement.extract(leaf, entry, cfg), given)
  with jax.set_mesh(sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1])):
    report = exporting.export(folder, tmp_path / 'out', notify=lambda line: None)
  assert report['problems'] == [] and (tmp_path / 'out' / 'model.safetensors').exists()


def test_a_file_is_unpacked_once_and_again_when_it_changes(cache, tmp_path):
  _, path = written(tmp_path, 'qwen3', 'f32')
  first = checkpoints.open(path)
  assert checkpoints.open(path) == checkpoints.open(first) == first
  assert [p.name for p in (cache / 'r1jax' / 'gguf').iterdir()] == [first.name]
  path.write_bytes(path.read_bytes() + bytes(32))
  assert checkpoints.open(path) != first
  path.unlink()
  with pytest.raises(ValueError, match='model.gguf: no such file|no config.json'):
    huggingface.check(checkpoints.open(first), huggingface.read_config(first))


def made(folder, **changes):
  """A small GGUF file without layers' weights: metadata changed or, with None, left out."""
  path = folder / 'made.gguf'
  values = {
    'llama.embedding_length': 32,
    'llama.feed_forward_length': 48,
    'llama.block_count': 1,
    'llama.attention.head_count': 4,
    'llama.attention.layer_norm_rms_epsilon': 1e-6,
    'llama.context_length': 64,
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': 'smollm',
    'tokenizer.ggml.tokens': ['<|end|>', 'a', 'b', '1', '2', '12', 'ab', 'Ġ'],
    'tokenizer.ggml.token_type': [3, 1, 1, 1, 1, 1, 1, 1],
    'tokenizer.ggml.merges': ['1 2', 'a b'],
    'tokenizer.ggml.eos_token_id': 0,
  } | {key.replace('__', '.'): value for key, value in changes.items()}
  arch = values.pop('general.architecture', 'llama')
  writer = library.GGUFWriter(path, arch or 'llama')
  if arch is None:
    del writer.kv_data[0]['general.architecture']
  for key, value in values.items():
    _add(writer, key, value)
  writer.add_tensor('token_embd.weight', np.zeros((8, 32), np.float32))
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()
  return path


def _add(writer, key, value):
  if isinstance(value, list):
    writer.add_array(key, value)
  elif isinstance(value, str):
    writer.add_string(key, value)
  elif isinstance(value, float):
    writer.add_float32(key, value)
  elif value is not None:
    writer.add_uint32(key, value)


def test_smollms_words_are_cut_at_every_digit(tmp_path):
  tok = tokenizer.load(checkpoints.open(made(tmp_path)))
  assert tok.encode('ab12') == [6, 3, 4]
  gpt2 = tokenizer.load(checkpoints.open(made(tmp_path, tokenizer__ggml__pre='gpt-2')))
  assert gpt2.encode('ab12') == [6, 5]


def test_further_ends_of_a_turn_stop_it(tmp_path):
  folder = checkpoints.open(made(tmp_path, tokenizer__ggml__eot_token_id=2))
  assert tokenizer.stop_ids(folder, tokenizer.load(folder)) == {0, 2}


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'general__architecture': 'gemma3'}, "architecture='gemma3' cannot be read, only llama"),
    ({'llama__expert_count': 8}, 'llama.expert_count=8 is not supported'),
    ({'llama__attention__sliding_window': 4096}, 'llama.attention.sliding_window=4096 is not'),
    ({'llama__rope__dimension_count': 4}, 'rope.dimension_count=4 is not the width of a head, 8'),
    ({'llama__rope__scaling__type': 'linear'}, "rope type 'linear' is not one of"),
    ({'split__count': 2}, 'is one of 2 parts of a model; join them'),
    ({'llama__rope__scaling__attn_factor': 0.5}, 'attn_factor=0.5 is supported with YaRN only'),
    ({'llama__feed_forward_length': [48, 96]}, r'feed_forward_length=\[48, 96\] is not a whole'),
    ({'llama__embedding_length': None}, 'lacks llama.embedding_length'),
    ({'tokenizer__ggml__model': 'llama'}, "tokenizer 'llama' cannot be read, only gpt2"),
    ({'tokenizer__ggml__pre': 'tekken'}, "tokenizer.ggml.pre='tekken' is none of qwen2"),
    ({'tokenizer__ggml__pre': None}, 'lacks tokenizer.ggml.pre'),
    ({'tokenizer__ggml__eos_token_id': None}, 'lacks tokenizer.ggml.eos_token_id'),
    ({'tokenizer__ggml__eos_token_id': 99}, 'eos_token_id=99 is none of 8 tokens'),
    ({'tokenizer__ggml__token_type': [1, 1]}, '8 tokens have 2 types'),
    ({'general__architecture': None}, 'lacks general.architecture, so it is no model'),
    ({'general__alignment': 0}, 'general.alignment=0 is no power of two'),
    ({'llama__attention__head_count': 0}, r'llama.attention.head_count=0 is not a whole number'),
    ({'llama__attention__head_count': 33}, 'head_count=33 of llama.embedding_length=32 gives'),
    ({'llama__attention__head_count_kv': 3}, 'head_count=4 is no multiple of .*head_count_kv=3'),
    ({'llama__attention__key_length': 7}, 'key_length=7 gives heads a width of 7, which is no'),
    ({'llama__block_count': 4_000_000_000}, r'block_count=4000000000 is not .* within 1..4096'),
    ({'llama__attention__layer_norm_rms_epsilon': 7.0}, 'layer_norm_rms_epsilon=7.0 is above 1.0'),
    ({'llama__rope__freq_base': 0.0}, 'freq_base=0.0 is not a finite number of at least 2'),
    (
      {'llama__rope__scaling__type': 'yarn', 'llama__rope__scaling__factor': 0.0},
      'llama.rope.scaling.factor=0.0 is not a finite number of at least 1',
    ),
    ({'tokenizer__ggml__tokens': 3}, 'tokenizer.ggml.tokens=3 is not a list'),
    ({'tokenizer__ggml__eot_token_id': 2**32 - 1}, 'eot_token_id=4294967295 is none of 8 tokens'),
    ({'tokenizer__chat_template': 3}, 'chat_template=3 is not a text'),
    ({'tokenizer__ggml__merges': ['a 7']}, 'not a tokenizer that `tokenizers` can read'),
  ],
)
def test_what_cannot_be_read_is_named_with_the_file(changes, message, tmp_path):
  with pytest.raises(ValueError, match=message) as error:
    folder = checkpoints.open(made(tmp_path, **changes))
    huggingface.read_config(folder)
    tokenizer.load(folder)
  assert 'made' in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize(
  'changes, message',
  [
    ({}, 'lacks model.norm.weight'),
    ({'llama__rope__scaling__type': 'linear'}, "rope type 'linear' is not one of"),
    ({'tokenizer__ggml__merges': ['a 7']}, 'not a tokenizer that `tokenizers` can read'),
  ],
)
def test_the_command_names_the_file_that_the_user_knows(changes, message, tmp_path):
  path = made(tmp_path, **changes)
  with pytest.raises(ValueError) as error:
    folder = checkpoints.open(path)
    tokenizer.load(folder)
    huggingface.check(folder, huggingface.read_config(folder))
  assert commands.line(error.value).startswith(f'{path}: {message}')


def test_tensors_that_lack_or_are_too_many_are_named(tmp_path):
  folder = checkpoints.open(made(tmp_path))
  with pytest.raises(tensors.CheckpointFileError, match='lacks model.norm.weight'):
    huggingface.check(folder, huggingface.read_config(folder))


def test_a_damaged_file_is_refused_in_one_line(tmp_path):
  whole = made(tmp_path).read_bytes()
  for damaged in (whole[:40], whole[: len(whole) // 2]):
    (tmp_path / 'made.gguf').write_bytes(damaged)
    told = f'made.gguf: not a GGUF file that can be read: its {len(damaged)} bytes are truncated'
    with pytest.raises(ValueError, match=told) as error:
      checkpoints.open(tmp_path / 'made.gguf')
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  'behind, offset, form, value, told',
  [
    (b'GGUF', 0, '<I', 1, 'GGUF version 1 is not read, only 2 and 3'),
    (b'GGUF', 0, '>I', 3, 'big-endian, only little-endian GGUF files are read'),
    (b'GGUF', 4, '<Q', 2**40, r'its header counts \d+ keys and 1099511627776 tensors'),
    (b'GGUF', 12, '<Q', 2**60, 'its header counts 1152921504606846976 keys'),
    (b'ggml.tokens', 4, '<I', 9, 'tokenizer.ggml.tokens has values of type 9'),
    # The library would go on, beyond the end of the file, until the memory is full.
    (b'ggml.tokens', 8, '<Q', 2**60, 'tokenizer.ggml.tokens has 1152921504606846976 entries'),
    (b'ggml.tokens', 8, '<Q', 10**6, 'end within tokenizer.ggml.tokens of 1000000 entries'),
  ],
)
def test_a_header_that_cannot_be_is_told_with_what_it_says(
  tmp_path, behind, offset, form, value, told
):
  path = made(tmp_path)
  damaged = bytearray(path.read_bytes())
  struct.pack_into(form, damaged, damaged.index(behind) + len(behind) + offset, value)
  path.write_bytes(damaged)
  with pytest.raises(ValueError, match=rf'made.gguf: .*{told}.*; download it again'):
    checkpoints.open(path)


BEGINNINGS = [
  (b'', 'it is empty'),
  (b'<!DOCTYPE html>\n<html>', 'it is a web page, not the file itself'),
  (b'version https://git-lfs.github.com/spec/v1\noid', 'it is a Git LFS pointer, not the file'),
  (b'\x89PNG\r\n\x1a\n' + bytes(99), 'it begins with .*PNG'),
  (b'PK\x03\x04' + bytes(99), 'it begins with .*PK'),
]


@pytest.mark.parametrize('contents, told', BEGINNINGS)
def test_what_is_no_gguf_file_is_called_that(tmp_path, contents, told):
  path = tmp_path / 'model.GGUF'
  path.write_bytes(contents)
  with pytest.raises(ValueError, match=f'model.GGUF: not a GGUF file: {told}.*; '):
    checkpoints.open(path)
  place = fetched.place('smollm2')
  place.parent.mkdir(parents=True)
  place.write_bytes(contents)
  for name in ('smollm2', place):
    with pytest.raises(
      ValueError, match=f'not a GGUF file: {told}.*; bring .*: r1jax fetch smollm2'
    ):
      checkpoints.open(name)


def test_the_fetched_model_says_how_it_is_brought_again(tmp_path):
  place = fetched.place('smollm2')
  with pytest.raises(ValueError, match='smollm2 is not here yet .*: r1jax fetch smollm2'):
    checkpoints.open(place)
  place.mkdir(parents=True)
  for act in (lambda: checkpoints.open('smollm2'), lambda: fetched.fetch('smollm2')):
    with pytest.raises(ValueError, match='is a folder, .*; remove it, then: r1jax fetch smollm2'):
      act()
  place.rmdir()
  made(tmp_path, general__architecture=None).rename(place)
  with pytest.raises(ValueError, match='lacks general.architecture.*; .* r1jax fetch smollm2'):
    checkpoints.open('smollm2')


@pytest.fixture
def smollm2():
  """The folder of the fetched model, in the test's own cache."""
  if not FETCHED.exists():
    pytest.skip('needs `r1jax fetch smollm2`, a model of 98 MB')
  return checkpoints.open(FETCHED)


def computed(folder, cases):
  """Yields (case, float32 logits [its greedy tokens, V]), each behind what comes before it."""
  cfg = huggingface.read_config(folder, 'float32', 'float32', remat=False)
  params = huggingface.load(folder, cfg, 'float32')

  @jax.jit
  def logits(params, token_BT, segment_BT, position_BT):
    out = transformer.forward(params, cfg, token_BT, segment_BT, position_BT)
    return transformer.logits(params, cfg, out.hidden_XD)

  for case in cases:
    ids, size = case['prompt'] + case['greedy'], len(case['prompt'])
    token, segment = np.zeros((2, 1, 96), np.int32)
    token[0, : len(ids)], segment[0, : len(ids)] = ids, 1
    arrays = token, segment, np.arange(96, dtype=np.int32)[None]
    put = [sharding.put(a, sharding.act('batch', None)) for a in arrays]
    yield case, np.asarray(logits(params, *put))[size - 1 : len(ids) - 1]


@pytest.mark.heavy
def test_smollm2_computes_what_transformers_does(smollm2, one_device):
  """The weights of a real file by other code: its rows un-permuted, its Q4_1 blocks dequantised."""
  for case, found in computed(smollm2, SMOLLM2['cases']):
    assert found.argmax(-1).tolist() == case['greedy']
    wanted = case['first_logits_after_prompt']
    np.testing.assert_allclose(found[0, : len(wanted)], wanted, rtol=0, atol=5e-4)


@pytest.mark.heavy
def test_smollm2_says_greedily_what_llama_cpp_says(smollm2, one_device):
  for case, found in computed(smollm2, LLAMA_CPP['replies']):
    # Where two tokens are as likely but for rounding, either may be the best.
    chosen = np.take_along_axis(found, np.array(case['greedy'])[:, None], 1)[:, 0]
    assert (found.max(-1) - chosen).max() < 1e-3, case['text']


def test_texts_and_chats_have_the_ids_of_llama_cpp(smollm2):
  assert LLAMA_CPP['sha256'] == fetched.MODELS['smollm2'].sha256
  tok = tokenizer.load(smollm2)
  chat = chat_template.load(smollm2, tok)
  for text, ids in LLAMA_CPP['ids']:
    assert list(tok.encode(text)) == ids, text
  for reply in LLAMA_CPP['replies']:
    text = chat.render(reply['messages'])
    assert text == reply['text']
    assert list(chat_template.encode(chat, tok, text)) == reply['prompt']


@pytest.mark.parametrize('stretch, factor', [(4.0, 0.8782488562869419), (4.0, 1.3), (32.0, 0.9)])
def test_a_gain_of_llama_cpp_is_that_of_transformers_rule(stretch, factor):
  hub = gguf_import._gain(factor, {'rope_type': 'yarn', 'factor': stretch}, 'qwen3')
  gain = lambda m: 0.1 * m * math.log(stretch) + 1
  # llama.cpp: factor x YaRN's own gain; transformers: the quotient of two gains.
  assert gain(hub['mscale']) / gain(hub['mscale_all_dim']) == pytest.approx(factor * gain(1))
  assert gguf_import._gain(1, {}, 'qwen3') == {}
  with pytest.raises(ValueError, match='too small'):
    gguf_import._gain(0.1, {'rope_type': 'yarn', 'factor': stretch}, 'qwen3')
