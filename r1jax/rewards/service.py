"""Rewards of a batch of completions, computed beside the rollout and handed back in order.

What exact reading decides is decided at `submit`, in microseconds; the rest goes to killable worker
processes while the caller goes on. The reward is the weighted sum of its parts (reference section
1.4:
accuracy + format with equal weight for R1-Zero; R1 adds language consistency). Of the processes of
a job each judges its share of a batch, and all have all verdicts, so that they go on alike.
"""

import collections
import concurrent.futures
import dataclasses
import threading
import time

from r1jax import processes
from r1jax.data import template
from r1jax.rewards import accuracy, choice, code, format, preference, puzzles, shaping
from r1jax.rewards.code import sandbox
from r1jax.rewards.verdict import Kind
from r1jax.rewards.workers import pool

_WINDOW = 1000  # latest items over which the rate of verifier errors is taken
_PLAIN_SECONDS = 20.0  # for counting words: linear, so never reached but on a stalled machine
_START_SECONDS = 30.0  # for a sandbox to start and end, beside the time of the program
_FEWEST = 50  # items below which one error is not yet a rate


class VerifierFailure(RuntimeError):  # noqa: N818 - it is a stop with a reason, not a bug in the call
  """Verifiers failed on more than `max_verifier_error_rate` of the latest items."""


@dataclasses.dataclass(frozen=True)
class RewardConfig:
  """What is rewarded and how it is run.

  Attributes:
    accuracy, format: weights of the two parts of R1-Zero's reward (reference section 1.4).
    language: weight of language consistency (R1 adds it with weight 1), 0 is off.
    target_language: `en` or `zh`, for items that do not say their own.
    repetition: weight of the share of distinct 6-grams, 0 is off.
    length: weight of the soft overlong score over `Item.tokens`, 0 is off.
    length_limit, length_buffer: tokens at which that score is 0, and tokens before it where it
    begins to fall.
    programs: how code is run and scored.
    workers: worker processes for what exact reading cannot decide; they start when first needed.
    math_seconds: deadline of one comparison; a slower one is a timeout and its process is killed.
    worker_gib: address space of a worker process.
    max_verifier_error_rate: share of the latest 1000 items above which `VerifierFailure` is raised.
  """

  accuracy: float = 1.0
  format: float = 1.0
  language: float = 0.0
  target_language: str = 'en'
  repetition: float = 0.0
  length: float = 0.0
  length_limit: int = 32_768
  length_buffer: int = 4096
  programs: code.CodeConfig = code.CodeConfig()
  workers: int = 2
  math_seconds: float = 2.0
  worker_gib: float = 1.0
  max_verifier_error_rate: float = 0.02

  def __post_init__(self):
    if self.workers < 1 or self.math_seconds <= 0 or not 0 <= self.max_verifier_error_rate <= 1:
      raise ValueError(
        f'rewards need {self.workers=} >= 1, {self.math_seconds=} > 0 and '
        f'{self.max_verifier_error_rate=} in [0, 1]'
      )


@dataclasses.dataclass(frozen=True)
class Item:
  """One completion and what it is judged by.

  Attributes:
    completion: the text.
    gold: a str compared as mathematics, or a `choice.Letter`, `puzzles.Numbers`, `puzzles.Order` or
      `code.Tests`; a `preference.Query` has no right answer, so its item gets no `accuracy`.
    tokens: length of the completion, read by the length reward only.
    question: read by reward models only.
    language: `en` or `zh`, what its thought is to be written in; '' is `target_language`.
  """

  completion: str
  gold: object
  tokens: int = 0
  question: str = ''
  language: str = ''


@dataclasses.dataclass(frozen=True)
class Reward:
  """Verdicts by part and their weighted sum; a sample not `scored` must leave its baseline."""

  verdicts: dict
  total: float

  @property
  def scored(self):
    """False when a verifier failed on this item, so that `total` means nothing."""
    return all(verdict.scored for verdict in self.verdicts.values())


class RewardService:
  """Judges batches of `Item`s; deterministic; `close` it when done."""

  def __init__(self, config=None):
    self.config = config or RewardConfig()
    self._pool, self._starting = None, threading.Lock()  # rollouts and examinations may ask at once
    self._failed = collections.deque(maxlen=_WINDOW)
    self._wait_seconds = 0.0

  def submit(self, items):
    """A `Batch` whose `result()` is the Rewards of `items` (sequence of Item), in order.

    All processes of a job pass the same items and ask for the results in the same order.
    """
    return Batch(self, [self._judge(item) for item in items[processes.share(len(items))]])

  def metrics(self):
    """Counters since the start: seconds waited for verdicts and rate of verifier errors (latest
    1000).
    """
    return {
      'reward/wait_seconds': self._wait_seconds,
      'reward/verifier_error_rate': self.verifier_error_rate(),
      'reward/worker_restarts': self._pool.restarts if self._pool else 0,
    }

  def verifier_error_rate(self):
    """Share of verifier errors among the latest items, 0 to 1."""
    return sum(self._failed) / max(len(self._failed), _FEWEST)

  def close(self):
    """Stops the worker processes."""
    if self._pool:
      self._pool.close()
      self._pool = None

  def _judge(self, item):
    reply = template.parse(item.completion)
    rule = not isinstance(item.gold, preference.Query)
    parts = {'accuracy': self._accuracy(item, reply)} if rule else {}
    parts['format'] = format.judge(reply)
    if self.config.language:
      target = item.language or self.config.target_language
      parts['language'] = self._workers().submit(
        'language', _PLAIN_SECONDS, item.completion, target
      )
    if self.config.repetition:
      parts['repetition'] = self._workers().submit('repetition', _PLAIN_SECONDS, item.completion)
    if self.config.length:
      limit, buffer = self.config.length_limit, self.config.length_buffer
      parts['length'] = shaping.length(item.tokens, limit, buffer)
    return parts

  def _accuracy(self, item, reply):
    gold = item.gold
    if isinstance(gold, str):
      verdict, answer = accuracy.quick(item.completion, reply, gold)
      return verdict or self._workers().submit('math', self.config.math_seconds, gold, answer)
    if isinstance(gold, choice.Letter):
      return choice.check(item.completion, gold.letter, gold.options)
    if isinstance(gold, puzzles.Numbers):
      return puzzles.check_numbers(item.completion, gold.numbers, gold.target, gold.use_all)
    if isinstance(gold, puzzles.Order):
      return puzzles.check_order(item.completion, gold.things)
    if isinstance(gold, code.Tests):
      sandbox.require(self.config.programs.allow_unsandboxed)
      seconds = self.config.programs.total_seconds + _START_SECONDS
      return self._workers().submit('code', seconds, item.completion, gold, self.config.programs)
    raise TypeError(f'no verifier for a gold answer of type {type(gold).__name__}')

  def _workers(self):
    with self._starting:
      if self._pool is None:
        self._pool = pool.Pool(self.config.workers, int(self.config.worker_gib * 2**30))
    return self._pool

  def _collect(self, parts):
    started = time.monotonic()
    futures = (concurrent.futures.Future,)
    found = [
      {name: v.result() if isinstance(v, futures) else v for name, v in part.items()}
      for part in parts
    ]
    found = [verdicts for part in processes.gather(found) for verdicts in part]
    self._wait_seconds += time.monotonic() - started
    rewards = [Reward(verdicts, self._total(verdicts)) for verdicts in found]
    self._failed.extend(not reward.scored for reward in rewards)
    return rewards

  def _total(self, verdicts):
    return sum(getattr(self.config, name) * verdict.score for name, verdict in verdicts.items())

  def _stop_if_failing(self, rewards):
    rate = self.verifier_error_rate()
    if rate <= self.config.max_verifier_error_rate:
      return
    errors = [
      (n, v.why) for r in rewards for n, v in r.verdicts.items() if v.kind == Kind.VERIFIER_ERROR
    ]
    name, why = (
      collections.Counter(errors).most_common(1)[0][0] if errors else ('earlier batches', '')
    )
    raise VerifierFailure(
      f'verifiers failed on {sum(self._failed)} of the latest {len(self._failed)} completions, '
      f'over the limit of {self.config.max_verifier_error_rate:.1%}; most often {name}: {why}'
    )


class Batch:
  """Items under judgement."""

  def __init__(self, service, parts):
    self._service = service
    self._parts = parts
    self._rewards = None

  def done(self):
    """Whether `result` would not wait."""
    verdicts = (v for part in self._parts for v in part.values())
    return all(v.done() for v in verdicts if isinstance(v, concurrent.futures.Future))

  def result(self):
    """The Rewards in the order of the items; waits; raises VerifierFailure past the limit."""
    if self._rewards is None:
      self._rewards = self._service._collect(self._parts)
      self._service._stop_if_failing(self._rewards)
    return self._rewards
