"""Shows a run: how it stands, its curves, what is wrong, worst questions, replies with reasons.

Given two runs it compares them. --html writes all of it as one page that needs no server and no
network. The run may be going on.
"""

import pathlib
import sys

from r1jax import ranges
from r1jax.cli import commands, flags

_EXAMPLES = """
r1jax show runs/r1_zero_tiny                   # on the terminal
r1jax show runs/r1_zero_tiny --html            # as runs/r1_zero_tiny/report.html
r1jax show runs/r1_zero_tiny runs/dapo         # two runs compared
"""


def parse(argv):
  """The command's flags."""
  parser = flags.Parser('show', __doc__, _EXAMPLES)
  parser.add_argument('run', metavar='RUN', type=pathlib.Path, help="a run's folder")
  parser.add_argument(
    'other', metavar='OTHER', type=pathlib.Path, nargs='?', help='a second one to compare with'
  )
  parser.add_argument(
    '--html',
    metavar='FILE',
    type=pathlib.Path,
    nargs='?',
    const='',
    help='writes a page instead, by default report.html in the folder of the (second) run',
  )
  parser.add_argument(
    '--samples',
    type=flags.number(ranges.Size),
    default=2000,
    help='most replies of a page, whole groups evenly from all steps that were kept',
  )
  parser.add_argument(
    '--replies',
    type=flags.number(ranges.Size),
    default=2,
    help='right and wrong replies that are printed, so many of each',
  )
  return parser.parse(argv)


def run(given):
  """Shows or writes what is asked."""
  import rich.console

  from r1jax.runs.doctor import rules
  from r1jax.runs.show import comparison, page, reading, terminal

  runs = [reading.read(folder) for folder in (given.run, given.other) if folder]
  if given.html is not None:
    named = str(given.html) not in ('', '.')
    path = given.html if named else runs[-1].folder / page.NAME
    page.write(path, runs, given.samples)
    print(f'{path} ({path.stat().st_size / 1e6:.1f} MB)')
    return
  console = rich.console.Console(highlight=False)
  if len(runs) > 1:
    comparison.show(*runs, console)
    return
  terminal.show(runs[0], rules.of(runs[0]), console, given.replies)


def main(argv=None):
  """Runs the command; errors of use end in one line and exit status 1."""
  return commands.ended(lambda: run(parse(sys.argv[1:] if argv is None else argv)))


if __name__ == '__main__':
  sys.exit(main())
