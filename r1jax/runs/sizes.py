"""Sizes that a config leaves to the machine ('auto'), as numbers from the start of a run on.

A run that goes on has those that it began with, whatever machine it is on now.
"""

import pathlib
import socket

import jax

from r1jax import files, processes
from r1jax.planning import planner, resident, sizes
from r1jax.runs import tables, workdir

# Products of 8 to 1,472 rows with [576, 1536] weights, on an EPYC that has AVX512_BF16.
_SLOW = (
  'many CPUs compute more slowly in bfloat16 than in float32 (one EPYC mostly 1.5 to 4 times): '
  '--config.runtime.compute_dtype=float32'
)


def kept(job, config):
  """(job, config) with the sizes of the run in its folder, where there is one to go on with.

  Raises:
    ValueError: the folder holds a run with another config; it says which key.
  """
  folder = pathlib.Path(job.workdir)
  if not job.automatic:
    return job, config
  # What the first process reads: the others may have no such folder.
  there = workdir.begun(folder) and files.read_json(folder / 'config.json')
  there = processes.gather(there)[0]
  if not there:
    return job, config
  numbers = {}
  for key in job.automatic:
    section, name = key.split('.')
    numbers[key] = (there.get(section) or {}).get(name)
  # A run of another kind has none: what differs is said, rather than what that key takes.
  if None in numbers.values():
    workdir.check(folder, there, config)
  job, config = _put(job, config, numbers)
  # Before anybody complains that an old size does not go with what is asked for now.
  workdir.check(folder, there, config)
  told = ', '.join(f'{key}={value}' for key, value in numbers.items())
  _say(f'sizes with which {folder} began: {told}')
  return job, config


def chosen(job, config, mesh):
  """(job, config) with sizes that fit, told in a table; all processes choose alike.

  Args:
    job: `config.Job`, as its devices compute it.
    config: the ConfigDict it was built from.
    mesh: that is set.

  Raises:
    ValueError: nothing fits; it says what would.
  """
  if not job.automatic:
    return job, config
  cfg = planner.architecture(job, mesh.devices.flat[0])
  cfg.check_mesh(dict(mesh.shape))
  room = _room(mesh)
  choice = sizes.choose(job, cfg, mesh, room)
  if choice.refused:
    raise ValueError(choice.refused)
  rows = [('memory', sizes.told(room)), *choice.told]
  if room.here and cfg.compute_dtype == 'bfloat16':
    rows.append(('note', _SLOW))
  tables.show('Sizes for this machine', rows)
  return _put(job, config, choice.values)


def _room(mesh):
  """The `sizes.Room` of the process that has least."""
  here, free = resident.shared(mesh), resident.unused(mesh)
  told = processes.gather([socket.gethostname(), free, here])
  if any(free is None for _, free, _ in told):
    return sizes.Room(None, here)
  if not here:
    return sizes.Room(min(free for _, free, _ in told))
  # Processes on one host share what is free there.
  hosts = [host for host, _, _ in told]
  least = min(free / hosts.count(host) for host, free, _ in told)
  return sizes.Room(least, max(here for _, _, here in told))


def _put(job, config, numbers):
  """Both with numbers in place of 'auto'."""
  config = config.copy_and_resolve_references()
  for key, value in numbers.items():
    section, name = key.split('.')
    with config[section].ignore_type():
      config[section][name] = value
    job = sizes.put(job, key, value)
  return job, config


def _say(text):
  if jax.process_index() == 0:
    print(text)
