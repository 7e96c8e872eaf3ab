"""Runs an experiment, or goes on with it where it was stopped."""

import contextlib
import faulthandler
import gc
import os
import sys
import time
import traceback
import warnings

from r1jax import ranges
from r1jax.cli import commands, flags

_EXAMPLES = """
r1jax train --config=r1_zero                            # the shipped base, two CPU cores
r1jax train --config=r1_zero:bilingual --config.rl.updates=50
r1jax train --config=my_experiment.py --config.workdir=runs/mine
python -m r1jax.main --config=experiments/r1_zero.py    # the same command, the same experiment
"""


# By which a user tells JAX how much of a GPU's memory to take, and the older name of that.
_FRACTION, _FRACTION_BEFORE = 'XLA_CLIENT_MEM_FRACTION', 'XLA_PYTHON_CLIENT_MEM_FRACTION'


def parse(argv):
  """The command's flags."""
  parser = flags.Parser('train', __doc__, _EXAMPLES, config=True)
  group = parser.add_argument_group('many processes')
  group.add_argument('--coordinator', metavar='HOST:PORT', help='address of process 0')
  group.add_argument(
    '--processes', type=flags.number(ranges.Count), default=1, help='how many there are'
  )
  group.add_argument(
    '--process', type=flags.number(ranges.Size), default=0, help='number of this one'
  )
  group.add_argument(
    '--distributed',
    action='store_true',
    help='processes that JAX finds by itself: all workers of a TPU slice',
  )
  return parser.parse(argv)


def run(given):
  """Builds the job that the flags describe and runs it; returns the exit status."""
  began = time.monotonic()
  commands.stop_where_unread()
  # Of a GPU's memory JAX takes three quarters unless it is told otherwise; plans count on it all.
  if _FRACTION_BEFORE not in os.environ:
    os.environ.setdefault(_FRACTION, '0.95')
  # JAX comes with these: help and mistyped flags do not wait for it.
  with commands.quiet(), _lasting():
    from r1jax import processes
    from r1jax.runs.graph import graph
    from r1jax.train import loop
  _quieten()
  try:
    # Before anything asks for devices, as those of the other processes belong to them.
    if given.coordinator:
      processes.join(given.coordinator, given.processes, given.process)
    elif given.distributed:
      processes.join()
    _train(given, began)
    processes.leave()
    return 0
  except loop.Interrupted as stop:
    print(stop)
    processes.leave()
    return stop.status
  except KeyboardInterrupt:
    text = 'stopped; the same command goes on from the newest checkpoint, if there is one'
    processes.abandon(text, commands.STOPPED, text)
    print(text)
    return commands.STOPPED
  except graph.EXPECTED as error:
    text = flags.as_written(commands.line(error), given.keys)
    processes.abandon(text, 1, f'error: {text}')
    return commands.fail(text)
  except Exception as error:
    processes.abandon(f'{type(error).__name__}: {error}', 1, traceback.format_exc())
    raise
  finally:
    gc.unfreeze()  # who has called may go on


def _train(given, began):
  """Runs the experiment: a graph of stages, or one stage."""
  with commands.quiet(), _lasting():
    from r1jax import config as config_lib
    from r1jax.cli import overrides
    from r1jax.runs import cpu_devices, kinds, r1, rl_vs_distill
  config = overrides.load(given)
  graphs = {'r1': r1.run, 'rl_vs_distill': rl_vs_distill.run}
  if config.stage in graphs:
    graphs[config.stage](config)
    return
  # After the graphs: those check the configs of their stages themselves.
  job = config_lib.build(config)
  # Processes of a job share a machine as their launcher has arranged it.
  if not (given.coordinator or given.distributed):
    cpu_devices.share(job)
  kinds.run(job, config, imports=time.monotonic() - began)


@contextlib.contextmanager
def _lasting():
  """What is imported in here stays to the end: no collection of garbage looks through it again.

  With JAX these are some 180,000 objects.
  """
  gc.disable()
  try:
    yield
  finally:
    gc.freeze()
    gc.enable()


def _quieten():
  """Leaves warnings of libraries on stderr, and the trace of a crash in compiled code."""
  from absl import flags as absl_flags
  from absl import logging

  absl_flags.FLAGS.mark_as_parsed()  # else every line says that they are not
  logging.use_absl_handler()
  # orbax reports every file at INFO, and what it misses of a save that fails as a warning.
  logging.set_verbosity(logging.ERROR)
  # orbax leaves the rest of a save that failed half-way unwritten: our line has said so.
  warnings.filterwarnings('ignore', 'coroutine .* was never awaited', RuntimeWarning)
  faulthandler.enable()


def main(argv=None):
  """Runs the command; user errors end in one line and exit status 1."""
  try:
    given = parse(sys.argv[1:] if argv is None else argv)
    if not given.config:
      raise ValueError(
        'no experiment given: --config=experiments/r1_zero.py, or by name --config=r1_zero'
      )
  except ValueError as error:
    return commands.fail(error)
  return run(given)


if __name__ == '__main__':
  sys.exit(main())
