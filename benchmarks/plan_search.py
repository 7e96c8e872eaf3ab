"""What `r1jax.plan --search` finds, against every mesh there is.

  python -m benchmarks.plan_search --preset=tiny --topology=v5e:2x2

Compiles the job on every mesh of the slice and prints them by predicted seconds. `turn` is the
place in the order in which the search compiles them, by its estimate, as long as its budget lasts.
"""

import os

os.environ['JAX_PLATFORMS'] = 'cpu'

import dataclasses
import json
import pathlib

import rich.console
import rich.table
from absl import app, flags

from r1jax import config as config_lib
from r1jax import sharding
from r1jax.experiments import r1_zero
from r1jax.planning import estimate, fit, planner, topology

_PRESET = flags.DEFINE_string('preset', 'tiny', 'preset of experiments/r1_zero.py')
_TOPOLOGY = flags.DEFINE_string('topology', 'v5e:2x2', 'as of r1jax.plan')
_JSON = flags.DEFINE_string('json', None, 'also write the figures to this file')


def plans(job, target):
  """[(mesh, estimated seconds, Plan)] of every mesh that the job can run on."""
  count = len(target.devices)
  job = dataclasses.replace(job, mesh=sharding.sizes(job.mesh, count))
  cfg = planner.architecture(job, target.devices[0])
  # Everything is compiled, whatever the estimate says of it: that is what is judged.
  found = []
  for option in fit.at_level(job, cfg, count, 0):
    plan = planner.tried(option, target, planner.Settings(), lambda text: None)
    guess = estimate.seconds(option.job, option.cfg, target, fit.described(option.shape))
    found.append((option.shape, guess, plan))
    print(option.shape, f'{guess:,.2f}', plan.verdict(), flush=True)
  return found


def main(_):
  """Prints the table, the fastest first."""
  job = config_lib.build(r1_zero.get_config(_PRESET.value))
  found = sorted(plans(job, topology.target(_TOPOLOGY.value)), key=lambda entry: entry[1])
  # The search's own order.
  turn = {shape: number for number, (shape, *_) in enumerate(found, 1)}
  # What does not fit comes last.
  seconds = lambda plan: plan.outlook.seconds if plan.fits else float('inf')
  table = rich.table.Table(*sharding.AXES, 'turn', 'estimate', 's an update', 'verdict')
  for shape, guess, plan in sorted(found, key=lambda entry: seconds(entry[2])):
    said = f'{seconds(plan):,.2f}' if plan.fits else '-'
    table.add_row(*map(str, shape), str(turn[shape]), f'{guess:,.2f}', said, plan.verdict())
  rich.console.Console(width=150).print(table)
  if _JSON.value:
    rows = [{'mesh': s, 'estimate': g, 'seconds': seconds(p)} for s, g, p in found]
    pathlib.Path(_JSON.value).write_text(json.dumps(rows, indent=2) + '\n')


if __name__ == '__main__':
  app.run(main)
