"""A graph of small stages for tests of workers.

python -m tests.runs.graph.side_by_side DIR COUNT
"""

import functools
import os
import pathlib
import signal
import sys
import time

import ml_collections

from r1jax import cores
from r1jax.runs.graph import graph, workers
from r1jax.train import loop

CODE = 'r1jax.data.template'
NEEDS = {'first': (), 'left': ('first',), 'right': ('first',), 'last': ('left', 'right')}
MEETING = {'left': 'right', 'right': 'left'}  # each waits until the other has begun


def settings(folder, count, told=''):
  """A config; `told` is 'fail' or 'wait' for what `right` does after it has begun.

  `left` then trains: it saves and stops when a signal comes.
  """
  return ml_collections.ConfigDict({'workdir': str(folder), 'workers': count, 'told': told})


def build(config):
  """The graph of such a config."""
  make = lambda name: functools.partial(_make, name, config.told)
  nodes = [graph.Node(name, needs, {}, CODE, make(name)) for name, needs in NEEDS.items()]
  return graph.Graph(config.workdir, nodes, say=lambda text: None)


def _make(name, told, folder, inputs):
  (folder / 'process').write_text(f'{os.getpid()} {cores.available()}')
  if name in MEETING:
    _wait_for(folder.parent / MEETING[name] / 'process')
  print(f'the stage {name}')
  if name == 'left' and told:
    _train(folder)
  if name == 'right' and told:
    _wait_for(folder.parent / 'left' / 'trains')
  if name == 'right' and told == 'fail':
    raise ValueError('3 is no 4')
  if name == 'right' and told == 'wait':
    _wait_for(folder / 'never')
  text = ''.join((path / 'text').read_text() for path in inputs.values())
  (folder / 'text').write_text(f'({text}){name}')
  return graph.Made({'data': 'text'}, {'length': len(text)})


def _train(folder):
  with loop.Signals() as signals:
    (folder / 'trains').write_text('')
    _wait_until(lambda: signals.asked)
  (folder / 'saved').write_text(signals.asked)
  raise loop.Interrupted('saved', signal.SIGTERM)


def _wait_for(path):
  _wait_until(path.exists)


def _wait_until(holds, seconds=60):
  end = time.monotonic() + seconds
  while not holds():
    if time.monotonic() > end:
      raise TimeoutError(f'not within {seconds} s')
    time.sleep(0.01)


if __name__ == '__main__':
  workers.run(build, settings(pathlib.Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
