"""Compiled programs are kept for the next start, by JAX's own account."""

import os
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import pytest

from r1jax import programs
from tests import small_runs

LOWERED = '/jax/core/compile/jaxpr_to_mlir_module_duration'
COMPILES = """
import sys
import jax
from r1jax import programs
programs.keep(sys.argv[1])
watch = programs.watch()
print(jax.jit(lambda x: (x @ x.T + 1).sum())(jax.numpy.ones((32, 32))))
print('programs', watch.count, watch.loaded)
"""


def compiled(folder, **variables):
  """(result, programs, those of them that were loaded, stderr) of a fresh process."""
  own = {k: v for k, v in small_runs.environment().items() if k != 'JAX_COMPILATION_CACHE_DIR'}
  command = [sys.executable, '-c', COMPILES, str(folder)]
  done = subprocess.run(
    command, cwd=small_runs.ROOT, env=own | variables, capture_output=True, text=True, check=True
  )
  result, counts = done.stdout.splitlines()[-2:]
  return result, *map(int, counts.split()[1:]), done.stderr


def test_the_second_start_loads_what_the_first_has_compiled(tmp_path):
  result, count, loaded, _ = compiled(tmp_path / 'programs')
  assert count > 0 and loaded == 0
  assert compiled(tmp_path / 'programs')[:3] == (result, count, count)
  assert (tmp_path / 'programs').stat().st_mode & 0o077 == 0


def test_a_damaged_entry_is_compiled_anew_and_said(tmp_path):
  folder = tmp_path / 'programs'
  result, count, _, _ = compiled(folder)
  for entry in folder.glob('*-cache'):
    entry.write_bytes(entry.read_bytes()[:100])
  again, programs_, loaded, said = compiled(folder)
  assert (again, programs_, loaded) == (result, count, 0)
  assert 'persistent compilation cache entry' in said


def test_an_entry_whose_writer_was_killed_is_dropped(tmp_path):
  folder = tmp_path / 'programs'
  result, count, _, _ = compiled(folder)
  torn, *_ = folder.glob('*-cache')
  torn.write_bytes(torn.read_bytes()[:10])
  torn.with_name(torn.name.replace('-cache', '-atime')).unlink()
  os.utime(torn, (time.time() - 3600,) * 2)
  again, programs_, loaded, said = compiled(folder)
  assert (again, programs_, loaded) == (result, count, count - 1)
  assert 'persistent compilation cache entry' not in said
  assert compiled(folder)[2] == count


def test_what_the_user_told_jax_goes_before(tmp_path):
  told = tmp_path / 'told'
  compiled(tmp_path / 'ours', JAX_COMPILATION_CACHE_DIR=str(told))
  assert not (tmp_path / 'ours').exists() and list(told.glob('*-cache'))


def test_nothing_is_kept_where_nothing_is_wanted(tmp_path):
  compiled('', XDG_CACHE_HOME=str(tmp_path))
  assert not list(tmp_path.iterdir())
  compiled('auto', XDG_CACHE_HOME=str(tmp_path))
  assert list(tmp_path.glob('r1jax/programs/*/*-cache'))


def test_a_folder_that_cannot_be_made_is_said_and_the_run_goes_on(tmp_path):
  (tmp_path / 'file').write_text('')
  result, count, loaded, _ = compiled(tmp_path / 'file' / 'programs')
  assert result == '33792.0' and count > 0 and loaded == 0


@pytest.mark.parametrize('what', ['_processor', 'build'])
def test_another_processor_or_build_has_a_folder_of_its_own(monkeypatch, what):
  before = programs.home()
  if what == 'build':
    monkeypatch.setattr(jax, '__version__', '99.0')
  else:
    monkeypatch.setattr(programs, '_processor', lambda: 'another')
  assert programs.home() != before and programs.home().parent == before.parent


def test_programs_are_counted_and_named_while_they_are_compiled():
  watch, seen = programs.Watch(), []
  listen = lambda event, duration, **kwargs: seen.append(watch.compiling())
  jax.monitoring.register_event_duration_secs_listener(listen)

  def triple(x):
    return x * 3 + 1

  jax.jit(triple)(jnp.arange(7.0))
  assert 'triple' in [now[0] for now in seen if now]
  assert watch.compiling() is None and watch.count >= 1


def test_an_expected_program_says_which_of_how_many_it_is():
  watch, seen = programs.Watch(), []
  listen = lambda event, *_, **__: seen.append(watch.compiling()[0]) if event == LOWERED else None
  jax.monitoring.register_event_duration_secs_listener(listen)

  @jax.jit
  def first(x):
    return x * 2

  @jax.jit
  def second(x):
    return x + 3

  one, two = programs.Program('first', (3,), 'rollout'), programs.Program('first', (4,), 'rollout')
  three = programs.Program('second')
  arrays = [jnp.zeros(size) for size in (3, 4, 5)]
  watch.expect([one, programs.Program('first', (3,), 'examination'), two, three])
  first(arrays[0])
  second(arrays[0])  # the one before it was there already
  watch.expect([two, one])  # nothing new
  second(arrays[1])
  watch.expect([one, programs.Program('second', (5,))])
  second(arrays[2])
  counted = ["rollout's first (1 of 3)", 'second (3 of 3)', 'second', 'second (1 of 1)']
  assert [text for text in seen if 'first' in text or 'second' in text] == counted
