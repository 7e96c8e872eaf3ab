"""Supervised fine-tuning on curated replies: Dev1, Dev3 and the students (reference §1.6, §1.8).

An update learns `batch` whole examples, packed best-fit; prompts are seen but not learned. Every
epoch shows each example once, in a new order.
"""

import dataclasses
import functools
import pathlib
from typing import Annotated, Literal

import jax

from r1jax import ranges, sharding
from r1jax.data import batches, conversations, examples, records, splits
from r1jax.stages import packing, supervised
from r1jax.train import phases, progress, steps
from r1jax.train import state as state_lib


@dataclasses.dataclass(frozen=True)
class SftConfig:
  """What is learned and for how long; defaults are the paper's (reference §0.1, B.4.2).

  The rate falls along a cosine from `optimizer.lr` to `end_fraction` of it over all updates.

  Attributes:
    path: data set of `data.examples`, or conversations (`data.conversations`): a JSONL or parquet
      file, or a folder of shards as the hub has it.
    split: of such a folder; '' takes 'train', or the only one there is.
    limit: records that are read, the first ones; 0 for all.
    columns: what columns are called, such as 'prompt=instruction,completion=output', or a preset:
      'openr1_math', 's1k'.
    heldout: share of the examples that is held out, by a hash of the question; their loss is
      measured before the first update and after the last.
    loss_every: updates between measurements of that loss on the way; 0 for none.
    too_long: what to do where examples do not fit `capacity` or the model's context: 'refuse' to
      run, or 'drop' them, which is counted and said.
    epochs: passes over it; the paper says two to three.
    batch: examples per update.
    rows: rows of a packed micro-batch.
    capacity: tokens of a row; it holds the longest example.
    mtp_weight: weight of the multi-token-prediction loss, where the model has that module.
    balance: alpha of the experts' balance loss, as in pre-training; the paper is silent, 0 leaves
      the router to the examples.
    bias_speed: gamma of the router bias, likewise.
  """

  path: str = ''
  split: str = ''
  limit: ranges.Size = 0
  columns: str = ''
  heldout: Annotated[float, ranges.Range(0, 1, below=True)] = 0.0
  loss_every: ranges.Size = 0
  too_long: Literal['refuse', 'drop'] = 'refuse'
  epochs: Annotated[float, ranges.Range(0, 1e6, above=True)] = 2.0
  batch: ranges.Count = 128
  rows: ranges.Count = 8
  capacity: ranges.Count = 32_768
  mtp_weight: ranges.Weight = 0.1
  balance: ranges.Weight = 0.0
  bias_speed: ranges.Weight = 0.0

  def __post_init__(self):
    ranges.check(self)
    with ranges.said_of(self, 'columns'):
      conversations.named(self.columns)
    ranges.require(
      self,
      self.heldout or not self.loss_every,
      '{loss_every} measures the loss of what is held out, but {heldout} holds out nothing: raise '
      'that, or set the other to 0',
    )

  def updates(self, size):
    """Updates in all over a data set of `size` examples."""
    # One at least, for a data set smaller than a batch.
    return max(1, round(self.epochs * size / self.batch))


def read(cfg):
  """(examples to learn, held-out ones) of `cfg.path`, lists.

  Raises:
    ValueError: there is no such file, a record of it is nothing to learn from (it names the line or
      row), or one of the two parts is empty.
  """
  if records.is_records(cfg.path):
    all_examples = conversations.read(cfg.path, cfg.columns, cfg.split, cfg.limit)
  else:
    _check_kind(pathlib.Path(cfg.path))
    source = examples.Examples(cfg.path)
    count = min(cfg.limit or len(source), len(source))
    all_examples = [source[i] for i in range(count)]
  held = [one for one in all_examples if held_out(one.question, cfg.heldout)]
  train = [one for one in all_examples if not held_out(one.question, cfg.heldout)]
  if not train or (cfg.heldout and not held):
    raise ValueError(
      f'{cfg.path}: {len(train)} examples to learn and {len(held)} held out, by a hash of the '
      f'question; give a larger file, or another share than sft.heldout={cfg.heldout:g}'
    )
  return train, held


def _check_kind(path):
  """Raises ValueError where a file can be told to be no data set of examples, but a table or so."""
  kind = records.other_kind(path) if path.is_file() else ''
  if kind:
    raise ValueError(
      f'{path} looks like {kind}; wanted is .jsonl with one JSON object per line, or .parquet'
    )


def unread(cfg):
  """Names of the columns of `cfg.path` that are not read, a tuple; a `data.examples` has none."""
  if not records.is_records(cfg.path):
    return ()
  return conversations.unread(cfg.path, cfg.columns, cfg.split)


def held_out(question, share):
  """Whether an example is held out, by a hash of its question: white space and case do not count.

  All examples of one question fall on the same side, in every file.
  """
  return splits.number(question, 4, 'sft') < share * 2**32


def check(job, mesh):
  """Raises ValueError where there is no file, rows do not fit the mesh, or a frozen bias moves."""
  if not job.sft.path:
    raise ValueError('config.sft.path is empty: give a file of conversations, or of examples')
  if job.lora.rank and job.sft.bias_speed:
    raise ValueError(
      f'config.sft.bias_speed={job.sft.bias_speed} moves the bias of the router, which '
      f'config.lora.rank={job.lora.rank} freezes: set one of them to 0'
    )
  sharding.check_rows('sft.rows', job.sft.rows, job.sft.capacity, mesh)


class Stage(supervised.Stage):
  """Supervised fine-tuning as `train.loop` drives it: see `loop.run` for the contract."""

  title = 'SFT'
  figures = progress.SFT_FIGURES

  def __init__(self, job, cfg, form, source, held=()):
    """Encodes what is learned and what is held out.

    Args:
      job: its `sft`, `optimizer` and `seed` are read.
      cfg: `ModelConfig`.
      form: `prompts.Form` of the model.
      source: random-access source of `examples.Example`s or `conversations.Conversation`s.
      held: of those whose loss is measured.

    Raises:
      ValueError: an example does not fit `capacity`, or not into the form.
    """
    self.job, self.cfg = job, cfg
    self.layout = packing.Layout(job.sft.batch, job.sft.rows, job.sft.capacity)
    # Encoded once and kept on the host, as every epoch needs them.
    self.encoded, self.held = (encoded(job.sft, cfg, part, form) for part in (source, held))
    self.tokens = self.encoded.tokens
    self.total = job.sft.updates(len(self.tokens))
    # Of indices: the tokens are here already.
    self.stream = batches.ProblemStream(range(len(self.tokens)), job.sft.batch, job.seed)
    # The data set decides the cosine's length, which has to go beyond the warm-up.
    self.rate = dataclasses.replace(
      job.optimizer, schedule='cosine', steps=max(self.total, job.optimizer.warmup + 1)
    )
    self.tx = state_lib.make_optimizer(self.rate, self.specs)
    self.wait_for_weights()

  def update(self, step):
    """One update on the next examples."""
    tokens = [self.tokens[i] for i in next(self.stream)]
    batch, learned, filled = pack(tokens, self.layout)
    figures = self.timed(lambda: self.learn(batch), learned, filled)
    places = int(batch.count) * self.layout.rows * self.layout.capacity
    figures['packing/learned'] = learned / places
    # By the examples' own lengths: padding costs time but is no work that was asked for.
    figures |= self.cost(tokens)
    every = self.job.sft.loss_every
    if every and (step + 1) % every == 0:
      with self.ledger.phase(phases.EXAMINATIONS):
        figures['eval/loss'] = self.heldout_loss(self.weights)
    return figures | self.examine(self.weights, step + 1)

  def to_compile(self):
    """The `programs.Program`s of the held-out loss and of a first update, in order."""
    held = [self.program(_nll, 'held-out loss')] if self.held.tokens else []
    return held + super().to_compile()

  def learn(self, batch):
    """(state, metrics) after an update on the batch."""
    return self.language_update(batch, self.job.sft)

  def cost(self, tokens):
    """Further metrics of an update on these `examples.Tokens`."""
    return {}

  def heldout_loss(self, params):
    """Mean negative log-likelihood per learned token of the held-out examples, in nats."""
    total, learned = 0.0, 0
    for first in range(0, len(self.held.tokens), self.layout.sequences):
      # The same shapes as in training, so that one program serves all.
      part = self.held.tokens[first : first + self.layout.sequences]
      batch, count, _ = pack(part, self.layout)
      total += float(_nll(params, self.cfg, batch))
      learned += count
    return total / learned


class Encoded:
  """Examples as tokens, without those that are too long.

  Attributes:
    tokens: list of `examples.Tokens`.
    long: (length, place) of each that is too long, in order.
    rewritten: conversations whose earlier replies the template rewrites: an example per reply.
  """

  def __init__(self, source, form, longest):
    """`longest` is the most tokens of an example; arguments else as for `Stage`."""
    self.tokens, self.long, self.rewritten, self._longest = [], [], 0, longest
    for i in range(len(source)):
      one = source[i]
      pieces = one.tokens(form)
      self.rewritten += len(pieces) > 1
      sizes = [len(tokens.ids) for tokens in pieces]
      self.long += [(size, one.where) for size in sizes if size > longest]
      self.tokens += [t for t in pieces if len(t.ids) <= longest]

  def told(self):
    """Says of the examples that are too long how many they are, and names the longest."""
    count = len(self.long) + len(self.tokens)
    length, where = max(self.long)
    return (
      f'{len(self.long):,} of {count:,} examples have more than {self._longest:,} tokens '
      f'(sft.capacity and the context of the model), the longest {length:,}: {where}'
    )


def encoded(scfg, cfg, source, form):
  """The `Encoded` examples of a source that fit a row and the model's context.

  Raises:
    ValueError: some do not, and `scfg.too_long` refuses them, or none is left.
  """
  encoding = Encoded(source, form, min(scfg.capacity, cfg.max_length))
  if encoding.long and (scfg.too_long == 'refuse' or not encoding.tokens):
    raise ValueError(f'{encoding.told()}; raise sft.capacity, or take sft.too_long=drop')
  return encoding


@functools.partial(jax.jit, static_argnames=('cfg',))
def _nll(params, cfg, batch):
  """Negative log-likelihood of the learned tokens of a batch, summed."""
  # It is 0 where nothing is learned.
  return -steps.score(params, cfg, batch.rows, batch.loss.mask_BT, batch.count, 1.0).sum()


def pack(tokens, layout):
  """Examples packed best-fit: (`steps.Batch` on the devices, tokens learned, share of places held).

  Args:
    tokens: list of `examples.Tokens`.
    layout: `packing.Layout`.
  """
  placed = packing.place([one.ids for one in tokens], [0] * len(tokens), layout)
  # Laid as the ids are: what is not learned (prompts, what the template writes) is read only.
  marks = [one.learned for one in tokens]
  mask = batches.lay(marks, placed.bins, layout.capacity, layout.micro * layout.rows).token > 0
  batch = packing.for_sft(placed.rows, placed.shaped(mask), placed.count)
  return batch, int(mask.sum()), placed.filled
