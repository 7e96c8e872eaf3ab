"""What can be replayed is found before anything heavy is loaded, and refusals say what is there."""

import json

import pytest

from r1jax import config as config_lib
from r1jax import replay as command
from r1jax.experiments import r1_zero
from r1jax.runs import replay


def _folder(tmp_path, steps, **changed):
  """A folder with a run's config and checkpoints of these names."""
  config = r1_zero.get_config()
  config.update(changed)
  (tmp_path / 'config.json').write_text(config.to_json_best_effort())
  for step in steps:
    (tmp_path / 'checkpoints' / f'step_{step:08d}').mkdir(parents=True)
  (tmp_path / 'checkpoints' / 'step_00000007.tmp').mkdir(parents=True, exist_ok=True)
  return tmp_path


def test_it_begins_at_the_nearest_checkpoint_before_the_update(tmp_path):
  folder = _folder(tmp_path, (0, 20, 40))
  found = {update: replay.prepare(folder, update)[1] for update in (1, 20, 21, 40, 41, 100)}
  assert found == {1: 0, 20: 0, 21: 20, 40: 20, 41: 40, 100: 40}
  assert isinstance(replay.prepare(folder, 1)[0], config_lib.Job)


def test_what_cannot_be_replayed_is_refused_with_what_there_is(tmp_path, capsys):
  folder = _folder(tmp_path, (60, 80))
  with pytest.raises(ValueError, match=r'none before update 60 \(there are 60, 80\).*keep_every'):
    replay.prepare(folder, 60)
  with pytest.raises(ValueError, match='has updates 1 to 100'):
    replay.prepare(folder, 101)
  (folder / 'data.json').write_text(json.dumps({'data.path': 'ab'}))
  assert replay.prepare(folder, 61)[1] == 60
  assert command.main([str(tmp_path / 'none'), '--update=3']) == 1
  assert 'is no run' in capsys.readouterr().err
  assert command.main([str(folder), '--update=61', '--sample=x']) == 1
  assert '--sample=x: expected numbers' in capsys.readouterr().err


def test_figures_are_compared_as_the_file_has_them_without_what_no_seed_decides(tmp_path):
  row = {'step': 3, 'grpo/kl': 0.1, 'grpo/entropy': None, 'speed/wall_seconds': 9.0, 'a/b': 1.0}
  (tmp_path / 'metrics.jsonl').write_text(json.dumps(row) + '\n')
  now = {'grpo/kl': 0.1, 'grpo/entropy': float('nan'), 'speed/wall_seconds': 1.0, 'c/d': 2.0}
  assert replay._compare(tmp_path, 3, now) == (2, ())
  assert replay._compare(tmp_path, 3, now | {'a/b': 1.5}) == (3, (('a/b', 1.0, 1.5),))
  assert replay._compare(tmp_path, 4, now) == (0, ())


@pytest.mark.parametrize(
  ('found', 'said', 'status'),
  [
    ((9, (), True), 'all 9 figures are the same', 0),
    ((9, (), False), 'OTHER bits than', 2),
    ((9, (('grpo/kl', 0.1, 0.2),), None), 'grpo/kl: 0.1 then, 0.2 now', 2),
    ((0, (), None), 'no figures of update 3', 0),
  ],
)
def test_what_is_the_same_and_what_is_not_is_said(
  tmp_path, monkeypatch, capsys, found, said, status
):
  (compared, differing, same), folder = found, _folder(tmp_path, (0,))
  done = replay.Replay(replay.Where(folder, 3, 0), compared, differing, 'abc', same)
  monkeypatch.setattr(replay, 'run', lambda *arguments: done)
  assert command.main([str(folder), '--update=3']) == status
  assert said in capsys.readouterr().out
