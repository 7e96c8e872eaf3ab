"""Checks the flags of r1jax commands without running them; a program of its own for docs_test.

python -m tests.docs_commands < COMMANDS, a JSON list of [module, arguments]; prints a JSON list of
what is wrong with each, '' where nothing is. Each is parsed in a fork, as flags are global.
"""

import importlib
import io
import json
import os
import sys
import traceback

import jax

MODULES = ('main', 'plan', 'chat', 'evaluate', 'export')
GRAPHS = ('r1', 'rl_vs_distill')  # their stages are built one by one when their turn comes


def check(module, arguments):
  """Parses as the command would, and builds the job; raises or exits where something is wrong."""
  command = importlib.import_module(f'r1jax.{module}')
  if module not in ('main', 'plan'):
    command.parse(arguments)
    return
  from absl import flags

  from r1jax import config, main

  sys.argv = [module, *arguments]  # ml_collections looks for overrides there
  left = main.parse(sys.argv)
  if len(left) > 1:
    raise ValueError(f'unknown arguments {left[1:]}')
  chosen = flags.FLAGS.config
  if chosen.stage not in GRAPHS:
    config.build(chosen)


def outcome(module, arguments):
  """'' or what `check` says, from a process of its own."""
  reader, writer = os.pipe()
  child = os.fork()
  if child:
    os.close(writer)
    with os.fdopen(reader) as said:
      text = said.read()
    os.waitpid(child, 0)
    return text
  text, sys.stderr = 'ended without a word', io.StringIO()
  try:
    check(module, arguments)
    text = ''
  except SystemExit:
    text = sys.stderr.getvalue()[-500:] or 'exit'
  except BaseException:
    text = traceback.format_exc()[-500:]
  os.write(writer, text.encode())
  os._exit(0)


if __name__ == '__main__':
  for name in MODULES:
    importlib.import_module(f'r1jax.{name}')
  jax.devices()  # asked for once: a fork of each command would take a second for it
  print(json.dumps([outcome(*command) for command in json.load(sys.stdin)]))
