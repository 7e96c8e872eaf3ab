"""The house stands: every file imports its own floor or a lower one, and nothing foreign."""

import ast
import pathlib
import pkgutil
import subprocess
import sys

import pytest

import r1jax

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOREIGN = {'torch', 'transformers', 'tensorflow'}
FLOORS = {
  'kernels': 0,
  'sharding': 0,
  'params': 0,
  'processes': 0,
  'cores': 0,
  'precision': 0,
  'ranges': 0,
  'files': 0,
  'programs': 0,
  'compiler_memory': 0,
  'terminal': 0,
  'admission': 0,
  'keys': 0,
  'model': 1,
  'sampling': 2,
  'data': 2,
  'rewards': 2,
  'interchange': 2,
  'algorithms': 3,
  'train': 4,
  'evaluation': 4,
  'stages': 5,
  'config': 6,
  'planning': 7,
  'runs': 8,
  'cli': 9,
}
COMMANDS = 9  # main.py and the other commands beside cli
# All that rules may know: a reward is text in, verdict out.
KNOWN_TO_REWARDS = {'rewards', 'data.template', 'data.problem', 'processes', 'files', 'ranges'}
AXIS_OWNERS = {'r1jax/sharding.py'} | {
  f'r1jax/model/{name}.py' for name in ('attention', 'config', 'dispatch')
}


def sources():
  """Every Python file of the library: (path from the root, syntax tree)."""
  files = [*(ROOT / 'r1jax').rglob('*.py'), *(ROOT / 'kernels').rglob('*.py')]
  return [(p.relative_to(ROOT).as_posix(), ast.parse(p.read_text())) for p in sorted(set(files))]


def imports(tree):
  """(line, dotted module) of every import; `from a import b` counts as a.b."""
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      yield from ((node.lineno, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield from ((node.lineno, f'{"." * node.level}{node.module}.{a.name}') for a in node.names)


def floor(part):
  """Floor of what is called r1jax.`part`."""
  return FLOORS.get(part, COMMANDS)


def part_of(path):
  """First name below r1jax of a file: 'model', 'sharding', 'kernels', ..."""
  parts = path.removesuffix('.py').split('/')
  return parts[0] if parts[0] == 'kernels' else parts[1]


def test_every_file_imports_its_own_floor_or_a_lower_one():
  wrong = []
  for path, tree in sources():
    if path == 'r1jax/__init__.py':
      continue
    own = floor(part_of(path))
    for line, module in imports(tree):
      parts = module.split('.')
      if parts[0] == 'r1jax' and len(parts) > 1 and floor(parts[1]) > own:
        wrong.append(f'{path}:{line} (floor {own}) imports {module} (floor {floor(parts[1])})')
  assert not wrong, '\n'.join(wrong)


def test_every_folder_has_a_floor():
  folders = {p.parent.name for p in (ROOT / 'r1jax').glob('*/*.py')}
  assert folders <= set(FLOORS), folders - set(FLOORS)


def test_rewards_know_text_and_nothing_of_models_or_configs():
  wrong = [
    f'{path}:{line} imports {module}'
    for path, tree in sources()
    if path.startswith('r1jax/rewards/')
    for line, module in imports(tree)
    if module.startswith('r1jax.')
    and not any(f'{module}.'.startswith(f'r1jax.{known}.') for known in KNOWN_TO_REWARDS)
  ]
  assert not wrong, '\n'.join(wrong)


def test_no_module_uses_anothers_private_name():
  wrong = []
  for path, tree in sources():
    modules = {
      alias.asname or alias.name
      for node in ast.walk(tree)
      if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('r1jax')
      for alias in node.names
    }
    wrong += [
      f'{path}:{node.lineno} uses {node.value.id}.{node.attr}'
      for node in ast.walk(tree)
      if isinstance(node, ast.Attribute)
      and isinstance(node.value, ast.Name)
      and node.value.id in modules
      and node.attr.startswith('_')
      and not node.attr.startswith('__')
    ]
  assert not wrong, '\n'.join(wrong)


def test_kernels_import_nothing_of_the_library_but_themselves():
  wrong = [
    f'{path}:{line} imports {module}'
    for path, tree in sources()
    if path.startswith('kernels/')
    for line, module in imports(tree)
    if module.split('.')[0] == 'r1jax' and not module.startswith('r1jax.kernels')
  ]
  assert not wrong, '\n'.join(wrong)


def test_nothing_imports_torch_transformers_or_tensorflow():
  wrong = [
    f'{path}:{line} imports {module}'
    for path, tree in sources()
    for line, module in imports(tree)
    if module.split('.')[0] in FOREIGN
  ]
  assert not wrong, '\n'.join(wrong)


def test_mesh_axes_are_named_only_by_the_rules_table_and_the_islands():
  axes, wrong = {'fsdp', 'tensor', 'expert', 'context', 'node'}, []
  for path, tree in sources():
    if path in AXIS_OWNERS:
      continue
    wrong += [
      f'{path}:{node.lineno} names the mesh axis {node.value!r}'
      for node in ast.walk(tree)
      if isinstance(node, ast.Constant) and node.value in axes
    ]
  assert not wrong, '\n'.join(wrong)


def test_importing_every_module_loads_no_foreign_framework():
  modules = [m.name for m in pkgutil.walk_packages(r1jax.__path__, 'r1jax.')]
  if 'r1jax.model.transformer' not in modules:
    pytest.fail(f'only {modules} were found')
  program = (
    'import importlib, sys\n'
    f'for name in {modules!r}: importlib.import_module(name)\n'
    f'print(sorted({FOREIGN!r} & set(sys.modules)))'
  )
  done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, cwd=ROOT)
  assert done.returncode == 0, done.stderr[-2000:]
  assert done.stdout.splitlines()[-1] == '[]', done.stdout
