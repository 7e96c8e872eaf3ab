"""What a GGUF export reads back: damage and mistakes are named, rounding is not one."""

import dataclasses

import gguf as library
import numpy as np
import pytest

from r1jax.interchange import gguf, gguf_readback, gguf_vocabulary, tensors
from tests.interchange import families

KINDS = library.GGMLQuantizationType


def export(folder, name, kind='f32'):
  """(lines that the export of the checkpoint `name` says, path of its file)."""
  families.write(folder, name)
  families.write_tokenizer(folder)
  said = []
  return said, gguf.export(folder, folder / 'gguf', kind, notify=said.append)


def refusal(folder, *how):
  """What an export that must fail says; it leaves no file of weights."""
  with pytest.raises(tensors.CheckpointFileError, match='read back, ') as error:
    export(folder, *how)
  assert not list((folder / 'gguf').iterdir())
  return str(error.value)


def damaging(name, bit):
  """In place of `gguf._write`: one bit in the middle of a written tensor is turned."""
  write = gguf._write

  def damaged(writer, outs, kind):
    write(writer, outs, kind)
    path = writer.path
    (tensor,) = [t for t in library.GGUFReader(path).tensors if t.name == name]
    contents = bytearray(path.read_bytes())
    # Halves and floats begin at even places, numbers of a block of 34 bytes behind its step.
    contents[tensor.data_offset + 34 * 8 + 4] ^= bit
    path.write_bytes(contents)

  return damaged


@pytest.mark.parametrize('kind, bit', [('f32', 1), ('f16', 1), ('q8_0', 4)])
def test_a_bit_turned_in_a_written_tensor_names_it(kind, bit, tmp_path, monkeypatch):
  monkeypatch.setattr(gguf, '_write', damaging('blk.1.ffn_up.weight', bit))
  said = refusal(tmp_path, 'llama', kind)
  assert 'model.layers.1.mlp.up_proj.weight: 1 of 1536 values are further away than' in said


def test_a_family_that_is_not_read_is_compared_by_its_names_in_the_file(tmp_path, monkeypatch):
  (said, *_), _ = export(tmp_path, 'deepseek_v3')
  assert said.startswith('read back: ') and 'not compared: deepseek2 is read by llama.cpp' in said
  monkeypatch.setattr(gguf, '_write', damaging('blk.1.attn_k_b.weight', 1))
  (tmp_path / 'second').mkdir()
  assert 'blk.1.attn_k_b.weight: 1 of 512' in refusal(tmp_path / 'second', 'deepseek_v3')


@pytest.mark.parametrize('name', ['llama', 'qwen2', 'qwen3'])
def test_a_sound_file_differs_by_nothing_or_by_its_rounding(name, tmp_path):
  largest = []
  for kind in gguf.TYPES:
    said, path = export(tmp_path, name, kind)
    count = len(library.GGUFReader(path).tensors) - (name == 'llama')  # and rope_freqs
    assert said[0].startswith(f'read back: {count} tensors, largest difference ')
    largest.append(float(said[0].rpartition(' ')[2]))
  assert largest[0] == 0 < largest[1] < largest[2] < 0.01


def test_rows_in_another_order_are_named(tmp_path, monkeypatch):
  monkeypatch.setattr(gguf, '_interleaved', lambda get, heads: get)
  assert 'model.layers.0.self_attn.q_proj.weight: ' in refusal(tmp_path, 'llama')


def test_another_config_is_named(tmp_path, monkeypatch):
  write = gguf._metadata
  other = lambda cfg: dataclasses.replace(cfg, norm_eps=1e-5)
  monkeypatch.setattr(gguf, '_metadata', lambda to, cfg, kind: write(to, other(cfg), kind))
  assert 'config norm_eps: 1e-05, expected 1e-06' in refusal(tmp_path, 'qwen2')


def test_other_ids_are_named_with_the_text(tmp_path, monkeypatch):
  monkeypatch.setattr(gguf_vocabulary.tokenizer, 'adds_bos', lambda tok: False)
  assert "ids of 'What is 3 + 4?" in refusal(tmp_path, 'qwen2')


@pytest.mark.parametrize('kind', [KINDS.F16, KINDS.Q8_0])
def test_the_rounding_of_a_type_is_allowed_and_no_more(kind):
  random = np.random.RandomState(0)
  value = random.standard_normal((4096, 64)) * 10.0 ** random.uniform(-9, 4, (4096, 1))
  value[::7, ::3] = 0
  value = value.astype(np.float32)
  found = library.quants.dequantize(library.quants.quantize(value, kind), kind)
  apart, allowed = np.abs(found - value), gguf_readback.rounding(value, kind)
  assert (apart <= allowed).all()
  # The bound is reached, and a value that is two of its steps away is beyond it.
  assert (apart[allowed > 0] / allowed[allowed > 0]).max() > 0.9
  if kind == KINDS.F16:
    step = np.spacing(np.abs(value).astype(np.float16)).astype(np.float32)
    assert (allowed <= 0.5 * step).all()
  assert not gguf_readback.rounding(value, KINDS.F32).any()
