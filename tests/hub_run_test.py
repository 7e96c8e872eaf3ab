"""A model from the hub on GSM8K as published: trained, killed, resumed, exported, asked."""

import signal
import subprocess
import sys
import time

import pytest

from r1jax.data import chat_template
from r1jax.interchange import exporting
from tests import shared_data, small_runs
from tests.interchange import random_qwen2

# The `hub` preset cut to what two CPU cores sample in seconds; the machine chooses as in a user's.
HUB = {
  'config': 'experiments/r1_zero.py:hub',
  'data__max_prompt': 448,
  'rl__prompts': 2,
  'sample__group': 2,
  'rl__mini_batches': 1,
  'rl__updates': 3,
  'rl__rows': 'auto',
  'rl__capacity': 'auto',
  'evaluation__questions': 2,
  'evaluation__few': 2,
  'evaluation__samples': 1,
}


def _command(module, *flags):
  """Standard output of a command, which must end well."""
  command = [sys.executable, '-m', f'r1jax.{module}', *flags]
  done = subprocess.run(
    command,
    cwd=small_runs.ROOT,
    env=small_runs.environment(),
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr[-3000:]
  return done.stdout


@pytest.mark.slow
def test_a_hub_model_is_trained_on_gsm8k_across_a_kill_then_exported_and_asked(tmp_path):
  random_qwen2.write(tmp_path / 'base')
  paths = {
    'checkpoint': tmp_path / 'base',
    'data__path': shared_data.path('gsm8k/train.jsonl'),
    'data__heldout_path': shared_data.path('gsm8k/test.jsonl'),
  }
  folder = tmp_path / 'run'
  process = small_runs.start(folder, **HUB, **paths)
  while len(small_runs.checkpoints(folder)) < 2:  # the first is of the start
    assert process.poll() is None, process.communicate()
    time.sleep(0.01)
  process.send_signal(signal.SIGKILL)
  process.communicate()
  assert process.returncode == -signal.SIGKILL

  run = small_runs.finish(folder, **HUB, **paths)
  assert f'resumed from {folder}/checkpoints at update ' in ' '.join(run.stdout.split('\n'))
  assert [row['step'] for row in run.rows] == [1, 2, 3]
  assert run.summary['after']['questions'] == 2

  # What came out speaks the prompt that it was trained on, not the template it came with.
  spoken = (folder / 'model' / 'chat_template.jinja').read_text()
  assert spoken == chat_template.ZeroTemplate.source

  out = _command('export', f'--checkpoint={folder}', f'--output={tmp_path}/out')
  assert out.endswith(f'{tmp_path}/out: verified\n')
  assert exporting.verify(tmp_path / 'out') == []
  ask = ('--prompt=What is 2 + 3?', '--max_tokens=8', '--seed=0')
  assert _command('chat', f'--checkpoint={tmp_path}/out', *ask).strip()
