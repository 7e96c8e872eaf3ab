"""A run is read as it stands: finished, stopped, running, of an older version, damaged."""

import json
import socket
import subprocess
import sys

import pytest

from r1jax import doctor
from r1jax.runs.show import questions, reading
from tests import small_runs
from tests.runs.show import folders

AFTER = {'pass@1': 0.9, 'ci95': [0.85, 0.93]}


def test_a_finished_run_knows_its_state_and_its_held_out_points(tmp_path):
  figures = folders.rows()
  figures[24] |= {'eval/pass_at_1': 0.4, 'eval/pass_at_1_low': 0.35, 'eval/pass_at_1_high': 0.45}
  figures[99] |= {'eval/pass_at_1': 0.8}
  base = {'pass@1': 0.2, 'ci95': [0.15, 0.25]}
  folder = folders.write(tmp_path / 'run', figures, summary={'after': AFTER}, base=base)
  run = reading.read(folder)
  assert (run.state, run.step, run.total, run.name) == ('finished', 100, 100, 'run')
  assert reading.heldout(run) == [
    {'step': 0, 'mean': 0.2, 'low': 0.15, 'high': 0.25},
    {'step': 25, 'mean': 0.4, 'low': 0.35, 'high': 0.45},
    {'step': 100, 'mean': 0.9, 'low': 0.85, 'high': 0.93},
  ]


def test_a_supervised_run_has_the_point_of_its_end(tmp_path):
  figures = [{'step': step, 'loss/total': 1 / step} for step in (1, 2, 3)]
  run = reading.read(folders.write(tmp_path / 'run', figures, {}, AFTER, stage='sft'))
  assert (run.state, run.total) == ('finished', 0)
  assert reading.heldout(run) == [{'step': 3, 'mean': 0.9, 'low': 0.85, 'high': 0.93}]


def test_a_run_that_is_held_is_running_and_one_that_was_left_has_stopped(tmp_path):
  folder = folders.write(tmp_path / 'run', folders.rows(40))
  assert reading.read(folder).state == 'stopped'
  (folder / 'run.lock').write_text(json.dumps({'host': 'elsewhere', 'pid': 1}))
  assert reading.read(folder).state == 'running'


@pytest.mark.parametrize(
  'text',
  [
    '',
    '[1]',
    'null',
    *(json.dumps({'host': socket.gethostname(), 'pid': pid}) for pid in (0, -1, True, 'x', 10**20)),
  ],
)
def test_a_lock_that_names_nobody_holds_nothing(tmp_path, text):
  folder = folders.write(tmp_path / 'run', folders.rows(40))
  (folder / 'run.lock').write_text(text)
  assert reading.read(folder).state == 'stopped'


def test_a_run_that_was_killed_here_has_stopped_at_once(tmp_path):
  folder = folders.write(tmp_path / 'run', folders.rows(40))
  child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)
  holder = {'host': socket.gethostname(), 'pid': child.pid}
  (folder / 'run.lock').write_text(json.dumps(holder))
  assert reading.read(folder).state == 'running'
  child.kill()
  child.communicate()
  assert reading.read(folder).state == 'stopped'


def test_a_row_that_is_being_written_is_not_read(tmp_path):
  folder = folders.write(tmp_path / 'run', folders.rows(5))
  with (folder / 'metrics.jsonl').open('a') as file:
    file.write('{"step": 6, "reward/to')
  assert reading.read(folder).step == 5


def test_a_folder_that_holds_no_run_names_those_below_it(tmp_path):
  folders.write(tmp_path / 'runs' / 'one')
  with pytest.raises(ValueError, match=r'no config.json; there are .*runs/one'):
    reading.read(tmp_path / 'runs')


def test_a_model_is_not_named_as_a_run(tmp_path):
  folder = folders.write(tmp_path / 'model')
  (folder / 'model.safetensors').touch()
  with pytest.raises(ValueError, match=r'no config.json$'):
    reading.read(tmp_path)


@pytest.mark.parametrize(
  'keys, ends',
  [
    ({}, (0.0, 2.0)),
    ({'reward__language': 0.5, 'reward__repetition': 0.25}, (0.0, 2.75)),
    ({'reward__function': 'mine.py:score*0.5'}, None),
    ({'grpo__overlong_buffer': 16}, (-1.0, 2.0)),
    # A reply is judged by a rule or by one of the models, never by two of them.
    ({'general': {'helpful': 'dir', 'helpful_weight': 0.5, 'harmless_weight': 9.0}}, (0.0, 2.0)),
    ({'general': {'harmless': 'dir', 'harmless_weight': 3.0}}, (0.0, 4.0)),
    ({'reward': {}}, None),
  ],
)
def test_what_a_reply_can_earn_is_known_where_the_config_bounds_it(tmp_path, keys, ends):
  assert reading.read(folders.write(tmp_path / 'run', **keys)).reward_ends == ends


def test_the_end_of_a_run_that_lost_its_figures_is_not_called_its_base(tmp_path):
  summary = {'after': AFTER, 'updates': 100}
  for rows in (folders.rows(99), []):
    run = reading.read(folders.write(tmp_path / 'run', rows, summary=summary))
    assert reading.heldout(run) == [{'step': 100, 'mean': 0.9, 'low': 0.85, 'high': 0.93}]


def test_damage_is_named(tmp_path):
  folder = folders.write(tmp_path / 'run')
  (folder / 'samples' / 'step_000098.jsonl').write_text('no JSON\n')
  with pytest.raises(ValueError, match=r'step_000098\.jsonl:1: damaged'):
    reading.read(folder).latest('step').rows()


@pytest.mark.parametrize(
  'config, told',
  [
    ('{}', 'no stage'),
    ('{"model_type": "llama"}', 'of a model'),
    ('{"stage": 5}', 'no stage'),
    ('{"stage": "reasoning_rl", "rl": []}', ''),
    ('{"stage": "reasoning_rl", "rl": [1]}', 'rl=.* is no section'),
    ('{"stage": "reasoning_rl", "reward": "x"}', "reward='x' is no section"),
  ],
)
def test_a_config_that_is_none_of_a_run_is_refused(config, told, tmp_path):
  (tmp_path / 'config.json').write_text(config)
  if not told:
    assert reading.read(tmp_path).state == 'not begun'
    return
  with pytest.raises(ValueError, match=told):
    reading.read(tmp_path)


def test_figures_that_are_no_numbers_are_gaps_or_named(tmp_path):
  folder = folders.write(tmp_path / 'run', folders.rows(3))
  metrics = folder / 'metrics.jsonl'
  metrics.write_text('{"step": 1, "grpo/kl": NaN, "grpo/loss": Infinity, "reward/total": 1.5}\n')
  (row,) = reading.read(folder).rows
  assert row == {'step': 1, 'grpo/kl': None, 'grpo/loss': None, 'reward/total': 1.5}
  metrics.write_text('{"step": 1, "grpo/kl": "x"}\n')
  with pytest.raises(ValueError, match=r"metrics\.jsonl:1: damaged \('grpo/kl' is 'x'"):
    reading.read(folder)


def test_the_doctor_calls_no_run_healthy_whose_figures_are_gone(tmp_path, capsys):
  folder = folders.write(tmp_path / 'run', folders.rows(9), summary={'after': AFTER})
  assert doctor.main([str(folder)]) == 0
  (folder / 'metrics.jsonl').write_bytes(b'\x00\x01')
  capsys.readouterr()
  assert doctor.main([str(folder)]) == 0
  assert 'figures are gone: metrics.jsonl has no row' in ' '.join(capsys.readouterr().out.split())


def test_a_row_of_an_older_version_is_read_too(tmp_path):
  row = {
    'prompt': 'User: 1 + 1', 'completion': '2', 'tokens': [4, 5], 'sampler_logp': [0.0, 0.0],
    'rewards': {'accuracy': {'score': 0.5, 'kind': 'wrong', 'why': 'half'}}, 'advantage': 0.1,
  }  # fmt: skip
  run = reading.read(folders.write(tmp_path / 'run', kept={'step_000000': [row]}))
  (found,) = run.latest('step').rows()
  assert found['question'] == 'User: 1 + 1' and found['length'] == 2 and found['reward'] is None
  assert run.latest('step').tokens() is None and reading.why(found) == 'accuracy: half'


@pytest.mark.parametrize('words', [['show'], ['show', '--html'], ['doctor'], ['show', '--help']])
def test_no_command_that_reads_a_run_loads_jax(tmp_path, words):
  folder = str(folders.write(tmp_path / 'run'))
  program = (
    'import sys\nfrom r1jax.cli import commands\n'
    f'try:\n  commands.main([{words[0]!r}, {folder!r}, *{words[1:]!r}])\n'
    'except SystemExit:\n  pass\nprint("jax" in sys.modules)'
  )
  done = subprocess.run(
    [sys.executable, '-c', program], cwd=small_runs.ROOT, capture_output=True, text=True
  )
  assert done.stdout.splitlines()[-1] == 'False', done.stderr


def test_the_worst_question_is_first_with_what_was_said_of_it():
  rows = folders.samples((folders.PAID, folders.WRONG))
  rows[1]['rewards']['accuracy'] = rows[0]['rewards']['accuracy']
  failed = {'accuracy': {'score': 0.0, 'kind': 'verifier_error', 'why': 'died'}}
  rows.append(rows[0] | {'question': 'never judged', 'rewards': failed})
  found = questions.worst(rows)
  assert len(found) == 8 and found[-1].text == 'What is 7 - 3 (0)'
  assert (found[-1].right, found[-1].asked) == (3, 4)
  assert (found[0].right, found[0].commonest, found[0].times) == (2, '5', 2)
