"""Whether a run can learn at all: said before its first update, and where its rewards are silent.

GRPO compares the samples of a group. Where all of them earn the same there is nothing to compare,
so a base that never (or always) earns its reward learns nothing, however long it trains.
"""

import dataclasses

import numpy as np

from r1jax.algorithms import advantages
from r1jax.rewards.verdict import Kind

_MOSTLY = 0.5  # share of the replies that makes a cause worth naming


class NothingToLearnError(RuntimeError):
  """Rollout after rollout every group's rewards were equal; everything is saved."""


@dataclasses.dataclass(frozen=True)
class Prospects:
  """What the replies of a policy say of its chances, each a share of them or of the groups.

  Attributes:
    right, formed, truncated: replies that are right, well formed, cut at the limit.
    unread: replies in which no answer was found.
    unanimous: groups whose rewards are all equal, so that they teach nothing; None where a group is
      one reply.
    length: mean tokens of a reply.
  """

  right: float
  formed: float
  truncated: float
  unread: float
  unanimous: float | None
  length: float

  def told(self):
    """One line of all of it."""
    agree = '' if self.unanimous is None else f', groups that agree {self.unanimous:.1%}'
    return (
      f'right {self.right:.1%}, format {self.formed:.1%}, {self.length:.0f} tokens, '
      f'cut off {self.truncated:.1%}, without an answer {self.unread:.1%}{agree}'
    )

  def advice(self, job):
    """What most likely helps, a list of sentences that name the keys to change."""
    sentences = []
    # A reply that is cut has no answer, whatever else is wrong: this is said beside the rest.
    if self.truncated > _MOSTLY:
      sentences.append(
        f'most replies are cut: raise sample.max_new={job.sample.max_new} (and rl.length_schedule, '
        'rl.capacity)'
      )
    # Of the others the first that fits: answers are not found, are wrong, or are all right.
    if self.unread > _MOSTLY and job.data.prompt == 'zero':
      sentences.append(
        "no answer is found: a model that was taught to talk wants its chat, data.prompt='chat' "
        "with data.system='Answer with the number only.' and reward.answer='last_number' (or 'box')"
      )
    elif self.unread > _MOSTLY:
      sentences.append(
        f'no answer is found where reward.answer={job.reward.answer!r} looks: ask for it in '
        'data.system, or show solved examples by data.few_shot'
      )
    elif self.right < 1 - _MOSTLY:
      sentences.append(
        'the questions are too hard: take easier ones, show solved examples (data.few_shot), or '
        'fine-tune first (SFT on traces)'
      )
    else:
      sentences.append('the questions are solved already: take harder ones')
    return sentences


def of(replies):
  """`Prospects` of some `replies.Replies` with right answers."""
  verdicts = [s.verdicts['accuracy'] for s in replies.scores if 'accuracy' in s.verdicts]
  alike = advantages.unanimous_groups(replies.reward_PG, replies.valid_PG)
  # General requests have no accuracy and are not counted.
  count = max(len(verdicts), 1)
  return Prospects(
    right=sum(verdict.score > 0.5 for verdict in verdicts) / count,
    formed=float(np.mean([score.verdicts['format'].score for score in replies.scores])),
    truncated=float(1 - replies.stopped_B.mean()),
    unread=sum(verdict.kind == Kind.UNPARSEABLE for verdict in verdicts) / count,
    unanimous=float(alike.mean()) if replies.reward_PG.shape[1] > 1 else None,
    length=float(replies.length_B.mean()),
  )


class SilenceWatch:
  """Counts rollouts in a row in which no group had anything to compare."""

  def __init__(self, job, say, silent=0, most=0.0):
    """`say` hears a line; `silent` and `most` are of an earlier `SilenceWatch`, to go on with."""
    self._job, self._say, self.silent = job, say, silent
    self.most = most  # the best mean reward of a rollout so far, 0 for none above it

  def add(self, replies):
    """Notes a rollout; says why it taught nothing.

    Raises:
      NothingToLearnError: that is so for the `rl.silent_rollouts`th time in a row.
    """
    seen = of(replies)
    valid_PG = replies.valid_PG
    earned = float(replies.reward_PG[valid_PG].mean()) if valid_PG.any() else 0.0
    before, self.most = self.most, max(self.most, earned)
    # One group that disagrees is enough to learn from.
    if seen.unanimous is None or seen.unanimous < 1:
      self.silent = 0
      return
    self.silent += 1
    limit = self._job.rl.silent_rollouts
    advice = self._advice(seen, earned, before)
    line = f'no group of this rollout has unequal rewards, so it teaches nothing ({seen.told()})'
    # A single silent rollout may be chance; so many in a row are not.
    if limit and self.silent >= limit:
      raise NothingToLearnError(
        f'stopped: {line}, rollout {self.silent} in a row (rl.silent_rollouts={limit}): {advice}'
      )
    self._say(f'WARNING: {line}: {advice}')

  def _advice(self, seen, earned, before):
    """What most likely helps where a rollout earns `earned`, and the best before it `before`."""
    if before and earned < before / 2:
      return (
        f'an earlier rollout earned {before:.2f} and this one {earned:.2f}, so the updates have '
        f'ruined the policy: lower optimizer.lr={self._job.optimizer.lr:g}, and begin anew'
      )
    # Then what is right says nothing of what is paid.
    if not self._job.reward.accuracy:
      return (
        f'every reply earns {earned:.2f}: reward.accuracy is 0, and what is paid instead tells no '
        'reply from another'
      )
    return '; '.join(seen.advice(self._job))
