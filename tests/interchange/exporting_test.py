"""Handing a model on: what is written is read back, and one changed byte is found."""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

import jax
import pytest
import safetensors.numpy

from r1jax import export, sharding
from r1jax.data import tokenizer
from r1jax.interchange import exporting, gguf, huggingface, tensors
from tests.interchange import families


@pytest.fixture(scope='module')
def once(tmp_path_factory):
  """A sharded export of the tiny DeepSeek, and its report."""
  given, out = (tmp_path_factory.mktemp(name) for name in ('given', 'out'))
  families.write(given, 'deepseek_v3')
  families.write_tokenizer(given)
  with jax.set_mesh(sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1])):
    report = exporting.export(given, out, shard_bytes=80_000, notify=lambda line: None)
  return given, out, report


@pytest.fixture
def exported(once, tmp_path, one_device):
  """(source, a copy of the export that a test may damage, report)."""
  given, out, report = once
  return given, pathlib.Path(shutil.copytree(out, tmp_path / 'out')), report


def test_an_export_is_complete_verified_and_gives_the_same_logits(exported):
  given, out, report = exported
  assert report['problems'] == [] and report['logits_difference'] == 0
  assert len(report['tensors']) == len(tensors.read_folder(given))
  names = {path.name for path in out.iterdir()}
  assert names >= {
    'config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json',
    'chat_template.jinja', 'export_report.json', 'model.safetensors.index.json',
  }  # fmt: skip
  assert json.loads((out / 'generation_config.json').read_text())['temperature'] == 0.6
  assert json.loads((out / 'config.json').read_text())['eos_token_id'] == 1
  assert exporting.verify(out) == []


@pytest.mark.parametrize('where', [0.05, 0.5, 0.999])
def test_one_corrupted_byte_is_found_and_its_tensor_named(where, exported):
  _, out, _ = exported
  path = sorted(out.glob('*.safetensors'))[1]
  contents = bytearray(path.read_bytes())
  header = 8 + int.from_bytes(contents[:8], 'little')
  at = header + int(where * (len(contents) - header))
  contents[at] ^= 1
  path.write_bytes(contents)
  hit = [
    t.name
    for t in tensors.read_header(path).values()
    if t.offset <= at < t.offset + t.rows * t.row_bytes
  ]
  problems = exporting.verify(out)
  assert any(path.name in problem for problem in problems)
  assert any(problem.startswith(hit[0] + ': sha256') for problem in problems)


def test_a_changed_header_tokenizer_or_a_lost_file_is_found(exported):
  _, out, _ = exported
  path = out / 'tokenizer_config.json'
  path.write_text(path.read_text() + ' ')
  assert any('tokenizer_config.json' in problem for problem in exporting.verify(out))
  sorted(out.glob('*.safetensors'))[0].unlink()
  assert any('00001-of' in problem for problem in exporting.verify(out))


def test_drift_while_writing_is_a_problem_in_the_report(exported, monkeypatch):
  given, out, _ = exported
  write = tensors.write

  def corrupted(path, contents, metadata=None):
    write(path, contents, metadata)
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)

  monkeypatch.setattr(tensors, 'write', corrupted)
  report = exporting.export(given, out.parent / 'bad', notify=lambda line: None)
  assert len(report['problems']) == 1 and 'sha256' in report['problems'][0]


def test_an_export_in_bfloat16_is_verified_too(exported):
  given, out, _ = exported
  folder = out.parent / 'half'
  report = exporting.export(given, folder, 'bfloat16', notify=lambda line: None)
  assert report['problems'] == []
  assert huggingface.read_config(folder).param_dtype == 'bfloat16'


@pytest.mark.parametrize('name', ['tokenizer.model', 'added_tokens.json', 'other.safetensors'])
def test_files_of_another_model_are_named_before_anything_is_written(name, exported):
  given, out, _ = exported
  held = out.parent / 'held'
  held.mkdir()
  (held / name).write_text('{}')
  message = refusal(lambda: exporting.export(given, held, notify=lambda line: None))
  assert f'{held}: holds {name} of another model' in message
  assert [path.name for path in held.iterdir()] == [name]
  # What lay there when an older version exported stands in its report.
  (out / name).write_text('{}')
  report = json.loads((out / exporting.REPORT).read_text())
  report['files'][name] = {'bytes': 2, 'sha256': hashlib.sha256(b'{}').hexdigest()}
  (out / exporting.REPORT).write_text(json.dumps(report))
  assert [line.partition(';')[0] for line in exporting.verify(out)] == [
    f'{out / name}: is no file of this export'
  ]


def test_an_export_over_an_unfinished_one_of_the_same_source_goes_on(exported):
  given, out, _ = exported
  (out / exporting.REPORT).unlink()
  (out / 'tokenizer.json').unlink()
  sorted(out.glob('*.safetensors'))[0].rename(out / 'model-00001-of-00002.safetensors.part')
  assert exporting.export(given, out, notify=lambda line: None)['problems'] == []
  assert exporting.verify(out) == []


REPORTS = ['', '[]', '{}', '{"problems": [], "files": 1, "tensors": {}}', '{"problems": []}']
REPORTS += ['{"problems": [], "files": {"a": 1}, "tensors": {}}', '{"problems": [], "files": {"']


@pytest.mark.parametrize('contents', REPORTS)
def test_a_damaged_report_is_named(contents, exported):
  _, out, _ = exported
  (out / exporting.REPORT).write_text(contents)
  assert refusal(lambda: exporting.verify(out)).startswith(str(out / exporting.REPORT))


def test_the_source_is_not_overwritten(exported):
  given, _, _ = exported
  with pytest.raises(ValueError, match='is the source itself'):
    exporting.export(given, given)


def test_the_command_exports_verifies_and_fails_loudly(tmp_path):
  command = [sys.executable, '-m', 'r1jax.export']
  env = os.environ | {'XLA_FLAGS': ''}

  def run(*flags):
    return subprocess.run([*command, *flags], env=env, capture_output=True, text=True, check=False)

  out = tmp_path / 'out'
  done = run('--checkpoint=tiny', f'--output={out}')
  assert done.returncode == 0 and 'verified' in done.stdout, done.stderr
  weights = out / 'model.safetensors'
  contents = bytearray(weights.read_bytes())
  contents[len(contents) // 2] ^= 16
  weights.write_bytes(contents)
  bad = run(f'--verify={out}')
  assert bad.returncode == 1 and 'sha256' in bad.stderr
  lost = run('--checkpoint=/absent', f'--output={out}')
  assert lost.returncode == 1 and lost.stderr.startswith('error: /absent')


def test_what_can_be_exported_is_known_from_config_and_tokenizer_alone(tmp_path):
  families.write(tmp_path, 'deepseek_v3')
  families.write_tokenizer(tmp_path)
  cfg, tok = huggingface.read_config(tmp_path), tokenizer.load(tmp_path)
  assert exporting.possible(cfg, tok) == {'hub': '', 'gguf': ''}
  plain = exporting.possible(dataclasses.replace(cfg, q_latent=0), tok)
  assert plain['hub'] == '' and 'q_lora_rank' in plain['gguf']
  mixture = exporting.possible(dataclasses.replace(cfg, qkv_bias=True), tok)
  assert 'no hub family' in mixture['hub'] and 'no hub family' in mixture['gguf']
  contents = json.loads((tmp_path / 'tokenizer.json').read_text())
  contents['pre_tokenizer'] = {'type': 'Whitespace'}
  (tmp_path / 'tokenizer.json').write_text(json.dumps(contents))
  unknown = exporting.possible(cfg, tokenizer.load(tmp_path))
  assert unknown['hub'] == '' and 'Whitespace' in unknown['gguf']
  assert 'Whitespace' in refusal(lambda: gguf.export(tmp_path, tmp_path / 'gguf'))


def refusal(action):
  """What an action that is refused says."""
  with pytest.raises(ValueError) as error:
    action()
  return str(error.value)


def test_every_end_of_a_turn_is_handed_on(tmp_path, one_device):
  families.write(tmp_path, 'qwen2')
  families.write_tokenizer(tmp_path)
  (tmp_path / 'generation_config.json').write_text('{"eos_token_id": [4, 1], "top_k": 20}')
  exporting.export(tmp_path, tmp_path / 'out', notify=lambda line: None)
  assert json.loads((tmp_path / 'out' / 'config.json').read_text())['eos_token_id'] == [1, 4]
  settings = json.loads((tmp_path / 'out' / 'generation_config.json').read_text())
  assert settings['eos_token_id'] == [4, 1] and settings['top_k'] == 20
  assert tokenizer.stop_ids(tmp_path / 'out', tokenizer.load(tmp_path / 'out')) == {1, 4}


def test_a_failed_export_leaves_no_empty_folder(tmp_path, capsys):
  given, out = tmp_path / 'given', tmp_path / 'new' / 'out'
  given.mkdir()
  families.write(given, 'qwen2')
  families.write_tokenizer(given)
  held = safetensors.numpy.load_file(given / 'model.safetensors')
  # Half precision ends at 65,504, which is found when the file is written.
  held['model.layers.0.mlp.down_proj.weight'][:] = 1e6
  safetensors.numpy.save_file(held, given / 'model.safetensors')
  command = [f'--checkpoint={given}', f'--output={out}', '--format=gguf']
  assert export.main(command) == 1
  assert 'f32' in capsys.readouterr().err and not out.parent.exists()
  # What was there before stays, empty or not.
  out.mkdir(parents=True)
  assert export.main(command) == 1 and out.is_dir()
