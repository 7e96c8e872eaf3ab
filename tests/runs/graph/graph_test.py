"""The graph: a stage is made once, again only where something it depends on has changed."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from r1jax.runs.graph import graph
from tests import small_runs

CODE = 'r1jax.data.template'


class World:
  """a -> b -> d, a -> c -> d: each stage writes its own number plus the sum of what it reads."""

  def __init__(self, folder, **numbers):
    self.folder, self.calls = folder, []
    self.numbers = {'a': 1, 'b': 10, 'c': 100, 'd': 1000} | numbers
    self.fails = ''

  def graph(self, given=None):
    needs = {'a': tuple(given or ()), 'b': ('a',), 'c': ('a',), 'd': ('b', 'c')}
    nodes = [
      graph.Node(name, needs[name], {'number': number}, CODE, self.maker(name, number))
      for name, number in self.numbers.items()
    ]
    return graph.Graph(self.folder, nodes, given, say=lambda text: None)

  def maker(self, name, number):
    def make(folder, inputs):
      self.calls.append(name)
      total = number + sum(int((path / 'sum').read_text()) for path in inputs.values())
      (folder / 'sum').write_text(str(total))
      if name == self.fails:
        raise RuntimeError('stopped')
      return graph.Made({'data': 'sum'}, {'total': total})

    return make

  def run(self, until='', given=None):
    """Names of the stages that a run made, in order."""
    self.calls.clear()
    self.graph(given).run(until)
    return list(self.calls)


@pytest.fixture
def world(tmp_path):
  return World(tmp_path / 'run')


def test_a_finished_stage_is_not_run_twice(world):
  assert world.run() == ['a', 'b', 'c', 'd']
  assert (world.folder / 'd' / 'sum').read_text() == '1112'
  assert world.run() == []


@pytest.mark.parametrize('changed, again', [('a', 'abcd'), ('b', 'bd'), ('c', 'cd'), ('d', 'd')])
def test_a_changed_config_makes_just_what_depends_on_it(world, changed, again):
  world.run()
  world.numbers[changed] += 5
  assert world.run() == list(again)
  total = sum(int((world.folder / name / 'sum').read_text()) for name in 'bc')
  assert int((world.folder / 'd' / 'sum').read_text()) == total + world.numbers['d']


def test_going_back_to_an_old_config_uses_its_stages_again(world):
  world.run()
  world.numbers['b'] = 11
  assert world.run() == ['b', 'd']
  world.numbers['b'] = 10
  assert world.run() == []
  assert (world.folder / 'd' / 'sum').read_text() == '1112'
  world.numbers['b'] = 11
  assert world.run() == []
  assert (world.folder / 'd' / 'sum').read_text() == '1113'


def test_another_input_makes_everything_again(world, tmp_path):
  given = tmp_path / 'base'
  given.mkdir()
  (given / 'sum').write_text('5')
  assert world.run(given={'base': given}) == ['a', 'b', 'c', 'd']
  assert world.run(given={'base': given}) == []
  (given / 'sum').write_text('6')
  assert world.run(given={'base': given}) == ['a', 'b', 'c', 'd']


def test_changed_code_changes_the_key(world, monkeypatch):
  before = world.graph().keys
  monkeypatch.setattr(graph.fingerprint, 'code', lambda module: 'other')
  assert all(world.graph().keys[name] != key for name, key in before.items())


def test_a_failed_stage_goes_on_in_its_folder_and_later_ones_wait(world):
  world.fails = 'b'
  with pytest.raises(RuntimeError, match='stopped'):
    world.run()
  manifest = json.loads((world.folder / 'manifest.json').read_text())['stages']
  assert {name: row['status'] for name, row in manifest.items()} == {
    'a': 'done', 'b': 'begun', 'c': 'waiting', 'd': 'waiting',
  }  # fmt: skip
  (world.folder / 'b' / 'checkpoint').write_text('half')
  world.fails = ''
  assert world.run() == ['b', 'c', 'd']
  assert (world.folder / 'b' / 'checkpoint').exists()


def test_until_makes_a_stage_and_what_it_needs(world):
  assert world.run('b') == ['a', 'b']
  assert world.run('c, b') == ['c']
  with pytest.raises(graph.StageError, match="no stage 'x'; the stages are a, b, c, d"):
    world.run('x')


def test_the_manifest_lists_keys_seconds_and_outputs_with_their_hashes(world):
  made = world.graph()
  manifest = made.run()
  assert json.loads((world.folder / 'manifest.json').read_text()) == manifest
  row = manifest['stages']['d']
  assert row['key'] == made.keys['d'] and len(row['key']) == 64 and row['seconds'] >= 0
  assert row['outputs'] == {
    'data': {'path': 'sum', 'sha256': graph.fingerprint.digest(world.folder / 'd' / 'sum')}
  }
  assert row['figures'] == {'total': 1112}


def test_an_output_that_has_changed_or_gone_is_an_error_that_says_what_to_do(world):
  world.run()
  (world.folder / 'b' / 'sum').write_text('7')
  with pytest.raises(graph.StageError, match='b/sum .*has changed; remove .*b to make it again'):
    world.run()
  (world.folder / 'b' / 'sum').unlink()
  with pytest.raises(graph.StageError, match='is gone'):
    world.run()


def test_a_graph_with_a_stage_before_its_input_or_twice_is_refused(tmp_path):
  node = lambda name, *needs: graph.Node(name, needs, {}, CODE, None)
  with pytest.raises(graph.StageError, match="'b' needs 'c'"):
    graph.Graph(tmp_path, [node('b', 'c'), node('c')])
  with pytest.raises(graph.StageError, match="'b' is there twice"):
    graph.Graph(tmp_path, [node('b'), node('b')])


_SLOW = """
import pathlib, sys, time
from r1jax import files
from r1jax.runs.graph import graph

def maker(name):
  def make(folder, inputs):
    for part in range(20):
      path = folder / f'part{part}'
      if not path.exists():
        files.write_atomically(path, f'{name}{part}')
        time.sleep(0.004)
    text = ''.join(sorted(p.read_text() for p in folder.glob('part*')))
    text += ''.join((path / 'all').read_text() for path in inputs.values())
    files.write_atomically(folder / 'all', text)
    return graph.Made({'data': 'all'})
  return make

names = 'abc'
nodes = [
  graph.Node(n, tuple(names[i - 1 : i]) if i else (), {}, 'r1jax.data.template', maker(n))
  for i, n in enumerate(names)
]
print('ready', flush=True)
graph.Graph(pathlib.Path(sys.argv[1]), nodes).run()
"""


def test_kill_9_at_any_moment_and_again_ends_in_the_same_outputs(tmp_path):
  start = lambda folder: subprocess.Popen(
    [sys.executable, '-c', _SLOW, str(folder)],
    cwd=small_runs.ROOT,
    stdout=subprocess.PIPE,
    env=os.environ | {'JAX_PLATFORMS': 'cpu'},
  )
  whole = start(tmp_path / 'whole')
  assert whole.wait() == 0
  for seconds in (0.03, 0.12):
    process = start(tmp_path / 'cut')
    process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
  last = start(tmp_path / 'cut')
  assert last.wait() == 0
  for folder in ('whole', 'cut'):
    assert json.loads((tmp_path / folder / 'manifest.json').read_text())
  rows = [
    json.loads((tmp_path / f / 'manifest.json').read_text())['stages'] for f in ('whole', 'cut')
  ]
  assert [{n: r['outputs'] for n, r in row.items()} for row in rows[:1]] == [
    {n: r['outputs'] for n, r in row.items()} for row in rows[1:]
  ]
  whole.stdout.close()
  last.stdout.close()
