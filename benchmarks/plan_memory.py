"""Predicted against measured peak memory on this machine's CPU.

  python -m benchmarks.plan_memory

Each program of the preset runs in a process of its own. Predicted: what `r1jax.planning` says of
its arguments, outputs and temporaries, and of what a library keeps inside. Measured: by how much
the process's resident memory peaks above what it was before the arguments were made (the kernel's
high-water mark, reset in between).
"""

import ctypes
import gc
import json
import os
import pathlib
import subprocess
import sys

os.environ['JAX_PLATFORMS'] = 'cpu'

import jax
import jax.numpy as jnp
from absl import app, flags

from r1jax import config as config_lib
from r1jax import sharding
from r1jax.experiments import r1_zero
from r1jax.planning import hlo, phases, planner

_PRESET = flags.DEFINE_string('preset', 'tiny', 'preset of experiments/r1_zero.py')
_PROGRAM = flags.DEFINE_enum('program', None, phases.NAMES, 'only this one, in this process')
_JSON = flags.DEFINE_string('json', None, 'also write the figures to this file')


def resident(name):
  """Bytes of a line of /proc/self/status: VmRSS now, VmHWM the most since the last reset."""
  lines = pathlib.Path('/proc/self/status').read_text().splitlines()
  return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def settle():
  """Gives freed memory back to the system and forgets the high-water mark."""
  gc.collect()
  ctypes.CDLL('libc.so.6').malloc_trim(0)
  pathlib.Path('/proc/self/clear_refs').write_text('5')


def filled(x):
  """An argument with every page touched; counts are such that loops run to their end."""
  if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
    return jax.random.key(0)
  return jnp.full(x.shape, _VALUES.get(x.shape, 1), x.dtype)


# Scalars (steps, caps, numbers of micro-batches) are small: one trip of a loop peaks like many.
_VALUES = {(): 2}


def measure(name):
  """{'predicted', 'measured'} bytes of one program."""
  job = config_lib.build(r1_zero.get_config(_PRESET.value))
  cfg = planner.architecture(job)
  mesh = sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1])
  with jax.set_mesh(mesh):
    lowered = phases.LOWER[name](job, cfg, mesh)
    compiled = lowered.compile()
    found = compiled.memory_analysis()
    shapes = _placed(lowered.in_avals, compiled)
    make = jax.jit(lambda: jax.tree.map(filled, shapes))
    # Once without looking, once with the high-water mark reset.
    run(compiled, make)  # pages of code and the threads' stacks come with the first run
    settle()
    before = resident('VmRSS')
    run(compiled, make)
    peak = resident('VmHWM') - before
  # Weights that a program never reads are resident all the same.
  arguments = phases.bytes_held(shapes)
  new = found.output_size_in_bytes - found.alias_size_in_bytes + found.temp_size_in_bytes
  new += hlo.library_bytes(compiled.as_text())
  return {'predicted': arguments + new, 'measured': peak}


def run(compiled, make):
  """Makes the arguments, runs the program once and drops everything."""
  arguments, keywords = jax.block_until_ready(make())
  settle()  # making the arguments takes copies, which are no business of the program
  jax.block_until_ready(compiled(*arguments, **keywords))


def _placed(avals, compiled):
  """The avals with the shardings that the program wants."""
  return jax.tree.map(
    lambda a, s: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=s), avals, compiled.input_shardings
  )


def main(argv):
  """Prints a line a program; exit status 1 where one is off by more than 5 %."""
  del argv
  if _PROGRAM.value:
    print(json.dumps(measure(_PROGRAM.value)))
    return 0
  figures = {}
  for name in phases.NAMES[1:]:  # one device hands nothing over
    command = [sys.executable, '-m', 'benchmarks.plan_memory', f'--program={name}']
    # Large blocks come from and go back to the system at once, or old ones would hide new ones.
    env = os.environ | {'MALLOC_MMAP_THRESHOLD_': '65536'}
    # A process each: memory that one program freed would serve the next.
    done = subprocess.run(
      [*command, f'--preset={_PRESET.value}'], env=env, check=True, capture_output=True, text=True
    )
    figures[name] = found = json.loads(done.stdout.splitlines()[-1])
    found['off'] = found['predicted'] / found['measured'] - 1
    print(
      f'{name:18} predicted {found["predicted"] / 2**20:8.1f} MiB, '
      f'measured {found["measured"] / 2**20:8.1f} MiB, {found["off"]:+.1%}'
    )
  if _JSON.value:
    pathlib.Path(_JSON.value).write_text(json.dumps(figures, indent=2) + '\n')
  return int(any(abs(f['off']) > 0.05 for f in figures.values()))


if __name__ == '__main__':
  app.run(main)
