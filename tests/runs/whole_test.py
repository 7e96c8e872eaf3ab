"""The whole pipeline, tiny: killed between and inside stages it ends in the same report."""

import json
import signal
import time

import pytest

from tests import small_runs

ROLLOUT = {'rl.updates': 4, 'rl.prompts': 8, 'sample.group': 4}
HELD = {'evaluation.questions': 8, 'evaluation.few': 8}
SAMPLES = {'samples.questions': 32, 'samples.batch': 16, 'samples.heldout': 64}
PAIRS = {'reward_model.updates': 4, 'reward_model.pairs': 8, 'reward_model.heldout': 8}
SECTIONS = {
  'general_data': {'general_data.size': 600},
  'r1_zero': ROLLOUT | HELD,
  'cold_start': SAMPLES,
  'dev1': {'sft.batch': 8} | HELD,
  'dev2': ROLLOUT | HELD,
  'rejection': SAMPLES,
  'dev3': {'sft.batch': 8} | HELD,
  'helpful': PAIRS,
  'harmless': PAIRS,
  'r1': ROLLOUT | HELD | {'general.preference_updates': 2, 'general.questions': 8},
  'report_card': HELD,
  'scenarios': {'general.questions': 8},
  'base_qwen': {'pretrain.updates': 4} | HELD,
  'base_llama': {'pretrain.updates': 4} | HELD,
  'distill_qwen': {'sft.epochs': 1.0} | HELD,
  'distill_llama': {'sft.epochs': 1.0} | HELD,
  'rl_qwen': ROLLOUT | HELD,
  'matched_qwen': HELD,
}
FILES = ('report.json', 'report.html', 'report.png')


def start(folder, **changes):
  """Starts the pipeline in `folder`; `changes` as in `small_runs.command`."""
  settings = {f'{s}.{k}': v for s, part in SECTIONS.items() for k, v in part.items()}
  settings |= {'loop.checkpoint_every': 1, 'workdir': folder}
  settings |= {name.replace('__', '.'): value for name, value in changes.items()}
  flags = [f'--config.{name}={value}' for name, value in settings.items()]
  command = [small_runs.sys.executable, '-m', 'r1jax.main', '--config=experiments/r1.py', *flags]
  pipe = small_runs.subprocess.PIPE
  where = {'cwd': small_runs.ROOT, 'env': small_runs.environment(), 'text': True}
  return small_runs.subprocess.Popen(command, stdout=pipe, stderr=pipe, **where)


def finish(folder, **changes):
  """Standard output of a pipeline that ends well."""
  process = start(folder, **changes)
  stdout, stderr = process.communicate(timeout=900)
  assert process.returncode == 0, stderr[-3000:]
  return stdout


def kill_when(folder, condition, seconds):
  """Kills the pipeline `seconds` after the condition holds."""
  process = start(folder)
  while not condition():
    assert process.poll() is None, process.communicate()
    time.sleep(0.01)
  time.sleep(seconds)
  process.send_signal(signal.SIGKILL)
  process.communicate()


@pytest.mark.slow
def test_killed_between_and_inside_stages_the_pipeline_ends_in_the_same_report(tmp_path):
  whole, cut = tmp_path / 'whole', tmp_path / 'cut'
  finish(whole)
  checkpoints = lambda name: len(list((cut / name / 'checkpoints').glob('step_*')))
  kill_when(cut, lambda: checkpoints('r1_zero') >= 2, 0.05)
  kill_when(cut, lambda: (cut / 'cold_start' / 'samples').exists(), 0)
  kill_when(cut, lambda: checkpoints('dev2') >= 2, 0.1)
  kill_when(cut, lambda: (cut / 'report_card_dev3' / 'stage.json').exists(), 0)
  kill_when(cut, lambda: checkpoints('helpful') >= 2, 0)
  kill_when(cut, lambda: checkpoints('r1') >= 3, 0.1)
  kill_when(cut, lambda: checkpoints('matched_qwen') >= 1, 0.05)
  finish(cut)
  for name in FILES:
    assert (whole / 'report' / name).read_bytes() == (cut / 'report' / name).read_bytes()
  rows = json.loads((cut / 'manifest.json').read_text())['stages']
  assert {row['status'] for row in rows.values()} == {'given', 'done'}
  again = finish(whole)
  assert 'begins' not in again and 'report: done' in again
  changed = finish(whole, dev3__sft__epochs=2.0)
  said = [line.rpartition('| ')[2] for line in changed.splitlines()]
  begun = {line.split(':')[0] for line in said if line.endswith(': begins')}
  assert not begun & {'r1_zero', 'dev2', 'rejection', 'report_card_dev2', 'distill_qwen'}
  assert {'dev3', 'report_card_dev3', 'helpful', 'r1', 'scenarios_base', 'report'} <= begun
