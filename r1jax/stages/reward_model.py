"""A reward model of its own: a scalar head on the policy, trained on pairs (reference §1.4)."""

import dataclasses
from typing import Annotated, Literal

import jax
import numpy as np

from r1jax import ranges, sharding
from r1jax.algorithms import preference
from r1jax.data import batches
from r1jax.evaluation import passk
from r1jax.model import scalar_head
from r1jax.stages import judge, supervised
from r1jax.train import phases, steps
from r1jax.train import state as state_lib

FIGURES = (
  'preference/loss', 'preference/accuracy', 'eval/preference', 'preference/margin', 'optimizer/lr',
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class RewardModelConfig:
  """Pairs and schedule; batch, rate and length are the paper's (reference §1.4).

  Attributes:
    kind: 'helpful' (pairwise loss, reads the summary) or 'harmless' (pointwise, reads the whole
      reply).
    path: JSONL file of pairs, see `data.pairs`; needed.
    updates: updates in all; 66,000 pairs once are 258 of them.
    pairs: of an update.
    micro: micro-batches an update is cut into.
    capacity: tokens of a row; it holds both texts of a pair.
    heldout: pairs kept apart, on which accuracy is measured.
    every: updates between measurements (0: at the end only).
  """

  kind: Literal['helpful', 'harmless'] = 'helpful'
  path: str = ''
  updates: ranges.Count = 258
  pairs: ranges.Count = 256
  micro: ranges.Count = 32
  capacity: ranges.Count = 16_384
  heldout: Annotated[int, ranges.Range(2)] = 1024
  every: ranges.Size = 0

  def __post_init__(self):
    ranges.check(self)
    ranges.require(
      self, self.pairs % self.micro == 0, '{pairs} do not divide into {micro} micro-batches'
    )


def check(job, mesh):
  """Raises ValueError where there are no pairs or rows do not divide over the mesh."""
  if not job.reward_model.path:
    raise ValueError(
      'config.reward_model.path is empty: give a JSONL file of {"question", "chosen", "rejected"}'
    )
  rm = job.reward_model
  sharding.check_rows('reward_model.pairs / micro', rm.pairs // rm.micro, rm.capacity, mesh)


class Stage(supervised.Stage):
  """The training of a reward model as `train.loop` drives it: see `loop.run` for the contract."""

  title = 'Reward model'
  figures = FIGURES
  updates_by = staticmethod(steps.preference_update)

  def __init__(self, job, cfg, tokenizer, train, held):
    """`train` and `held` are random-access sources of pairs.

    Raises:
      ValueError: a pair does not fit `capacity`.
    """
    self.job, self.cfg, self.tokenizer = job, scalar_head.trunk(cfg), tokenizer
    self.rm, self.total = job.reward_model, job.reward_model.updates
    self.objective = judge.OBJECTIVES[self.rm.kind]
    self.stream = batches.ProblemStream(train, self.rm.pairs, job.seed)
    # Held in memory, as `every` may ask for them again and again.
    count = min(self.rm.heldout, len(held))
    self.held = [held[i] for i in range(count)]
    self.train = train
    # Encoded once only to find now, and not after hours, a pair that is too long.
    for pairs in (train, self.held):
      for i in range(len(pairs)):
        self._encode(pairs[i])
    self.tx = state_lib.make_optimizer(job.optimizer, self.specs)
    self.wait_for_weights()

  @property
  def specs(self):
    """Spec tree of the weights, the scalar head included."""
    return scalar_head.specs(self.cfg)

  def whole(self, initial):
    """A policy's weights and a scalar head of zeros."""
    # At zero all texts score alike, and no random direction has to be unlearned.
    return scalar_head.begin(initial, self.cfg)

  def update(self, step):
    """One update on the next pairs."""
    batch, filled = self._batch(next(self.stream))
    with self.ledger.phase(phases.UPDATES):
      self.state, figures = steps.preference_update(
        self.state, batch, self.frozen, cfg=self.cfg, objective=self.objective, tx=self.tx
      )
      # Else the seconds would be those of handing work to the devices.
      jax.block_until_ready(figures)
    figures['packing/filled'] = filled
    due = self.rm.every and (step + 1) % self.rm.every == 0
    return figures | ({'eval/preference': self.accuracy().mean} if due else {})

  def accuracy(self):
    """Share of held-out pairs whose preferred text scores higher, an `intervals.Estimate`."""
    score_PK = self.scores(self.held)
    # A tie is no success: a head that is still zero has none right.
    return passk.pass_at_1((score_PK[:, :1] > score_PK[:, 1:]).astype(float))

  def scores(self, pairs):
    """Raw scores [pairs, 2] of preferred and other texts."""
    size, parts = self.rm.pairs // self.rm.micro, []
    spec = sharding.act('rows', None)
    for first in range(0, len(pairs), size):
      part = pairs[first : first + size]
      rows = self._rows(part, size)
      put = jax.tree.map(lambda x: sharding.put(x, spec), rows)
      score_BK = steps.preference_scores(self.weights, self.cfg, put, 2)
      # The last call is filled up with empty rows, whose scores are dropped.
      parts.append(sharding.fetch(score_BK)[: len(part)])
    return np.concatenate(parts)

  def model(self):
    """The trained `judge.RewardModel`, calibrated on training texts."""
    calibration = judge.Calibration()
    if self.objective == 'pairwise':
      # Training texts, as the held-out ones measure; the least scale is for a model that scores all
      # texts alike and would divide by zero.
      count = min(len(self.train), len(self.held))
      score_PK = self.scores([self.train[i] for i in range(count)])
      scale = max(float(score_PK.std()), 1e-3)
      calibration = judge.Calibration(float(score_PK.mean()), scale)
    kind = self.rm.kind
    return judge.RewardModel(self.weights, self.cfg, self.tokenizer, kind, calibration)

  def _rows(self, pairs, rows):
    """A pair in each row, the preferred text first, as `steps.Rows` of NumPy arrays."""
    sequences = []
    for pair in pairs:
      sequences += self._encode(pair)
    # Not best-fit: both texts of a pair share a row, so a micro-batch holds whole pairs.
    bins = [[2 * i, 2 * i + 1] for i in range(len(pairs))]
    packed = batches.lay(sequences, bins, self.rm.capacity, rows, self.tokenizer.pad_id)
    return steps.Rows(packed.token, packed.segment, packed.position)

  def _encode(self, pair):
    """Token ids of both texts of a pair."""
    two = [
      judge.encode(self.tokenizer, self.rm.kind, pair.question, reply)
      for reply in (pair.chosen, pair.rejected)
    ]
    if sum(map(len, two)) > self.rm.capacity:
      raise ValueError(
        f'a pair of {len(two[0])} and {len(two[1])} tokens does not fit '
        f'reward_model.capacity={self.rm.capacity}: {pair.question[:60]!r}'
      )
    return two

  def _batch(self, pairs):
    rm, rows = self.rm, self._rows(pairs, self.rm.pairs)
    filled = batches.filled(rows.segment, rm.pairs)
    # A pair is one unit of a pairwise loss, two of a pointwise one.
    share = 1 / rm.pairs if self.objective == 'pairwise' else 0.5 / rm.pairs
    # 1 for the preferred text, which stands first in its row.
    chosen_first = np.array([1, 0], np.int32)
    label_BK = np.tile(chosen_first, (rm.pairs, 1))
    loss = preference.Batch(label_BK, np.full((rm.pairs, 2), share, np.float32))
    spec = sharding.act(None, 'rows', None)
    cut = lambda x: sharding.put(x.reshape(rm.micro, -1, x.shape[-1]), spec)
    rows, loss = jax.tree.map(cut, (rows, loss))
    return steps.Batch(rows, loss, np.int32(rm.micro)), filled
