"""Which request is in which slot: the host's side of a rollout, without a device.

Each shard of the batch has its own slots and its own queue of requests, so that no cache moves
between devices. All decisions follow from lengths alone: every process takes the same ones.
"""

import dataclasses

import numpy as np

_FEWEST = 16  # slots of a shard that are not halved: a step of fewer takes as long


@dataclasses.dataclass(frozen=True)
class Sizes:
  """Shapes of the sampler's programs, per shard.

  Attributes:
    shards: of the batch.
    rows: slots of a shard.
    wave: prompts of a shard that are prefilled at once.
  """

  shards: int
  rows: int
  wave: int


def sizes(prompts, group, slots, shards):
  """`Sizes` for so many prompts; at most `slots` of a shard, 0 for one for each request."""
  own = -(-prompts // shards)
  rows = min(slots or own * group, own * group)
  # Enough prompts to fill all slots: one call where there is a slot for each request.
  return Sizes(shards, rows, min(own, -(-rows // group)))


def halves(rows):
  """The numbers of slots of a shard, fewer and fewer, that a rollout of `rows` ends with."""
  fewer = []
  while rows > _FEWEST:
    rows = -(-rows // 2)
    fewer.append(rows)
  return fewer


class Table:
  """The requests of a rollout on their way through the slots; S shards of B slots."""

  def __init__(self, prompts, group, of):
    """Nothing is admitted yet; request p * `group` + g is sample g of prompt p.

    Args:
      prompts: their number.
      group: samples of each.
      of: `Sizes`.
    """
    self._group, self._sizes = group, of
    # Prompts of a shard, next to each other, in order.
    self._queue = [list(part) for part in np.array_split(np.arange(prompts), of.shards)]
    self._wave = np.full((of.shards, of.wave), -1)  # prompts that are prefilled
    self._left = np.zeros((of.shards, of.wave), int)  # samples of each to be admitted
    self.request_SB = np.full((of.shards, of.rows), -1)  # -1 in a free slot

  @property
  def live(self):
    """Slots with a request."""
    return int((self.request_SB >= 0).sum())

  @property
  def waiting(self):
    """Whether a request waits for a slot."""
    return bool(self._left.any()) or any(self._queue)

  @property
  def halving(self):
    """Whether half of the slots will do as soon as few enough are live."""
    return not self.waiting and self.request_SB.shape[1] > _FEWEST

  def next_wave(self):
    """Prompts to prefill, [S * wave], where a shard has free slots and nothing prefilled, or None.

    Prompts of other shards that still have samples to be admitted are among them again.
    """
    free_S = (self.request_SB < 0).any(1)
    waiting_S = np.array([bool(queue) for queue in self._queue])
    lacks_S = ~self._left.any(1) & waiting_S
    if not (free_S & lacks_S).any():
      return None
    for wave, left, queue in zip(self._wave, self._left, self._queue):
      for i in np.flatnonzero(left == 0)[: len(queue)]:
        wave[i], left[i] = queue.pop(0), self._group
    # A place without a prompt computes prompt 0, which nobody reads.
    return np.maximum(self._wave, 0).reshape(-1)

  def admit(self):
    """Fills free slots from what is prefilled: (source_B, request_B) of all S * B; None for nobody.

    `source_B` is the place in the shard's wave, -1 where a slot stays as it is.
    """
    source_SB = np.full(self.request_SB.shape, -1)
    for s, (wave, left) in enumerate(zip(self._wave, self._left)):
      free = np.flatnonzero(self.request_SB[s] < 0)
      # The samples to come, prompt by prompt.
      place = np.repeat(np.arange(len(left)), left)[: len(free)]
      for row, i in zip(free, place):
        source_SB[s, row] = i
        self.request_SB[s, row] = wave[i] * self._group + self._group - left[i]
        left[i] -= 1
    if (source_SB < 0).all():
      return None
    return source_SB.reshape(-1), self.request_SB.reshape(-1)

  def free(self, live_B):
    """Takes note of the slots that are live still; the requests of the others, in order."""
    ended_SB = ~np.asarray(live_B).reshape(self.request_SB.shape) & (self.request_SB >= 0)
    ended = self.request_SB[ended_SB]
    self.request_SB[ended_SB] = -1
    return ended

  def halve(self):
    """Rows to keep of each shard, live ones first, [S * B / 2]; None where that loses one."""
    rows = self._half
    if not self.halving or (self.request_SB >= 0).sum(1).max() > rows:
      return None
    row_SB = np.argsort(self.request_SB < 0, axis=1, kind='stable')[:, :rows]
    self.request_SB = np.take_along_axis(self.request_SB, row_SB, 1)
    return row_SB.reshape(-1)

  def enough(self):
    """How few slots may be live when `decode` comes back."""
    rows, live = self.request_SB.size, self.live
    if self.waiting:
      # One at a time would cost a look of the host for each, many at a time leaves them idle.
      return max(live - max(1, rows // 16), 0)
    if self.halving:
      return min(live - 1, len(self.request_SB) * self._half)
    return 0

  @property
  def _half(self):
    return -(-self.request_SB.shape[1] // 2)
