"""The names that programs find are those that the runner's imports bind."""

import builtins
import importlib

from r1jax.rewards.code import prelude


def test_each_name_is_what_the_imports_bind_when_python_runs_them():
  space = {}
  for module in prelude.STAR_IMPORTS:
    exec(f'from {module} import *', space)
  for module in prelude.IMPORTS:
    exec(f'import {module}', space)
  bound = {
    name: value
    for name, value in space.items()
    if name != '__builtins__' and not hasattr(builtins, name)
  }
  assert prelude.names().keys() == bound.keys() and len(bound) > 250
  for name, (module, attribute) in prelude.names().items():
    found = importlib.import_module(module)
    found = getattr(found, attribute) if attribute else found
    # Streams and the last error are other objects each time they are looked up under a test runner.
    assert found is bound[name] or module == 'sys' or found == bound[name], name


def test_names_that_several_modules_have_are_the_last_ones_and_builtins_stay_theirs():
  names = prelude.names()
  assert names['datetime'] == ('datetime', '') and names['time'] == ('datetime', 'time')
  assert names['Counter'] == ('typing', 'Counter') and names['sub'] == ('operator', 'sub')
  assert not {'pow', 'open', 'abs', 'exit', 'quit'} & names.keys()
