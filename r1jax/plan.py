"""Tells what a job will need and take before anybody pays for the machine.

python -m r1jax.plan --config=experiments/r1_zero.py:v3_671b --topology=v5p:8x8x16

Nothing of the machine is needed but its compiler: libtpu for TPU slices (pip install -e '.[tpu]'),
JAX's CUDA plugin for GPUs (pip install -e '.[gpu-compiler]'; CPU devices stand in without it).
"""

import json
import os
import pathlib
import re
import sys

# The plan computes on no accelerator, and wants as many CPU devices as the topology asks for.
os.environ['JAX_PLATFORMS'] = 'cpu'
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

import jax
import rich.console
from absl import app, flags

from r1jax import config as config_lib
from r1jax import main as main_lib
from r1jax.planning import gpus, planner, report, topology

_TOPOLOGY = flags.DEFINE_string(
  'topology', 'cpu', 'v4, v5e, v5p or v6e with a shape (v5p:8x8x16), cpu:N, or a GPU (h100:8)'
)
_JSON = flags.DEFINE_string(
  'json', None, 'also write the plan to this file, for machines', allow_override=True
)
_HTML = flags.DEFINE_string('html', None, 'also write the plan to this file, one page')
_SEARCH = flags.DEFINE_bool(
  'search', False, 'compile every mesh, the most promising first, and keep the fastest'
)
_LENGTH = flags.DEFINE_float(
  'mean_length', 0, 'mean new tokens of a completion; 0 means that all run into their cap'
)
_BUDGET = flags.DEFINE_float('budget', 480, 'seconds after which no further change is tried')


def main(argv):
  """Prints the plan; exit status 0 where the job fits, perhaps with changes, else 2."""
  try:
    if len(argv) > 1:
      raise ValueError(f'unknown arguments {argv[1:]}; overrides are written --config.key=value')
    if flags.FLAGS.config is None:
      raise ValueError('no experiment given: --config=experiments/r1_zero.py')
    target = _target()
    job = config_lib.build(flags.FLAGS.config, target.devices[0])
    if job.stage != 'reasoning_rl':
      raise ValueError(f'config.stage={job.stage!r}: only reasoning_rl has a plan')
    found = _plan(job, target)
  except (ValueError, OSError) as error:
    main_lib.fail(error)
  for table in report.tables(found):
    rich.console.Console().print(table)
  if _JSON.value:
    pathlib.Path(_JSON.value).write_text(json.dumps(report.as_json(found), indent=2) + '\n')
  if _HTML.value:
    pathlib.Path(_HTML.value).write_text(report.as_html(found))
  sys.exit(0 if found.fits else 2)


def _target():
  count = re.fullmatch(rf'(?:cpu|{"|".join(gpus.BOARDS)}):(\d+)', _TOPOLOGY.value)
  if count:
    jax.config.update('jax_num_cpu_devices', int(count[1]))
  return topology.target(_TOPOLOGY.value)


def _plan(job, target):
  settings = planner.Settings(_LENGTH.value, _SEARCH.value, _BUDGET.value)
  say = lambda text: print(text, file=sys.stderr, flush=True)
  return planner.make(job, target, settings, say)


if __name__ == '__main__':
  app.run(main, flags_parser=main_lib.parse)
