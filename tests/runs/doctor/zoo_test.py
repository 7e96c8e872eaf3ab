"""Real runs that were broken on purpose, each by a diff of its config, and what the doctor says."""

import pytest

from r1jax.runs.doctor import rules
from r1jax.runs.show import reading
from tests import small_runs

pytestmark = pytest.mark.slow
# 24 updates of 8 x 8 replies, each on a rollout of its own: a minute of two cores.
HEALTHY = {
  'rl.updates': 24,
  'sample.group': 8,
  'sample.max_new': 64,
  'rl.mini_batches': 1,
  'rl.length_schedule': '((0,64),)',
  'rl.capacity': 112,
  'rl.samples_every': 8,
  'rl.silent_rollouts': 0,
  'loop.checkpoint_every': 24,
  'loop.keep': 2,
}
SHORT = {'sample.max_new': 4, 'rl.length_schedule': '((0,4),)'}
# name -> (diff, findings of which at least one must be named).
BROKEN = {
  'too short to answer': (SHORT, {'no reward'}),
  'too short for most': (
    {'sample.max_new': 12, 'rl.length_schedule': '((0,12),)'},
    {'replies are cut off', 'the cap teaches brevity'},
  ),
  'too cold to differ': ({'sample.temperature': 0.02}, {'groups agree'}),
  'refills that cannot help': (
    {'sample.temperature': 0.02, 'rl.dynamic_sampling': True, 'rl.max_refills': 1},
    {'refills run out'},
  ),
  'no learning rate': ({'optimizer.lr': 1e-9}, {'the policy does not move'}),
  'a learning rate a hundred times too high': (
    {'optimizer.lr': 3e-2},
    {'accuracy falls', 'the policy runs away', 'updates are too large', 'no reward'},
  ),
  'rows of which hardly any is used': (
    {'rl.rows': 8, 'rl.capacity': 1024},
    {'batches are mostly padding'},
  ),
  'questions that the base cannot answer': (
    {'data.levels': '(5,5)', 'reward.format': 0.0},
    {'groups agree', 'no reward'},
  ),
}


def findings(folder, diff, **more):
  """The doctor's findings on a small run with this diff: name -> line."""
  changed = {name.replace('.', '__'): value for name, value in (HEALTHY | diff).items()}
  run = small_runs.finish(folder, **changed, **more)
  found = rules.of(reading.read(run.folder))
  # What is wrong at its end was said while it ran.
  assert all(f'WARNING: {one.name}' in run.stdout for one in found)
  return {one.name: one.told() for one in found}


@pytest.mark.parametrize('name', BROKEN)
def test_a_broken_run_is_named(tmp_path, name):
  diff, wanted = BROKEN[name]
  found = findings(tmp_path / 'run', diff)
  assert wanted & found.keys(), found


@pytest.mark.parametrize('seed', range(3))
def test_a_healthy_run_has_no_finding(tmp_path, seed):
  assert findings(tmp_path / 'run', {}, seed=seed) == {}
