"""Brings a model that somebody else made and that the presets and the documentation use."""

import sys

from r1jax.cli import commands, flags
from r1jax.interchange import fetched

_EXAMPLES = """
r1jax fetch smollm2                       # SmolLM2-135M-Instruct, 98 MB
r1jax chat --checkpoint=smollm2 --prompt='What is 3 + 4?'
"""


def parse(argv):
  """The command's flags."""
  parser = flags.Parser('fetch', __doc__, _EXAMPLES)
  parser.add_argument('name', help=f'one of {", ".join(fetched.MODELS)}')
  return parser.parse(argv)


def run(given):
  """Brings the model that the flags name."""
  fetched.fetch(given.name)


def main(argv=None):
  """Runs the command; errors of use end in one line and exit status 1."""
  return commands.ended(lambda: run(parse(sys.argv[1:] if argv is None else argv)))


if __name__ == '__main__':
  sys.exit(main())
