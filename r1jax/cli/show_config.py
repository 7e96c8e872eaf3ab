"""Lists every key of an experiment's config: its value, what it takes, and what it means."""

import shutil
import sys

from r1jax.cli import commands, flags

_EXAMPLES = """
r1jax config                              # every key of every stage, with its default
r1jax config r1_zero:hub                  # of a preset
r1jax config r1_zero --filter rl          # the keys whose name has a part that begins with rl
r1jax config r1_zero --config.rl.updates=5    # as it would be run
"""


def parse(argv):
  """The command's flags."""
  parser = flags.Parser('config', __doc__, _EXAMPLES, config=True)
  parser.add_argument('name', nargs='?', help='NAME[:PRESET], the same as --config')
  parser.add_argument('--filter', default='', help='only keys with a part that begins so')
  given = parser.parse(argv)
  if given.name and given.config:
    raise ValueError(f'{given.name} and --config={given.config}: name one experiment')
  given.config = given.config or given.name
  if given.overrides and not given.config:
    raise ValueError('--config.KEY=VALUE changes an experiment: name one, r1jax config NAME')
  return given


def run(given):
  """Prints the keys."""
  with commands.quiet():
    from r1jax.cli import overrides, settings  # JAX comes with them
  keys = settings.of(overrides.load(given)) if given.config else settings.defaults()
  kept = settings.matching(keys, given.filter)
  if not kept:
    raise ValueError(f'--filter={given.filter}: none of {len(keys)} keys has such a part')
  print(settings.listing(kept, shutil.get_terminal_size((100, 24)).columns))


def main(argv=None):
  """Runs the command; errors of use end in one line and exit status 1."""

  def work():
    given = parse(sys.argv[1:] if argv is None else argv)
    with flags.telling_keys(given):
      return run(given)

  return commands.ended(work)


if __name__ == '__main__':
  sys.exit(main())
