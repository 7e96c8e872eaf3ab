"""Checkpoints in and out: bit-equal round trips, wrong files named, DeepSeek-R1's tensors."""

import collections
import dataclasses
import gzip
import json
import math
import os
import pathlib
import shutil

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from r1jax import params as params_lib
from r1jax import sharding
from r1jax.interchange import huggingface, names, tensors
from r1jax.model import transformer
from tests import shared_data
from tests.interchange import families

SINGLE = 'model.safetensors'


def same(left, right):
  """Whether two trees hold the same bits in the same types and shardings."""
  assert jax.tree.structure(left) == jax.tree.structure(right)
  for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right)):
    assert a.sharding == b.sharding
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b), strict=True)


def edit(folder, change):
  """Rewrites the weights of a folder after `change(weights)`."""
  weights = load_file(folder / SINGLE)
  change(weights)
  save_file(weights, folder / SINGLE)


@pytest.fixture
def deepseek(tmp_path, one_device):
  families.write(tmp_path, 'deepseek_v3')
  return tmp_path, huggingface.read_config(tmp_path)


@pytest.mark.parametrize('name', families.CONFIGS)
def test_import_and_export_give_every_hub_tensor_back_bit_by_bit(name, tmp_path, one_device):
  config = families.write(tmp_path, name)
  cfg = huggingface.read_config(tmp_path)
  params = huggingface.load(tmp_path, cfg, 'float32')
  huggingface.save(tmp_path / 'out', params, cfg)
  given, written = families.weights(config), load_file(tmp_path / 'out' / SINGLE)
  assert given.keys() == written.keys()
  for tensor in given:
    np.testing.assert_array_equal(given[tensor], written[tensor], strict=True)
  assert huggingface.read_config(tmp_path / 'out') == cfg


@pytest.mark.parametrize('shape', [(1, 2, 2, 2), (1, 1, 4, 2)])
def test_every_mesh_loads_and_saves_the_same(shape, tmp_path):
  config = families.write(tmp_path, 'deepseek_v3')
  cfg = huggingface.read_config(tmp_path)
  with jax.set_mesh(sharding.make_mesh(shape)):
    params = huggingface.load(tmp_path, cfg, 'float32')
    wanted = params_lib.abstract(transformer.specs(cfg), 'float32')
    assert jax.tree.map(lambda a: a.sharding, params) == jax.tree.map(lambda a: a.sharding, wanted)
    huggingface.save(tmp_path / 'out', params, cfg)
  written = load_file(tmp_path / 'out' / SINGLE)
  for tensor, value in families.weights(config).items():
    np.testing.assert_array_equal(value, written[tensor])


def test_shards_with_an_index_are_one_checkpoint(deepseek, monkeypatch):
  folder, cfg = deepseek
  monkeypatch.setattr(tensors, 'CHUNK_BYTES', 1000)
  params = huggingface.load(folder, cfg, 'float32')
  huggingface.save(folder / 'out', params, cfg, shard_bytes=20_000)
  files = sorted(p.name for p in (folder / 'out').glob('*.safetensors'))
  assert len(files) > 5 and files[0] == f'model-00001-of-{len(files):05d}.safetensors'
  same(huggingface.load(folder / 'out', cfg, 'float32'), params)


def test_bfloat16_export_rounds_the_matrices_and_keeps_the_norms(deepseek):
  folder, cfg = deepseek
  params = huggingface.load(folder, cfg, 'float32')
  huggingface.save(folder / 'out', params, cfg, dtype='bfloat16')
  written = tensors.read_folder(folder / 'out')
  assert written['lm_head.weight'].dtype == 'BF16'
  assert written['model.norm.weight'].dtype == 'F32'
  again = huggingface.read_config(folder / 'out')
  assert again.param_dtype == 'bfloat16'
  same(
    huggingface.load(folder / 'out', again, 'bfloat16'), huggingface.load(folder, cfg, 'bfloat16')
  )


def test_an_interrupted_export_keeps_finished_files_and_replaces_stale_ones(deepseek):
  folder, cfg = deepseek
  params = huggingface.load(folder, cfg, 'float32')
  out = folder / 'out'
  huggingface.save(out, params, cfg, shard_bytes=40_000)
  first, second, *_ = sorted(out.glob('*.safetensors'))
  kept = first.stat().st_ino
  contents = bytearray(second.read_bytes())
  contents[-1] ^= 1
  second.write_bytes(contents)
  huggingface.save(out, params, cfg, shard_bytes=40_000)
  assert first.stat().st_ino == kept
  same(huggingface.load(out, cfg, 'float32'), params)


def quantise(weights, block, random):
  """fp8 values and scales in place of the layers' matrices; returns what they stand for."""
  meant = {}
  for name in [n for n in weights if '_proj' in n and 'eh_proj' not in n]:
    rows, columns = weights[name].shape
    value = random.standard_normal((rows, columns)).astype(ml_dtypes.float8_e4m3fn)
    scale = random.uniform(0.1, 2, (math.ceil(rows / block), math.ceil(columns / block)))
    scale = scale.astype(np.float32)
    meant[name] = (
      value.astype(np.float32) * np.kron(scale, np.ones((block, block)))[:rows, :columns]
    )
    weights |= {name: value, f'{name}_scale_inv': scale}
  return meant


def test_fp8_blocks_ragged_ones_too_are_multiplied_by_their_scales(deepseek, monkeypatch):
  folder, cfg = deepseek
  monkeypatch.setattr(tensors, 'CHUNK_BYTES', 300)
  block, random, meant = 10, np.random.RandomState(3), {}
  edit(folder, lambda w: meant.update(quantise(w, block, random)))
  config = json.loads((folder / 'config.json').read_text())
  quant = {'quant_method': 'fp8', 'fmt': 'e4m3', 'weight_block_size': [block, block]}
  (folder / 'config.json').write_text(json.dumps(config | {'quantization_config': quant}))
  params = huggingface.load(folder, cfg, 'float32')
  for name, _, _, get in huggingface.hub_tensors(params, cfg):
    if name in meant:
      np.testing.assert_array_equal(get(), meant[name].astype(np.float32))


def test_fp8_without_scales_or_block_size_is_refused(deepseek):
  folder, cfg = deepseek
  edit(folder, lambda w: quantise(w, 10, np.random.RandomState(3)))
  with pytest.raises(tensors.CheckpointFileError, match='no quantization_config'):
    huggingface.load(folder, cfg, 'float32')


def test_the_mtp_layer_may_be_left_out_and_is_named(deepseek):
  folder, cfg = deepseek
  said = []
  without = dataclasses.replace(cfg, mtp_layers=0)
  params = huggingface.load(folder, without, 'float32', notify=said.append)
  assert 'mtp' not in params
  assert len(said) == 1 and 'model.layers.3.' in said[0] and 'mtp_layers=0' in said[0]


NAME = 'model.layers.1.mlp.experts.7.up_proj.weight'
DAMAGE = {
  'lacks ' + NAME: lambda w: w.pop(NAME),
  'lacks .*; holds _orig_mod.' + NAME + ' instead': lambda w: w.update(
    {'_orig_mod.' + NAME: w.pop(NAME)}
  ),
  NAME + r' has shape \[12, 31\], expected \[12, 32\]': lambda w: w.update({NAME: w[NAME][:, 1:]}),
  NAME + ' has type I32': lambda w: w.update({NAME: w[NAME].astype(np.int32)}),
  'no place for model.layers.9.surprise': lambda w: w.update({'model.layers.9.surprise': w[NAME]}),
  'must repeat model.embed_tokens.weight': lambda w: w.update(
    {'model.layers.3.embed_tokens.weight': w['model.embed_tokens.weight'] + 1}
  ),
}


@pytest.mark.parametrize('message', DAMAGE)
def test_a_wrong_tensor_is_named_with_file_and_shapes(message, deepseek):
  folder, cfg = deepseek
  edit(folder, DAMAGE[message])
  with pytest.raises(tensors.CheckpointFileError, match=message) as error:
    huggingface.load(folder, cfg, 'float32')
  assert str(folder) in str(error.value)


@pytest.mark.parametrize(
  'value, dtype', [(np.nan, 'float32'), (np.inf, 'bfloat16'), (1e6, 'float16')]
)
@pytest.mark.parametrize('name', [NAME, 'model.norm.weight'])
def test_weights_that_are_no_numbers_are_named(name, value, dtype, deepseek):
  folder, cfg = deepseek
  edit(folder, lambda w: w[name].reshape(-1).__setitem__(5, value))
  if name == NAME or value != 1e6:  # norms stay in float32
    message = f'{SINGLE}: {name} holds NaN or infinity as {dtype if name == NAME else "float32"}'
    with pytest.raises(tensors.CheckpointFileError, match=message):
      huggingface.load(folder, cfg, dtype)


def test_a_wrong_file_is_named(deepseek):
  folder, cfg = deepseek
  whole = (folder / SINGLE).read_bytes()
  for damaged in (whole[:-1], whole + b'x', whole[:5], b'\xff' * 64, b'\x02' + bytes(7) + b'[]'):
    (folder / SINGLE).write_bytes(damaged)
    with pytest.raises(tensors.CheckpointFileError, match=SINGLE):
      huggingface.load(folder, cfg, 'float32')
  (folder / SINGLE).unlink()
  with pytest.raises(tensors.CheckpointFileError, match='neither'):
    huggingface.load(folder, cfg, 'float32')


def test_a_missing_or_misplaced_shard_is_named(deepseek):
  folder, cfg = deepseek
  out = folder / 'out'
  huggingface.save(out, huggingface.load(folder, cfg, 'float32'), cfg, shard_bytes=40_000)
  first, second, *_ = sorted(out.glob('*.safetensors'))
  contents = first.read_bytes()
  first.write_bytes(second.read_bytes())
  with pytest.raises(tensors.CheckpointFileError, match='00001-of-.*: lacks .* places there'):
    huggingface.load(out, cfg, 'float32')
  first.write_bytes(contents)
  second.unlink()
  with pytest.raises(tensors.CheckpointFileError, match='00002-of-.* no such file'):
    huggingface.load(out, cfg, 'float32')


def test_the_91991_tensors_of_deepseek_r1_fill_the_671b_tree():
  listed = json.loads(
    gzip.decompress(shared_data.path('deepseek_r1/checkpoint_tensors.json.gz').read_bytes())
  )
  found = {
    name: tensors.Tensor(name, pathlib.Path(t['file']), t['dtype'], tuple(t['shape']), 0)
    for name, t in listed.items()
  }
  cfg = huggingface.read_config(shared_data.path('deepseek_r1/config.json'))
  plan = huggingface.match(found, cfg, (128, 128), 'DeepSeek-R1')
  scales = {name for name in found if name.endswith('_scale_inv')}
  used = [e.name for e in plan.entries] + list(plan.copies) + sorted(scales)
  assert sorted(used) == sorted(listed) and len(used) == 91_991
  assert not plan.ignored and len(plan.copies) == 2
  specs = transformer.specs(cfg)
  assert params_lib.count(specs) == sum(math.prod(e.shape) for e in plan.entries)
  places = collections.defaultdict(set)
  for entry in plan.entries:
    places[entry.leaf].add(entry.index)
    shape = names.spec_at(specs, entry.leaf).shape[len(entry.index) :]
    assert shape == (entry.shape[::-1] if entry.rule.transposed else entry.shape)
  for path, indices in places.items():
    stack = names.spec_at(specs, path).shape[: len(next(iter(indices)))]
    assert indices == set(np.ndindex(*stack))
  kinds = {found[e.name].dtype for e in plan.entries if e.rule.transposed and 'experts' in e.leaf}
  assert kinds == {'F8_E4M3'}
  without = dataclasses.replace(cfg, mtp_layers=0)
  assert round(params_lib.count(transformer.specs(without)) / 1e6) == 671_026


def test_scales_in_bfloat16_are_read_too(deepseek):
  folder, cfg = deepseek
  meant = {}

  def change(weights):
    meant.update(quantise(weights, 16, np.random.RandomState(3)))
    for name in [n for n in weights if n.endswith('_scale_inv')]:
      weights[name] = weights[name].astype(ml_dtypes.bfloat16)

  edit(folder, change)
  config = json.loads((folder / 'config.json').read_text())
  quant = {'quant_method': 'fp8', 'fmt': 'e4m3', 'weight_block_size': [16, 16]}
  (folder / 'config.json').write_text(json.dumps(config | {'quantization_config': quant}))
  params = huggingface.load(folder, cfg, 'float32')
  for name, _, _, get in huggingface.hub_tensors(params, cfg):
    if name in meant:
      np.testing.assert_allclose(get(), meant[name], rtol=2**-8)


def test_a_folder_without_its_mtp_layer_says_how_to_leave_it_out(deepseek):
  folder, cfg = deepseek
  edit(folder, lambda w: [w.pop(name) for name in list(w) if name.startswith('model.layers.3.')])
  with pytest.raises(tensors.CheckpointFileError, match='"num_nextn_predict_layers": 0'):
    huggingface.load(folder, cfg, 'float32')


@pytest.mark.parametrize('offsets', [[[0, 4], [0, 4]], [[0, 4], [8, 12]], [[0, 4], [4]]])
def test_tensors_that_overlap_or_leave_holes_are_named(offsets, tmp_path):
  entries = {n: {'dtype': 'F32', 'shape': [1], 'data_offsets': o} for n, o in zip('ab', offsets)}
  raw = json.dumps(entries).encode()
  (tmp_path / SINGLE).write_bytes(len(raw).to_bytes(8, 'little') + raw + bytes(8))
  with pytest.raises(tensors.CheckpointFileError, match=SINGLE):
    tensors.read_header(tmp_path / SINGLE)


def test_an_unreadable_index_is_named(tmp_path):
  for contents in ('[1]', '{"weight_map": [1]}', '{"weight_map": {"a": 1, "b": "c"}}', '{'):
    (tmp_path / tensors.INDEX).write_text(contents)
    with pytest.raises(tensors.CheckpointFileError, match='no readable weight_map'):
      tensors.read_folder(tmp_path)


@pytest.mark.parametrize(
  'name', ['/etc/shadow', '../model.safetensors', 'a/b', 'a\\b', '..', '.', '', 'a\0b', None, 7]
)
def test_an_index_may_name_files_of_its_own_folder_only(name, tmp_path):
  (tmp_path / tensors.INDEX).write_text(json.dumps({'weight_map': {'a': name}}))
  with pytest.raises(tensors.CheckpointFileError, match=tensors.INDEX + ': .*a is in'):
    tensors.read_folder(tmp_path)


def test_of_a_single_file_and_an_index_the_single_one_is_read_and_said_so(deepseek):
  folder, cfg = deepseek
  old = huggingface.load(folder, cfg, 'float32')
  both, said = folder / 'both', []
  huggingface.save(both, old, cfg, shard_bytes=40_000)
  edit(folder, lambda w: w.update({name: 2 * value for name, value in w.items()}))
  shutil.copy(folder / SINGLE, both / SINGLE)
  found = huggingface.load(both, cfg, 'float32', notify=said.append)
  np.testing.assert_array_equal(found['head'], 2 * np.asarray(old['head']))
  assert said == [
    f'{both}: {SINGLE} is read, as transformers does; {tensors.INDEX} and its shards are not'
  ]
  (both / SINGLE).unlink()
  for shard in both.glob('*.safetensors'):
    shard.unlink()
  with pytest.raises(tensors.CheckpointFileError, match=f'no such file, but {tensors.INDEX} names'):
    huggingface.load(both, cfg, 'float32')


def test_pipes_in_the_place_of_files_are_refused_and_not_waited_for(deepseek):
  folder, cfg = deepseek
  for name in (SINGLE, 'config.json'):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(tensors.CheckpointFileError, match=f'{name}: is no regular file'):
      huggingface.load(folder, cfg, 'float32')


@pytest.mark.parametrize(
  'entry',
  [
    {'dtype': 'F32', 'shape': [1.0], 'data_offsets': [0, 4]},
    {'dtype': 'F32', 'shape': ['1'], 'data_offsets': [0, 4]},
    {'dtype': ['F32'], 'shape': [1], 'data_offsets': [0, 4]},
    {'dtype': 'F32', 'shape': None, 'data_offsets': [0, 4]},
    {'dtype': 'F32', 'shape': [10**30, 0], 'data_offsets': [0, 4]},
    {'dtype': 'F32', 'shape': [1], 'data_offsets': [True, 4]},
    [],
  ],
)
def test_a_header_of_wrong_types_is_named(entry, tmp_path):
  raw = json.dumps({'a': entry}).encode()
  (tmp_path / SINGLE).write_bytes(len(raw).to_bytes(8, 'little') + raw + bytes(4))
  with pytest.raises(tensors.CheckpointFileError, match=SINGLE):
    tensors.read_header(tmp_path / SINGLE)


def test_a_header_larger_than_the_format_allows_is_not_read(tmp_path):
  with open(tmp_path / SINGLE, 'wb') as file:
    file.write((1 << 36).to_bytes(8, 'little'))
    file.truncate(1 << 37)  # sparse: it takes no room
  with pytest.raises(tensors.CheckpointFileError, match='hold no header of 68719476736'):
    tensors.read_header(tmp_path / SINGLE)


def test_a_key_that_is_passed_over_is_said(tmp_path, one_device):
  families.write(tmp_path, 'qwen3_attn_factor')
  said = []
  huggingface.load(tmp_path, huggingface.read_config(tmp_path), 'float32', notify=said.append)
  assert len(said) == 1 and 'config.json: rope_scaling.attn_factor is not used' in said[0]


def test_a_full_disk_leaves_no_part_of_a_file_and_is_named(tmp_path):
  def full():
    raise OSError(28, 'No space left on device')

  with pytest.raises(OSError, match=f'{SINGLE}.part: .*No space left'):
    tensors.write(tmp_path / SINGLE, [('a', 'F32', (1,), full)])
  assert not list(tmp_path.iterdir())
