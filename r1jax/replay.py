"""Runs an update of an RL run again, to the same bits, and writes what it was made of.

It begins at the nearest checkpoint before the update: --config.loop.keep_every=N of r1jax train
keeps one in N updates for good. For each chosen sample RUN/replay-UPDATE/ has every token's
log-probabilities, its parts of the loss, how the loss pulls at it, and the norm of the gradient of
its log-probability. The run itself stays as it is. The exit status is 2 where the bits differ.
"""

import pathlib
import sys

from r1jax import ranges, terminal
from r1jax.cli import commands, flags

_EXAMPLES = """
r1jax replay runs/r1_zero_tiny --update=100
r1jax replay runs/r1_zero_tiny --update=100 --sample=12,13
"""


def parse(argv):
  """The command's flags."""
  parser = flags.Parser('replay', __doc__, _EXAMPLES)
  parser.add_argument('run', metavar='RUN', type=pathlib.Path, help="a run's folder")
  parser.add_argument(
    '--update', type=flags.number(ranges.Count), required=True, help='its number, from 1'
  )
  parser.add_argument(
    '--sample',
    metavar='INDEX,...',
    default='',
    help='samples by their index in the rollout, instead of those that are pulled at most',
  )
  parser.add_argument(
    '--samples', type=flags.number(ranges.Count), default=4, help='of those, how many'
  )
  return parser.parse(argv)


def run(given):
  """Replays and prints; returns the exit status."""
  chosen = _indices(given.sample)
  with commands.quiet():
    import jax

    from r1jax import programs, sharding
    from r1jax.runs import cpu_devices, replay
    from r1jax.stages import ahead
  job, begun = replay.prepare(given.run, given.update)
  # As the run itself: the same devices, types and mesh give the same bits.
  cpu_devices.share(job)
  programs.keep(job.runtime.cache)
  training, _ = ahead.devices(job.rl)
  mesh = sharding.make_mesh(job.mesh, training)
  job = job.on(mesh.devices.flat[0])
  with jax.set_mesh(mesh):
    where = replay.Where(given.run, given.update, begun)
    replayed = replay.run(where, job, chosen or given.samples)
  for line in told(replayed):
    print(terminal.plain(line))
  return 2 if replayed.differing or replayed.same_weights is False else 0


def told(found):
  """Lines that say of a `replay.Replay` whether it is the run's own update, and what there is."""
  for name, then, now in found.differing:
    yield f'  {name}: {then} then, {now} now'
  if not found.compared:
    yield f'the run has no figures of update {found.where.update} to compare with'
  elif found.differing:
    yield (
      f'update {found.where.update}: {len(found.differing)} of {found.compared} figures differ; '
      'another machine, version or number of devices gives other bits'
    )
  else:
    yield f'update {found.where.update}: all {found.compared} figures are the same'
  if found.same_weights is not None:
    how = 'the same bits as' if found.same_weights else 'OTHER bits than'
    yield f'weights after it: {how} those of the run (SHA-256 {found.digest:.12})'
  yield f'token by token: {found.where.place}/tokens.jsonl, and all arrays in tokens.npz'


def _indices(text):
  try:
    return tuple(int(one) for one in text.split(',') if one.strip())
  except ValueError as error:
    raise ValueError(f'--sample={text}: expected numbers such as 12,13') from error


def main(argv=None):
  """Runs the command; errors of use end in one line and exit status 1."""
  return commands.ended(lambda: run(parse(sys.argv[1:] if argv is None else argv)), _expected)


def _expected():
  from r1jax.runs.graph import graph

  return graph.EXPECTED


if __name__ == '__main__':
  sys.exit(main())
