"""An experiment by name or path, and `--config.KEY=VALUE` on it.

A value is read as its key's annotation says (`r1jax/cli/settings.py`), so that a number never
becomes text and a tuple that is given twice is the second one.
"""

import ast
import dataclasses
import difflib
import importlib
import importlib.util
import operator
import pathlib
import sys
import traceback

import ml_collections

from r1jax import ranges
from r1jax.cli import flags, other_names, settings
from r1jax.data import source

_YES, _NO = ('true', '1', 'yes'), ('false', '0', 'no')


def load(given):
  """The locked ConfigDict of `--config` and its overrides.

  Args:
    given: what `flags.Parser.parse` returned; its `keys` become the names of the config's keys.

  Raises:
    ValueError: no such experiment, preset or key, or a value of the wrong kind; in one line.
  """
  config = experiment(given.config)
  given.keys = frozenset(one.name for one in settings.of(config))
  for key, text in given.overrides:
    override(config, key, text)
  # Behind all of them: the source of the questions may be named last.
  for key, _ in given.overrides:
    _check_read(config, key)
  return config


def _check_read(config, key):
  """Raises ValueError where a key of `data` does nothing with the source that is chosen."""
  section, _, last = key.rpartition('.')
  if section.split('.')[-1] != 'data':
    return
  name, readers = operator.attrgetter(f'{section}.name')(config), source.readers(last)
  if readers and name not in readers:
    raise ValueError(
      f'config.{key} is read where config.{section}.name is {" or ".join(readers)}; it is {name}'
    )


def experiment(text):
  """The config of NAME[:PRESET] or PATH[:PRESET], as its `get_config` returns it."""
  # 'r1_zero:hub' ends in a preset, 'host:/runs/mine.py' does not: a preset holds no '/'.
  name, colon, preset = text.rpartition(':')
  if not colon or '/' in preset:
    name, preset = text, ''
  module = _module(name)
  maker = getattr(module, 'get_config', None)
  if maker is None:
    raise ValueError(f'{name} has no get_config(preset), which an experiment must have')
  config = _called(name, lambda: maker(preset) if preset else maker())
  if not isinstance(config, ml_collections.ConfigDict):
    raise ValueError(f'get_config of {name} returned {type(config).__name__}, not a ConfigDict')
  return config.lock()


def _module(name):
  """The module of an experiment's name or path."""
  shipped = {one.name for one in flags.shipped()}
  # A name goes before a file, so that it means the same in every folder.
  if name in shipped:
    return importlib.import_module(f'r1jax.experiments.{name}')
  path = pathlib.Path(name)
  if path.is_file() and path.suffix == '.py':
    return _called(name, lambda: _execute(path))
  if path.suffix == '.py' or '/' in name:
    what = 'No experiment, which ends in .py' if path.exists() else 'No such file or directory'
    told = f"{what}: '{name}'; by name there are {', '.join(sorted(shipped))}"
    if path.stem in shipped:
      told += f' (--config={path.stem} runs the one that ships)'
    raise ValueError(told)
  near = difflib.get_close_matches(name, shipped, 1)
  hint = f': did you mean {near[0]}?' if near else '.'
  raise ValueError(f'no experiment {name}{hint} There are {", ".join(sorted(shipped))}')


def _execute(path):
  spec = importlib.util.spec_from_file_location(path.stem, path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def _called(name, make):
  """`make()`; what goes wrong in somebody's file is a ValueError that names file and line."""
  try:
    return make()
  # The experiment's own refusal, in its own words.
  except ValueError:
    raise
  except SyntaxError as error:
    raise ValueError(f'{error.filename}, line {error.lineno}: {error.msg}') from error
  except Exception as error:
    # The innermost line is the one to look at.
    last = traceback.extract_tb(sys.exc_info()[2])[-1]
    what = f'{type(error).__name__}: {error}'
    raise ValueError(f'{name} fails ({last.filename}, line {last.lineno}): {what}') from error


def override(config, key, text):
  """Sets the dotted `key` to what `text` says.

  Args:
    config: ConfigDict, locked or not.
    key: as in `rl.updates`.
    text: as the user wrote it; None, where nothing was written, is the yes of a switch.

  Raises:
    ValueError: there is no such key, or `text` is no value of its kind.
  """
  if key == 'stage':
    raise ValueError(f"config.stage={text}: what is done is the experiment's; name another one")
  # Down to the section of the key; a plain value in the way is an unknown key too.
  section, last = config, key.split('.')[-1]
  for name in key.split('.')[:-1]:
    inner = section.get(name, None) if name in section else None
    if not isinstance(inner, ml_collections.ConfigDict):
      raise ValueError(_unknown(config, key))
    section = inner
  if last not in section:
    raise ValueError(_unknown(config, key))
  if isinstance(section[last], ml_collections.ConfigDict):
    held = ', '.join(sorted(section[last]))
    raise ValueError(f'config.{key} is a section; set one of its keys: {held}')
  hint = settings.hint(config, key)
  # It holds None where the experiment leaves a section out.
  if dataclasses.is_dataclass(ranges.plain(hint)[0]):
    raise ValueError(f'config.{key}={text}: that is a section, which this experiment leaves out')
  value = _value(key, hint, text)
  with section.ignore_type():  # the annotation is what decides: None may become a number
    section[last] = value


def _unknown(config, key):
  """What to say of a key that there is not: the nearest ones that there are."""
  there = [one.name for one in settings.of(config)]
  where, _, last = key.rpartition('.')
  beside = [name for name in there if name.rpartition('.')[0] == where]
  # Beside the key first, where typing errors end; anywhere else only what is nearly the same.
  near = difflib.get_close_matches(key, beside, 1) or difflib.get_close_matches(key, there, 1, 0.8)
  # A right name in a wrong section, or without one.
  near += [name for name in there if name.rpartition('.')[2] == last and name not in near]
  # What it is called elsewhere looks like none of ours, or like a wrong one.
  ours = other_names.ours(key, there)
  if ours and key not in near:
    near = [ours]
  if near:
    told = ' or '.join(f'config.{name}' for name in near[:3])
    return f'unknown key --config.{key}: did you mean {told}?'
  if settings.known(key):
    stage = config.get('stage', 'this experiment')
    return f'unknown key --config.{key}: the stage {stage} has no such key'
  return f'unknown key --config.{key}; r1jax config NAME lists those there are'


def _value(key, hint, text):
  """`text` as a value of the annotation `hint`."""
  kind, optional = ranges.plain(hint)
  if optional and text in ('None', 'none'):
    return None
  if text == ranges.AUTO and ranges.takes(hint, text):
    return text
  try:
    return _READERS.get(kind, _literal)(text)
  # All that `ast.literal_eval` raises on a text from outside.
  except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
    shown = '' if text is None else text
    raise ValueError(f'config.{key}={shown} is not {ranges.describe(hint)}') from error


def _switch(text):
  if text is None or text.lower() in _YES:
    return True
  if text.lower() in _NO:
    return False
  raise ValueError(text)


def _text(text):
  if text is None:
    raise ValueError('nothing is written')
  return text


def _literal(text):
  """A tuple as Python writes it; brackets may be left out, and square ones are as good."""
  value = _tuples(ast.literal_eval(text.strip()))
  # '8' for a tuple is the tuple of one.
  return value if isinstance(value, tuple) else (value,)


def _tuples(value):
  if isinstance(value, (list, tuple)):
    return tuple(_tuples(item) for item in value)
  return value


_READERS = {bool: _switch, int: int, float: float, str: _text}
