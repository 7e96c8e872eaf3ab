"""The rollouts of an RL run: one object owns the questions, the sampler and the rewards.

`Rollouts.take` gives rollout after rollout, each an `Experience`: groups of replies with their
scores, the unanimous ones replaced where that is asked for (DAPO), and what it all took.
"""

import collections
import dataclasses
import time

import jax
import numpy as np

from r1jax import keys
from r1jax import params as params_lib
from r1jax.algorithms import advantages
from r1jax.data import batches
from r1jax.evaluation import heldout, language
from r1jax.evaluation import replies as replies_lib
from r1jax.model import transformer
from r1jax.sampling import handover, rollout
from r1jax.stages import ahead

_READ = 512  # completions of a rollout whose words are counted
_LOOKED = 1024  # training questions by which it is found which levels there are


class Questions:
  """The training questions of a run, those of one rollout at a time.

  With `rl.next_level` only questions up to some level are asked, at first the lowest; `climb` lets
  the next level in.

  Attributes:
    levels: those of the questions, ascending; () where all are asked from the start.
    asked: how many of `levels` are asked.
  """

  def __init__(self, problems, job):
    """`problems` is a random-access source; each rollout asks `job.rl.prompts` of them.

    Raises:
      ValueError: `rl.next_level` is set, and the levels of the questions do not go with it.
    """
    self._count, self._bound = job.rl.prompts, job.rl.next_level
    self.levels, self.asked = (_levels(problems), 1) if self._bound else ((), 0)
    # One by one where some of them are passed over: the position counts those too.
    size = 1 if self.levels else self._count
    self._stream = batches.ProblemStream(problems, size, job.seed)

  def take(self, update):
    """The problems of the rollout that begins at `update`, or of a refill of it."""
    if not self.levels:
      return next(self._stream)
    problems = []
    while len(problems) < self._count:
      problems += [one for one in next(self._stream) if one.level <= self.level]
    return problems

  @property
  def level(self):
    """The highest level that is asked; 0 where all are."""
    return self.levels[self.asked - 1] if self.levels else 0

  def climb(self, figures):
    """Lets the next level in where an examination says that the highest one asked is learned.

    Args:
      figures: metrics of an examination; {} where none was due.

    Returns:
      Whether a level was let in.
    """
    score = figures.get(f'eval/level_{self.level}', 0.0)
    if not self.levels or self.asked == len(self.levels) or score < self._bound:
      return False
    self.asked += 1
    return True

  def get_state(self):
    """The position, as a dict for JSON."""
    return {'stream': self._stream.get_state()}

  def set_state(self, state):
    """Continues where `get_state` was called."""
    self._stream.set_state(state['stream'])


def check_levels(job):
  """Raises ValueError where `rl.next_level` does not go with the other settings of a job."""
  if job.rl.next_level and not job.evaluation.every:
    raise ValueError(
      f'rl.next_level={job.rl.next_level}: no examination on the way would let a level in; set '
      'evaluation.every'
    )
  if job.rl.next_level and job.evaluation.every >= job.rl.updates:
    raise ValueError(
      f'rl.next_level={job.rl.next_level}: with evaluation.every={job.evaluation.every} and '
      f'rl.updates={job.rl.updates} no level would be let in before the end'
    )
  if job.rl.next_level and job.rl.staleness:
    raise ValueError(
      f'rl.next_level does not go with rl.staleness={job.rl.staleness}: the questions of a rollout '
      'would be drawn before the examination that decides on them'
    )


def _levels(problems):
  looked = min(len(problems), _LOOKED)
  # None stands for problems that nobody asks, where only shapes are wanted.
  levels = sorted({problems[i].level for i in range(looked) if problems[i]})
  if len(levels) == 1:
    raise ValueError(
      f'rl.next_level: all of the first {looked:,} training questions are of level {levels[0]}, so '
      'there is no next one; 0 asks all'
    )
  if levels and not 1 <= levels[0] <= levels[-1] <= heldout.LEVELS:
    raise ValueError(
      f'rl.next_level: levels are from 1 to {heldout.LEVELS}, the questions have {levels[0]} to '
      f'{levels[-1]}'
    )
  return tuple(levels)


@dataclasses.dataclass(frozen=True)
class Experience:
  """One rollout: P groups of G replies with their scores.

  Attributes:
    replies: `replies.Replies`, those that are trained on.
    sampled: all that were sampled and judged, the groups that were dropped among them.
    unfilled: unanimous groups that were kept for want of better.
    version: updates of the weights that sampled all of it.
    seconds: that sampling and judging took.
    position: of the questions, behind those of this rollout.
    handover: metrics of laying out the weights for sampling.
  """

  replies: replies_lib.Replies
  sampled: replies_lib.Replies
  unfilled: int = 0
  version: int = 0
  seconds: float = 0.0
  position: dict = dataclasses.field(default_factory=dict)
  handover: dict = dataclasses.field(default_factory=dict)

  @property
  def dropped(self):
    """Groups that were thrown away as unanimous."""
    return len(self.sampled.problems) - len(self.replies.problems)


class Rollouts:
  """The rollouts of a run in order, `rl.staleness` of them sampled ahead of training.

  Attributes:
    doing: what is being done now, '' for nothing.
    heed: called after each round of sampling; what it raises ends the rollout, and `take` with it.
  """

  def __init__(self, job, cfg, form, questions, rewards, mesh=None):
    """Nothing is sampled yet.

    Args:
      job: its `rl`, `sample`, `grpo`, `data` and `seed` are read.
      cfg: `ModelConfig`.
      form: the `prompts.Form` of the model.
      questions: `Questions`.
      rewards: `service.RewardService` or what has its interface.
      mesh: where to sample; None is the mesh that is set.
    """
    self._job, self._cfg, self._form = job, cfg, form
    self._questions, self._rewards = questions, rewards
    self.position = questions.get_state()  # behind the questions of the last rollout taken
    self._frozen, self.doing, self.heed = None, '', lambda: None
    trained = params_lib.trained(transformer.specs(cfg))
    self._ahead = ahead.Schedule(job.rl, mesh, trained, self._sample)

  def hold(self, frozen):
    """Keeps the frozen weights, which all rollouts share, on the devices that sample."""
    frozen_specs = params_lib.split(transformer.specs(self._cfg), transformer.specs(self._cfg))[1]
    self._frozen = self._ahead.placed(frozen_specs, frozen) if frozen else None

  def to_compile(self):
    """The `programs.Program`s of a rollout; of a refill they are the same."""
    job, form, mesh, part = self._job, self._form, self._ahead.where, 'rollout'
    limits = rollout.Limits(job.data.max_prompt, job.sample.max_new, job.sample.slots)
    asked = (job.sample, job.rl.prompts, limits, form.stop_KW, part, mesh)
    return [
      *handover.programs_of(self._cfg, job.rl.rollout_layout, part, mesh),
      *rollout.programs_of(self._cfg, *asked),
    ]

  def take(self, number, weights):
    """`Experience` of rollout `number`; `weights`, what is trained, have seen all before it."""
    experience = self._ahead.take(number, weights)
    # That of the rollout taken: the stream itself is ahead by those in flight, which
    # a restart draws again.
    self.position = experience.position
    return experience

  def age(self, number):
    """Rollouts that the weights which sample rollout `number` have not been trained on."""
    return number - self._ahead.made_by(number)

  @property
  def versions(self):
    """Weights of the rollouts in flight, which a checkpoint holds."""
    return self._ahead.versions

  def abstract_versions(self, count):
    """Shapes of `versions` where there are `count` of them."""
    return self._ahead.abstract(count, self._cfg.param_dtype)

  def restore(self, number, position, versions):
    """Continues when rollout `number` is to be taken next; what was in flight is made again."""
    self.position = position
    self._questions.set_state(position)
    self._ahead.restore(number, versions)

  def close(self):
    """Waits for the rollout that is being sampled, if any; drops those ahead of it."""
    self._ahead.close()

  def _sample(self, number, weights):
    """`Experience` of rollout `number` by `weights`.

    What is sampled ahead runs in a thread of its own, which alone moves the questions.
    """
    job, began = self._job, time.monotonic()
    update = number * job.rl.mini_batches
    policy = rollout.Policy(params_lib.join(weights, self._frozen), self._cfg, self._form)
    # Weights laid out for decoding: gathered once, not at every token, unless memory forbids it.
    policy, moved = handover.take(policy, job.rl.rollout_layout)
    experience = collect(
      lambda: self._questions.take(update),
      lambda problems, again: self._ask(policy, problems, number, again),
      job.rl.max_refills if job.rl.dynamic_sampling else None,
    )
    self.doing = ''
    return dataclasses.replace(
      experience,
      version=self._ahead.made_by(number) * job.rl.mini_batches,
      seconds=time.monotonic() - began,
      position=self._questions.get_state(),
      handover=moved,
    )

  def _ask(self, policy, problems, number, again):
    """Replies of one round of sampling; `again` counts the refills."""
    job = self._job
    key = keys.named(job.seed, 'rollout')
    # By rollout and refill, not by a state that moves: drawn whenever, a rollout is the same.
    key = jax.random.fold_in(jax.random.fold_in(key, number), again)
    # The cap at its first update holds for the whole rollout.
    cap = job.rl.cap(number * job.rl.mini_batches)
    limits = rollout.Limits(job.data.max_prompt, cap, job.sample.slots)
    ended, total = 0, len(problems) * job.sample.group

    def heard(count):
      nonlocal ended
      ended += count
      again_told = f' of refill {again}' if again else ''
      self.doing = f'sampled {ended:,} of {total:,} replies{again_told}'
      self.heed()

    return replies_lib.ask(policy, job.sample, problems, limits, key, self._rewards, heard)


def collect(next_problems, ask, max_refills=None):
  """An `Experience`; with refills, unanimous groups give way to further questions' (DAPO §3.2).

  Args:
    next_problems: () -> the next P problems of the stream.
    ask: (problems, round) -> `replies.Replies`.
    max_refills: further rounds before unanimous groups fill the rest; None leaves all groups in.
  """
  first = ask(next_problems(), 0)
  if max_refills is None:
    return Experience(first, first)
  wanted, rounds, mixed, unanimous = len(first.problems), [first], [], []
  # Ask on until enough groups disagree, or the refills are used up.
  for number in range(max_refills + 1):
    latest = rounds[-1]
    same_P = advantages.unanimous_groups(latest.reward_PG, latest.valid_PG)
    mixed += [(number, p) for p in np.flatnonzero(~same_P)]
    unanimous += [(number, p) for p in np.flatnonzero(same_P)]
    if len(mixed) >= wanted or number == max_refills:
      break
    rounds.append(ask(next_problems(), number + 1))
  # Keep the first groups that teach something; others only fill what is left.
  chosen = (mixed + unanimous)[:wanted]
  # Whole groups, round by round; their order has no meaning later.
  parts = [
    replies.take([p for n, p in chosen if n == number])
    for number, replies in enumerate(rounds)
    if any(n == number for n, _ in chosen)
  ]
  return Experience(
    replies_lib.join(parts),
    replies_lib.join(rounds),
    unfilled=max(wanted - len(mixed), 0),
  )


def shaped(replies, cap, gcfg):
  """reward_PG with the soft overlong penalty of this update's cap, and that penalty [P, G]."""
  if not gcfg.overlong_buffer:
    return replies.reward_PG, np.zeros_like(replies.reward_PG)
  # The penalty sets in shortly below the cap, which moves with the length schedule.
  gcfg = dataclasses.replace(gcfg, max_length=cap)
  penalty_PG = advantages.overlong_penalty(replies.by_problem(replies.length_B), gcfg)
  return replies.reward_PG + penalty_PG, penalty_PG


def figures(experience, cap, gcfg):
  """Metrics of a rollout by name: rewards, verdicts, lengths, manner, dropped groups.

  They are of all that was sampled: of the groups that are kept, dynamic sampling would show what it
  chose and not what the policy can do. `reward/total` is what makes advantages, penalties included.
  """
  replies = experience.sampled
  reward_PG, penalty_PG = shaped(replies, cap, gcfg)
  valid_PG, parts = replies.valid_PG, collections.defaultdict(list)
  for score in replies.scores:
    for name, verdict in score.verdicts.items():
      # A verifier that failed is no 0: its reply is left out of the mean.
      if verdict.scored:
        parts[f'reward/{name}'].append(verdict.score)
  if gcfg.overlong_buffer:
    parts['reward/overlong'] = penalty_PG[valid_PG]
  return (
    {name: float(np.mean(values)) for name, values in parts.items()}
    | _by_rule(replies)
    | {
      'reward/total': float(reward_PG[valid_PG].mean()) if valid_PG.any() else 0.0,
      'rollout/length': float(replies.length_B.mean()),
      'rollout/truncated': float(1 - replies.stopped_B.mean()),
      'rollout/slots_busy': replies.rollout.useful / max(replies.rollout.steps, 1),
      'rollout/cap': float(cap),
      # Of rewards alone: with the penalty for length hardly any group would agree.
      'rollout/unanimous': float(
        advantages.unanimous_groups(replies.reward_PG, replies.valid_PG).mean()
      ),
      'rollout/dropped_groups': float(experience.dropped),
      'rollout/unfilled_groups': float(experience.unfilled),
    }
  )


def _by_rule(replies):
  """Verdicts and manner of the replies that a rule judges; general requests have no accuracy."""
  ruled = [b for b, score in enumerate(replies.scores) if 'accuracy' in score.verdicts]
  verdicts = [replies.scores[b].verdicts['accuracy'] for b in ruled]
  kinds = collections.Counter(verdict.kind for verdict in verdicts)
  manner = {}
  if ruled:
    texts = [replies.texts[b] for b in ruled]
    manner = heldout.by_manner(texts, np.array([verdict.score for verdict in verdicts]))
  # Counting words is slow: a sample of the replies is enough for a mean.
  some = ruled[:: max(1, len(ruled) // _READ)]
  targets = [replies.asked(b).language for b in some]
  manner |= language.figures([replies.texts[b] for b in some], targets)
  total = max(len(ruled), 1)
  return {f'rollout/{name}': value for name, value in manner.items()} | {
    f'verdict/{kind}': count / total for kind, count in sorted(kinds.items())
  }
