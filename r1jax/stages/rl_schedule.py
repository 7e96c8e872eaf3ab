"""The schedule of reasoning RL, and whether its numbers work out."""

import dataclasses
from typing import Literal

from r1jax import ranges, sharding
from r1jax.stages import ahead, rollouts


@dataclasses.dataclass(frozen=True)
class RlConfig:
  """The RL schedule; defaults are R1-Zero's (reference §1.3).

  Attributes:
    prompts: questions per rollout. The paper: 8,192 outputs = 512 questions x 16.
    mini_batches: updates per rollout, one inner epoch.
    split: 'random' deals the completions out to the mini-batches as the paper does; 'groups' keeps
      those of a prompt in one, where `share_prompts` saves the more.
    updates: policy updates in all ("steps" of the paper).
    reference_every: updates after which the reference becomes the policy.
    length_schedule: (from update, most new tokens) pairs, ascending; () is `sample.max_new` from
      the first to the last.
    rows, capacity: shape of a packed micro-batch; `capacity` holds a prompt and a completion. They
      decide memory and speed alone; 'auto' takes what fits the machine.
    share_prompts: compute a prompt once for all of its completions in a row, not once for each,
      in mini-batches where that takes no more micro-batches. The update is the same but for
      rounding. No Pallas kernel knows it yet: with these each completion has its own prompt.
    dynamic_sampling: drop groups whose rewards are all equal and sample more questions in their
      place. DAPO's criterion is an accuracy of 0 or 1, this one the whole reward.
    max_refills: extra rounds of sampling before the rest is filled with unanimous groups.
    reference_dtype: type of the reference's weights; '' for the policy's. It is never updated by
      steps, so bfloat16 costs it one rounding (and halves its memory).
    rollout_layout: 'decode' gathers the weights once before a rollout and holds them beside
      training's until it ends; 'same' saves that memory and gathers them at every token.
    next_level: a curriculum: share of right answers to held-out questions of the highest level
      asked, from which on the next level is asked too, the lowest at first; 0 asks all levels from
      the start. Needs `evaluation.every`.
    silent_rollouts: rollouts in a row in which all groups agree, after which the run stops with the
      reason instead of burning hours; 0 goes on whatever happens.
    samples_every: updates between rollouts that are written to `samples/`; the last one always is.
    samples_mib: most MiB of `samples/`; steps between the first and the last give way, evenly.
    staleness: rollouts sampled ahead of training, see `stages.ahead`; 0 samples and trains in turn,
      as the paper does. Needs `grpo.tis_cap`, which weighs what older weights have sampled, or
      `grpo.old_logp=sampler`.
    rollout_mesh: mesh of the devices that only sample, the last ones, e.g. (1, 2, 1, 1); () samples
      on those that train. Needs staleness.
  """

  prompts: ranges.Count = 512
  mini_batches: ranges.Count = 16
  split: Literal['random', 'groups'] = 'random'
  updates: ranges.Count = 10_400
  reference_every: ranges.Count = 400
  # R1-Zero's cap doubles at update 8,200, where accuracy and length jump (reference §1.3).
  length_schedule: tuple[tuple[ranges.Size, ranges.Count], ...] = ((0, 32_768), (8_200, 65_536))
  rows: ranges.Count | ranges.Auto = 8
  # The longest completion and a prompt of 1,024 tokens.
  capacity: ranges.Count | ranges.Auto = 66_560
  share_prompts: bool = True
  dynamic_sampling: bool = False
  max_refills: ranges.Size = 10
  next_level: ranges.Share = 0.0
  silent_rollouts: ranges.Size = 4
  samples_every: ranges.Count = 160
  samples_mib: ranges.Count = 512
  reference_dtype: Literal['', 'float32', 'bfloat16'] = ''
  rollout_layout: Literal['decode', 'same'] = 'decode'
  staleness: ranges.Size = 0
  rollout_mesh: tuple[ranges.Count, ...] = ()

  def __post_init__(self):
    ranges.check(self)
    starts = [start for start, _ in self.length_schedule]
    ranges.require(
      self,
      not starts or (starts[0] == 0 and starts == sorted(set(starts))),
      '{length_schedule} must start at update 0 and ascend',
    )
    ranges.require(
      self,
      bool(self.staleness) or not self.rollout_mesh,
      '{rollout_mesh} needs {staleness} above 0: only what is sampled ahead has its own devices',
    )

  def cap(self, step):
    """Most new tokens at an update."""
    return [length for start, length in self.length_schedule if start <= step][-1]


def check(job, mesh):
  """Raises ValueError, with the numbers, where a job cannot run on a mesh of devices that exist."""
  rollouts.check_levels(job)
  check_batches(job, mesh)
  ahead.check(job.rl, mesh)


def check_batches(job, mesh):
  """Raises ValueError, with the numbers, where the batch arithmetic of a job does not work out."""
  rl, group = job.rl, job.sample.group
  total = rl.prompts * group
  # Groups and mini-batches.
  if group < 2:
    raise ValueError(f'sample.group={group}: an advantage compares at least 2 samples')
  if total % rl.mini_batches:
    raise ValueError(
      f'{rl.prompts} prompts x {group} samples = {total} sequences do not divide into '
      f'rl.mini_batches={rl.mini_batches}'
    )
  if rl.split == 'groups' and rl.prompts % rl.mini_batches:
    raise ValueError(
      f"rl.split='groups': {rl.prompts} groups do not divide into rl.mini_batches={rl.mini_batches}"
    )
  if job.grpo.beta and rl.reference_every % rl.mini_batches:
    raise ValueError(
      f'rl.reference_every={rl.reference_every} is no multiple of rl.mini_batches='
      f'{rl.mini_batches}: the reference would change while mini-batches scored by the old one wait'
    )
  # Packed rows, and the longest sequence that one has to hold.
  sharding.check_rows('rl.rows', rl.rows, rl.capacity, mesh)
  if rl.staleness and job.grpo.tis_cap is None and job.grpo.old_logp == 'trainer':
    raise ValueError(f'{rl.staleness=} needs the importance correction: grpo.tis_cap=2.0, say')
  caps = [length for _, length in rl.length_schedule]
  shortest, longest = min(caps), max(caps)
  if longest > job.sample.max_new:
    raise ValueError(
      f'rl.length_schedule asks for {longest} tokens, sample.max_new={job.sample.max_new}: set both'
    )
  if job.grpo.aggregation == 'dr_grpo' and job.grpo.max_length < longest:
    raise ValueError(f'grpo.max_length={job.grpo.max_length} is below the cap of {longest} tokens')
  if job.grpo.overlong_buffer > shortest:
    raise ValueError(
      f'grpo.overlong_buffer={job.grpo.overlong_buffer} is longer than the cap of {shortest} '
      'tokens in rl.length_schedule, at which it ends: a reply of one token would be punished'
    )
  if job.data.max_prompt + job.sample.max_new > rl.capacity:
    raise ValueError(
      f'data.max_prompt={job.data.max_prompt} + sample.max_new={job.sample.max_new} do not fit '
      f'rl.capacity={rl.capacity}'
    )
