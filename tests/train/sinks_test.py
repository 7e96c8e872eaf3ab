"""Figures that go to services too: what they are told, and what happens where they fail."""

import json
import os
import subprocess
import sys
import types

import pytest

from r1jax.train import loop, metrics, sinks
from tests import small_runs


class Service(types.ModuleType):
  """A module that stands for wandb or trackio and notes what it is told."""

  def __init__(self, name, fails=''):
    super().__init__(name)
    self.told, self.fails = [], fails
    self.url, self.dir = None, '/the/folder'

  def Settings(self, **settings):  # noqa: N802 - the service's name
    return settings

  def _note(self, what, *given, **named):
    if what == self.fails:
      raise ConnectionError(f'no {what}\nhere')
    self.told.append((what, given, named))
    return self

  def __getattr__(self, what):
    if what.startswith('__'):
      raise AttributeError(what)
    return lambda *given, **named: self._note(what, *given, **named)


@pytest.fixture
def service(monkeypatch):
  """A function that puts a `Service` in the place of a package."""

  def put(name, **more):
    made = Service(name, **more)
    monkeypatch.setitem(sys.modules, name, made)
    monkeypatch.delenv('WANDB_MODE', raising=False)
    return made

  return put


def written(folder, *others, resumed_from=0, steps=(1, 2)):
  """Writes two rows, one of them with a nan, into a run's folder; the lines that were said."""
  said = []
  with metrics.MetricsWriter(folder, resumed_from, said.append, others) as writer:
    for step in steps:
      writer.write(step, {'reward/total': step / 2, 'grpo/kl': float('nan')})
  return said


def test_a_service_is_told_the_config_and_every_finite_figure(tmp_path, service):
  (tmp_path / 'config.json').write_text('{"seed": 3}')
  wandb = service('wandb')
  said = written(tmp_path, 'wandb')
  (_, _, begun), *rest = wandb.told
  assert begun['config'] == {'seed': 3} and begun['project'] == 'r1jax'
  assert begun['dir'] == str(tmp_path) and begun['name'] == tmp_path.name
  assert rest == [
    ('define_metric', ('*',), {'step_metric': 'step'}),
    ('log', ({'step': 1, 'reward/total': 0.5},), {}),
    ('log', ({'step': 2, 'reward/total': 1.0},), {}),
    ('finish', (), {}),
  ]
  assert said == ['wandb: figures are also in /the/folder']
  # Without TensorBoard, which was not asked for, there are none of its events.
  assert not (tmp_path / 'tensorboard').exists()


def test_a_run_that_goes_on_is_the_same_one_for_the_service(tmp_path, service):
  wandb, trackio = service('wandb'), service('trackio')
  for start in (0, 2):
    written(tmp_path, 'wandb', 'trackio', resumed_from=start)
  names = [named['id'] for what, _, named in wandb.told if what == 'init']
  assert len(names) == 2 and len(set(names)) == 1
  runs = [named for what, _, named in trackio.told if what == 'init']
  assert runs[0] == runs[1] and runs[0]['resume'] == 'allow' and names[0] in runs[0]['name']
  other = tmp_path / 'other'
  written(other, 'wandb')
  assert wandb.told[-5][2]['id'] != names[0]


@pytest.mark.parametrize(
  'fails, sent, last',
  [
    (
      'init',
      [],
      'wandb: takes no figures of this start (ConnectionError: no init here); the run goes on '
      'without it',
    ),
    (
      'log',
      [],
      'wandb: cannot be written any more (ConnectionError: no log here); the run goes on without '
      'it from step 1, and has it again when it is started anew',
    ),
    ('finish', [1, 2], 'wandb: figures are also in /the/folder'),
  ],
)
def test_a_service_that_fails_stops_nothing_and_is_said_once(tmp_path, service, fails, sent, last):
  wandb = service('wandb', fails=fails)
  said = written(tmp_path, 'tensorboard', 'wandb')
  assert [given[0]['step'] for what, given, _ in wandb.told if what == 'log'] == sent
  assert said[-1] == last and len(said) == (2 if fails == 'log' else 1)
  rows = [json.loads(line) for line in (tmp_path / 'metrics.jsonl').open()]
  assert [row['step'] for row in rows] == [1, 2] and any((tmp_path / 'tensorboard').iterdir())


def test_a_service_that_is_not_installed_is_refused_with_what_to_do(monkeypatch):
  monkeypatch.setattr(sinks.importlib.util, 'find_spec', lambda name: None)
  sinks.check(('tensorboard',))
  with pytest.raises(ValueError, match="loop.sinks has 'trackio', .* pip install trackio"):
    sinks.check(('tensorboard', 'trackio'))
  with pytest.raises(ValueError, match='sinks='):
    loop.LoopConfig(sinks=('neptune',))
  assert loop.LoopConfig().sinks == ('tensorboard',)


REAL = """
import sys
from r1jax.train import metrics
with metrics.MetricsWriter(sys.argv[1], 0, print, (sys.argv[2],)) as writer:
  for step in (1, 2, 3):
    writer.write(step, {'reward/total': step / 2})
"""


def real(name, folder, **variables):
  """Writes three rows by the package itself, in a process of its own; what that says."""
  pytest.importorskip(name)
  folder.mkdir()
  (folder / 'config.json').write_text('{"seed": 3}')
  done = subprocess.run(
    [sys.executable, '-c', REAL, folder, name],
    cwd=small_runs.ROOT,
    env=os.environ | {'JAX_PLATFORMS': 'cpu'} | variables,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  return done.stdout


def test_wandb_offline_keeps_the_figures_in_the_folder(tmp_path):
  said = real('wandb', tmp_path / 'run', WANDB_MODE='offline', HOME=str(tmp_path))
  assert 'wandb: figures are also in ' in said and 'takes no figures' not in said
  (kept,) = (tmp_path / 'run' / 'wandb').glob('offline-run-*/*.wandb')
  data = kept.read_bytes()
  assert b'reward/total' in data and b'seed' in data


def test_trackio_keeps_the_figures_on_this_machine(tmp_path):
  where = {'TRACKIO_DIR': str(tmp_path / 'trackio'), 'HF_HUB_OFFLINE': '1', 'HOME': str(tmp_path)}
  said = real('trackio', tmp_path / 'run', **where)
  assert 'trackio: figures are also in the project r1jax' in said
  read = (
    'import sqlite3, sys, glob\n'
    'for path in glob.glob(sys.argv[1] + "/*.db"):\n'
    '  for row in sqlite3.connect(path).execute("select step, metrics from metrics order by step"):'
    '\n    print(*row)'
  )
  done = subprocess.run(
    [sys.executable, '-c', read, tmp_path / 'trackio'], capture_output=True, text=True
  )
  assert [line.split()[0] for line in done.stdout.splitlines()] == ['1', '2', '3'], done
  assert '0.5' in done.stdout.splitlines()[0]
