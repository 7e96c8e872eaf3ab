"""A graph of small stages for tests of workers: python -m tests.pipeline.side_by_side DIR COUNT."""

import functools
import os
import pathlib
import sys
import time

from r1jax.pipeline import stages, workers

CODE = 'r1jax.data.template'
# `left` and `right` each wait until the other has begun; so does nothing else.
NEEDS = {'first': (), 'left': ('first',), 'right': ('first',), 'last': ('left', 'right')}
_OTHER = {'left': 'right', 'right': 'left'}


def graph(folder, told=''):
  """The graph; `told` is 'fail' or 'wait' for what `right` does after it has begun."""
  make = lambda name: functools.partial(_make, name, told)
  nodes = [stages.Node(name, needs, {}, CODE, make(name)) for name, needs in NEEDS.items()]
  return stages.Graph(folder, nodes, say=lambda text: None)


def _make(name, told, folder, inputs):
  (folder / 'process').write_text(f'{os.getpid()} {sorted(os.sched_getaffinity(0))}')
  if name in _OTHER:
    _wait_for(folder.parent / _OTHER[name] / 'process')
  print(f'the stage {name}')
  if name == 'right' and told == 'fail':
    raise ValueError('3 is no 4')
  if name == 'right' and told == 'wait':
    _wait_for(folder / 'never')
  text = ''.join((path / 'text').read_text() for path in inputs.values())
  (folder / 'text').write_text(f'({text}){name}')
  return stages.Made({'data': 'text'}, {'length': len(text)})


def _wait_for(path, seconds=60):
  end = time.monotonic() + seconds
  while not path.exists():
    if time.monotonic() > end:
      raise TimeoutError(f'{path} never came')
    time.sleep(0.01)


if __name__ == '__main__':
  workers.run(functools.partial(graph, pathlib.Path(sys.argv[1]), *sys.argv[3:]), int(sys.argv[2]))
