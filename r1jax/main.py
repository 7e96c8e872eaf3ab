"""Runs an experiment: python -m r1jax.main --config=experiments/r1_zero.py[:preset]."""

import os
import sys
import traceback

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

from absl import app, flags, logging
from ml_collections import config_flags

from r1jax import config as config_lib
from r1jax import cores, processes
from r1jax.runs import kinds, r1, rl_vs_distill
from r1jax.runs.graph import graph
from r1jax.train import loop

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'experiment file, with an optional preset behind a colon', lock_config=True
)
_COORDINATOR = flags.DEFINE_string(
  'coordinator', None, 'host:port of process 0, for many processes'
)
_PROCESSES = flags.DEFINE_integer('processes', 1, 'number of processes')
_PROCESS = flags.DEFINE_integer('process', 0, 'number of this process')
_DISTRIBUTED = flags.DEFINE_bool(
  'distributed', False, 'many processes that JAX finds by itself: all workers of a TPU slice'
)


def main(argv):
  """Builds the job from the flags and runs it; user errors end in one line and exit status 1."""
  logging.set_verbosity(logging.WARNING)  # orbax reports every file at INFO
  try:
    if len(argv) > 1:
      raise ValueError(f'unknown arguments {argv[1:]}; overrides are written --config.key=value')
    if _CONFIG.value is None:
      raise ValueError('no experiment given: --config=experiments/r1_zero.py')
    if _COORDINATOR.value:
      processes.join(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value)
    elif _DISTRIBUTED.value:
      processes.join()
    graphs = {'r1': r1.run, 'rl_vs_distill': rl_vs_distill.run}
    if _CONFIG.value.stage in graphs:
      graphs[_CONFIG.value.stage](_CONFIG.value)
    else:
      job = config_lib.build(_CONFIG.value)
      if not (_COORDINATOR.value or _DISTRIBUTED.value):
        cores.share(job)
      kinds.run(job, _CONFIG.value)
    processes.leave()
  except loop.Interrupted as stop:
    print(stop)
    processes.leave()
    sys.exit(stop.status)
  except KeyboardInterrupt:
    text = 'stopped before the first update; the same command starts again'
    processes.abandon(text, 130, text)
    print(text)
    sys.exit(130)
  except graph.EXPECTED as error:
    fail(error)
  except Exception as error:
    processes.abandon(f'{type(error).__name__}: {error}', 1, traceback.format_exc())
    raise


def parse(argv):
  """Parses flags; whatever is wrong with them or with the config file ends in one line."""
  try:
    return flags.FLAGS(argv)
  except (flags.Error, ValueError, TypeError, OSError) as error:
    return fail(_origin(error) if 'Traceback' in str(error) else error)
  except (KeyError, AttributeError) as error:
    return fail(f'unknown config key {_origin(error).args[0]}')


def _origin(error):
  """The exception that was raised first, which ml_collections wraps."""
  while error.__context__:
    error = error.__context__
  return error


def fail(error):
  """One line on stderr and exit status 1, for all processes of the job."""
  text = ' '.join(str(error).split())
  processes.abandon(text, 1, f'error: {text}')
  print(f'error: {text}', file=sys.stderr)
  sys.exit(1)


if __name__ == '__main__':
  app.run(main, flags_parser=parse)
