"""Every notebook runs from its first cell to its last and can be opened in Colab."""

import importlib.util
import json
import pathlib
import subprocess
import sys

import pytest

from r1jax.interchange import fetched
from tests import small_runs

FOLDER = small_runs.ROOT / 'notebooks'
NAMES = sorted(path.stem for path in FOLDER.glob('*.ipynb'))
SPEC = importlib.util.spec_from_file_location('execute', FOLDER / 'execute.py')
execute = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(execute)

# A run of half an hour at its smallest, of a model that is not everywhere.
SMALLER = {'6_smollm2': ('UPDATES=1', 'QUESTIONS=8')}
NEEDED = {'6_smollm2': 'smollm2'}


def cells(name):
  return json.loads((FOLDER / f'{name}.ipynb').read_text())['cells']


@pytest.mark.heavy
@pytest.mark.parametrize('name', NAMES)
def test_a_notebook_runs_to_its_end(name):
  if name in NEEDED and not fetched.place(NEEDED[name]).exists():
    pytest.skip(f'needs `r1jax fetch {NEEDED[name]}`, a model of 98 MB')
  smaller = [f'--set={value}' for value in SMALLER.get(name, ())]
  command = [sys.executable, 'notebooks/execute.py', *smaller, f'notebooks/{name}.ipynb']
  done = subprocess.run(
    command,
    cwd=small_runs.ROOT,
    env=small_runs.environment(),
    capture_output=True,
    text=True,
    timeout=600,
  )
  assert done.returncode == 0, done.stderr[-3000:]
  assert 'all cells ran' in done.stderr


def test_a_value_of_a_cell_is_replaced(tmp_path):
  path = tmp_path / 'small.ipynb'
  cell = {
    'cell_type': 'code',
    'source': ['UPDATES = 24  # long\n', 'print(UPDATES)'],
    'outputs': [],
  }
  path.write_text(json.dumps({'cells': [cell]}))
  command = [sys.executable, 'notebooks/execute.py', '--write', path]
  done = subprocess.run([*command, '--set=UPDATES=2'], cwd=small_runs.ROOT, check=False)
  assert done.returncode == 0
  (said,) = json.loads(path.read_text())['cells'][0]['outputs']
  assert said['text'] == ['2\n']


def test_what_would_end_half_way_is_refused_before_a_cell_runs():
  cell = {'cell_type': 'code', 'source': ['raise RuntimeError("it ran")']}
  with pytest.raises(ValueError, match='no line of a cell assigns STEPS'):
    execute.prepared({'cells': [cell]}, ['STEPS=2'])
  several = {'cell_type': 'code', 'source': ['X = [\n', '  1,\n', ']']}
  with pytest.raises(ValueError, match='cell 1, line 2: unexpected indent'):
    execute.prepared({'cells': [cell, several]}, ['X=5'])
  with pytest.raises(ValueError, match='X is given twice'):
    execute.prepared({'cells': [several]}, ['X=5', 'X=6'])


@pytest.mark.parametrize('value', ["'a=b'", r"r'\1\g<0>'", '1 + 1  # two'])
def test_a_value_arrives_as_it_was_written(value):
  used = set()
  found = execute.replaced('X = 1\ny = X', [f'X={value}'], used)
  assert found == f'X = {value}\ny = X' and used == {'X'}


@pytest.mark.parametrize('text', ['X', 'X=', 'X=1 +'])
def test_a_value_that_is_no_expression_is_refused(text):
  with pytest.raises(ValueError, match='NAME=VALUE needs a Python expression'):
    execute.replaced('X = 1', [text], set())


def test_a_failing_cell_is_a_failure(tmp_path):
  path = tmp_path / 'bad.ipynb'
  cell = {'cell_type': 'code', 'source': ['assert 1 + 1 == 3'], 'outputs': []}
  path.write_text(json.dumps({'cells': [cell]}))
  command = [sys.executable, 'notebooks/execute.py', path]
  done = subprocess.run(command, cwd=small_runs.ROOT, capture_output=True, text=True, check=False)
  assert done.returncode == 1 and 'AssertionError' in done.stderr


@pytest.mark.parametrize('name', NAMES)
def test_a_notebook_opens_in_colab_and_installs_itself_first(name):
  text, first = ''.join(cells(name)[0]['source']), ''.join(cells(name)[1]['source'])
  link = text.split('(https://colab.research.google.com/github/')[1].split(')')[0]
  assert link.endswith(f'/blob/main/notebooks/{name}.ipynb')
  owner = link.split('/blob/')[0]
  assert f'https://github.com/{owner}.git' in first and 'except ImportError' in first


@pytest.mark.parametrize('name', NAMES)
def test_a_notebook_is_stored_with_what_its_cells_gave(name):
  code = [cell for cell in cells(name) if cell['cell_type'] == 'code']
  assert len(code) <= 9
  assert sum(bool(cell['outputs']) for cell in code) >= 3
  stored = json.dumps([cell['outputs'] for cell in code])
  assert 'Traceback' not in stored and str(pathlib.Path.home()) not in stored


def test_links_can_be_pointed_at_another_repository(tmp_path):
  path = tmp_path / 'a.ipynb'
  path.write_text((FOLDER / f'{NAMES[0]}.ipynb').read_text())
  command = [sys.executable, 'notebooks/execute.py', '--repository=me/mine', path]
  subprocess.run(command, cwd=small_runs.ROOT, check=True)
  text = path.read_text()
  assert text.count('me/mine') == 2 and json.loads(text)
