"""Seconds of each phase: FLOPs the model needs, bytes that must move, the roofline of a chip."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from r1jax import sharding
from r1jax.model import flops as flops_lib
from r1jax.planning import hlo, memory, phases
from r1jax.stages import reasoning_rl

# Bytes/s that one host writes to its storage: an assumption, a network file system's usual rate.
STORAGE = 1e9
# Share of the roofline that is reached where the compiler counts no cycles: an assumption.
REACHED = 0.4
COPY = 'weights to the samplers'


@dataclasses.dataclass(frozen=True)
class Phase:
  """One phase of a policy update, on one device; FLOPs and seconds are a whole update's share.

  Attributes:
    name: as printed.
    devices, samples: how many take part, and whether they are those that sample.
    times: runs of the program in one rollout (`mini_batches` updates).
    flops: that the model needs, without recomputation.
    bytes: that must at least cross the memory's bus.
    work: collectives and cycles of the compiled program, loops multiplied out.
    roofline: seconds at the data sheet's best, computing, moving and communicating all at once.
    compiler: seconds of the compiler's own cycle count, collectives not included; 0 if it has none,
      and then `REACHED` of the roofline is what is predicted.
    wire: seconds of the collectives over all links.
  """

  name: str
  devices: int
  samples: bool
  times: float
  flops: float
  bytes: float
  work: hlo.Work
  roofline: float
  compiler: float
  wire: float

  @property
  def seconds(self):
    """Prediction: nothing overlaps with communication."""
    working = max(self.compiler, self.roofline) if self.compiler else self.roofline / REACHED
    return working + self.wire


@dataclasses.dataclass(frozen=True)
class Lengths:
  """New tokens of a completion: the longest decides decoding, the mean what is trained on."""

  longest: float
  mean: float


def lengths(job, mean):
  """`Lengths` over the job's schedule; without `mean` every completion runs into its cap."""
  rl = job.rl
  # Each cap holds until the next one starts.
  ends = [start for start, _ in rl.length_schedule[1:]] + [rl.updates]
  spans = [
    max(min(end, rl.updates) - start, 0) for (start, _), end in zip(rl.length_schedule, ends)
  ]
  caps = [min(cap, job.sample.max_new) for _, cap in rl.length_schedule]
  # The mean over updates, weighted by how long each cap holds.
  longest = sum(span * cap for span, cap in zip(spans, caps)) / rl.updates
  return Lengths(longest, min(mean or longest, longest))


def phase_list(job, cfg, target, meshes, compiled, how_long):
  """The phases that take device time, in order.

  Args:
    meshes: the one that trains and the one that samples, often the same.
    compiled: name -> `phases.Compiled`, none refused.
  """
  rl, (train, sample) = job.rl, meshes
  # Tokens of one update and the micro-batches that hold them.
  prompt, sequences = job.data.max_prompt, rl.prompts * job.sample.group // rl.mini_batches
  tokens = sequences * how_long.mean + _prompts(job, cfg, how_long.mean) * prompt
  micro = math.ceil(tokens / (rl.rows * rl.capacity))
  # What the model needs: one forward pass over what is trained on.
  pairs = sequences * (prompt + how_long.mean) ** 2 / 2
  completed = sequences * how_long.mean
  forward = flops_lib.of_tokens(cfg, tokens, pairs, completed)
  # Scored by the reference, and by the old policy in all updates of a rollout but the first.
  passes = bool(job.grpo.beta) + reasoning_rl.scores_old(job) * (1 - 1 / rl.mini_batches)
  held = phases.slots(job, sample)
  # What must cross the memory's bus: all layers' weights for each pass, and the cache.
  size = cfg.layers * jnp.dtype(cfg.compute_dtype).itemsize
  read, decoded = (size * memory.layer_values(cfg, mesh) for mesh in meshes)
  kept, own = (memory.held(job, cfg, mesh) for mesh in meshes)
  each = 1 / rl.mini_batches
  # Decoding: slots that refill until the queue is empty, then as long as the longest takes; a step
  # sees half of a completion on average.
  batch = held.rows * held.shards
  refills = max(rl.prompts * job.sample.group / batch - 1, 0)
  steps = refills * how_long.mean + how_long.longest
  wave = held.wave * held.shards
  prefill = flops_lib.of_tokens(cfg, wave * prompt, wave * prompt**2 / 2)
  decode = steps * flops_lib.of_tokens(cfg, batch, batch * (prompt + how_long.mean / 2))
  # Adam reads and writes what is trained, as large as its gradient, and moments, and reads that.
  handed = own.parameters + own.decoding
  every = 2 * (kept.gradients + kept.optimizer) + kept.gradients
  learned = flops_lib.update(cfg, tokens, pairs, completed)
  # name, program, runs per update, FLOPs, bytes, (times once, times the loop) of the program.
  plans = [
    ('weight hand-over', 'weight hand-over', each, 0, handed, (1, 0)),
    ('rollout prefill', 'rollout', each * rl.prompts / wave, prefill, decoded, (1, 0)),
    ('rollout decode', 'rollout', each, decode, steps * (decoded + own.cache), (0, steps)),
    ('log-probabilities', 'log-probabilities', passes, forward, micro * read, (1, micro)),
    ('update', 'update', 1.0, learned, 3 * micro * read + every, (1, micro)),
  ]
  listed = [_copied(job, own, meshes, target.chip)] if train is not sample else []
  for name, program, times, flops, moved, trips in plans:
    if program in compiled:
      samples = program in phases.SAMPLING
      n = (sample if samples else train).size
      where, needs = (n, samples), (flops * times / n, moved * times)
      listed.append(_phase(name, where, times, needs, compiled[program], trips, target.chip))
  return listed


def _prompts(job, cfg, mean):
  """How often a prompt is computed in an update: for each completion, or once in a row of them."""
  rl = job.rl
  each = rl.prompts * job.sample.group / rl.mini_batches
  if not reasoning_rl.layout(job, cfg).shared:
    return each
  # Prompts that a mini-batch holds completions of, and rows that these fill.
  met = 1 / rl.mini_batches
  drawn = rl.prompts * (met if rl.split == 'groups' else 1 - (1 - met) ** job.sample.group)
  row = max((rl.capacity - job.data.max_prompt) / (mean + 1), 1)
  return min(each, max(drawn, each / row))


def _copied(job, own, meshes, chip):
  """The weights' way to the devices that only sample; from outside, so over their links."""
  times, sample = 1 / job.rl.mini_batches, meshes[1]
  apart = set.isdisjoint(*(set(sharding.nodes(mesh)) for mesh in meshes))
  moved = times * own.parameters
  # Over the network only where no node holds devices of both kinds.
  wire = moved / (chip.network if apart else chip.link)
  at_best = max(wire, moved / chip.bandwidth)
  return Phase(COPY, sample.size, True, times, 0.0, moved, hlo.Work(), at_best, 0.0, wire)


def _phase(name, where, times, needs, compiled, trips, chip):
  work, (flops, moved) = hlo.Work(), needs
  program = compiled.program
  work.add(program.once, trips[0] * times)
  work.add(program.loop, trips[1] * times * (program.loops if trips[0] else 1))
  # Inside a node over the links, between nodes over the network, one after the other.
  wire = (sum(work.received.values()) - work.across) / chip.link
  if work.across:
    wire += work.across / chip.network
  # The slower of computing and moving; the other hides behind it.
  roofline = max(flops / chip.peak, moved / chip.bandwidth)
  cycles = work.cycles / chip.clock if chip.clock else 0.0
  return Phase(name, *where, times, flops, moved, work, roofline, cycles, wire)


@dataclasses.dataclass(frozen=True)
class Outlook:
  """What a job will take; `best` if everything overlaps, `seconds` if communication never does."""

  seconds: float
  best: float
  mfu: float
  update_mfu: float
  tokens_per_s: float
  hours: float
  chip_hours: float
  checkpoint_bytes: float
  checkpoint_seconds: float


def outlook(job, target, listed, how_long, saved):
  """`Outlook` of a job, per update and to its last one; `saved` are the bytes of a checkpoint.

  Devices that only sample do so while the others train: the slower of the two decides.
  """
  sampled, trained = ([p for p in listed if p.samples == side] for side in (True, False))
  # Side by side or in turns.
  join = max if job.rl.rollout_mesh else lambda *x: sum(x)
  seconds = join(*(sum(p.seconds for p in part) for part in (sampled, trained)))
  fastest = lambda p: max(p.roofline, p.compiler, p.wire)
  best = join(*(sum(map(fastest, part)) for part in (sampled, trained)))
  # The update comes last.
  last = listed[-1]
  writes = saved / (target.hosts * STORAGE)
  save_every = job.rl.updates / job.loop.checkpoint_every * writes
  hours = (job.rl.updates * seconds + save_every) / 3600
  sequences = job.rl.prompts * job.sample.group / job.rl.mini_batches
  peak, count = target.chip.peak, len(target.devices)
  return Outlook(
    seconds=seconds,
    best=best,
    mfu=sum(p.flops * p.devices for p in listed) / seconds / peak / count,
    update_mfu=last.flops / last.seconds / peak,
    tokens_per_s=sequences * how_long.mean / seconds,
    hours=hours,
    chip_hours=hours * count,
    checkpoint_bytes=saved,
    checkpoint_seconds=writes,
  )


def state_bytes(job, cfg, mesh):
  """Bytes of a checkpoint: the state, every value once."""
  _, state, _ = phases.state(job, cfg, mesh)
  return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(state))
