"""What stands behind a command: flags of its own, and `--config=NAME --config.KEY=VALUE`.

Nothing here imports JAX; `r1jax/cli/overrides.py` says what the values mean.
"""

import argparse
import ast
import contextlib
import dataclasses
import difflib
import os
import pathlib
import re
import textwrap

from r1jax import experiments, ranges
from r1jax.cli import plugins

FOLDER = pathlib.Path(experiments.__file__).parent
_KEY = '--config.'
_OF_ALL = ('workdir', 'checkpoint', 'seed', 'mesh')  # keys without a section, often taken for flags
_SAID = ('prompt', 'system')  # flags whose text goes to the model as it is
# What may be a key in a message. Yes: `rl.rows` in 'rl.rows=3 x', `config.mesh`. No: in
# '--config.rl.rows', 'runs/rl.rows', 'mesh'.
_NAMED = re.compile(r'(?<![\w./-])(?:config\.(\w+(?:\.\w+)*)|(\w+(?:\.\w+)+))')


@dataclasses.dataclass(frozen=True)
class Experiment:
  """What a file of `experiments/` says of itself, read without running it.

  Attributes:
    name: of the file, as `--config=NAME` takes it.
    sentence: the first of its docstring.
    presets: what its `get_config` says about its presets.
  """

  name: str
  sentence: str
  presets: str


def shipped():
  """Every `Experiment` that ships with r1jax, by name."""
  return [_read(path) for path in sorted(FOLDER.glob('*.py')) if path.stem != '__init__']


def _read(path):
  # Parsed and not imported, which would load JAX before --help answers.
  tree = ast.parse(path.read_text())
  makers = [node for node in tree.body if getattr(node, 'name', '') == 'get_config']
  presets = ast.get_docstring(makers[0]) if makers else ''
  first = (ast.get_docstring(tree) or '').split('\n\n')[0]
  in_a_line = lambda text: ' '.join((text or '').split())
  return Experiment(path.stem, in_a_line(first), in_a_line(presets))


class Parser(argparse.ArgumentParser):
  """Flags whose errors are ValueErrors of one line, and whose help ends in examples."""

  def __init__(self, command, description, examples, config=False):
    """`config`: whether the command takes an experiment too; `examples`: lines of shell."""
    super().__init__(
      prog=f'r1jax {command}',
      description=description,
      epilog='examples:\n' + textwrap.indent(textwrap.dedent(examples).strip(), '  '),
      formatter_class=_Help,
      # What an abbreviation means would change with each new flag.
      allow_abbrev=False,
    )
    self._config = config
    if config:
      self.epilog = f'{_presets()}\n\n{self.epilog}'
      group = self.add_argument_group('what is run')
      group.add_argument(
        '--config',
        metavar='NAME[:PRESET]',
        help='an experiment by its name, see below, or by the path of its file',
      )
      group.add_argument(
        '--config.KEY',
        metavar='VALUE',
        help='changes one key of it; r1jax config NAME lists them',
      )

  def error(self, message):
    """Raises ValueError: argparse itself would print the usage and end the process."""
    raise ValueError(message)

  def parse(self, argv):
    """The flags; with `overrides`, [(key, text)], for a command that takes an experiment.

    Such a command's `keys` are empty: `overrides.load` puts the names of the config's keys there.

    Raises:
      ValueError: a flag that there is not (with the nearest), or a value of the wrong kind.
    """
    # argparse takes no open set of flags, so these are taken out before it.
    argv = [_at_home(*pair) for pair in zip(argv, ['', *argv])]
    rest, overrides = _overrides(argv) if self._config else (argv, [])
    given, unknown = self.parse_known_args(rest)
    if unknown:
      raise ValueError(self._unknown(unknown[0]))
    given.overrides = overrides
    if self._config:
      given.keys = frozenset()
    plugins.tell_in_a_line()
    return given

  def _unknown(self, text):
    flag, equals, value = text.partition('=')
    if not flag.startswith('-'):
      return f'unknown argument {text}; flags are written --name=value'
    # '--rl.updates=50' lacks the prefix, '--workers=2' does not look like a key.
    if self._config and ('.' in flag or flag.lstrip('-') in _OF_ALL):
      return f'unknown flag {flag}: did you mean {_KEY}{flag.lstrip("-")}{equals}{value}?'
    own = [name for action in self._actions for name in action.option_strings]
    near = difflib.get_close_matches(flag, own, 1)
    hint = f': did you mean {near[0]}?' if near else f'; {self.prog} --help shows those there are'
    return f'unknown flag {flag}{hint}'


class _Help(argparse.RawDescriptionHelpFormatter):
  """Keeps the lines of description and examples; adds a flag's default where it says something."""

  def _get_help_string(self, action):
    text = action.help or ''
    silent = action.default is None or action.default is False or action.default == ''
    if not silent and action.default != argparse.SUPPRESS and 'default' not in text:
      text += ' (default: %(default)s)'
    return text


def _at_home(argument, before=''):
  """An argument with the home folder for `~`, which no shell writes behind `=` or in quotes."""
  flag, _, value = argument.partition('=')
  if not argument.startswith('-'):
    flag, value = before, argument
  if value.partition('/')[0] != '~' or flag.lstrip('-').rpartition('.')[2] in _SAID:
    return argument
  return argument.removesuffix(value) + os.path.expanduser(value)


def _overrides(argv):
  """(other arguments, [(key, text)] of those written --config.KEY); text None where none is."""
  rest, overrides, waiting = [], [], list(argv)
  while waiting:
    flag, equals, text = waiting.pop(0).partition('=')
    if flag.startswith('--noconfig.'):  # as absl's boolean flags are written
      overrides.append((flag.removeprefix('--noconfig.'), 'false'))
    elif not flag.startswith(_KEY):
      rest.append(flag + equals + text)
    elif equals:
      overrides.append((flag.removeprefix(_KEY), text))
    else:
      # '--config.seed 3' is as good as with '='; a switch is followed by a flag or by nothing.
      behind = waiting.pop(0) if waiting and not waiting[0].startswith('--') else None
      overrides.append((flag.removeprefix(_KEY), behind))
  return rest, overrides


def as_written(text, keys):
  """A message with each of the dotted `keys` as it is on the command line: `--config.rl.rows`.

  Messages say `rl.rows` or `config.rl.rows`, as what refuses a value knows of no command line.
  """
  sections = {key.rpartition('.')[0] for key in keys}

  def written(named):
    whole, bare = named[1], named[2]
    if bare in keys or whole in keys or whole in sections:
      return f'{_KEY}{bare or whole}'
    return named[0]

  return _NAMED.sub(written, text)


@contextlib.contextmanager
def telling_keys(given):
  """While entered, a ValueError names the keys of `given`'s experiment as they are written."""
  try:
    yield
  except ValueError as error:
    raise ValueError(as_written(str(error), given.keys)) from error


def _presets():
  """The experiments and their presets, for --help."""
  wrap = lambda text, indent: textwrap.wrap(
    text, 96, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
  )
  lines = ['experiments and their presets, the first without a name:']
  for one in shipped():
    lines += [f'  {one.name}', *wrap(one.sentence, '    '), *wrap(one.presets, '      ')]
  return '\n'.join(lines)


def number(annotation):
  """Reads a flag's number; ValueError where it is not within the range of `annotation`."""
  kind, _ = ranges.plain(annotation)

  def read(text):
    try:
      value = kind(text)
    except ValueError:
      value = None
    if value is None or not ranges.takes(annotation, value):
      raise argparse.ArgumentTypeError(f'{text} is not {ranges.describe(annotation)}')
    return value

  return read


def writable(text):
  """The path of a file to be written, as argparse asks for it; refused before the work is done."""
  path = pathlib.Path(text)
  if not path.parent.is_dir() or path.is_dir():
    raise argparse.ArgumentTypeError(f'{path} is a folder, or in one that there is not')
  return path
