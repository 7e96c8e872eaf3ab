"""Whatever a user gets wrong ends in one clear line and a failing status; nothing is touched."""

import re
import shutil
import subprocess

import pytest

from r1jax.interchange import checkpoints
from tests import small_runs

GOOD = '{"question": "1 + 1", "answer": "2"}\n'


def refused(folder, *flags, **overrides):
  """The one line that a command ends in; nothing was printed, nothing made."""
  done = subprocess.run(
    small_runs.command(folder, *flags, **overrides),
    cwd=small_runs.ROOT,
    env=small_runs.environment(),
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 1, done.stdout + done.stderr
  assert done.stderr.startswith('error: ') and done.stderr.count('\n') == 1, done.stderr
  assert 'Traceback' not in done.stderr
  assert done.stdout == ''
  return done.stderr


@pytest.mark.parametrize(
  'overrides, message',
  [
    ({'config': 'experiments/nowhere.py'}, "No such file or directory: 'experiments/nowhere.py'"),
    ({'config': 'experiments/r1_zero.py:huge'}, "no preset 'huge'; it has tiny, .*v3_671b"),
    ({'rl__promts': 8}, 'unknown key --config.rl.promts: did you mean --config.rl.prompts'),
    ({'rl__prompts': 'many'}, '^error: --config.rl.prompts=many'),
    ({'rl__mini_batches': 5}, r'8 prompts x 4 samples = 32 .* --config.rl.mini_batches=5'),
    ({'rl__capacity': 71}, 'max_prompt=48 .*max_new=24 do not fit --config.rl.capacity=71'),
    ({'mesh': '(1,3,1,1)'}, r'mesh=\(1, 3, 1, 1\) needs 3 devices, and \d (is|are) here'),
    ({'data__max_prompt': 20}, r'question \d+ .* has \d+ tokens .* --config.data.max_prompt=20'),
    ({'checkpoint': '/nowhere'}, '/nowhere: no config.json with'),
  ],
)
def test_a_wrong_setting_is_refused_with_the_numbers(tmp_path, overrides, message):
  assert re.search(message, refused(tmp_path / 'run', **overrides))
  assert not (tmp_path / 'run').exists()


def test_without_an_experiment_the_command_says_how_to_name_one(tmp_path):
  done = subprocess.run(
    small_runs.command(tmp_path)[:3],
    cwd=tmp_path,
    env=small_runs.environment(),
    capture_output=True,
    text=True,
  )
  assert (done.returncode, done.stderr.count('\n')) == (1, 1)
  assert '--config=experiments/r1_zero.py' in done.stderr


def test_a_work_directory_that_cannot_be_written_is_named(tmp_path):
  (tmp_path / 'file').write_text('mine')
  line = refused(tmp_path / 'file' / 'run')
  assert f'work directory {tmp_path}/file/run cannot be written' in line
  assert (tmp_path / 'file').read_text() == 'mine'


def test_the_work_directory_of_another_config_is_left_alone(reference):
  before = {p: p.stat().st_mtime_ns for p in reference.folder.rglob('*')}
  line = refused(reference.folder, optimizer__lr=0.5)
  assert 'config.optimizer.lr=0.0003, now it is 0.5' in line
  assert {p: p.stat().st_mtime_ns for p in reference.folder.rglob('*')} == before


@pytest.mark.parametrize(
  'content, message',
  [
    ('', 'no record in it'),
    (GOOD + '{"question": \n', 'line 2: not JSON'),
    (GOOD + '{"question": "1 + 2"}\n', "line 2: no field 'answer'"),
    (
      GOOD + '{"question": "%s", "answer": "3"}\n' % ('1 + 2 ' * 40),
      'question 2 .* --config.data.max_prompt=48',
    ),
  ],
)
def test_a_wrong_file_of_problems_is_named_with_its_line(tmp_path, content, message):
  path = tmp_path / 'train.jsonl'
  path.write_text(content)
  line = refused(tmp_path / 'run', data__name='jsonl', data__path=path)
  assert re.search(message, line)
  assert not (tmp_path / 'run').exists()


def test_a_model_without_a_tokenizer_is_refused(tmp_path):
  shutil.copytree(checkpoints.ASSETS / 'tiny_base', tmp_path / 'base')
  (tmp_path / 'base' / 'tokenizer.model').unlink()
  assert 'neither tokenizer.json nor' in refused(tmp_path / 'run', checkpoint=tmp_path / 'base')
  assert not (tmp_path / 'run').exists()
