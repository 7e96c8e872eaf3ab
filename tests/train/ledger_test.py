"""The account of a run's time adds up, whatever lies within what."""

import time

import jax
import jax.numpy as jnp
import pytest

from r1jax import programs
from r1jax.train import ledger, phases


def test_phases_add_up_to_the_wall_time_and_what_lies_within_is_charged_once():
  began = time.monotonic()
  spent = ledger.Ledger(imports=3.0)
  with spent.phase(phases.ROLLOUTS):
    time.sleep(0.05)
    with spent.phase(phases.REPORT):
      time.sleep(0.1)
  time.sleep(0.02)
  found, wall = spent.seconds(), time.monotonic() - began
  assert found[phases.WHOLE] == pytest.approx(3 + wall, abs=0.02)
  assert found[phases.WHOLE] == pytest.approx(sum(found[name] for name in phases.PHASES))
  assert found[phases.IMPORTS] == 3
  assert found[phases.REPORT] >= 0.1 and found[phases.ROLLOUTS] >= 0.05
  assert found[phases.ROLLOUTS] + found[phases.REPORT] <= wall - 0.02


def test_what_is_compiled_is_charged_to_compilation(one_device):
  spent = ledger.Ledger()
  with spent.phase(phases.UPDATES):
    # Never compiled before, whatever ran earlier.
    offset = time.time_ns() % 1_000_003
    jax.jit(lambda x: jnp.sin(x + offset) @ x)(jnp.ones((8, 8))).block_until_ready()
  found = spent.seconds()
  assert found[phases.COMPILE] > 0
  assert found[phases.WHOLE] == pytest.approx(sum(found[name] for name in phases.PHASES))


def test_an_exception_ends_its_phase():
  spent = ledger.Ledger()
  with pytest.raises(KeyError), spent.phase(phases.UPDATES):
    raise KeyError
  before = spent.seconds()
  time.sleep(0.02)
  after = spent.seconds()
  assert (
    after[phases.UPDATES] == before[phases.UPDATES] and after[phases.REST] > before[phases.REST]
  )


def test_earlier_starts_and_what_they_lost_are_in_it():
  first = ledger.Ledger()
  with first.phase(phases.SCORING):
    time.sleep(0.02)
  saved = first.seconds()
  again = ledger.Ledger()
  again.add(saved)
  again.add_lost(5.0)
  again.add_lost(-1.0)
  found = again.seconds()
  assert found[phases.SCORING] == saved[phases.SCORING] and found[phases.AGAIN] == 5
  assert found[phases.WHOLE] >= saved[phases.WHOLE] + 5


def test_functions_that_trace_others_are_counted_once():
  watch = programs.Watch()
  watch.seconds = 0.0
  watch._counted.clear()
  # An inner function that took 2 seconds ends; then the outer one that took 5, that among them.
  watch._count(2.0)
  watch._count(5.0)
  assert watch.seconds == pytest.approx(5.0, abs=0.1)


def test_the_rows_say_each_phase_that_took_any_with_its_share():
  rows = phases.rows({phases.UPDATES: 30.0, phases.REST: 10.0, phases.WHOLE: 40.0})
  assert rows == [('updates', 30.0, 0.75), ('the rest', 10.0, 0.25)]
  assert phases.clock(75) == '1:15' and phases.clock(3675) == '1:01:15'
