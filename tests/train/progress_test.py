"""What people are told of a run: a bar or lines of 80 columns, and a time left that is true."""

import io
import json
import pathlib
import threading
import time

import pytest
import rich.console

from r1jax import programs
from r1jax.train import progress

FULL = {
  'reward/total': 1.25,
  'reward/accuracy': 0.5,
  'reward/format': 0.75,
  'rollout/length': 43.21,
  'grpo/kl': 0.0123,
  'grpo/entropy': 0.9,
  'grpo/clip_fraction': 0.0625,
  'speed/rollout_tokens_per_s': 14000.4,
  'speed/train_tokens_per_s': 5000,
  'eval/pass_at_1': 0.452,
}


def console(**options):
  """A console on a string."""
  return rich.console.Console(file=io.StringIO(), highlight=False, **options)


def lines(console_):
  """What was written."""
  return console_.file.getvalue().splitlines()


def test_a_log_has_a_plain_line_of_eighty_columns_for_every_step():
  log = console(width=80)
  with progress.Progress('GRPO', 10, start=7, console=log) as bar:
    bar.update(8, FULL)
    bar.print('[not markup] saved')
    bar.update(9, FULL)
    bar.update(10, FULL)
  first, note, second, last = lines(log)
  assert note == '[not markup] saved'
  assert first.startswith('GRPO 8/10  0:00 + estimating  reward 1.25  acc 0.50  held out 0.452')
  assert second.startswith('GRPO 9/10') and last.startswith('GRPO 10/10  0:00 + 0:00 left')
  assert all(len(line) <= 80 and '\x1b' not in line for line in (first, second, last))


def test_the_change_since_the_base_stands_beside_a_figure():
  log = console(width=200)
  with progress.Progress('GRPO', 2, base={'eval/pass_at_1': 0.125}, console=log) as bar:
    bar.update(1, FULL)
  assert 'held out 0.452 (+0.327)' in lines(log)[0]


def test_a_step_without_a_rollout_goes_on_showing_the_last_one():
  log = console(width=120)
  with progress.Progress('GRPO', 2, start=1, console=log) as bar:
    bar.update(1, FULL)
    bar.update(2, {'grpo/kl': 0.5})
  assert 'reward 1.25  acc 0.50' in lines(log)[-1] and 'KL 0.5000' in lines(log)[-1]


@pytest.mark.parametrize('width', [60, 80, 200])
def test_on_a_terminal_the_bar_shows_steps_time_left_and_every_figure(width):
  terminal = console(force_terminal=True, width=width)
  with progress.Progress('GRPO', 10, console=terminal) as bar:
    for step in range(1, 6):
      bar.update(step, FULL)
  shown = terminal.file.getvalue()
  for part in ('5/10', 'left', 'KL 0.0123', 'clip 0.062', 'entropy 0.90', 'tok/s 5,000'):
    assert part in shown


def paced(durations, total, cycle=1, examine_every=0, examined=(), compiled=()):
  """The `Pace` of a run whose updates took so long, and the number of them."""
  pace, now = progress.Pace(total, 0, 0.0, cycle, examine_every), 0.0
  for step, duration in enumerate(durations, 1):
    now += duration
    count = 1 + sum(at <= step for at in compiled)
    seen = {'compile/programs': count} | ({'speed/eval_seconds': 7.0} if step in examined else {})
    pace.add(step, now, seen)
  return pace


def test_nothing_is_estimated_before_two_whole_rounds_without_compilation():
  # The first update compiles: 100 s say nothing of the others, which take 2.
  assert paced([100.0], 10).left(1) is None
  assert paced([100.0, 2.0], 10).left(2) is None
  assert paced([100.0, 2.0, 2.0], 10).left(3) == 14.0


def test_a_round_is_a_rollout_and_the_updates_on_it():
  # A rollout of 9 s, then two updates of 1 s.
  durations = [10.0, 1.0] * 4
  assert paced(durations[:6], 20, cycle=2).left(6) == pytest.approx(14 * 5.5)
  assert paced(durations[:7], 20, cycle=2).left(7) == pytest.approx(13 * 5.5)


def test_examinations_that_are_due_are_counted_and_those_that_were_are_no_pace():
  durations = [50.0, 2.0, 2.0, 2.0, 9.0, 2.0, 2.0]
  pace = paced(durations, 20, examine_every=5, examined=(5,))
  assert pace.left(7) == 13 * 2.0 + 3 * 7.0


def test_a_round_with_a_new_program_is_left_out():
  durations = [50.0, 2.0, 2.0, 60.0, 2.0]
  assert paced(durations, 10, compiled=(4,)).left(5) == 10.0


def test_the_pace_follows_a_change_of_speed():
  assert paced([1.0] * 20 + [3.0] * 9, 39).left(29) == 30.0


def test_a_resumed_run_begins_in_the_middle_of_a_round():
  pace = progress.Pace(12, 3, 0.0, cycle=2)
  for step, now in ((4, 1.0), (5, 11.0), (6, 12.0), (7, 22.0), (8, 23.0)):
    pace.add(step, now, {})
  assert pace.left(8) == 4 * 5.5


def test_the_time_left_of_a_default_run_is_true_from_its_second_rollout_on():
  # Updates of `r1jax train --config=r1_zero` on two cores that others used too: step, seconds since
  # the base was examined, programs, seconds of its examination.
  stored = json.loads(pathlib.Path(__file__).with_name('default_run.json').read_text())
  pace, (total, end, *_), off = progress.Pace(100, 0, 0.0, 2, 25), stored[-1], {}
  for step, now, programs_, examined in stored:
    seen = {'compile/programs': programs_}
    pace.add(step, now, seen | ({'speed/eval_seconds': examined} if examined else {}))
    left = pace.left(step)
    off |= {step: (now + left - end, end - now)} if left is not None and step < total else {}
  # The first rollout compiles; the two after it are whole.
  assert min(off) == 6
  assert max(abs(gap) for gap, _ in off.values()) < 0.15 * end
  assert abs(off[6][0]) < 0.25 * off[6][1]
  assert sum(abs(gap) / rest for gap, rest in off.values()) / len(off) < 0.25


class Compiles:
  """Stands in for the process's `programs.Watch`."""

  now = None
  count = loaded = 0

  def compiling(self):
    return self.now


def test_a_log_says_what_is_compiled_and_how_long_it_took(monkeypatch):
  watch, log = Compiles(), console(width=80)
  monkeypatch.setattr(programs, 'watch', lambda: watch)
  with progress.Status('examining the base', total=8, console=log):
    watch.now = ('generate', 6.0)
    while 'compiling' not in log.file.getvalue():
      time.sleep(0.01)
    watch.now = None
    while 'compiled' not in log.file.getvalue():
      time.sleep(0.01)
  first, begun, ended = lines(log)
  assert first == 'examining the base' and begun == 'compiling generate ...'
  assert ended.startswith('compiled generate in 0:0')


def test_a_terminal_shows_a_clock_and_a_count_and_forgets_them(monkeypatch):
  watch, terminal = Compiles(), console(force_terminal=True, width=80)
  watch.now = ('generate', 65.0)
  monkeypatch.setattr(programs, 'watch', lambda: watch)
  with progress.Status('examining the base', total=1024, console=terminal) as status:
    status.advance(300)
    while '300/1,024 (0:00, compiling generate 1:05)' not in terminal.file.getvalue():
      time.sleep(0.01)


def test_a_log_repeats_what_takes_long(monkeypatch):
  monkeypatch.setattr(progress, '_EVERY', 0.1)
  log = console(width=80)
  with progress.Status('examining the base', total=8, console=log) as status:
    status.advance(3)
    while '3/8' not in log.file.getvalue():
      time.sleep(0.01)


def test_a_log_says_what_is_done_within_a_long_step_and_is_silent_between_short_ones(monkeypatch):
  monkeypatch.setattr(progress, '_EVERY', 0.3)
  log, told = console(width=80), ['']
  with progress.Progress('GRPO', 4, console=log, notice=lambda: told[0]) as bar:
    for step in (1, 2, 3):
      told[0] = 'sampled 0 of 8 replies'
      time.sleep(0.1)
      bar.update(step, {})
    assert 'sampled' not in log.file.getvalue()
    told[0] = 'sampled 5 of 8 replies'
    while 'GRPO 3/4: sampled 5 of 8 replies' not in log.file.getvalue():
      time.sleep(0.01)


def test_no_thread_is_left():
  before = threading.active_count()
  for _ in range(3):
    with progress.Status('x', console=console()), progress.Progress('GRPO', 2, console=console()):
      pass
  assert threading.active_count() == before
