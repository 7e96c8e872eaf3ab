"""The budgets that keep the code readable; a failure names the file and the line."""

import ast
import io
import itertools
import pathlib
import re
import tokenize

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ('r1jax', 'kernels', 'experiments', 'benchmarks', 'tests')
LIBRARY = ('r1jax/', 'kernels/')
FILE_LINES, FUNCTION_LINES, ARGUMENTS, NESTING = 400, 60, 7, 3
COMMENT_SHARE, SMALL = 0.10, 60  # a share says nothing about a small file
EXAMPLE = re.compile(r'\b(Yes|No): ')
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
BLOCK = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.AsyncFor, ast.AsyncWith, ast.Match)


def files():
  """(path from the root, text) of every Python file."""
  found = (p for folder in FOLDERS for p in sorted((ROOT / folder).rglob('*.py')))
  return [(p.relative_to(ROOT).as_posix(), p.read_text()) for p in found]


def functions():
  """(path, function node) of every function of every file."""
  for path, text in files():
    yield from ((path, n) for n in ast.walk(ast.parse(text)) if isinstance(n, FUNCTION))


def depth(node):
  """How deep blocks nest inside `node`; an `elif` stays on its `if`'s level."""
  deepest = 0
  for child in ast.iter_child_nodes(node):
    if isinstance(child, (*FUNCTION, ast.Lambda, ast.ClassDef)):
      continue
    inside = depth(child)
    chained = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
    deepest = max(deepest, inside + (isinstance(child, BLOCK) and not chained))
  return deepest


def positional(function):
  """Number of positional arguments, `self` and `cls` not counted."""
  arguments = [*function.args.posonlyargs, *function.args.args]
  return len([a for a in arguments if a.arg not in ('self', 'cls')])


def report(wrong):
  """Fails with one line a finding."""
  assert not wrong, '\n' + '\n'.join(wrong)


def test_no_file_is_longer_than_400_lines():
  sizes = [(path, text.count('\n')) for path, text in files()]
  report([f'{path}:{n} has {n} lines' for path, n in sizes if n > FILE_LINES])


def test_no_function_is_longer_than_60_lines():
  sizes = [(path, f, f.end_lineno - f.lineno + 1) for path, f in functions()]
  report([f'{p}:{f.lineno} {f.name} has {n} lines' for p, f, n in sizes if n > FUNCTION_LINES])


def test_no_function_takes_more_than_7_positional_arguments():
  counts = [(path, f, positional(f)) for path, f in functions()]
  report([f'{p}:{f.lineno} {f.name} takes {n}' for p, f, n in counts if n > ARGUMENTS])


def test_no_block_nests_deeper_than_3():
  depths = [(path, f, depth(f)) for path, f in functions()]
  report([f'{p}:{f.lineno} {f.name} nests {n} deep' for p, f, n in depths if n > NESTING])


def test_every_public_thing_of_the_library_has_a_docstring():
  wrong = []
  for path, text in files():
    if not path.startswith(LIBRARY) or not text.strip():
      continue
    tree = ast.parse(text)
    scopes = [tree, *(n for n in tree.body if isinstance(n, ast.ClassDef))]
    nodes = [tree] + [
      n for scope in scopes for n in scope.body if isinstance(n, (*FUNCTION, ast.ClassDef))
    ]
    wrong += [
      f'{path}:{getattr(n, "lineno", 1)} {getattr(n, "name", "the module")} has no docstring'
      for n in nodes
      if not getattr(n, 'name', '').startswith('_') and not ast.get_docstring(n)
    ]
  report(wrong)


def test_comments_are_under_a_tenth_of_a_file():
  wrong = []
  for path, text in files():
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    told = [t.string for t in tokens if t.type == tokenize.COMMENT and 'noqa' not in t.string]
    # A regex has a matching and a failing text beside it, however many there are.
    comments = len([one for one in told if not EXAMPLE.search(one)])
    lines = len([line for line in text.splitlines() if line.strip()])
    if lines >= SMALL and comments >= COMMENT_SHARE * lines:
      wrong.append(f'{path}:1 has {comments} comments on {lines} lines')
  report(wrong)


def regexes(tree):
  """The assignments of a module that compile a regex, but for one sign that stands for itself."""
  for node in tree.body:
    made = isinstance(node, ast.Assign) and ast.unparse(node.value)
    if made and made.startswith('re.compile(') and not re.fullmatch(r"re\.compile\('.'\)", made):
      yield node


def test_every_regex_of_a_verifier_has_a_text_that_matches_and_one_that_does_not():
  wrong = []
  for path, text in files():
    lines = text.split('\n')
    judging = path.startswith(('r1jax/rewards/', 'r1jax/data/'))
    for node in regexes(ast.parse(text)) if judging else ():
      first = node.lineno - 1
      above = itertools.takewhile(lambda line: line.startswith('#'), reversed(lines[:first]))
      if not {'Yes', 'No'} <= set(EXAMPLE.findall(' '.join((*above, lines[first])))):
        wrong.append(f'{path}:{node.lineno} {lines[first]}')
  report(wrong)


def test_no_file_is_called_utils_or_common():
  names = {'utils.py', 'common.py', 'helpers.py', 'misc.py'}
  report([f'{path}:1' for path, _ in files() if path.rsplit('/', 1)[-1] in names])
