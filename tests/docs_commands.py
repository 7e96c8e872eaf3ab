"""Checks the flags of r1jax commands without running them; a program of its own for docs_test.

python -m tests.docs_commands < COMMANDS, a JSON list of [module, arguments]; prints a JSON list of
what is wrong with each, '' where nothing is.
"""

import contextlib
import importlib
import io
import json
import sys

from r1jax import config as config_lib
from r1jax.cli import overrides

GRAPHS = ('r1', 'rl_vs_distill')  # their stages are built one by one when their turn comes


def build(given):
  """Builds the job of a command that takes a config."""
  if not getattr(given, 'config', None):
    return
  config = overrides.load(given)
  if config.stage not in GRAPHS:
    config_lib.build(config)


def outcome(module, arguments):
  """'' where the command takes its flags and its config builds, else what it says."""
  parse = importlib.import_module(module).parse
  said = io.StringIO()
  try:
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
      build(parse(arguments))
  except SystemExit as stop:
    return '' if not stop.code else said.getvalue()[-500:] or 'exit'
  except ValueError as error:
    return f'{said.getvalue()[-300:]}{error}' or 'refused'
  return ''


if __name__ == '__main__':
  print(json.dumps([outcome(*command) for command in json.load(sys.stdin)]))
