"""Runs notebooks without Jupyter: python notebooks/execute.py [--write] [--repository=O/N] FILE...

Each cell runs in order in one namespace, from an empty folder; what it prints and the figures it
shows become its output. Without --write the files stay as they are. With --repository the links
to Colab and the address to clone from are rewritten too.
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


def execute(notebook):
  """Runs the code cells of a notebook (a dict) and gives them their outputs."""
  space = {'__name__': '__main__'}
  for number, cell in enumerate(notebook['cells']):
    if cell['cell_type'] != 'code':
      continue
    printed, tree = io.StringIO(), ast.parse(''.join(cell['source']), f'cell {number}')
    with contextlib.redirect_stdout(printed):
      exec(compile(tree, f'cell {number}', 'exec'), space)
    cell['outputs'] = [_text(printed.getvalue())] if printed.getvalue() else []
    cell['outputs'] += [_picture(pyplot.figure(n)) for n in pyplot.get_fignums()]
    pyplot.close('all')
  processes.settle()  # while its arrays are still held: its names end here


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
  flags.add_argument('--repository', help='OWNER/NAME on GitHub that links shall point to')
  given = flags.parse_args()
  for path in map(pathlib.Path.absolute, given.files):
    if given.repository:
      path.write_text(readdressed(path.read_text(), given.repository))
      continue
    notebook = json.loads(path.read_text())
    with tempfile.TemporaryDirectory() as folder:
      os.chdir(folder)
      execute(notebook)
      os.chdir(path.parent)
    if given.write:
      path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + '\n')
    print(f'{path.name}: all cells ran', file=sys.stderr)


if __name__ == '__main__':
  main()
