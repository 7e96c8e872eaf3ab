"""Rewards of a batch of completions, computed beside the rollout and handed back in order.

What exact reading decides is decided at `submit`, in microseconds; the rest goes to killable worker
processes while the caller goes on. The reward is the weighted sum of its parts (reference §1.4:
accuracy and format with equal weight for R1-Zero; R1 adds language consistency). Of the processes
of a job each judges its share of a batch, and all have all verdicts, so that they go on alike.
"""

import collections
import concurrent.futures
import dataclasses
import threading
import time
from typing import Annotated, Literal

from r1jax import processes, ranges
from r1jax.rewards import accuracy, code, format, functions, golds
from r1jax.rewards.verdict import Gold, Kind, Task, Verdict
from r1jax.rewards.workers import pool

_WINDOW = 1000  # latest items over which the rate of verifier errors is taken
_PLAIN_SECONDS = 20.0  # for counting words: linear, so never reached but on a stalled machine
_FEWEST = 50  # items below which one error is not yet a rate


class VerifierFailure(RuntimeError):  # noqa: N818 - it is a stop with a reason, not a bug in the call
  """Verifiers failed on more than `max_verifier_error_rate` of the latest items."""


@dataclasses.dataclass(frozen=True)
class RewardConfig:
  """What is rewarded and how it is run.

  Attributes:
    accuracy, format: weights of the two parts of R1-Zero's reward (reference §1.4).
    language: weight of language consistency (R1 adds it with weight 1), 0 is off.
    target_language: `en` or `zh`, for items that do not say their own.
    answer: where an answer is looked for: 'tags' (R1-Zero's answer tags, else the last box),
      'box' (the last box) or 'last_number' (the last number outside the thought).
    repetition: weight of the share of distinct 6-grams, 0 is off.
    function: rewards of your own, FILE.py:NAME, each perhaps with *WEIGHT, several with commas
      between; '' for none.
    function_seconds: deadline of one call of such a function, and of loading its file.
    function_gib: memory that the process of such a function may write.
    programs: how code is run and scored.
    workers: worker processes for what exact reading cannot decide; they start when first needed.
    math_seconds: processor time of one comparison; one that takes more, or ten times as long (at
      least 20 s) by the clock, is a timeout and its process is killed.
    worker_gib: address space of a worker process.
    max_verifier_error_rate: share of the latest 1000 items above which `VerifierFailure` is raised.
  """

  accuracy: ranges.Weight = 1.0
  format: ranges.Weight = 1.0
  language: ranges.Weight = 0.0
  target_language: Literal['en', 'zh'] = 'en'
  answer: Literal['tags', 'box', 'last_number'] = 'tags'
  repetition: ranges.Weight = 0.0
  function: str = ''
  function_seconds: Annotated[float, ranges.Range(0, 1e6, above=True)] = 60.0
  function_gib: Annotated[float, ranges.Range(1 / 4, 1 << 20)] = 8.0
  programs: code.CodeConfig = code.CodeConfig()
  workers: ranges.Count = 2
  math_seconds: Annotated[float, ranges.Range(0, 1e6, above=True)] = 2.0
  worker_gib: Annotated[float, ranges.Range(1 / 16, 1 << 20)] = 1.0
  max_verifier_error_rate: ranges.Share = 0.02

  def __post_init__(self):
    ranges.check(self)
    try:
      functions.parse(self.function)
    except ValueError as error:
      raise ranges.RangeError(f'{{function}}: {error}', {'function': self.function}) from error


@dataclasses.dataclass(frozen=True)
class Item:
  """One completion and what it is judged by.

  Attributes:
    completion: the text.
    gold: a str, which is compared as mathematics, or another gold of `golds`; a `request.Query`
      has no right answer, so its item gets no `accuracy`.
    question: read by reward models and by functions of the user's.
    language: `en` or `zh`, what its thought is to be written in; '' is `target_language`.
    extra: further columns of the question's row, read by functions of the user's.
  """

  completion: str
  gold: str | Gold
  question: str = ''
  language: str = ''
  extra: dict = dataclasses.field(default_factory=dict, hash=False)


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
    """Loads the user's functions, if there are any.

    Raises:
      ValueError: one of them cannot be used; in one line.
    """
    self.config = config or RewardConfig()
    self._pool, self._starting = None, threading.Lock()  # rollouts and examinations may ask at once
    self._failed = collections.deque(maxlen=_WINDOW)
    self._wait_seconds = 0.0
    given = self.config
    self._own = functions.start(given.function, given.function_seconds, given.function_gib)
    self._weights = {judge.function.name: judge.function.weight for judge in self._own}

  def submit(self, items):
    """A `Batch` whose `result()` is the Rewards of `items` (sequence of Item), in order.

    All processes of a job pass the same items and ask for the results in the same order.
    """
    items = items[processes.share(len(items))]
    parts = [self.start(item) for item in items]
    # The user's functions see all of it at once.
    for judge in self._own:
      for part, future in zip(parts, judge.submit(items), strict=True):
        part[judge.function.name] = future
    return Batch(self, parts)

  def metrics(self):
    """Seconds waited for verdicts, rate of verifier errors (latest 1000), workers replaced."""
    return {
      'reward/wait_seconds': self._wait_seconds,
      'reward/verifier_error_rate': self.verifier_error_rate(),
      'reward/worker_restarts': sum(one.restarts for one in (self._pool, *self._own) if one),
    }

  def verifier_error_rate(self):
    """Share of verifier errors among the latest items, 0 to 1."""
    return sum(self._failed) / max(len(self._failed), _FEWEST)

  def close(self):
    """Stops the worker processes."""
    for judge in self._own:
      judge.close()
    if self._pool:
      self._pool.close()
      self._pool = None

  def start(self, item):
    """Part -> Verdict of one Item, or the Future of one that a worker will give, for `submit`."""
    reply = accuracy.read(item.completion, self.config.answer)
    right = golds.of(item.gold).check(item.completion, reply, self.config)
    parts = {} if right is None else {'accuracy': right}
    parts['format'] = format.asked(item.completion, reply, self.config.answer)
    # Both count words, which takes milliseconds of a long completion: too long for the caller.
    if self.config.language:
      target = item.language or self.config.target_language
      parts['language'] = Task('language', _PLAIN_SECONDS, (item.completion, target))
    if self.config.repetition:
      parts['repetition'] = Task('repetition', _PLAIN_SECONDS, (item.completion,))
    return {name: self._begun(part) for name, part in parts.items()}

  def _begun(self, part):
    return self._workers().submit(part) if isinstance(part, Task) else part

  def _workers(self):
    with self._starting:
      if self._pool is None:
        self._pool = pool.Pool(self.config.workers, int(self.config.worker_gib * 2**30))
    return self._pool

  def _collect(self, parts):
    """The Rewards of what `submit` began, of all processes; waits."""
    started = time.monotonic()
    own = [{name: _settled(value) for name, value in part.items()} for part in parts]
    plain = [{name: dataclasses.astuple(v) for name, v in part.items()} for part in own]
    of_all = [part for of_one in processes.gather(plain) for part in of_one]
    again = lambda score, kind, why: Verdict(score, Kind(kind), why)
    of_all = [{name: again(*fields) for name, fields in part.items()} for part in of_all]
    self._wait_seconds += time.monotonic() - started
    rewards = [Reward(verdicts, self._total(verdicts)) for verdicts in of_all]
    self._failed.extend(not reward.scored for reward in rewards)
    return rewards

  def _total(self, verdicts):
    weigh = lambda name: (
      self._weights[name] if name in self._weights else getattr(self.config, name)
    )
    return sum(weigh(name) * verdict.score for name, verdict in verdicts.items())

  def _stop_if_failing(self, rewards):
    rate = self.verifier_error_rate()
    if rate <= self.config.max_verifier_error_rate:
      return
    judged = [pair for reward in rewards for pair in reward.verdicts.items()]
    errors = [(name, part.why) for name, part in judged if part.kind == Kind.VERIFIER_ERROR]
    commonest = collections.Counter(errors).most_common(1)
    name, why = commonest[0][0] if commonest else ('earlier batches', '')
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


def judge(completion, gold, config=None):
  """The accuracy Verdict of one completion, waited for; `gold` as of an `Item`.

  None for a gold that nothing is right or wrong by. For many completions `RewardService` is
  faster: here one worker process, kept for the next call, takes what exact reading can't decide.
  """
  config = config or RewardConfig()
  reply = accuracy.read(completion, config.answer)
  outcome = golds.of(gold).check(completion, reply, config)
  return pool.own().submit(outcome).result() if isinstance(outcome, Task) else outcome


def _settled(value):
  return value.result() if isinstance(value, concurrent.futures.Future) else value
