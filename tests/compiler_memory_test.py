"""What compiling takes is what the process has held more meanwhile."""

import numpy as np
import pytest

from r1jax import compiler_memory, processes

MIB = 2**20
if not processes.forget_peak():
  pytest.skip('/proc/self/clear_refs cannot be written here', allow_module_level=True)


def compiled(watch, mib):
  """A compilation, as JAX tells of one, that takes so much for a moment."""
  watch._passed(compiler_memory._BEGINS, 0.0)
  held = np.ones(mib * MIB, np.uint8)
  del held
  watch._passed(compiler_memory._ENDS, 0.0)


def test_the_most_that_one_has_taken_is_told_once():
  watch = compiler_memory.Watch()
  compiled(watch, 1)
  assert watch.news() == ''
  compiled(watch, 300)
  assert watch.most == pytest.approx(300 * MIB, rel=0.2)
  assert 'up to 0.3 GiB' in watch.news() and watch.news() == ''
  compiled(watch, 200)
  assert watch.news() == ''
  compiled(watch, 600)
  assert 'up to 0.6 GiB' in watch.news()


def test_what_was_held_before_and_let_go_is_not_the_compilers():
  watch, held = compiler_memory.Watch(), np.ones(400 * MIB, np.uint8)
  compiled(watch, 50)
  assert watch.held > 400 * MIB and watch.most < 200 * MIB
  del held


def test_the_peak_of_the_process_outlives_the_mark_that_is_set_back():
  held = np.ones(500 * MIB, np.uint8)
  before = processes.peak_gib()
  del held
  assert processes.forget_peak() and processes.peak_gib() == pytest.approx(before, abs=0.01)


def test_where_the_mark_cannot_be_set_back_nothing_is_told(monkeypatch):
  monkeypatch.setattr(processes, 'forget_peak', lambda: False)
  watch = compiler_memory.Watch()
  compiled(watch, 300)
  assert watch.most == 0 and watch.news() == ''
