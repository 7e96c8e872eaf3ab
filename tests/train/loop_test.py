"""The loop around a stage: what it saves, logs and says, with a stage that only counts."""

import contextlib
import io
import json
import pickle
import shutil
import signal

import jax
import numpy as np
import pytest
import rich.console

from r1jax.train import checkpoint, ledger, loop, optimizer

OCFG = optimizer.OptimizerConfig(lr=1.0)


class Counting:
  """A stage whose state is the sum of the numbers of its updates."""

  title, total, figures = 'Counting', 6, ()
  cycle, examine_every, base, doing = 1, 0, {}, str

  def __init__(self, during=lambda step: None, **figures):
    self.during, self.extra, self.ran = during, figures, []
    self.ledger = ledger.Ledger()

  def start(self):
    self.total_so_far = np.zeros(())

  def abstract(self, host):
    return {'sum': np.zeros(())}

  def restore(self, arrays, host):
    self.total_so_far = arrays['sum']
    self.ran_before = host['ran']

  def arrays(self):
    return {'sum': np.asarray(self.total_so_far)}

  def host(self):
    return {'ran': len(self.ran)}

  def update(self, step):
    self.ran.append(step)
    self.total_so_far = self.total_so_far + step
    self.during(step)
    skipped = {'optimizer/skipped_in_a_row': jax.numpy.float32(0)}
    return skipped | {'count/step': step} | self.extra


@pytest.fixture(autouse=True)
def mesh(one_device):
  return one_device


def run(stage, folder, every=2, **more):
  """Runs the stage; returns the rows of metrics.jsonl."""
  loop.run(loop.LoopConfig(every, 2, **more), stage, folder, OCFG)
  return rows(folder)


def rows(folder):
  """Rows of metrics.jsonl."""
  return [json.loads(line) for line in (folder / 'metrics.jsonl').open()]


def stop_at(number, which=signal.SIGTERM):
  """Sends this process a signal in the middle of an update."""
  return lambda step: signal.raise_signal(which) if step == number else None


def test_one_checkpoint_in_so_many_updates_is_kept_for_good(tmp_path):
  run(Counting(), tmp_path, every=1, keep_every=3)
  steps = lambda folder: sorted(int(p.name[5:]) for p in (folder / 'checkpoints').iterdir())
  # The two newest, and the multiples of three; also of an earlier start that ended in between.
  assert steps(tmp_path) == [0, 3, 5, 6]
  with contextlib.suppress(loop.Interrupted):
    run(Counting(stop_at(4)), tmp_path / 'cut', every=1, keep_every=3)
  run(Counting(), tmp_path / 'cut', every=1, keep_every=3)
  assert steps(tmp_path / 'cut') == [0, 3, 5, 6]
  with pytest.raises(ValueError, match='keep_every=3.*checkpoint_every=2'):
    loop.LoopConfig(2, 2, keep_every=3)


def test_what_a_killed_start_did_after_its_checkpoint_is_called_lost(tmp_path):
  with contextlib.suppress(loop.Interrupted):
    run(Counting(stop_at(3)), tmp_path, every=2)
  saved = rows(tmp_path)[-1]
  with (tmp_path / 'metrics.jsonl').open('a') as out:
    out.write(
      json.dumps({'step': 5, 'speed/wall_seconds': saved['speed/wall_seconds'] + 50}) + '\n'
    )
  again = Counting()
  found = run(again, tmp_path, every=2)
  spent = again.ledger.seconds()
  assert 49 < spent['done_again'] <= 50.5
  walls = [row['speed/wall_seconds'] for row in found]
  assert walls == sorted(walls) and walls[-1] > saved['speed/wall_seconds'] + 49
  assert spent['whole'] == pytest.approx(sum(spent.values()) - spent['whole'])


def test_every_update_runs_once_in_order_and_has_one_row(tmp_path):
  stage = Counting()
  found = run(stage, tmp_path)
  assert stage.ran == list(range(6)) and stage.total_so_far == 15
  assert [(row['step'], row['count/step']) for row in found] == [(s + 1, s) for s in range(6)]
  assert all('compile/programs' in row for row in found)


@pytest.mark.usefixtures('heeds_hangup')
@pytest.mark.parametrize(
  'which, status', [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_the_run_after_the_update_it_came_in(tmp_path, which, status, monkeypatch):
  monkeypatch.setattr(loop, 'leave_terminal', lambda: None)  # the suite's own output goes on
  before = signal.getsignal(which)
  with pytest.raises(loop.Interrupted, match=f'{which.name} after update 3 of 6') as stopped:
    run(Counting(stop_at(2, which)), tmp_path, every=100)
  assert stopped.value.status == status
  assert signal.getsignal(which) == before
  assert [row['step'] for row in rows(tmp_path)] == [1, 2, 3]
  again = Counting()
  found = run(again, tmp_path, every=100)
  assert again.ran == [3, 4, 5] and again.total_so_far == 15 and again.ran_before == 3
  assert [row['step'] for row in found] == [1, 2, 3, 4, 5, 6]


class Leaving(Counting):
  """One that leaves an update before it has done anything, where it is to stop."""

  def update(self, step):
    if step == 3 and not hasattr(self, 'ran_before'):
      signal.raise_signal(signal.SIGTERM)
    if self.stopping():
      raise loop.LeftError
    return super().update(step)


@pytest.mark.parametrize('every', [3, 100])  # with a checkpoint there already, and without
def test_an_update_that_was_left_is_done_by_the_next_start(tmp_path, every):
  with pytest.raises(loop.Interrupted, match='SIGTERM after update 3 of 6; everything is saved'):
    run(Leaving(), tmp_path, every=every)
  assert [row['step'] for row in rows(tmp_path)] == [1, 2, 3]
  again = Leaving()
  found = run(again, tmp_path, every=every)
  assert again.ran == [3, 4, 5] and again.total_so_far == 15 and again.ran_before == 3
  assert [row['step'] for row in found] == [1, 2, 3, 4, 5, 6]


def test_a_report_is_asked_for_after_each_checkpoint_at_a_stop_and_where_the_run_goes_on(tmp_path):
  def run_noting(stage):
    seen = []
    note = lambda always: seen.append((always, [row['step'] for row in rows(tmp_path)]))
    with contextlib.suppress(loop.Interrupted):
      loop.run(loop.LoopConfig(2, 2), stage, tmp_path, OCFG, refresh=note)
    return [(always, steps[-1]) for always, steps in seen]

  # The figures of the update that was saved are there already.
  assert run_noting(Counting(stop_at(2))) == [(False, 2), (False, 3), (True, 3)]
  assert run_noting(Counting()) == [(True, 3), (False, 4), (False, 6)]


def test_a_signal_while_the_run_begins_is_not_lost(tmp_path):
  stage = Counting()
  begin = stage.start
  stage.start = lambda: (begin(), signal.raise_signal(signal.SIGTERM))
  with pytest.raises(loop.Interrupted, match='after update 1 of 6'):
    run(stage, tmp_path)


def later(monkeypatch, seconds):
  """Sets the clock of the loop: what it reads is what the list of one number holds."""
  clock = [seconds]
  monkeypatch.setattr(loop.time, 'monotonic', lambda: clock[0])
  return clock


def test_a_run_whose_time_is_over_is_saved_and_goes_on_with_as_much_again(tmp_path, monkeypatch):
  clock = later(monkeypatch, 1000.0)

  def tick(step):
    clock[0] += 50

  with pytest.raises(loop.OutOfTime, match='after update 3 of 6, as loop.minutes are over') as stop:
    run(Counting(tick), tmp_path, every=100, minutes=2.5)
  assert stop.value.status == 0 and isinstance(stop.value, loop.Interrupted)
  again = Counting(tick)
  # At its last update a run is not stopped: its end is what the user waits for.
  found = run(again, tmp_path, every=100, minutes=2.5)
  assert again.ran == [3, 4, 5] and [row['step'] for row in found] == [1, 2, 3, 4, 5, 6]


def test_the_time_of_a_run_counts_from_where_it_began(tmp_path, monkeypatch):
  clock = later(monkeypatch, 1000.0)
  with pytest.raises(loop.OutOfTime, match='after update 1 of 6'):
    loop.run(loop.LoopConfig(minutes=1.0), Counting(), tmp_path, OCFG, began=clock[0] - 60)


def test_a_reason_to_stop_is_told_from_the_others(monkeypatch):
  assert str(pickle.loads(pickle.dumps(loop.OutOfTime('saved')))) == 'saved'
  monkeypatch.setattr(loop.jax, 'process_count', lambda: 2)
  # The other process says nothing, or the one thing that it was told.
  for ours, other, all_of_them in (
    ('', 0, ''),
    ('loop.minutes', 0, 'loop.minutes'),
    ('', int(signal.SIGINT), 'SIGINT'),
    ('SIGTERM', int(signal.SIGINT), 'SIGTERM'),
  ):
    gather = lambda number, other=other: np.array([number, other])
    monkeypatch.setattr('jax.experimental.multihost_utils.process_allgather', gather)
    assert loop._agreed(ours) == all_of_them


class Examined(Counting):
  """Counts, and is examined after every update."""

  def __init__(self, scores, during=lambda step: None):
    super().__init__(during)
    self.scores = scores

  def update(self, step):
    score = self.scores[step]
    return super().update(step) | ({} if score is None else {'eval/pass_at_1': score})


def saved(folder):
  """Steps of the checkpoints in a run's folder."""
  return sorted(int(path.name[5:]) for path in (folder / 'checkpoints').glob('step_*'))


@pytest.mark.parametrize(
  'scores, best, kept',
  [
    ((0.1, 0.5, 0.5, None, 0.4, 0.3), loop.Best(2, 0.5), [2, 4, 6]),
    ((0.9, 0.5, None, None, None, None), loop.Best(1, 0.9), [1, 4, 6]),
    ((0.1, 0.2, 0.3, 0.4, 0.5, 0.6), loop.Best(6, 0.6), [5, 6]),
    ((None,) * 6, None, [4, 6]),
  ],
)
def test_the_best_checkpoint_stays_beside_the_newest(tmp_path, scores, best, kept):
  cfg = loop.LoopConfig(2, 2, keep_best=True)
  assert loop.run(cfg, Examined(scores), tmp_path, OCFG) == best
  assert saved(tmp_path) == kept
  # A run that has ended tells it again.
  assert loop.run(cfg, Examined(scores), tmp_path, OCFG) == best
  if best:
    with checkpoint.Checkpoints(tmp_path / 'checkpoints') as there:
      arrays, _ = there.load(best.step, Counting().abstract)
    assert arrays['sum'] == sum(range(best.step))


def test_without_being_asked_for_no_checkpoint_is_the_best(tmp_path):
  cfg = loop.LoopConfig(2, 2)
  assert loop.run(cfg, Examined((0.9, 0.5, 0.4, 0.3, 0.2, 0.1)), tmp_path, OCFG) is None
  assert saved(tmp_path) == [4, 6]


def test_the_best_is_known_after_a_stop_and_is_still_there(tmp_path):
  cfg, scores = loop.LoopConfig(100, 2, keep_best=True), (0.2, 0.8, 0.3, 0.4, 0.5, 0.6)
  with pytest.raises(loop.Interrupted):
    loop.run(cfg, Examined(scores, stop_at(3)), tmp_path, OCFG)
  assert saved(tmp_path) == [2, 4]
  assert loop.run(cfg, Examined(scores), tmp_path, OCFG) == loop.Best(2, 0.8)
  assert saved(tmp_path) == [2, 4, 6]


def test_updates_after_the_last_checkpoint_run_again_and_have_one_row_each(tmp_path):
  def fail(step):
    if step == 5:
      raise ZeroDivisionError

  with pytest.raises(ZeroDivisionError):
    run(Counting(fail), tmp_path, every=2)
  again = Counting()
  found = run(again, tmp_path, every=2)
  assert again.ran == [4, 5] and again.total_so_far == 15
  assert [row['step'] for row in found] == [1, 2, 3, 4, 5, 6]


def test_a_finished_run_does_nothing_more(tmp_path):
  run(Counting(), tmp_path)
  again = Counting()
  assert len(run(again, tmp_path)) == 6 and again.ran == []


def test_a_run_of_updates_that_were_skipped_stops_with_the_reason(tmp_path):
  skipped = {'optimizer/skipped_in_a_row': 10.0, 'optimizer/skipped': 12.0}
  with pytest.raises(optimizer.NonFiniteError, match='10 updates in a row .*12 skipped in all'):
    run(Counting(**skipped), tmp_path)


def test_a_loop_keeps_two_checkpoints_at_least():
  with pytest.raises(ValueError, match='keep=1'):
    loop.LoopConfig(keep=1)


def test_the_bar_on_a_terminal_shows_that_the_run_stops(tmp_path, monkeypatch):
  console = rich.console.Console(file=io.StringIO(), force_terminal=True, width=120)
  monkeypatch.setattr(loop.progress.rich.console, 'Console', lambda **_: console)
  with pytest.raises(loop.Interrupted):
    run(Counting(stop_at(2)), tmp_path)
  assert (
    'SIGTERM: stopping, at the latest after this update; again to stop now'
    in console.file.getvalue()
  )


def test_what_a_run_has_lost_before_it_goes_on_is_said(tmp_path, capsys):
  with pytest.raises(loop.Interrupted):
    run(Counting(stop_at(3)), tmp_path)
  (tmp_path / 'metrics.jsonl').unlink()
  run(Counting(), tmp_path)
  assert 'metrics.jsonl is gone: the figures up to update 4 are lost' in capsys.readouterr().out
  with pytest.raises(loop.Interrupted):
    run(Counting(stop_at(3)), tmp_path / 'cut')
  lines = (tmp_path / 'cut' / 'metrics.jsonl').read_text().splitlines(keepends=True)
  (tmp_path / 'cut' / 'metrics.jsonl').write_text(''.join([lines[0], *lines[2:]]))
  run(Counting(), tmp_path / 'cut')
  assert 'has lost the figures of 1 of the 4 updates' in capsys.readouterr().out
  shutil.rmtree(tmp_path / 'checkpoints')
  run(Counting(), tmp_path)
  said = capsys.readouterr().out
  assert 'holds none of an update: begins anew' in said and 'up to update 6 is dropped' in said
