"""Every stage, by its name in a config: one table. Graphs of stages stand in `main.py`.

A new stage is a module in `stages/`, what a run adds to it in one of the modules imported here, a
line in the table and a section in `config.default`.
"""

import dataclasses
from collections.abc import Callable

import jax

from r1jax import compiler_memory, precision, processes, programs, sharding
from r1jax.runs import curation, report_cards, rl, sizes, supervised, train, workdir
from r1jax.stages import ahead


@dataclasses.dataclass(frozen=True)
class StageKind:
  """How a stage is run.

  Attributes:
    run: (job, ConfigDict, mesh, seconds that imports took) -> None, on the mesh that is set.
    code: the module that does it; a change there, or in what it imports, makes a graph's stage
      again.
    learns: the `train.Run` of a stage that learns: how a checkpoint of it is opened; else None.
  """

  run: Callable
  code: str
  learns: type[train.Run] | None = None


def _learning(cls):
  go = lambda job, config, mesh, imports=0.0: cls(job, mesh, imports).go(config)
  return StageKind(go, cls.__module__, cls)


def _making(function):
  return StageKind(
    lambda job, config, mesh, imports=0.0: function(job, config, mesh), function.__module__
  )


KINDS = {
  # What learns.
  'pretrain': _learning(supervised.Pretrain),
  'reasoning_rl': _learning(rl.ReasoningRl),
  'sft': _learning(supervised.Sft),
  'reward_model': _learning(supervised.RewardModel),
  'general_rl': _learning(rl.GeneralRl),
  'distill': _learning(supervised.Distill),
  # What makes data.
  'cold_start': _making(curation.cold_start),
  'rejection': _making(curation.rejection),
  'general_data': _making(curation.general_data),
  # What examines.
  'report_card': _making(report_cards.report_card),
  'scenarios': _making(report_cards.general_replies),
}


def run(job, config, imports=0.0):
  """Runs the job's stage, or says that it has ended.

  Args:
    job: `config.Job`.
    config: the ConfigDict it was built from, for the record.
    imports: seconds that loading the program has taken, for the account of the run's time.

  Raises:
    ValueError: the job does not work out; nothing has been written.
    Interrupted, CheckpointError, VerifierFailure, NonFiniteError: with the reason; nothing is lost.
  """
  if job.stage not in KINDS:
    graphs = 'a graph of stages (r1, rl_vs_distill)'
    raise ValueError(
      f'config.stage={job.stage!r} is none of {", ".join(KINDS)}, and not the name of {graphs}'
    )
  kind = KINDS[job.stage]
  job, config = sizes.kept(job, config)
  ended = workdir.ended(job.workdir, config) if kind.learns else None
  # All processes go on, or none does.
  if all(processes.gather(ended is not None)):
    if jax.process_index() == 0:
      kind.learns.show_ended(job.workdir, ended)
    return
  programs.keep(job.runtime.cache)
  compiler_memory.watch()
  training, _ = ahead.devices(job.rl)
  mesh = sharding.make_mesh(job.mesh, training)
  device = mesh.devices.flat[0]
  asked, job = job, job.on(device)
  if job.runtime.compute_dtype != asked.runtime.compute_dtype and jax.process_index() == 0:
    print(precision.told(device))
  with jax.set_mesh(mesh):
    job, config = sizes.chosen(job, config, mesh)
    kind.run(job, config, mesh, imports)
