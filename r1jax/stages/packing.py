"""One packer for all losses: token sequences into the fixed micro-batches that a step takes.

What is learned of a sequence begins at a place of its own (behind the prompt); what each learned
token brings with it (an advantage, a log-probability) is looked up by `Placed.lookup`.
"""

import dataclasses

import chex
import flax.struct
import jax
import numpy as np

from r1jax import sharding
from r1jax.algorithms import grpo, sft
from r1jax.data import batches
from r1jax.train import steps


@dataclasses.dataclass(frozen=True)
class Layout:
  """Shape of a mini-batch: at most `micro` micro-batches of `rows` rows of `capacity` tokens.

  `shared` lets a prompt stand once for all of its completions in a row, see `place_completions`.
  """

  sequences: int
  rows: int
  capacity: int
  shared: bool = False

  @property
  def micro(self):
    """Micro-batches that suffice even if no two sequences share a row."""
    # The worst case, so that every rollout runs the same compiled step.
    return self.filled(self.sequences)

  def filled(self, bins):
    """Micro-batches that so many rows fill."""
    return -(-bins // self.rows)

  @property
  def shape(self):
    """[A, B, T] of the arrays of a mini-batch."""
    return self.micro, self.rows, self.capacity


@dataclasses.dataclass(frozen=True)
class Placed:
  """Sequences in their places, and which of their tokens are learned.

  Attributes:
    packed: `batches.Packed`; every array is [A * B, T].
    mask: bool [A * B, T], the tokens that are learned.
    into: int [A * B, T], place of a learned token within the learned part of its sequence.
    bins: the sequences of each row that holds any.
    layout: `Layout`.
    prefix: int [A * B, T], the segment that each token sees besides its own, -1 for none; None
      where no beginning is shared.
  """

  packed: batches.Packed
  mask: np.ndarray
  into: np.ndarray
  bins: list
  layout: Layout
  prefix: np.ndarray | None = None

  @property
  def count(self):
    """Micro-batches that hold anything, int32: a step computes only those."""
    # An array and no int: a static number would compile the step anew for each value.
    return np.array(self.layout.filled(len(self.bins)), np.int32)

  @property
  def filled(self):
    """Share of the computed places that hold a token."""
    return batches.filled(self.packed.segment, int(self.count) * self.layout.rows)

  @property
  def rows(self):
    """`steps.Rows` of NumPy arrays [A, B, T]."""
    packed = self.packed
    arrays = map(self.shaped, (packed.token, packed.segment, packed.position))
    return steps.Rows(*arrays, None if self.prefix is None else self.shaped(self.prefix))

  def shaped(self, values):
    """An array over the rows as [A, B, T]."""
    return values.reshape(self.layout.shape)

  def lookup(self, values_B):
    """float32 [A, B, T]: each sequence's value on its learned tokens, 0 elsewhere."""
    values = np.where(self.mask, np.asarray(values_B)[self.packed.source], 0)
    return self.shaped(values.astype(np.float32))

  def micro_of_sequence(self, count):
    """Index of the micro-batch that each of `count` sequences lies in."""
    micro_B = np.empty(count, int)
    for row, members in enumerate(self.bins):
      micro_B[members] = row // self.layout.rows
    return micro_B


def place(sequences, begin_B, layout, pad=0):
  """Packs sequences best-fit: `Placed`.

  Args:
    sequences: token ids of each, at most `layout.sequences` of them.
    begin_B: place of the first learned token of each.
    layout: `Layout`.
    pad: id where no token lies.
  """
  begin_B = np.asarray(begin_B)
  chex.assert_shape(begin_B, (len(sequences),))
  # All of this is NumPy on the host: lengths change with every rollout, shapes never do.
  bins = batches.best_fit([len(one) for one in sequences], layout.capacity)
  packed = batches.lay(sequences, bins, layout.capacity, layout.micro * layout.rows, pad)
  # Padding has source -1, which reads the last sequence's begin; the mask leaves it out.
  mask = packed.real & (packed.position >= begin_B[packed.source])
  into = np.where(mask, packed.position - begin_B[packed.source], 0)
  return Placed(packed, mask, into, bins, layout)


def place_completions(prompts, completions, layout):
  """Packs completions of prompts in the form of fewer micro-batches: `Placed`.

  A step computes whole micro-batches, so these are its operations but for attention's, which go by
  the tokens; of equally many the form of fewer tokens is taken.

  Args:
    prompts: token ids of each completion's prompt, int32 arrays.
    completions: token ids of each.
    layout: `Layout`.
  """
  sequences = [np.concatenate(two) for two in zip(prompts, completions)]
  if layout.shared:
    lengths = [len(one) for one in sequences]
    micro = layout.filled(len(batches.best_fit(lengths, layout.capacity)))
    placed = place_shared(prompts, completions, layout)
    if (placed.count, placed.packed.real.sum()) < (micro, sum(lengths)):
      return placed
  # Prompt and completion are one sequence; the prompt is read but not learned.
  placed = place(sequences, [len(prompt) for prompt in prompts], layout)
  if layout.shared:  # one compiled step takes both forms
    return dataclasses.replace(placed, prefix=np.full_like(placed.packed.segment, -1))
  return placed


def place_shared(prompts, completions, layout, pad=0):
  """Packs completions behind prompts that stand once for all of them: `Placed`.

  A row holds `prompt[:-1]` and behind it, each as a segment of its own whose positions go on from
  the prompt, `prompt[-1] + completion`: every learned token has its predecessor at t - 1, as in
  whole sequences. A prompt whose completions need several rows stands in each of them.

  Args:
    prompts: token ids of each completion's prompt; equal ones are shared.
    completions: token ids of each, at most `layout.sequences` of them.
    layout: `Layout`.
    pad: id where no token lies.
  """
  # 1. Blocks: a prompt and as many of its completions as a row takes.
  count = len(completions)
  pieces = [np.concatenate((one[-1:], two)) for one, two in zip(prompts, completions)]
  blocks = _blocks(prompts, [len(piece) for piece in pieces], layout.capacity)
  # 2. Blocks into rows; the prompts are numbered behind the completions.
  pieces += [prompts[members[0]][:-1] for members in blocks]
  blocks = [[count + at, *members] for at, members in enumerate(blocks)]
  sizes = [sum(len(pieces[number]) for number in block) for block in blocks]
  bins = [
    [number for at in row for number in blocks[at]]
    for row in batches.best_fit(sizes, layout.capacity)
  ]
  packed = batches.lay(pieces, bins, layout.capacity, layout.micro * layout.rows, pad)
  # 3. What is learned, and who goes on from where.
  completed = (packed.source >= 0) & (packed.source < count)
  mask = completed & (packed.position > 0)
  heads = [len(prompt) - 1 for prompt in prompts]
  before = np.array([*heads, *[0] * len(blocks), 0])
  placed = batches.Packed(
    packed.token,
    packed.segment,
    (packed.position + before[packed.source]).astype(np.int32),
    np.where(completed, packed.source, -1),
  )
  own = [[number for number in members if number < count] for members in bins]
  into = np.where(mask, packed.position - 1, 0)
  return Placed(placed, mask, into, own, layout, _prefixes(packed, bins, count))


def _blocks(prompts, sizes, capacity):
  """Completions with equal prompts that fit a row together, as lists of their numbers."""
  groups = {}
  for number, prompt in enumerate(prompts):
    groups.setdefault(prompt.tobytes(), []).append(number)
  blocks = []
  for members in groups.values():
    room = capacity - (len(prompts[members[0]]) - 1)
    parts = batches.best_fit([sizes[number] for number in members], room)
    blocks += [[members[at] for at in part] for part in parts]
  return blocks


def _prefixes(packed, bins, count):
  """The segment that each token sees besides its own, int32: its prompt's, -1 for none."""
  prefix = np.full_like(packed.segment, -1)
  for row, members in enumerate(bins):
    # By segment of the row; 0 is padding. Behind a prompt come the completions that share it.
    seen, prompt = [-1], -1
    for segment, number in enumerate(members, 1):
      prompt = segment if number >= count else prompt
      seen.append(-1 if number >= count else prompt)
    prefix[row] = np.array(seen)[packed.segment[row]]
  return prefix


@flax.struct.dataclass
class Minibatch:
  """A packed mini-batch of RL on the host: what a step wants, and where each token came from.

  Attributes:
    batch: `steps.Batch` of NumPy arrays [A, B, T].
    source: [A, B, T], index of the token's sequence in the rollout; -1 for padding and for prompts
      that several sequences share.
  """

  batch: steps.Batch
  source: np.ndarray

  @property
  def tokens(self):
    """Tokens that are computed."""
    return int((self.batch.rows.segment > 0).sum())

  @property
  def places(self):
    """Places of tokens in the rows that are computed."""
    _, rows, capacity = self.batch.rows.segment.shape
    return int(self.batch.count) * rows * capacity

  @property
  def learned(self):
    """Tokens that have a loss, for which alone the output head is computed."""
    return int(self.batch.loss.mask_BT.sum())

  @property
  def shared(self):
    """Whether prompts stand once for several completions."""
    prefix = self.batch.rows.prefix
    return prefix is not None and bool((prefix > 0).any())

  @property
  def pairs(self):
    """Pairs of a token and one that it sees, itself among them."""
    rows = self.batch.rows
    # Positions count what lies before, in a prompt that is shared too.
    return int((rows.position + 1)[rows.segment > 0].sum())

  def with_old(self, old_logp_ABT):
    """With log-probabilities of the old policy; None in the first update of a rollout."""
    first = np.array(old_logp_ABT is None)
    if first:
      # There, as the updates of a rollout share a program, but not read.
      old_logp_ABT = np.zeros(self.batch.loss.mask_BT.shape, np.float32)
    loss = self.batch.loss.replace(old_logp_BT=old_logp_ABT)
    return self.replace(batch=self.batch.replace(loss=loss, first=first))


def split(count, parts, seed, group=1):
  """`count` sequences in random order, cut into `parts` equal mini-batches (reference §1.3).

  `group`: neighbours that stay together, which leave the order of groups to chance.
  """
  # Drawn on the host from a given seed: every process and every resumed run splits alike.
  order = np.random.default_rng(seed).permutation(count // group)
  members = order[:, None] * group + np.arange(group)
  return np.split(members.reshape(-1), parts)


def for_grpo(rollout, chosen, advantage_B, layout, gcfg):
  """The sequences `chosen` of a rollout as one `Minibatch`."""
  chosen, group = np.asarray(chosen), rollout.group
  prompts = [np.asarray(rollout.prompts[b // group], np.int32) for b in chosen]
  completions = [rollout.completion(b) for b in chosen]
  placed = place_completions(prompts, completions, layout)
  micro_B = placed.micro_of_sequence(len(chosen))
  source = placed.packed.source
  # The sampler's value of each learned token, by its sequence and its place in the completion.
  sampled = np.where(placed.mask, rollout.logp_BT[chosen[source], placed.into], 0)
  loss = grpo.Batch(
    mask_BT=placed.shaped(placed.mask),
    advantage_BT=placed.lookup(advantage_B[chosen]),
    weight_BT=placed.lookup(grpo.token_weights(rollout.length_B[chosen], gcfg, micro_B)),
    sampler_logp_BT=placed.shaped(sampled.astype(np.float32)),
    segment_BT=placed.shaped(placed.packed.segment),
  )
  # From places among `chosen` to those in the whole rollout, by which `unpack` writes.
  where = np.where(source < 0, -1, chosen[source]).astype(np.int32)
  return Minibatch(steps.Batch(placed.rows, loss, placed.count), placed.shaped(where))


def empty(layout, with_old, with_reference):
  """A `Minibatch` of zeros: the shapes and types of those that wait for their update.

  `with_old`: with log-probabilities of the policy before the rollout's first update.
  """
  # A checkpoint is restored into this: what a loss does not read must be None here as there.
  whole = lambda: np.zeros(layout.shape, np.int32)
  real = lambda wanted=True: np.zeros(layout.shape, np.float32) if wanted else None
  loss = grpo.Batch(
    mask_BT=np.zeros(layout.shape, bool),
    advantage_BT=real(),
    weight_BT=real(),
    old_logp_BT=real(with_old),
    ref_logp_BT=real(with_reference),
    sampler_logp_BT=real(),
    segment_BT=whole(),
  )
  rows = steps.Rows(whole(), whole(), whole(), whole() if layout.shared else None)
  first = np.zeros((), bool) if with_old else None
  return Minibatch(steps.Batch(rows, loss, np.zeros((), np.int32), first), whole())


def for_sft(rows, mask, count):
  """A `steps.Batch` on the devices in which every masked token weighs the same.

  Args:
    rows: `steps.Rows` of NumPy arrays [A, B, T].
    mask: bool [A, B, T], the tokens to be learned.
    count: micro-batches that hold anything.
  """
  # One over the learned tokens of the whole mini-batch: how they were packed has no part in it.
  weight = np.full(mask.shape, 1 / mask.sum(), np.float32)
  return put(steps.Batch(rows, sft.Batch(mask, weight, rows.segment), np.int32(count)))


def put(batch):
  """The batch on the devices: rows spread over the batch axes, the count everywhere."""
  # Micro-batches follow one another on all devices; the rows of each are spread.
  in_rows = sharding.act(None, 'rows', None)
  spec = lambda x: in_rows if x.ndim == 3 else jax.P()
  return jax.tree.map(lambda x: sharding.put(x, spec(x)), batch)


def unpack(minibatch, values_ABT, into_BT, prompts, group):
  """Writes per-token values of a packed mini-batch back as [sequence, token of its completion]."""
  mask = minibatch.batch.loss.mask_BT
  # No two masked places have the same token, so that each value is written once.
  source = minibatch.source[mask]
  begin = np.array([len(p) for p in prompts])[source // group]
  into_BT[source, minibatch.batch.rows.position[mask] - begin] = values_ABT[mask]
