"""One small run from the shipped base to the closing table leaves everything that is promised."""

import json
import shutil

import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from r1jax.data import template, tokenizer
from r1jax.interchange import checkpoints
from r1jax.runs import opening, workdir
from r1jax.stages import sample_files
from r1jax.train import phases
from tests import small_runs


def test_every_promised_file_is_there(reference):
  names = {path.name for path in reference.folder.iterdir()}
  assert names == {
    'base.json',
    'checkpoints',
    'config.json',
    'data.json',
    'metrics.jsonl',
    'model',
    'report.html',
    'report.png',
    'samples',
    'summary.json',
    'tensorboard',
    'versions.json',
  }
  assert (reference.folder / 'report.png').read_bytes().startswith(b'\x89PNG')
  assert checkpoints.open(reference.folder) == reference.folder / 'model'
  assert json.loads((reference.folder / 'config.json').read_text())['rl']['prompts'] == 8
  assert {'r1jax', 'commit', 'jax'} <= set(
    json.loads((reference.folder / 'versions.json').read_text())
  )


def test_the_summary_has_exactly_the_promised_keys(reference):
  summary = reference.summary
  assert set(summary) == {
    'before',
    'after',
    'change',
    'examples',
    'updates',
    'asked',
    'seconds',
    'peak_rss_gib',
    'seed',
    'final_params_sha256',
    'length_accuracy_rank_correlation',
  }
  for name in ('before', 'after'):
    assert set(summary[name]) == {
      'pass@1',
      'ci95',
      'format_rate',
      'mean_length',
      'content',
      'questions',
      'samples',
    }
    low, high = summary[name]['ci95']
    assert 0 <= low <= summary[name]['pass@1'] <= high <= 1
    assert summary[name]['questions'] == 8
    assert summary[name]['content']['mean'] >= summary[name]['pass@1']
  assert set(summary['change']) == {'pass@1', 'content'}
  spent = summary['seconds']
  assert set(spent) == {*phases.PHASES, phases.WHOLE}
  assert spent[phases.WHOLE] == pytest.approx(sum(spent[name] for name in phases.PHASES), abs=0.02)
  assert spent[phases.WHOLE] >= reference.rows[-1]['speed/wall_seconds']
  assert spent[phases.AGAIN] == 0 and spent[phases.ROLLOUTS] > 0 and spent[phases.UPDATES] > 0


def test_a_run_that_has_ended_says_so_and_examines_nothing(reference, tmp_path):
  folder = tmp_path / 'run'
  shutil.copytree(reference.folder, folder)
  files = {path: path.stat().st_mtime_ns for path in sorted(folder.rglob('*'))}
  # Weights that cannot be read would stop it, were they read.
  (folder / 'model' / 'model.safetensors').write_bytes(b'')
  files[folder / 'model' / 'model.safetensors'] = None
  again = small_runs.finish(folder)
  assert 'has ended: 4 updates; nothing is examined again' in again.stdout.splitlines()[0]
  assert 'Before and after' in again.stdout
  assert 'loading the weights' not in again.stdout and 'examining what' not in again.stdout
  for path, changed in files.items():
    assert changed is None or path.stat().st_mtime_ns == changed, path
  # A longer one is another matter, and so is one whose model is gone.
  assert workdir.ended(folder, _config(folder)) is not None
  assert workdir.ended(folder, _config(folder, updates=5)) is None
  shutil.rmtree(folder / 'model')
  assert workdir.ended(folder, _config(folder)) is None


def _config(folder, updates=None):
  config = opening.read_config(folder)
  if updates:
    config.rl.updates = updates
  return config


def test_every_update_has_a_row_and_every_rollout_its_figures(reference):
  assert [row['step'] for row in reference.rows] == [1, 2, 3, 4]
  rollout = {'reward/total', 'reward/accuracy', 'reward/format', 'rollout/length'}
  each = {'grpo/kl', 'grpo/entropy', 'grpo/clip_fraction', 'parity/logp_max', 'parity/logp_mean'}
  for number, row in enumerate(reference.rows):
    assert each <= set(row)
    assert (rollout | {'speed/rollout_tokens_per_s'} <= set(row)) == (number % 2 == 0)
    assert ('speed/train_tokens_per_s' in row) == (number % 2 == 1)
  assert all(value is not None for row in reference.rows for value in row.values())


def test_sampler_and_trainer_agree_on_every_token(reference):
  assert max(row['parity/logp_max'] for row in reference.rows) <= 1e-4


def test_nothing_is_compiled_after_the_first_rollouts_updates(reference):
  assert [row['rollout/cap'] for row in reference.rows[::2]] == [16, 24]  # the cap has changed
  assert len({row['compile/programs'] for row in reference.rows[1:]}) == 1


def test_tensorboard_holds_the_same_scalars(reference):
  (file,) = (reference.folder / 'tensorboard').glob('events*')
  found = {}
  for event in _events(file.read_bytes()):
    for value in event.summary.value:
      found[event.step, value.tag] = value.simple_value
  wanted = {
    (row['step'], name): value
    for row in reference.rows
    for name, value in row.items()
    if name != 'step'
  }
  assert found.keys() == wanted.keys()
  np.testing.assert_allclose([found[k] for k in wanted], list(wanted.values()), rtol=1e-6)


def _events(data):
  """The records of an event file: 8 bytes of length, 4 of check, the event, 4 of check."""
  while data:
    length = int.from_bytes(data[:8], 'little')
    yield event_pb2.Event.FromString(data[12 : 12 + length])
    data = data[16 + length :]


def test_samples_tell_everything_about_every_completion(reference):
  files = sorted((reference.folder / 'samples').iterdir())
  assert [file.name for file in files] == [
    f'{name}_{step:06d}.{ending}'
    for name, step in (('heldout', 0), ('heldout', 4), ('step', 0), ('step', 2))
    for ending in ('jsonl', 'npz')
  ]
  files = [file for file in files if file.match('step_*.jsonl')]
  tok = tokenizer.load(reference.folder / 'model')
  for file, cap, row in zip(files, (16, 24), reference.rows[::2]):
    samples = [json.loads(line) for line in file.open()]
    tokens = sample_files.Tokens(file)
    assert len(samples) == len(tokens) == 32
    for number, sample in enumerate(samples):
      one = tokens.of(sample['index'])
      assert sample['index'] == number and sample['group'] * 4 + sample['sample'] == number
      assert 1 <= len(one['token']) == sample['length'] <= cap
      assert tok.decode(one['token']) == sample['completion']
      assert sample['question'] in sample['prompt']
      assert template.render('').split('\n')[0][:40] in sample['prompt']
      assert len(one['sampler_logp']) == len(one['trainer_logp']) == len(one['token'])
      np.testing.assert_allclose(one['sampler_logp'], one['trainer_logp'], atol=1e-4)
      gap = np.abs(one['sampler_logp'] - one['trainer_logp'])
      np.testing.assert_allclose(sample['logp_gap_max'], gap.max(), rtol=1e-6)
      assert set(sample['rewards']) == {'accuracy', 'format'}
      assert all(set(part) == {'score', 'kind', 'why'} for part in sample['rewards'].values())
    accuracy = np.mean([s['rewards']['accuracy']['score'] for s in samples])
    np.testing.assert_allclose(accuracy, row['reward/accuracy'])
    advantage_PG = np.array([s['advantage'] for s in samples]).reshape(8, 4)
    np.testing.assert_allclose(advantage_PG.sum(1), 0, atol=1e-5)
    prompts = [s['prompt'] for s in samples]
    assert all(len(set(prompts[p * 4 : p * 4 + 4])) == 1 for p in range(8))


def test_the_run_prints_its_plan_its_course_and_its_result(reference):
  out = reference.stdout
  for text in ('8 prompts x 4 samples = 32 sequences', '2 mini-batches of 16 sequences', 'memory'):
    assert text in out.split('GRPO 1/4')[0]
  for text in ('GRPO 4/4', 'Before and after', 'pass@1', 'before:', 'after:', 'Files in', 'Next:'):
    assert text in out
  assert reference.stderr == ''


def test_the_saved_model_is_the_trained_one_and_a_run_can_start_from_it(reference, tmp_path):
  again = small_runs.finish(tmp_path, checkpoint=reference.folder, rl__updates=1)
  np.testing.assert_allclose(
    again.summary['before']['mean_length'], reference.summary['after']['mean_length']
  )
  assert again.sha256 != reference.sha256


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(reference, tmp_path):
  again = small_runs.finish(tmp_path / 'same')
  assert again.sha256 == reference.sha256
  assert again.figures == reference.figures
  other = small_runs.finish(tmp_path / 'other', seed=1, rl__updates=2)
  assert other.figures[0] != reference.figures[0]
