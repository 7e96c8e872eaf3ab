"""Says what is wrong with a run, why that is believed, and which key of the config to change.

It reads figures and replies of the folder; the run may be going on. --json writes the findings to
standard output as a list. The exit status is 0 whether or not something is found.
"""

import dataclasses
import json
import pathlib
import sys

from r1jax.cli import commands, flags

_EXAMPLES = """
r1jax doctor runs/r1_zero_tiny
r1jax doctor runs/r1_zero_tiny --json
"""


def parse(argv):
  """The command's flags."""
  parser = flags.Parser('doctor', __doc__, _EXAMPLES)
  parser.add_argument('run', metavar='RUN', type=pathlib.Path, help="a run's folder")
  parser.add_argument('--json', action='store_true', help='a list of objects: name, seen, do')
  return parser.parse(argv)


def run(given):
  """Prints the findings."""
  import rich.console

  from r1jax.runs.doctor import rules
  from r1jax.runs.show import reading, terminal

  trained = reading.read(given.run)
  findings = rules.of(trained)
  if given.json:
    print(json.dumps([dataclasses.asdict(one) for one in findings], indent=2, ensure_ascii=False))
    return
  console = rich.console.Console(highlight=False)
  console.print(f'{trained.folder}: {trained.state} at update {trained.step}', markup=False)
  terminal.told(findings, console, trained)


def main(argv=None):
  """Runs the command; errors of use end in one line and exit status 1."""
  return commands.ended(lambda: run(parse(sys.argv[1:] if argv is None else argv)))


if __name__ == '__main__':
  sys.exit(main())
