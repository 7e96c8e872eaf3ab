"""A model's place, as the user may name it."""

import dataclasses

import pytest

from r1jax.data import chat_template, tokenizer
from r1jax.interchange import checkpoints, huggingface, tensors
from r1jax.model import transformer
from tests.interchange import families


@pytest.mark.parametrize('name', checkpoints.SHIPPED)
def test_a_shipped_model_is_whole(name):
  folder = checkpoints.open(name)
  cfg = huggingface.read_config(folder)
  assert tokenizer.load(folder).vocab_size <= cfg.vocab
  assert sum(p.stat().st_size for p in folder.iterdir()) <= 8 << 20
  assert 'moe' in transformer.specs(cfg)


def test_a_hub_folder_and_a_work_directory_are_found(tmp_path):
  model = tmp_path / 'run' / 'model'
  model.mkdir(parents=True)
  families.write(model, 'qwen2')
  (tmp_path / 'run' / 'config.json').write_text('{}')
  assert checkpoints.open(model) == checkpoints.open(tmp_path / 'run') == model


def test_a_place_without_a_model_is_named(tmp_path):
  with pytest.raises(ValueError, match=str(tmp_path)):
    checkpoints.open(tmp_path)


POINTER = 'version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n'


@pytest.mark.parametrize('name', ['model.safetensors', 'tokenizer.json', 'config.json'])
@pytest.mark.parametrize(
  'contents, told',
  [
    (POINTER, 'is a Git LFS pointer, not the file itself; run git lfs pull'),
    ('<!DOCTYPE html>\n<html>', 'is a web page, not the file itself'),
    ('Entry not found', "is the hub's answer that it has no such file"),
    (None, 'is a link to a file that is gone'),
  ],
)
def test_what_a_download_leaves_in_place_of_a_file_is_called_that(name, contents, told, tmp_path):
  families.write(tmp_path, 'qwen2')
  families.write_tokenizer(tmp_path)
  (tmp_path / name).unlink()
  if contents is None:
    (tmp_path / name).symlink_to(tmp_path / 'blob')
  else:
    (tmp_path / name).write_text(contents)
  with pytest.raises(ValueError, match=f'{name}.*{told}'):
    folder = checkpoints.open(tmp_path)
    huggingface.check(folder, huggingface.read_config(folder))
    tokenizer.load(folder)


@pytest.mark.parametrize('files', [['config.json', 'pytorch_model.bin'], ['config.json', 'a.pth'],
                                   ['adapter_config.json', 'adapter_model.bin']])  # fmt: skip
def test_weights_in_pickles_are_named_with_what_to_do(files, tmp_path):
  for name in files:
    (tmp_path / name).write_text('{}')
  with pytest.raises(ValueError, match=rf'holds {files[1]}, but .* \*.safetensors only; convert'):
    checkpoints.open(tmp_path)


@pytest.mark.parametrize(
  'names, told',
  [
    (['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'], 'the index too'),
    (['weights.safetensors'], 'weights.safetensors: name it model.safetensors'),
  ],
)
def test_weights_without_an_index_are_named(names, told, tmp_path):
  for name in names:
    (tmp_path / name).write_text('')
  with pytest.raises(ValueError, match=f'holds neither .*, only .*{told}'):
    tensors.read_folder(tmp_path)


def test_a_saved_hub_tokenizer_carries_template_and_generation_settings(tmp_path):
  families.write_tokenizer(tmp_path)
  (tmp_path / 'chat_template.jinja').write_text('{{ bos_token }}x')
  (tmp_path / 'generation_config.json').write_text('{"eos_token_id": [1, 2]}')
  out = tmp_path / 'out'
  out.mkdir()
  tokenizer.load(tmp_path).save(out)
  assert (out / 'generation_config.json').exists()
  assert chat_template.load(out, tokenizer.load(out)).render([]) == '<bos>x'


def test_a_tokenizer_with_more_ids_than_the_model_has_rows_is_refused(tmp_path):
  families.write(tmp_path, 'qwen2')
  families.write_tokenizer(tmp_path)
  cfg = huggingface.read_config(tmp_path)
  ids = checkpoints.tokenizer_of(tmp_path, cfg).vocab_size
  with pytest.raises(ValueError, match=f'has {ids} ids, the model only {ids - 1} embeddings'):
    checkpoints.tokenizer_of(tmp_path, dataclasses.replace(cfg, vocab=ids - 1))


def test_an_end_of_a_reply_that_the_model_has_no_row_for_is_refused(tmp_path):
  families.write(tmp_path, 'qwen2')
  families.write_tokenizer(tmp_path)
  cfg = huggingface.read_config(tmp_path)
  # The last row has no token of the tokenizer, as where a vocabulary is padded: it can be drawn.
  (tmp_path / 'generation_config.json').write_text(f'{{"eos_token_id": [1, {cfg.vocab - 1}]}}')
  checkpoints.tokenizer_of(tmp_path, cfg)
  (tmp_path / 'generation_config.json').write_text(f'{{"eos_token_id": [1, {cfg.vocab}]}}')
  with pytest.raises(ValueError, match=f'eos_token_id names {cfg.vocab}, the model has only'):
    checkpoints.tokenizer_of(tmp_path, cfg)
