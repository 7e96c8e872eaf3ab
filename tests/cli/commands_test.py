"""The commands: help without JAX, experiments by name or path, keys as users write them."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from r1jax import config as config_lib
from r1jax.cli import commands, flags, other_names, overrides, settings
from tests import small_runs

LIGHT = ('train', 'chat', 'plan', 'config')  # the others' help reads its choices from modules


def python(program, *arguments, **options):
  """A finished Python process; `program` is its text."""
  command = [sys.executable, '-c', program, *arguments]
  settings = {'capture_output': True, 'text': True, 'cwd': small_runs.ROOT, 'check': False}
  return subprocess.run(command, **settings | {'env': small_runs.environment()} | options)


def given(*argv):
  """The config of --config and its overrides."""
  return overrides.load(flags.Parser('train', '', '', config=True).parse(list(argv)))


def refusal(*argv):
  """What `given` says; one line."""
  with pytest.raises(ValueError) as caught:
    given(*argv)
  assert '\n' not in str(caught.value)
  return str(caught.value)


def test_without_arguments_the_commands_are_listed(capsys):
  assert commands.main([]) == 0
  out = capsys.readouterr().out
  assert all(f'  {name}' in out and row.sentence in out for name, row in commands.COMMANDS.items())


def test_an_unknown_command_is_answered_with_the_nearest(capsys):
  assert commands.main(['trian']) == 1
  assert capsys.readouterr().err == 'error: unknown command trian: did you mean train?\n'
  assert commands.main(['zzz']) == 1
  assert 'there are train, fetch' in capsys.readouterr().err


@pytest.mark.parametrize('name', commands.COMMANDS)
def test_every_command_has_help_with_examples(name, capsys):
  with pytest.raises(SystemExit) as left:
    commands.main([name, '--help'])
  assert left.value.code == 0
  out = capsys.readouterr().out
  assert out.startswith(f'usage: r1jax {name}') and f'\n  r1jax {name} ' in out


@pytest.mark.parametrize('name', LIGHT)
def test_help_and_mistyped_flags_do_not_wait_for_jax(name):
  program = (
    'import sys\n'
    'from r1jax.cli import commands\n'
    'name = sys.argv[1]\n'
    "assert commands.main([name, '--nonsense=1']) == 1\n"
    'try:\n'
    "  commands.main([name, '--help'])\n"
    'except SystemExit:\n'
    "  print('jax' in sys.modules, file=sys.stderr)\n"
  )
  done = python(program, name)
  assert done.stderr.splitlines()[-1] == 'False', done.stderr
  assert 'error: unknown flag --nonsense' in done.stderr


def test_help_shows_every_experiment_with_its_presets(capsys):
  with pytest.raises(SystemExit):
    commands.main(['train', '--help'])
  out = capsys.readouterr().out
  for one in flags.shipped():
    assert f'\n  {one.name}\n' in out and one.sentence.split()[0] in out
  assert '`v3_671b`: the' in out


@pytest.mark.parametrize('one', [one.name for one in flags.shipped()])
def test_an_experiment_is_found_by_its_name_from_any_folder(one, monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  by_name = overrides.experiment(one)
  by_path = overrides.experiment(str(small_runs.ROOT / 'experiments' / f'{one}.py'))
  assert by_name.to_json_best_effort() == by_path.to_json_best_effort()
  assert by_name.is_locked


def test_a_preset_stands_behind_a_colon():
  for place in ('r1_zero', 'experiments/r1_zero.py'):
    assert given(f'--config={place}:hub').data.name == 'jsonl'
  assert "no preset 'huge'; it has tiny" in refusal('--config=r1_zero:huge')


@pytest.mark.parametrize(
  'text',
  [
    '--config=r1_zero --config.data.limit=9',
    "--config=r1_zero --config.data.kinds=(('one_digit',1.0),)",
    '--config=r1_zero --config.data.levels=(1,2) --config.data.name=arithmetic',
    '--config=r1_zero:hub --config.data.languages=(("en",1.0),)',
    '--config=rl_vs_distill --config.data.split=test',
  ],
)
def test_an_option_of_data_that_the_source_does_not_read_is_refused(text):
  line = refusal(*text.split())
  assert 'is read where config.data.name is ' in line and '\n' not in line


def test_the_options_of_the_preset_do_not_stand_in_the_way_of_another_source():
  config = given('--config=r1_zero', '--config.data.name=jsonl', '--config.data.limit=9')
  assert config.data.limit == 9 and config.data.levels == (1, 3)


def test_a_missing_experiment_lists_those_there_are():
  assert 'did you mean r1_zero? There are distill_llama, ' in refusal('--config=r1_zer')
  line = refusal('--config=somewhere/r1_zero.py')
  assert "No such file or directory: 'somewhere/r1_zero.py'" in line and '--config=r1_zero ' in line


@pytest.mark.parametrize(
  'text, why',
  [
    ('def get_config(preset=1:\n', 'line 1'),
    ('import nowhere_to_be_found\n', 'ModuleNotFoundError'),
    ('x = 1\n', 'no get_config'),
    ('def get_config():\n  return {}\n', 'dict, not a ConfigDict'),
    ('def get_config():\n  return 1 / 0\n', 'line 2.*ZeroDivisionError'),
  ],
)
def test_a_file_that_is_no_experiment_is_told_in_a_line(tmp_path, text, why):
  path = tmp_path / 'mine.py'
  path.write_text(text)
  with pytest.raises(ValueError, match=why) as caught:
    overrides.experiment(str(path))
  assert 'mine.py' in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize(
  'key, text, value',
  [
    ('rl.updates', '7', 7),
    ('optimizer.lr', '1', 1.0),
    ('rl.dynamic_sampling', None, True),
    ('rl.dynamic_sampling', 'False', False),
    ('checkpoint', 'True', 'True'),
    ('rl.length_schedule', '((0, 5), (9, 7))', ((0, 5), (9, 7))),
    ('rl.length_schedule', '[[0, 5]]', ((0, 5),)),
    ('mesh', '1,2,1,1', (1, 2, 1, 1)),
    ('grpo.log_ratio_limit', 'None', None),
    ('grpo.tis_cap', '2', 2.0),
    ('evaluation.top_p', '1e-1', 0.1),
  ],
)
def test_a_value_is_read_as_its_key_says(key, text, value):
  words = [f'--config.{key}'] if text is None else [f'--config.{key}={text}']
  found = given('--config=r1_zero', *words)
  for name in key.split('.'):
    found = found[name]
  assert found == value and type(found) is type(value)


def test_what_is_given_twice_is_the_second_one():
  twice = ['--config.rl.length_schedule=((0,5),)', '--config.rl.length_schedule=((0,7),)']
  assert given('--config=r1_zero', *twice).rl.length_schedule == ((0, 7),)
  spaced = ['--config.rl.updates', '3', '--noconfig.rl.dynamic_sampling']
  assert given('--config=r1_zero', *spaced).rl.updates == 3


def test_a_mistyped_key_is_answered_with_the_nearest():
  assert refusal('--config=r1_zero', '--config.rl.promts=8') == (
    'unknown config key rl.promts: did you mean config.rl.prompts?'
  )
  assert 'did you mean config.rl.updates?' in refusal('--config=r1_zero', '--config.updates=8')
  assert 'config.loop.keep' in refusal('--config=r1_zero', '--config.train.keep=8')
  assert 'reasoning_rl has no such key' in refusal('--config=r1_zero', '--config.pretrain.micro=8')
  assert 'is a section; set one of its keys: ' in refusal('--config=r1_zero', '--config.rl=8')
  assert 'r1jax config NAME lists' in refusal('--config=r1_zero', '--config.zzzz.qqqq=8')


@pytest.mark.parametrize(
  'theirs, ours',
  [
    ('num_generations', 'sample.group'),
    ('grpo.loss_type', 'grpo.aggregation'),
    ('actor_rollout_ref.rollout.n', 'sample.group'),
    ('optimizer.learning_rate', 'optimizer.lr'),
    ('model_name_or_path', 'checkpoint'),
  ],
)
def test_a_name_of_another_project_is_answered_with_ours(theirs, ours):
  line = refusal('--config=r1_zero', f'--config.{theirs}=8')
  assert line == f'unknown config key {theirs}: did you mean config.{ours}?'


def test_every_name_of_another_project_stands_for_a_key_that_there_is():
  assert set(other_names.OURS.values()) <= {key.name for key in settings.defaults()}


def test_a_key_without_config_before_it_is_told_how_it_is_written():
  line = refusal('--config=r1_zero', '--rl.updates=5')
  assert line == 'unknown flag --rl.updates: did you mean --config.rl.updates=5?'


def test_a_value_of_the_wrong_kind_is_named_with_its_key():
  assert refusal('--config=r1_zero', '--config.rl.prompts=many').startswith(
    'config.rl.prompts=many is not a whole number'
  )
  assert 'config.mesh=(1, is not a tuple' in refusal('--config=r1_zero', '--config.mesh=(1,')
  assert 'config.rl.dynamic_sampling=2 is not true or false' in refusal(
    '--config=r1_zero', '--config.rl.dynamic_sampling=2'
  )


def test_every_key_of_every_experiment_says_what_it_means():
  silent = set()
  for one in flags.shipped():
    silent |= {key.name for key in settings.of(overrides.experiment(one.name)) if not key.sentence}
  silent |= {key.name for key in settings.defaults() if not key.sentence}
  assert not silent, sorted(silent)


def test_the_keys_listed_are_those_of_the_config_with_their_values(capsys):
  assert commands.main(['config', 'r1_zero:hub', '--filter', 'rl', '--config.rl.updates=5']) == 0
  out = capsys.readouterr().out
  names = [line.split(' = ')[0] for line in out.splitlines() if not line.startswith(' ')]
  assert names == [
    f'rl.{name}' for name in config_lib.ranges.hints(config_lib.reasoning_rl.RlConfig)
  ]
  assert 'rl.updates = 5  (' in out and 'default 10400)' in out
  assert commands.main(['config', 'r1_zero', '--filter=nothing_like_it']) == 1
  assert 'none of ' in capsys.readouterr().err


def test_ctrl_c_while_modules_are_imported_ends_in_one_line():
  program = (
    'import sys, time\n'
    'from r1jax.cli import commands\n'
    'with commands.quiet():\n'
    "  print('importing', flush=True)\n"
    '  time.sleep(60)\n'
  )
  command = [sys.executable, '-c', program]
  process = subprocess.Popen(
    command, cwd=small_runs.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
  )
  assert process.stdout.readline() == 'importing\n'
  process.send_signal(signal.SIGINT)
  _, said = process.communicate(timeout=60)
  assert process.returncode == commands.STOPPED and said == 'stopped before anything was done\n'


def test_ctrl_c_within_a_callback_of_the_collector_is_not_lost():
  program = (
    'import gc, signal, sys, time\n'
    'from r1jax.cli import commands\n'
    'with commands.quiet():\n'
    '  pass\n'
    'def callback(phase, info):\n'
    '  gc.callbacks.remove(callback)\n'
    '  signal.raise_signal(signal.SIGINT)\n'
    'gc.callbacks.append(callback)\n'
    'def work():\n'
    '  gc.collect()\n'
    '  time.sleep(30)\n'
    "sys.exit(commands.ended(work, stopped='stopped'))\n"
  )
  done = python(program, timeout=300)
  assert (done.returncode, done.stderr) == (commands.STOPPED, 'stopped\n')


@pytest.mark.heavy
@pytest.mark.skipif(not pathlib.Path('/proc/self/maps').exists(), reason='needs /proc')
@pytest.mark.parametrize('seconds', [0, 0.1, 0.3, 0.7, 1.2, 2.0])
def test_ctrl_c_at_any_moment_of_the_start_leaves_no_traceback(tmp_path, seconds):
  process = subprocess.Popen(
    small_runs.command(tmp_path / 'run'),
    cwd=small_runs.ROOT,
    env=small_runs.environment(),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  loaded = pathlib.Path(f'/proc/{process.pid}/maps')
  while 'jaxlib' not in loaded.read_text():  # the long imports have not begun
    assert process.poll() is None, process.communicate()
    time.sleep(0.01)
  time.sleep(seconds)
  process.send_signal(signal.SIGINT)
  out, err = process.communicate(timeout=300)
  assert process.returncode == commands.STOPPED, (out, err)
  # On a fast machine the plan has been printed by then, and the line that says it stopped.
  assert 'Traceback' not in out + err and len(err.splitlines()) <= 1, out + err


def test_the_handler_of_others_is_left_alone():
  ours = signal.getsignal(signal.SIGINT)
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  try:
    with commands.quiet():
      assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
  finally:
    signal.signal(signal.SIGINT, ours)
  with commands.quiet():
    pass
  assert signal.getsignal(signal.SIGINT) is ours


def test_a_module_runs_as_the_command_does():
  command = [sys.executable, '-m', 'r1jax', 'config', 'r1_zero', '--filter=seed']
  one = subprocess.run(command, capture_output=True, text=True, cwd=os.sep, check=True).stdout
  command[2:4] = ['r1jax.cli.show_config']
  two = subprocess.run(command, capture_output=True, text=True, cwd=os.sep, check=True).stdout
  assert one == two and one.startswith('seed = 0')


COMPILES = """
import ctypes, faulthandler, os, signal, sys
from r1jax.cli import commands
with commands.ended_in_a_line('stopped; a plan starts anew'):
  # As a compiler does: its own handler of the signal prints its stack, and it never comes back to
  # where Python would look.
  faulthandler.register(signal.SIGTERM, chain=True)
  print('compiling', flush=True)
  ctypes.CDLL(None).sleep(600)
"""


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_a_compiler_works_ends_in_one_line(number):
  process = subprocess.Popen(
    [sys.executable, '-c', COMPILES],
    cwd=small_runs.ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  try:
    assert process.stdout.readline() == 'compiling\n'
    process.send_signal(number)
    told = process.communicate(timeout=60)[1]
  finally:
    process.kill()
    process.communicate()
  assert (process.returncode, told) == (128 + number, 'stopped; a plan starts anew\n')


def test_signals_are_as_before_once_nothing_compiles():
  before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
  with pytest.raises(KeyError), commands.ended_in_a_line('stopped'):
    raise KeyError
  assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
  assert not [thread for thread in threading.enumerate() if thread.name == 'signals']


@pytest.mark.heavy
def test_a_plan_that_is_told_to_end_while_it_compiles_does_in_one_line(tmp_path):
  process = subprocess.Popen(
    [sys.executable, '-m', 'r1jax', 'plan', '--config=r1_zero', '--topology=cpu:2'],
    cwd=small_runs.ROOT,
    env=small_runs.environment() | {'JAX_COMPILATION_CACHE_DIR': str(tmp_path)},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  try:
    first = process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    stdout, rest = process.communicate(timeout=60)
  finally:
    process.kill()
    process.communicate()
  assert (process.returncode, stdout) == (143, ''), first + rest
  assert rest.splitlines()[-1] == 'stopped; a plan starts anew' and 'Traceback' not in first + rest


def test_the_end_of_a_command_is_a_status_and_at_most_one_line(capsys):
  class OwnError(RuntimeError):
    """An error of use that a command names."""

  def raising(error):
    def work():
      raise error

    return work

  assert commands.ended(lambda: None) == 0 and commands.ended(lambda: 2) == 2
  assert commands.ended(raising(ValueError('two\nlines'))) == 1
  assert commands.ended(raising(OwnError('own')), lambda: (OwnError,)) == 1
  assert capsys.readouterr().err == 'error: two lines\nerror: own\n'
  assert commands.ended(raising(KeyboardInterrupt()), stopped='again') == commands.STOPPED
  assert capsys.readouterr().err == 'again\n'
  with pytest.raises(OwnError):  # what nobody has named is a fault of ours, with its traceback
    commands.ended(raising(OwnError('own')))
