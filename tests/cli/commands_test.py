"""The commands: help without JAX, signals, and how they end."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from r1jax.cli import commands, flags
from tests import small_runs

LIGHT = ('train', 'chat', 'plan', 'config')  # the others' help reads its choices from modules


def python(program, *arguments, **options):
  """A finished Python process; `program` is its text."""
  command = [sys.executable, '-c', program, *arguments]
  settings = {'capture_output': True, 'text': True, 'cwd': small_runs.ROOT, 'check': False}
  return subprocess.run(command, **settings | {'env': small_runs.environment()} | options)


@pytest.mark.parametrize('words', [['--help'], ['train', '--help']])
def test_help_of_which_only_the_beginning_is_read_ends_quietly(words):
  process = subprocess.Popen(
    [sys.executable, '-m', 'r1jax', *words],
    cwd=small_runs.ROOT,
    env=small_runs.environment(),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  process.stdout.close()  # as `| head -1` does when it has its line
  assert process.stderr.read() == ''
  process.stderr.close()
  process.wait(60)


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
