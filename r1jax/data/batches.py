"""Streams with a position that a checkpoint can hold, and packing of sequences into fixed rows."""

import bisect
import dataclasses

import grain
import numpy as np


@dataclasses.dataclass(frozen=True)
class Packed:
  """Sequences laid one after the other into rows; every array is int32 [rows, capacity].

  Attributes:
    token: ids, `pad` where nothing lies.
    segment: 1 for the first sequence of a row, 2 for the next ...; 0 where nothing lies.
    position: place within its own sequence, from 0; 0 where nothing lies, so that
      `sequences[source][position] == token` elsewhere.
    source: index of the sequence in what was packed; -1 where nothing lies.
  """

  token: np.ndarray
  segment: np.ndarray
  position: np.ndarray
  source: np.ndarray

  @property
  def real(self):
    """Where a sequence lies, bool [rows, capacity]: the loss mask of pre-training."""
    return self.segment > 0


def best_fit(lengths, capacity):
  """Best-fit decreasing: each sequence, longest first, goes where it leaves the least room.

  Args:
    lengths: tokens of each sequence, each within 1..capacity.
    capacity: tokens of a bin.

  Returns:
    Bins, each a list of indices into `lengths` in the order they were placed. Ties go to the lower
    index and the older bin, so equal input gives equal bins (DeepSeek-R1v2, appendix B.1).

  Raises:
    ValueError: a length outside 1..capacity.
  """
  lengths = np.asarray(lengths, np.int64)
  # All offenders are counted, so that the user need not mend them one by one.
  outside = np.flatnonzero((lengths < 1) | (lengths > capacity))
  if outside.size:
    raise ValueError(
      f'sequence {outside[0]} has {lengths[outside[0]]} tokens, a row takes 1 to {capacity}; '
      f'such sequences in all: {outside.size} of {lengths.size}'
    )
  # Longest first; equal lengths keep their order.
  order = np.argsort(-lengths, kind='stable').tolist()
  sizes, bins, rooms = lengths.tolist(), [], []  # rooms: (free tokens, bin), sorted
  for index in order:
    # The fullest bin that still has room, else a new one.
    chosen = _place(rooms, sizes[index])
    if chosen is None:
      chosen = len(bins)
      bins.append([])
      bisect.insort(rooms, (capacity - sizes[index], chosen))
    bins[chosen].append(index)
  return bins


def lay(sequences, bins, capacity, rows, pad=0):
  """Writes `sequences[i] for i in bins[r]` one after the other into row r, as `Packed`."""
  out = Packed(
    token=np.full((rows, capacity), pad, np.int32),
    segment=np.zeros((rows, capacity), np.int32),
    position=np.zeros((rows, capacity), np.int32),
    source=np.full((rows, capacity), -1, np.int32),
  )
  # Everything below is one entry per sequence, then one per token: no loop over tokens.
  chosen = [index for members in bins for index in members]
  if not chosen:
    return out
  length = np.array([len(sequences[index]) for index in chosen])
  members = np.array([len(members) for members in bins])
  # Where each sequence goes: its row, and the how-manieth of the row it is.
  row = np.repeat(np.arange(len(bins)), members)
  before = np.cumsum(members) - members  # sequences in the rows above
  rank = np.arange(len(chosen)) - np.repeat(before, members)
  begin = np.cumsum(length) - length  # in the concatenation of all, then within the row
  first = np.repeat(begin[before], members)
  # Where each of its tokens goes in the flattened rows.
  position = np.arange(length.sum()) - np.repeat(begin, length)
  where = np.repeat(row * capacity + begin - first, length) + position
  out.token.ravel()[where] = np.concatenate([sequences[index] for index in chosen])
  out.segment.ravel()[where] = np.repeat(rank + 1, length)
  out.position.ravel()[where] = position
  out.source.ravel()[where] = np.repeat(chosen, length)
  return out


def filled(segment, rows):
  """Share of the places of the first `rows` rows that hold a token, for a segment [..., capacity].

  The rest of those rows is computed and thrown away: shorter or fewer rows would be faster.
  """
  return float((segment > 0).sum() / (rows * segment.shape[-1]))


class ProblemStream:
  """Endless batches of problems in a new order each epoch, the same ones in every process."""

  def __init__(self, source, batch, seed):
    """Reads `source` (`len`, `[i]`) in an order that `seed` gives, `batch` problems per step.

    Raises:
      ValueError: a source without records, or a batch without problems.
    """
    _check_source(source)
    if batch < 1:
      raise ValueError(f'a batch needs at least one problem, got {batch=}')
    # A permutation for each epoch, looked up by index: a position is one number.
    self._order = grain.MapDataset.source(source).shuffle(seed=seed).repeat()
    self._batch = batch
    self._made_of = {'size': len(source), 'batch': batch, 'seed': seed}
    self._step = 0

  def __iter__(self):
    return self

  def __next__(self):
    first = self._step * self._batch
    self._step += 1
    return [self._order[first + i] for i in range(self._batch)]

  def get_state(self):
    """The position, as a dict for JSON; `set_state` continues from it exactly."""
    return {'step': self._step, **self._made_of}

  def set_state(self, state):
    """Continues where `get_state` was called; ValueError if that was on a different stream."""
    _check_state(state, self._made_of)
    self._step = int(state['step'])


@dataclasses.dataclass(frozen=True)
class PackingConfig:
  """Shape of a packed batch.

  Attributes:
    rows: rows of the whole job's batch.
    capacity: tokens of a row.
  """

  rows: int
  capacity: int

  def __post_init__(self):
    if self.rows < 1 or self.capacity < 1:
      raise ValueError(f'a packed batch needs rows and tokens, got {self.rows=}, {self.capacity=}')


class DocumentStream:
  """Endless packed batches of whole documents for pre-training, each document once an epoch.

  A document is the beginning-of-sequence id, its text, the end-of-sequence id. A batch is a window
  of documents with as many tokens as it has places, packed best-fit, longest first; those that fit
  nowhere come first in the next batch.
  """

  def __init__(self, source, tokenizer, cfg, seed):
    """Reads `source` (`len`, `[i].text`) in an order that `seed` gives; `cfg`: `PackingConfig`."""
    _check_source(source)
    # As in `ProblemStream`, with the text encoded when it is asked for.
    order = grain.MapDataset.source(source).shuffle(seed=seed).repeat()
    self._order = order.map(lambda document: _document_ids(tokenizer, document.text))
    self._cfg, self._pad = cfg, tokenizer.pad_id
    self._made_of = {'size': len(source), 'seed': seed, **dataclasses.asdict(cfg)}
    self._next, self._put_off = 0, []

  def __iter__(self):
    return self

  def __next__(self):
    """The next `Packed`; its `source` counts the documents of this batch."""
    cfg = self._cfg
    window, self._next = self._window()
    # Best fit as in `best_fit`, but into a fixed number of rows.
    rooms = [(cfg.capacity, row) for row in range(cfg.rows)]
    bins, put_off = [[] for _ in range(cfg.rows)], []
    for number, (index, ids) in enumerate(window):
      row = _place(rooms, len(ids))
      if row is None:
        put_off.append(index)
      else:
        bins[row].append(number)
    # Not lost: they come first next time, before longer ones.
    self._put_off = put_off
    ids = [ids for _, ids in window]
    return lay(ids, bins, cfg.capacity, cfg.rows, self._pad)

  def get_state(self):
    """The position, as a dict for JSON; `set_state` continues from it exactly."""
    return {'next': self._next, 'put_off': list(self._put_off), **self._made_of}

  def set_state(self, state):
    """Continues where `get_state` was called; ValueError if that was on a different stream."""
    _check_state(state, self._made_of)
    self._next, self._put_off = int(state['next']), list(state['put_off'])

  def _window(self):
    """(index, ids) of the next documents, those put off first, then by length; the index after."""
    waiting = [(index, self._ids(index)) for index in self._put_off]
    tokens = sum(len(ids) for _, ids in waiting)
    following, new = self._next, []
    # As many tokens as there are places: more would be put off again and again.
    while tokens < self._cfg.rows * self._cfg.capacity:
      new.append((following, self._ids(following)))
      tokens += len(new[-1][1])
      following += 1
    return waiting + sorted(new, key=lambda entry: -len(entry[1])), following

  def _ids(self, index):
    ids = self._order[index]
    if len(ids) > self._cfg.capacity:
      raise ValueError(f'document {index} has {len(ids)} tokens, a row takes {self._cfg.capacity}')
    return ids


def _document_ids(tokenizer, text):
  ids = [*tokenizer.encode(text, bos=True), tokenizer.eos_id]
  return np.array(ids, np.int32)


def _place(rooms, size):
  """The bin with the least room that takes `size`, by `rooms` (sorted (free, bin)), or None."""
  # -1 sorts before every bin, so that of equal rooms the older bin is found.
  at = bisect.bisect_left(rooms, (size, -1))
  if at == len(rooms):
    return None
  free, chosen = rooms.pop(at)
  bisect.insort(rooms, (free - size, chosen))
  return chosen


def _check_source(source):
  if not len(source):
    raise ValueError('a source without records gives no batches')


def _check_state(state, made_of):
  saved = {name: state.get(name) for name in made_of}
  if saved != made_of:
    raise ValueError(f'the saved position is of another stream: saved {saved}, now {made_of}')
