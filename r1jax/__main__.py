"""`python -m r1jax`: the command `r1jax`, where that is not on the path."""

import sys

from r1jax.cli import commands

if __name__ == '__main__':
  sys.exit(commands.main())
