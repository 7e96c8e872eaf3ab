"""A run that ends when its time is over, goes on, and leaves the best model beside the last."""

import json
import re

import pytest

from tests import small_runs


@pytest.mark.heavy
def test_a_run_ends_in_time_goes_on_and_leaves_its_best_model(tmp_path, small):
  watched = small | {'evaluation__every': 1, 'loop__keep_best': True, 'rl__updates': 3}
  # Less time than an update takes: each start makes one.
  stopped = small_runs.end(
    small_runs.start(tmp_path / 'run', devices=1, loop__minutes=1e-4, **watched), tmp_path / 'run'
  )
  assert stopped.status == 0, stopped.stderr[-2000:]
  assert 'stopped after update 1 of 3, as loop.minutes are over' in stopped.stdout
  assert not (tmp_path / 'run' / 'model').exists()
  run = small_runs.finish(tmp_path / 'run', devices=1, **watched)
  told = re.search(r'model/ is of the last update, 3; model-best/ is of update (\d)', run.stdout)
  best = json.loads((run.folder / 'model-best' / 'best.json').read_text())
  scores = [row['eval/pass_at_1'] for row in run.rows]
  assert int(told[1]) == best['step'] == 1 + scores.index(max(scores))
  assert best['pass@1'] == max(scores)
  # The best model is that of a run which ended there.
  short = small_runs.finish(
    tmp_path / 'short', devices=1, **(small | {'rl__updates': best['step']})
  )
  weights = [
    path / 'model.safetensors' for path in (run.folder / 'model-best', short.folder / 'model')
  ]
  assert weights[0].read_bytes() == weights[1].read_bytes()
  assert weights[0].read_bytes() != (run.folder / 'model' / 'model.safetensors').read_bytes()
