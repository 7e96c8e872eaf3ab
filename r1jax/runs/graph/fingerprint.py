"""SHA-256 of code, of files and of folders: what a stage's key and the manifest are made of."""

import ast
import functools
import hashlib
import importlib.util
import pathlib


def digest(path):
  """SHA-256 of a file, or of the names and contents of all files under a folder."""
  path = pathlib.Path(path)
  if path.is_file():
    return _file(path)
  whole = hashlib.sha256()
  # In one order on every file system; names count, times do not.
  for one in sorted(p for p in path.rglob('*') if p.is_file()):
    whole.update(f'{one.relative_to(path).as_posix()} {_file(one)}\n'.encode())
  return whole.hexdigest()


@functools.cache
def code(module):
  """SHA-256 of a module's source and of every module of this package that it imports, directly or
  not, at its top or inside a function.
  """
  whole = hashlib.sha256()
  for name, path in sorted(_closure(module).items()):
    whole.update(f'{name} {_file(path)}\n'.encode())
  return whole.hexdigest()


def _closure(module):
  """Name -> file of the module and of what it imports of its own package."""
  sources, waiting = {}, [module]
  # Depth first over the imports; what is there already ends a circle of them.
  while waiting:
    name = waiting.pop()
    if name not in sources:
      sources[name] = _source(name)
      waiting += [one for one in _imports(sources[name]) if one.startswith(f'{_root(module)}.')]
  return sources


@functools.cache
def _imports(path):
  """Modules that a file imports; `from a import b` is a.b where that is a module, else a."""
  names = set()
  # Read, not imported: that would run it, and miss what a function imports when it is called.
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and not node.level:
      inner = {f'{node.module}.{alias.name}' for alias in node.names}
      names |= {name if _source(name) else node.module for name in inner}
  return tuple(name for name in sorted(names) if _source(name))


@functools.cache
def _source(name):
  """File of a module, None where there is no such module or it has no source."""
  try:
    spec = importlib.util.find_spec(name)
  # `from module import name` gives the name of a function as one of a module.
  except ModuleNotFoundError:
    return None
  python = spec is not None and spec.origin is not None and spec.origin.endswith('.py')
  return pathlib.Path(spec.origin) if python else None


def _root(module):
  return module.split('.')[0]


def _file(path):
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()
