"""Runs notebooks without Jupyter: python notebooks/execute.py [--write] [--set NAME=VALUE] FILE...

Each cell runs in order in one namespace, from an empty folder; what it prints and the figures it
shows become its output. Without --write the files stay as they are. With --set a line `NAME = ...`
of a cell reads `NAME = VALUE`, for a smaller run. With --repository=OWNER/NAME nothing is run: the
links to Colab and the address to clone from are rewritten.
"""

import argparse
import ast
import base64
import contextlib
import io
import json
import os
import pathlib
import re
import sys
import tempfile

os.environ['MPLBACKEND'] = 'agg'  # no window
from matplotlib import pyplot

from r1jax import processes

_ADDRESS = re.compile(r'github(\.com)?/[\w.-]+/[\w.-]+(?=/blob/|\.git)')


def prepared(notebook, values=()):
  """Number -> syntax tree of the code cells of a notebook (a dict, as JSON has it).

  Args:
    notebook: as JSON has it.
    values: texts NAME=VALUE, which replace what a line of a cell assigns.

  Raises:
    ValueError: no line assigns such a name, a name comes twice, or a cell is no Python (any more).
  """
  trees, used, names = {}, set(), [value.partition('=')[0] for value in values]
  if again := {name for name in names if names.count(name) > 1}:
    raise ValueError(f'--set: {", ".join(sorted(again))} is given twice')
  for number, cell in enumerate(notebook['cells']):
    if cell['cell_type'] != 'code':
      continue
    source = replaced(''.join(cell['source']), values, used)
    try:
      trees[number] = ast.parse(source, f'cell {number}')
    except SyntaxError as error:
      raise ValueError(f'cell {number}, line {error.lineno}: {error.msg}') from error
  if unused := set(names) - used:
    raise ValueError(f'--set: no line of a cell assigns {", ".join(sorted(unused))}')
  return trees


def execute(notebook, trees):
  """Runs the code cells of a notebook, as `prepared`, and gives them their outputs."""
  space = {'__name__': '__main__'}
  for number, tree in trees.items():
    cell, printed = notebook['cells'][number], io.StringIO()
    with contextlib.redirect_stdout(printed):
      exec(compile(tree, f'cell {number}', 'exec'), space)
    cell['outputs'] = [_text(printed.getvalue())] if printed.getvalue() else []
    cell['outputs'] += [_picture(pyplot.figure(n)) for n in pyplot.get_fignums()]
    pyplot.close('all')
  processes.settle()  # while its arrays are still held: its names end here


def replaced(source, values, used):
  """A cell's source with `values` as for `execute`; names that it assigns are added to `used`."""
  for name, _, value in (text.partition('=') for text in values):
    try:
      ast.parse(value, mode='eval')
    except SyntaxError as error:
      raise ValueError(f'--set={name}: NAME=VALUE needs a Python expression as VALUE') from error
    line = f'{name} = {value}'
    # Yes: `UPDATES = 24  # ...` at the start of a line. No: `  UPDATES = 24`, `f(UPDATES=24)`.
    # By a function, as a backslash of the value would be read as one of the pattern's.
    source, count = re.subn(rf'(?m)^{re.escape(name)} = .*$', lambda _, line=line: line, source)
    used |= {name} if count else set()
  return source


def _text(text):
  return {'output_type': 'stream', 'name': 'stdout', 'text': text.splitlines(keepends=True)}


def _picture(figure):
  png = io.BytesIO()
  figure.savefig(png, format='png', dpi=80, bbox_inches='tight')
  data = {'image/png': base64.b64encode(png.getvalue()).decode()}
  return {'output_type': 'display_data', 'data': data, 'metadata': {}}


def readdressed(text, repository):
  """The file's text with all links and the clone at another OWNER/NAME."""
  return _ADDRESS.sub(lambda found: f'github{found[1] or ""}/{repository}', text)


def main():
  """Runs the files named on the command line; an error in a cell ends with its traceback."""
  flags = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  flags.add_argument('files', nargs='+', type=pathlib.Path)
  flags.add_argument('--write', action='store_true', help='keep the outputs in the files')
  flags.add_argument('--set', action='append', default=[], metavar='NAME=VALUE')
  flags.add_argument('--repository', help='OWNER/NAME on GitHub that links shall point to')
  given = flags.parse_args()
  for path in map(pathlib.Path.absolute, given.files):
    if given.repository:
      path.write_text(readdressed(path.read_text(), given.repository))
      continue
    # Before anything runs, which takes minutes.
    try:
      notebook = json.loads(path.read_text())
      trees = prepared(notebook, given.set)
    except (OSError, ValueError) as error:
      flags.error(f'{path.name}: {getattr(error, "strerror", None) or error}')
    with tempfile.TemporaryDirectory() as folder:
      os.chdir(folder)
      execute(notebook, trees)
      os.chdir(path.parent)
    if given.write:
      path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + '\n')
    print(f'{path.name}: all cells ran', file=sys.stderr)


if __name__ == '__main__':
  main()
