"""The names that LiveCodeBench's runner imports before every program, for every program here.

Starter code of its sites uses `List` or `gcd` without an import. The modules, their order and the
recursion limit are those of `import_string` in lcb_runner/evaluation/testing_util.py, the digits of
the longest integer (as text) those of compute_code_generation_metrics.py.
"""

import functools
import importlib

RECURSION_LIMIT = 50_000
LONGEST_INT = 50_000
STAR_IMPORTS = (
  'string', 're', 'datetime', 'collections', 'heapq', 'bisect', 'copy', 'math', 'random',
  'statistics', 'itertools', 'functools', 'operator', 'io', 'sys', 'json', 'builtins', 'typing',
)  # fmt: skip
# Bound again by `import`, after the stars: `datetime` is the module, not its class.
IMPORTS = STAR_IMPORTS[:16]


@functools.cache
def names():
  """Each name of the prelude: (module, attribute), '' for the module itself.

  A later module hides an earlier one. Built-in names are left out: the star import of builtins
  puts them back over `math.pow` and `io.open`. So are `exit` and `quit`, which are built in
  wherever Python has its site module, as that runner has.
  """
  places = {name: (module, name) for module in STAR_IMPORTS for name in _public(module)}
  places |= {module: (module, '') for module in IMPORTS}
  hidden = {*_public('builtins'), 'exit', 'quit'}
  return {name: place for name, place in places.items() if name not in hidden}


def _public(name):
  module = importlib.import_module(name)
  listed = getattr(module, '__all__', None)
  return listed if listed is not None else [n for n in dir(module) if not n.startswith('_')]
