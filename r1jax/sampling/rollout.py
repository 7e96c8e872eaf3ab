"""Rollouts on the host: prompts in, completions as NumPy arrays out, through slots that refill."""

import dataclasses

import jax
import numpy as np

from r1jax import programs, sharding
from r1jax.data import prompts
from r1jax.model import config as model_config
from r1jax.sampling import sample, table

_PARTS = 8  # parts that a rollout is handed out in, at most: a reward sees some groups at once
ROUND = 64  # most steps between two looks of the host


@dataclasses.dataclass(frozen=True)
class Policy:
  """What samples: weights, their `ModelConfig`, and how it is asked (`prompts.Form`)."""

  params: dict
  cfg: model_config.ModelConfig
  form: prompts.Form

  @property
  def tokenizer(self):
    """Of the model."""
    return self.form.tokenizer


@dataclasses.dataclass(frozen=True)
class Rollout:
  """B = P * G completions of P prompts, on the host.

  Attributes:
    prompts: token ids of each prompt, P lists.
    token_BT: int32, 0 beyond the length; the stopping token is included.
    logp_BT: float32 log-probabilities at the sampling temperature, 0 beyond the length.
    length_B: number of tokens.
    stopped_B: False where the cap cut the completion.
    useful, steps: steps of slots in which a token was drawn, and all of them.
  """

  prompts: tuple
  token_BT: np.ndarray
  logp_BT: np.ndarray
  length_B: np.ndarray
  stopped_B: np.ndarray
  useful: int = 0
  steps: int = 0

  @property
  def group(self):
    """Samples of a prompt."""
    return len(self.length_B) // len(self.prompts)

  def completion(self, b):
    """Token ids of completion b, the stopping token included."""
    return self.token_BT[b, : self.length_B[b]]

  def take(self, groups):
    """The rollout of some of the prompts."""
    # Samples of a prompt are next to each other.
    first = np.asarray(groups)[:, None] * self.group
    rows = (first + np.arange(self.group)).reshape(-1)
    arrays = (a[rows] for a in (self.token_BT, self.logp_BT, self.length_B, self.stopped_B))
    return Rollout(tuple(self.prompts[p] for p in groups), *arrays, self.useful, self.steps)


@dataclasses.dataclass(frozen=True)
class Limits:
  """Sizes of a rollout.

  Attributes:
    width: tokens that prompts are padded to; a longer prompt is an error.
    cap: most new tokens, at most `SampleConfig.max_new`; one for all requests or one each.
    slots: sequences that a shard of the batch decodes at once; 0 for all.
  """

  width: int
  cap: int | tuple[int, ...]
  slots: int = 0


def join(rollouts):
  """Several rollouts with equal groups as one."""
  prompts = tuple(prompt for rollout in rollouts for prompt in rollout.prompts)
  fields = ('token_BT', 'logp_BT', 'length_B', 'stopped_B')
  whole = lambda field: np.concatenate([getattr(rollout, field) for rollout in rollouts])
  steps = (sum(getattr(rollout, name) for rollout in rollouts) for name in ('useful', 'steps'))
  return Rollout(prompts, *map(whole, fields), *steps)


def pad_prompts(prompts, width):
  """Lists of ids -> (prompt_PT int32 padded with 0 on the right, length_P).

  Raises:
    ValueError: a prompt is longer than `width`.
  """
  length_P = np.array([len(prompt) for prompt in prompts], np.int32)
  if length_P.max() > width:
    worst = int(length_P.argmax())
    raise ValueError(
      f'prompt {worst} has {length_P[worst]} tokens, more than max_prompt={width}; '
      f'{int((length_P > width).sum())} of {len(prompts)} are too long: raise data.max_prompt'
    )
  prompt_PT = np.zeros((len(prompts), width), np.int32)
  for row, prompt in zip(prompt_PT, prompts):
    row[: len(prompt)] = prompt
  return prompt_PT, length_P


def run(policy, scfg, prompts, limits, key, stop_KW=None, heard=lambda count: None):
  """Samples `scfg.group` completions of every prompt; yields (their numbers, `Rollout`) of some.

  Groups come as they are complete, an eighth of them at once at least, while the devices go on with
  others; `ordered` puts them together.

  Args:
    policy: `Policy`.
    scfg: `sample.SampleConfig`.
    prompts: lists of ids, none empty.
    limits: `Limits`.
    key: PRNG key; a draw comes from it, the number of the request and the place in the reply, so
      that other slots give the same completions but for rounding.
    stop_KW: token sequences that end a completion; None for those of the policy's form.
    heard: called after each round, of at most `ROUND` steps, with the number of completions that
      have ended in it; what it raises ends the rollout.
  """
  stop_KW = policy.form.stop_KW if stop_KW is None else stop_KW
  flow = _Flow(policy, scfg, prompts, limits, key, stop_KW)
  held, least = [], -(-len(prompts) // _PARTS)
  while flow.table.waiting or flow.table.live:
    flow.fill()
    drawn = flow.begin()
    # The devices are at work: now the caller may be.
    if len(held) >= least:
      yield tuple(held), flow.give(held)
      held = []
    complete, ended = flow.end(drawn)
    held = sorted(held + complete)
    heard(ended)
  flow.settle()
  yield tuple(held), flow.give(held)


def programs_of(cfg, scfg, prompts, limits, stop_KW, part='sampling', mesh=None):
  """The `programs.Program`s that `run` goes through for so many `prompts`, in order.

  Args:
    cfg: `ModelConfig` of the policy; scfg, limits, stop_KW: as for `run`.
    prompts: their number.
    part: of a run that samples, for people.
    mesh: where; None is the mesh that is set.
  """
  mesh, cfg = mesh or jax.sharding.get_mesh(), sample.decoding(cfg)
  of = table.sizes(prompts, scfg.group, limits.slots, sharding.batch_shards(mesh))
  entries, widths = (of.wave, limits.width), sample.widths(scfg, limits.width, cfg.kernels)
  all_programs = []

  def add(function, *sizes):
    all_programs.append(programs.Program(function.__name__, (mesh, cfg, *sizes), part))

  if not cfg.scan_layers:
    add(sample.unstack)
  add(sample.prefill, entries)
  add(sample.empty, entries, of.rows, widths[0], stop_KW.shape[1])
  # As `_Flow._widen` and `_Flow._halve` go on.
  decode = lambda rows, width: add(sample.decode, rows, width, scfg.how, stop_KW.shape)
  for i, width in enumerate(widths):
    if i:
      add(sample.widen, of.rows, width)
    add(sample.admit, entries, of.rows, width)
    decode(of.rows, width)
  before = of.rows
  for rows in table.halves(of.rows):
    add(sample.compact, before, rows, widths[-1])
    decode(rows, widths[-1])
    before = rows
  return all_programs


def ordered(parts):
  """The parts of `run` as one `Rollout`, in the order of the prompts."""
  numbers, rollouts = zip(*parts)
  return join(rollouts).take(np.argsort(np.concatenate(numbers)))


class _Flow:
  """One rollout: the slots on the devices, the table of who is in them, what they have drawn."""

  def __init__(self, policy, scfg, prompts, limits, key, stop_KW):
    self._cfg, self._scfg = sample.decoding(policy.cfg), scfg
    self._params = sample.prepare(policy.params, self._cfg)
    self._prompts, self._width = prompts, limits.width
    self._prompt_PT, self._length_P = pad_prompts(prompts, limits.width)
    self._key, self._stop_KW = key, stop_KW
    count, group = len(prompts) * scfg.group, scfg.group
    programs.watch().expect(programs_of(policy.cfg, scfg, len(prompts), limits, stop_KW))
    self._cap_R = np.broadcast_to(np.int32(limits.cap), (count,))
    self._shards = sharding.batch_shards(jax.sharding.get_mesh())
    sizes = table.sizes(len(prompts), group, limits.slots, self._shards)
    self.table = table.Table(len(prompts), group, sizes)
    self._widths = sample.widths(scfg, limits.width, policy.cfg.kernels)
    self._slots = self._entries = None
    # What has been drawn, by request.
    self._token_RT = np.zeros((count, scfg.max_new), np.int32)
    self._logp_RT = np.zeros((count, scfg.max_new), np.float32)
    self._length_R = np.zeros(count, np.int32)
    self._stopped_R, self._left_P = np.zeros(count, bool), np.full(len(prompts), group)
    self._useful = self._steps = 0

  def fill(self):
    """Admits what waits to free slots; at the end, keeps half of the slots where that will do."""
    while True:
      wave = self.table.next_wave()
      if wave is not None:
        prompt_PT = _put(self._prompt_PT[wave])
        self._entries = sample.prefill(
          self._params, self._cfg, prompt_PT, _put(self._length_P[wave])
        )
      admitted = self.table.admit()
      if admitted is None:
        break
      self._admit(*admitted)
    while (rows := self.table.halve()) is not None:
      self._halve(rows)

  def settle(self):
    """Goes through the sizes that this rollout did not come to."""
    self._widen(len(self._widths) - 1)
    while (rows := self.table.halve()) is not None:
      self._halve(rows)

  # Sizes follow each other in one line, the cache widens and then the slots become fewer, and all
  # programs of a size are run, if with nothing to do: no rollout after the first compiles any.
  def _widen(self, times):
    for _ in range(times):
      self._widths.pop(0)
      self._slots = sample.widen(self._slots, self._widths[0])
      nobody_B = np.full(len(self._slots.token_B), -1)
      self._admit(nobody_B, nobody_B)
      self._decode(0, 0)

  def _halve(self, rows):
    self._widen(len(self._widths) - 1)
    self._slots = sample.compact(self._slots, _put(rows.astype(np.int32)))
    self._decode(0, 0)

  def _admit(self, source_B, request_B):
    if self._slots is None:
      window = self._stop_KW.shape[1]
      self._slots = sample.empty(
        self._entries, rows=len(source_B), columns=self._widths[0], window=window
      )
    # A slot that is left alone gets numbers that nobody reads.
    request_B = np.maximum(request_B, 0)
    prompt_B = request_B // self._scfg.group
    length_B = self._length_P[prompt_B]
    token_B = self._prompt_PT[prompt_B, length_B - 1]
    # Of each shard, those to be filled first.
    row_SB = np.argsort(source_B.reshape(self._shards, -1) < 0, axis=1, kind='stable')
    row_B, cap_B = row_SB.reshape(-1), self._cap_R[request_B]
    arrays = (source_B, row_B, token_B, length_B, cap_B, request_B)
    requests = sample.Requests(*(_put(x.astype(np.int32)) for x in arrays))
    self._slots = sample.admit(self._slots, self._entries, requests)

  def begin(self):
    """Starts a round of decoding; returns what `end` waits for."""
    while (room := self._room()) < 1:
      self._widen(1)
    return self._decode(min(room, ROUND), self.table.enough())

  def _decode(self, steps, enough):
    self._slots, drawn = sample.decode(
      self._params,
      self._cfg,
      self._scfg.how,
      self._slots,
      self._key,
      self._stop_KW,
      steps=np.int32(steps),
      enough=np.int32(enough),
      most=ROUND,
    )
    return drawn

  def _room(self):
    """Steps that the cache has columns for."""
    request = self.table.request_SB[self.table.request_SB >= 0]
    used = self._length_P[request // self._scfg.group] - 1 + self._length_R[request]
    return self._widths[0] - int(used.max())

  def end(self, drawn):
    """Takes note of what a round has drawn, and waits for it.

    Returns (prompts whose group is complete, how many completions have ended).
    """
    drawn = sharding.fetch(drawn)
    slot = np.flatnonzero(self.table.request_SB.reshape(-1) >= 0)
    request = self.table.request_SB.reshape(-1)[slot]
    new = drawn.length_B[slot] - self._length_R[request]
    for b, r, n in zip(slot, request, new):
      at = slice(self._length_R[r], self._length_R[r] + n)
      self._token_RT[r, at] = drawn.token_BT[b, :n]
      self._logp_RT[r, at] = drawn.logp_BT[b, :n]
    self._length_R[request] += new
    self._stopped_R[request] = drawn.stopped_B[slot]
    self._useful += int(new.sum())
    self._steps += int(drawn.steps) * len(drawn.live_B)
    prompt = self.table.free(drawn.live_B) // self._scfg.group
    np.subtract.at(self._left_P, prompt, 1)
    return sorted({int(p) for p in prompt if not self._left_P[p]}), len(prompt)

  def give(self, numbers):
    """The `Rollout` of complete groups, with the steps since the last one."""
    group, chosen = self._scfg.group, np.asarray(numbers, int)
    row = (chosen[:, None] * group + np.arange(group)).reshape(-1)
    arrays = (self._token_RT, self._logp_RT, self._length_R, self._stopped_R)
    prompts = tuple(self._prompts[p] for p in numbers)
    out = Rollout(prompts, *(a[row] for a in arrays), self._useful, self._steps)
    self._useful = self._steps = 0
    return out


def _put(array):
  """A host array whose first axis is one of sequences."""
  return sharding.put(array, sharding.act('batch', *(None,) * (array.ndim - 1)))
