"""Tells what a job will need and take before anybody pays for the machine.

Nothing of the machine is needed but its compiler: libtpu for TPU slices (pip install 'r1jax[tpu]'),
JAX's CUDA plugin for GPUs (pip install 'r1jax[gpu-compiler]'; CPU devices stand in without it).
"""

import json
import os
import re
import sys

from r1jax import ranges, terminal
from r1jax.cli import commands, flags

_EXAMPLES = """
r1jax plan --config=r1_zero
r1jax plan --config=r1_zero:v3_671b --topology=v5p:8x8x16
r1jax plan --config=r1_zero:qwen_7b --topology=h100:8 --search --html=plan.html
"""


def parse(argv):
  """The command's flags."""
  parser = flags.Parser('plan', __doc__, _EXAMPLES, config=True)
  group = parser.add_argument_group('the machine, and what is told of it')
  group.add_argument(
    '--topology',
    type=str.lower,
    default='cpu',
    help='v4, v5e, v5p or v6e with a shape (v5p:8x8x16), cpu:N, or a GPU (h100:8)',
  )
  for form, what in (('json', 'for machines'), ('html', 'one page')):
    group.add_argument(
      f'--{form}', metavar='FILE', type=flags.writable, help=f'also write the plan here, {what}'
    )
  group.add_argument(
    '--search',
    action='store_true',
    help='compile every mesh, the most promising first, and keep the fastest',
  )
  group.add_argument(
    '--mean_length',
    type=flags.number(ranges.Weight),
    default=0.0,
    help='mean new tokens of a completion; 0: all run into their cap',
  )
  group.add_argument(
    '--budget',
    type=flags.number(ranges.Weight),
    default=480.0,
    help='seconds after which no further change is tried',
  )
  given = parser.parse(argv)
  if not given.config:
    raise ValueError(
      'no experiment given: --config=experiments/r1_zero.py, or by name --config=r1_zero'
    )
  return given


def run(given):
  """Prints the plan; returns 0 where the job fits, perhaps with changes, else 2."""
  with commands.quiet():  # JAX comes with these: help and mistyped flags do not wait for it
    import rich.console

    from r1jax import config as config_lib
    from r1jax.cli import overrides
    from r1jax.planning import planner, report
  config = overrides.load(given)
  # The devices come first: which kernels a job has depends on them.
  target = _target(given.topology)
  job = config_lib.build(config, target.devices[0])
  if job.stage != 'reasoning_rl':
    raise ValueError(f'config.stage={job.stage!r}: only reasoning_rl has a plan')
  if given.mean_length > job.sample.max_new:
    raise ValueError(
      f'--mean_length={given.mean_length:g}: config.sample.max_new={job.sample.max_new} ends every '
      'completion before'
    )
  settings = planner.Settings(given.mean_length, given.search, given.budget)
  # To stderr, so that the tables alone go into a pipe.
  say = lambda text: print(terminal.plain(text), file=sys.stderr, flush=True)
  plan = planner.make(job, target, settings, say)
  for table in report.tables(plan):
    rich.console.Console().print(table)
  if given.json:
    given.json.write_text(json.dumps(report.as_json(plan), indent=2) + '\n')
  if given.html:
    given.html.write_text(report.as_html(plan))
  return 0 if plan.fits else 2


def _target(text):
  """The devices to compile for; as many of this CPU's as a GPU's description asks for."""
  import jax

  from r1jax.planning import gpus, topology

  # 'cpu:8' and 'h100:8' match: CPU devices stand for them. 'v5p:8x8x16' and 'cpu' do not.
  count = re.fullmatch(rf'(?:cpu|{"|".join(gpus.BOARDS)}):(\d+)', text)
  if count:
    jax.config.update('jax_num_cpu_devices', int(count[1]))
  return topology.target(text)


def main(argv=None):
  """Runs the command; user errors end in one line and exit status 1."""
  # It computes on no accelerator; JAX reads these when it is imported.
  os.environ['JAX_PLATFORMS'] = 'cpu'

  def work():
    given = parse(sys.argv[1:] if argv is None else argv)
    with commands.ended_in_a_line('stopped; a plan starts anew'), flags.telling_keys(given):
      return run(given)

  return commands.ended(work)


if __name__ == '__main__':
  sys.exit(main())
