"""Makes a plan: compiles the job as asked and, where it does not fit, tries what would."""

import dataclasses
import math
import os
import time
from concurrent import futures

from r1jax import config as config_lib
from r1jax import kernels, precision, sharding
from r1jax.interchange import checkpoints, huggingface
from r1jax.model import config as model_config
from r1jax.model import transformer
from r1jax.planning import estimate, fit, gpus, memory, phases, sizes, speed, topology

_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Settings:
  """What a planner may do.

  Attributes:
    mean: mean new tokens of a completion; 0 for the cap (the worst case).
    search: compile every mesh that needs as few changes, and keep the fastest.
    budget: seconds after which no further compilation starts.
  """

  mean: float = 0.0
  search: bool = False
  budget: float = 480.0


@dataclasses.dataclass
class Plan:
  """What was found.

  Attributes:
    job, cfg, target, shape: the job that the figures are of, perhaps changed, and where it runs.
    changes: flags that turn the job asked for into this one.
    refused: why the job as it is cannot run; '' where it can.
    splits: name of a program -> `memory.Split`, of those that were compiled.
    compiled: name -> `phases.Compiled`.
    listed, outlook: `speed` figures, where everything fits; else () and None.
    lengths: `speed.Lengths` that the figures assume.
    largest: (rows, capacity) that still fit, by scaling; None where nothing does.
    attempts: (changes, what came of it) in order.
    choice: `sizes.Choice` of what the job leaves to the machine, None where that is nothing.
  """

  job: config_lib.Job
  cfg: model_config.ModelConfig
  target: topology.Target
  shape: tuple[int, ...]
  changes: tuple[str, ...]
  refused: str = ''
  splits: dict = dataclasses.field(default_factory=dict)
  compiled: dict = dataclasses.field(default_factory=dict)
  listed: tuple = ()
  outlook: speed.Outlook | None = None
  lengths: speed.Lengths | None = None
  largest: tuple | None = None
  attempts: list = dataclasses.field(default_factory=list)
  choice: sizes.Choice | None = None

  @property
  def fits(self):
    """Whether every phase was compiled and fits."""
    return bool(self.listed) and not self.worst_over

  @property
  def worst_over(self):
    """Bytes by which the largest phase exceeds a device's memory; 0 where all fit."""
    worst = max((s.total for s in self.splits.values()), default=0)
    return max(worst - self.target.chip.memory, 0)

  def verdict(self):
    """One line."""
    if self.refused:
      return f'cannot run: {self.refused}'
    if self.worst_over:
      name = max(self.splits, key=lambda n: self.splits[n].total)
      need = self.splits[name].total / _GIB
      return f'{name} needs {need:,.1f} GiB per device, {self.worst_over / _GIB:,.1f} GiB too many'
    if not self.fits:
      return 'fits as far as it was compiled'
    free = self.target.chip.memory - max(s.total for s in self.splits.values())
    return f'fits, {free / _GIB:,.1f} GiB per device left'


def architecture(job, device=None):
  """The job's ModelConfig, from its checkpoint where it names one; its kernels are `device`'s."""
  if job.model is not None:
    return transformer.with_adapters(job.model, job.lora)
  runtime = job.runtime.of_model()
  form = kernels.resolve(runtime.pop('kernels'), device)
  cfg = huggingface.read_config(checkpoints.open(job.checkpoint), **runtime)
  return transformer.with_adapters(dataclasses.replace(cfg, kernels=form), job.lora)


def make(job, target, settings, say=lambda text: None):
  """`Plan` of the job on the target; `say` hears what is being tried.

  Raises:
    ValueError: the meshes asked for do not multiply to the target's devices, or the job's kernels
      are cuDNN's.
  """
  began, asked = time.monotonic(), job
  # A board is known by its name, whatever stands in for it here.
  board = gpus.BOARDS.get(target.chip.name, target.devices[0])
  job = asked.on(board)
  if job.runtime.compute_dtype != asked.runtime.compute_dtype:
    say(precision.told(board))
  cfg = architecture(job, target.devices[0])
  if cfg.kernels == 'cudnn':
    raise ValueError(
      "config.runtime.kernels='cudnn' has no plan: what cuDNN's kernels need is known only where "
      "their GPU is; plan with 'reference' (docs/kernels.md says what differs)"
    )
  count = len(target.devices) - _samplers(job)
  if count < 1:
    raise ValueError(
      f'rl.rollout_mesh={job.rl.rollout_mesh} takes {_samplers(job)} of {len(target.devices)} '
      'devices: none is left to train'
    )
  # First the job as it was asked for.
  shape = sharding.sizes(job.mesh, count)
  job, choice = _sized(job, cfg, shape, target, say)
  first = fit.Candidate(dataclasses.replace(job, mesh=shape), cfg, shape, (), 0.0)
  plan = tried(first, target, settings, say)
  plans, attempts = [plan], [('as asked', plan.verdict())]
  # Then what differs as little as possible.
  if settings.search or not plan.fits:
    more, tries = _others(plan, settings, began + settings.budget, say)
    plans, attempts = plans + more, attempts + tries
  # Of what fits the fastest; where nothing does, what was asked, with the reason.
  fitting = [one for one in plans if one.fits]
  best = min(fitting, key=lambda one: one.outlook.seconds, default=plan)
  best.attempts, best.choice = attempts, choice
  return best


def _sized(job, cfg, shape, target, say):
  """(the job with numbers, the `sizes.Choice` of what it leaves to the machine, if anything)."""
  if not job.automatic or fit.refused(job, cfg, shape):
    return sizes.least(job, fit.described(shape)), None
  memory_of, here = target.chip.memory, 0
  # Devices of a CPU share its memory with the process that runs them.
  if target.name.startswith('cpu'):
    memory_of, here = memory_of * len(target.devices), len(target.devices)
  mesh = sharding.make_mesh(shape, list(target.devices[: math.prod(shape)]))
  choice = sizes.choose(job, cfg, mesh, sizes.Room(memory_of, here))
  for line in (*(f'{key} {why}' for key, why in choice.told), choice.refused):
    if line:
      say(line)
  return choice.job, choice


def _others(asked, settings, end, say):
  """Plans of jobs that differ from the one `asked`, and what came of each.

  To the first that fits or, for a search, all that need as few changes, until the time `end`.
  """
  plans, attempts, count, target = [], [], math.prod(asked.shape), asked.target
  cost = lambda c: estimate.seconds(c.job, c.cfg, target, fit.described(c.shape))
  for options in fit.candidates(asked.job, asked.cfg, count, target.chip.memory, cost):
    # Without changes it is the job that was tried already.
    options = [option for option in options if option.changes]
    while options and time.monotonic() <= end:
      plan = tried(options.pop(0), target, settings, say)
      plans.append(plan)
      attempts.append((' '.join(plan.changes), plan.verdict() + _speed(plan)))
      if plan.fits and not settings.search:
        return plans, attempts
    if options:
      late = f'not tried in {settings.budget:,.0f} s (--budget)'
      return plans, [*attempts, (f'{len(options)} other meshes', late)]
    # A search ends with the level of changes that something fits at.
    if any(plan.fits for plan in (asked, *plans)):
      return plans, attempts
  return plans, attempts or [('every mesh, batch, type and length tried', 'no estimate fits')]


def _samplers(job):
  """Devices that only sample."""
  return math.prod(job.rl.rollout_mesh) if job.rl.rollout_mesh else 0


def _places(job, cfg, shape, devices):
  """((mesh, what it keeps) of the devices that train, the same of those that sample)."""
  # The last devices sample, as in a run.
  own = _samplers(job)
  train = sharding.make_mesh(shape, list(devices[: len(devices) - own]))
  if not own:
    return ((train, memory.held(job, cfg, train)),) * 2
  sample = sharding.make_mesh(job.rl.rollout_mesh, list(devices[-own:]))
  return tuple(zip((train, sample), memory.apart(job, cfg, train, sample)))


def _speed(plan):
  return f', {plan.outlook.seconds:,.0f} s an update' if plan.outlook else ''


def tried(candidate, target, settings, say):
  """`Plan` of a `fit.Candidate`: compiles its programs until one does not fit.

  A compiler keeps about one core busy: what should fit, by its guess, is compiled side by side,
  anything else one after the other, so that nothing is compiled for a job that is given up.
  """
  job, cfg, shape = candidate.job, candidate.cfg, candidate.shape
  plan = Plan(job, cfg, target, shape, candidate.changes)
  plan.refused = fit.refused(job, cfg, shape)
  say(f'{" ".join(candidate.changes) or "as asked"}')
  if plan.refused:
    return plan
  # Refused before anything is compiled, where the arrays alone are too much.
  train, sample = _places(job, cfg, shape, target.devices)
  for _, kept in (train, sample):
    plan.refused = plan.refused or fit.too_much(kept, target.chip)
  if plan.refused:
    return plan
  # Compile: each program on the devices that run it.
  place = lambda name: sample if name in phases.SAMPLING else train
  names = phases.names(job, cfg, sample[0])[::-1]  # the update first: it needs most
  one = lambda name: phases.compile_one(name, job, cfg, place(name)[0])
  hopeful = memory.guess(job, cfg, train[0]) < target.chip.memory
  with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for name, done in zip(names, (pool.map if hopeful else map)(one, names)):
      say(f'  {name}: {done.seconds:.0f} s to compile')
      plan.compiled[name] = done
      plan.splits[name] = memory.split(done, place(name)[1])
      if plan.worst_over:
        pool.shutdown(cancel_futures=True)
        return plan
  # Predict: everything fits.
  plan.lengths = speed.lengths(job, settings.mean)
  meshes = train[0], sample[0]
  listed = speed.phase_list(job, cfg, target, meshes, plan.compiled, plan.lengths)
  saved = speed.state_bytes(job, cfg, train[0])
  plan.listed = tuple(listed)
  plan.outlook = speed.outlook(job, target, listed, plan.lengths, saved)
  # How far it could go: what is free, and what the activations have now.
  update = plan.splits['update']
  free = target.chip.memory - update.total + update.activations
  plan.largest = fit.largest(job, cfg, train[0], free, update.activations)
  return plan
