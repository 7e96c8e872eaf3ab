"""Handing a model on: what is written is read back, and one changed byte is found."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import jax
import pytest

from r1jax import sharding
from r1jax.interchange import exporting, huggingface, tensors
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
