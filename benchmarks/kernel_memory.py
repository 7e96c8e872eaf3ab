"""Peak memory of a training step on one device: naive logits, plain ops, our kernels.

  python -m benchmarks.kernel_memory --case=small --case=qwen_4k_h100

Every program is compiled for the TPU or GPU by its own compiler, which needs neither; nothing is
allocated. `naive` makes all logits at once, `reference` is the plain form of every op with the head
in chunks, `kernels` takes the Pallas kernels. What does not fit is the compiler's own figure.
"""

import dataclasses
import sys

import jax
import rich.console
import rich.table
from absl import app, flags

from r1jax import config as config_lib
from r1jax import sharding
from r1jax.experiments import r1_zero
from r1jax.kernels import output_head
from r1jax.planning import memory, phases, planner, topology


@dataclasses.dataclass(frozen=True)
class Case:
  """A preset of experiments/r1_zero.py, where it runs, and rows of how many tokens."""

  preset: str
  target: str
  mesh: tuple
  rows: int
  capacity: int


CASES = {
  'tiny': Case('tiny', 'v5e:2x2', (1, 1, 1, 1), 16, 144),
  'small': Case('small', 'v5e:2x2', (1, 1, 1, 1), 32, 512),
  'qwen_4k': Case('qwen_1_5b', 'v5e:2x4', (1, 8, 1, 1), 8, 4096),
  'qwen_32k': Case('qwen_1_5b', 'v5e:2x4', (1, 8, 1, 1), 8, 32_768),
  'qwen_4k_h100': Case('qwen_1_5b', 'h100:8', (1, 8, 1, 1), 8, 4096),
  'qwen_32k_h100': Case('qwen_1_5b', 'h100:8', (1, 8, 1, 1), 8, 32_768),
  'v3_671b': Case('v3_671b', 'v5p:8x8x16', (1, 128, 1, 8), 128, 33_792),
}
FORMS = ('naive', 'reference', 'kernels')
_CASE = flags.DEFINE_multi_enum('case', ['tiny', 'small', 'qwen_4k', 'qwen_32k'], list(CASES), '')
_FORM = flags.DEFINE_multi_enum('form', list(FORMS), list(FORMS), 'which')
_PROGRAM = flags.DEFINE_enum('program', 'update', phases.NAMES, 'which')


def measure(case, form):
  """(`phases.Compiled`, `memory.Split`) of the program."""
  # The preset's model and optimizer, with the case's own rows and mesh.
  job = config_lib.build(r1_zero.get_config(case.preset))
  rl = dataclasses.replace(job.rl, rows=case.rows, capacity=case.capacity)
  job = dataclasses.replace(job, rl=rl, mesh=case.mesh)
  # A slice may have more devices than the mesh wants.
  target, count = topology.target(case.target), 1
  own = target.devices[0].platform if form == 'kernels' else 'reference'
  cfg = dataclasses.replace(planner.architecture(job), kernels=own)
  for size in case.mesh:
    count *= size
  mesh = sharding.make_mesh(case.mesh, list(target.devices[:count]))
  # No step of a run makes all logits any more; here the limit below which they are left whole goes.
  output_head.WHOLE_BYTES = float('inf') if form == 'naive' else 16 * 2**20
  # The limit is no argument of the program, so that an old one would be taken for the new.
  jax.clear_caches()
  done = phases.compile_one(_PROGRAM.value, job, cfg, mesh)
  return done, memory.split(done, memory.held(job, cfg, mesh))


def main(argv):
  """Prints the table, and every row once it is there."""
  del argv
  jax.config.update('jax_platforms', 'cpu')
  table = rich.table.Table(title=f'{_PROGRAM.value}: GiB a device')
  for column in (
    'case',
    'chip',
    'form',
    'state',
    'gradients',
    'activations',
    'peak',
    'compiled, s',
  ):
    table.add_column(column, justify='left' if column in ('case', 'chip', 'form') else 'right')
  for name in _CASE.value:
    for form in _FORM.value:
      done, split = measure(CASES[name], form)
      state = split.parameters + split.reference + split.optimizer
      sizes = [x / 2**30 for x in (state, split.gradients, split.activations, split.total)]
      row = [name, CASES[name].target, form, *(f'{x:.2f}' for x in sizes), f'{done.seconds:.0f}']
      # The compiler says how much it wanted in all, and nothing of its parts.
      if done.refused:
        row[3:7] = '', '', 'does not fit', f'{done.temporaries / 2**30:.2f}'
      table.add_row(*row)
      # A compilation takes minutes: rows are shown as they come.
      print(*row, file=sys.stderr, flush=True)
  rich.console.Console(width=110).print(table)


if __name__ == '__main__':
  app.run(main)
