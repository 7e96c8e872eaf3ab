"""A model's place, as the user may name it."""

import dataclasses

import pytest

from r1jax.data import chat_template, tokenizer
from r1jax.interchange import checkpoints, huggingface
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
