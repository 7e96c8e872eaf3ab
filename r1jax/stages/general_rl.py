"""RL for all scenarios, Dev3 -> R1: rules for reasoning, reward models else (reference §1.3, §1.4).

Most updates are reasoning RL as before. In the last part, a share of each rollout's prompts are
general requests: their reward is that of a reward model + format, and language for both.
"""

import dataclasses
import pathlib
from typing import Annotated

import jax
import numpy as np

from r1jax import ranges
from r1jax.data import batches
from r1jax.evaluation import scenarios
from r1jax.rewards import request
from r1jax.stages import judge, reasoning_rl, rl_schedule, rollouts


@dataclasses.dataclass(frozen=True)
class GeneralConfig:
  """General requests and their reward models.

  Attributes:
    helpful, harmless: folders of trained reward models; '' leaves requests of that kind out.
    path: JSONL file of requests, {"question", "kind"}; needed.
    preference_updates: last updates in which general requests take part: 400 of 1,700 (R1 §3.2).
    share: of a rollout's prompts that are general in that part; the paper gives none.
    helpful_weight, harmless_weight: of the reward models' scores.
    rows, capacity: texts of one scoring call, and most tokens of a text.
    window: rollouts over which accuracy and preference are averaged to watch for hacking.
    tolerance: loss of rule accuracy, beyond two standard errors, that is said aloud.
    questions: held-out requests answered before and after.
  """

  helpful: str = ''
  harmless: str = ''
  path: str = ''
  preference_updates: ranges.Size = 400
  share: Annotated[float, ranges.Range(0, 1, above=True, below=True)] = 0.5
  helpful_weight: ranges.Weight = 1.0
  harmless_weight: ranges.Weight = 1.0
  rows: ranges.Count = 8
  capacity: ranges.Count = 33_792
  window: Annotated[int, ranges.Range(2)] = 5
  tolerance: ranges.Weight = 0.01
  questions: ranges.Count = 64

  def __post_init__(self):
    ranges.check(self)

  @property
  def models(self):
    """Kind -> folder of its reward model, for the kinds that have one."""
    both = {request.HELPFUL: self.helpful, request.HARMLESS: self.harmless}
    return {kind: folder for kind, folder in both.items() if folder}

  @property
  def weights(self):
    """Kind -> weight of its score."""
    return {request.HELPFUL: self.helpful_weight, request.HARMLESS: self.harmless_weight}


def general_prompts(job):
  """How many of a rollout's prompts are general requests in the last part."""
  return round(job.general.share * job.rl.prompts)


def check(job, mesh):
  """Raises ValueError, with the numbers, where the job does not work out."""
  rl_schedule.check(job, mesh)
  general, rl = job.general, job.rl
  # What this stage needs beside reasoning RL.
  if rl.staleness:
    raise ValueError(f'{rl.staleness=}: reward models judge on the devices that train; set it to 0')
  if not general.models:
    raise ValueError('config.general needs a reward model: helpful=DIR, harmless=DIR or both')
  if not general.path:
    raise ValueError('config.general.path is empty: give a JSONL file of {"question", "kind"}')
  # Where the last part begins: a rollout holds general requests or it holds none.
  if not 0 < general.preference_updates <= rl.updates:
    raise ValueError(f'{general.preference_updates=} is not within 1..{rl.updates} updates')
  if (rl.updates - general.preference_updates) % rl.mini_batches:
    raise ValueError(
      f'the last {general.preference_updates} of {rl.updates} updates do not begin with a rollout '
      f'of {rl.mini_batches} mini-batches'
    )
  # Sizes: both kinds of question in a rollout, and whole texts before the judge.
  if not 0 < general_prompts(job) < rl.prompts:
    raise ValueError(f'{general.share=} of {rl.prompts} prompts leaves no general or no other one')
  needed = job.data.max_prompt + job.sample.max_new + 2  # the tokens that begin and end a text
  if general.capacity < needed:
    raise ValueError(f'{general.capacity=} holds no prompt and reply of {needed} tokens')


def judges(job):
  """kind -> `judge.Judge` of the job's reward models, on the mesh that is set."""
  runtime = job.runtime.of_model()
  judges = {}
  for kind, folder in job.general.models.items():
    folder = pathlib.Path(folder)
    # A run's work directory, or the folder of the model itself.
    model = judge.load(folder / 'model' if (folder / 'model').is_dir() else folder, **runtime)
    if model.kind != kind:
      raise ValueError(f'{folder} is a reward model of the kind {model.kind!r}, not {kind!r}')
    judges[kind] = judge.Judge(model, job.general.rows, job.general.capacity)
  return judges


class HackingWatch:
  """Whether rule accuracy falls while preference rises: the sign of hacking (reference §1.4)."""

  def __init__(self, window, tolerance, history=()):
    """`history` is that of an earlier `HackingWatch`, to go on with.

    It has a row per rollout: mean accuracy, the square of its standard error, preference.
    """
    self._window, self._tolerance = window, tolerance
    self.history = [list(row) for row in history]

  def add(self, right_P, preferred):
    """Notes a rollout.

    Args:
      right_P: rule accuracy of each of its reasoning questions, the mean over a group.
      preferred: mean preference, None where it played no part.

    Returns:
      Metrics; hacking/suspected is 1 where accuracy has fallen by more than the tolerance and two
      standard errors, the questions being the unit, while preference has risen. {} until there is
      enough to compare: two windows of rollouts with preference.
    """
    right_P = np.asarray(right_P, float)
    # The squared standard error of the mean; one question alone shows no spread.
    spread = float(right_P.var(ddof=1) / right_P.size) if right_P.size > 1 else 0.0
    self.history.append([float(right_P.mean()), spread, preferred])
    since = [row for row in self.history if row[2] is not None]
    if len(since) < 2 * self._window:
      return {}
    # Three windows: the last one before preference, the first one with it, the latest.
    before = [row for row in self.history if row[2] is None][-self._window :]
    first, latest = since[: self._window], since[-self._window :]
    # Where preference took part from the first update on there is nothing before it.
    base = before or first
    drop = _mean(base, 0) - _mean(latest, 0)
    # Windows share no rollout, so squared errors add; a mean of n of them has 1/n of theirs.
    variance = _mean(base, 1) / len(base) + _mean(latest, 1) / len(latest)
    error = float(np.sqrt(variance))
    gain = _mean(latest, 2) - _mean(first, 2)
    # Both signs together: accuracy alone also falls by chance, and preference alone
    # is meant to rise.
    suspected = drop > self._tolerance + 2 * error and gain > 0
    return {
      'hacking/accuracy_drop': drop,
      'hacking/accuracy_error': error,
      'hacking/preference_gain': gain,
      'hacking/suspected': float(suspected),
    }


def _mean(rows, column):
  return float(np.mean([row[column] for row in rows]))


class Questions(rollouts.Questions):
  """Reasoning questions, and from update `begin` on a share of general requests among them."""

  def __init__(self, problems, requests, job):
    """`problems` and `requests` are random-access sources of training questions."""
    super().__init__(problems, job)
    self._requests = batches.ProblemStream(requests, general_prompts(job), job.seed)
    self._begin = job.rl.updates - job.general.preference_updates
    self._reasoning = job.rl.prompts - general_prompts(job)

  def take(self, update):
    """The problems of the rollout that begins at `update`, general requests last."""
    # A whole rollout of reasoning questions is drawn even where only some are asked: their position
    # depends on the number of rollouts alone, whatever the share.
    problems = super().take(update)
    if update < self._begin:
      return problems
    return [*problems[: self._reasoning], *next(self._requests)]

  def get_state(self):
    """The positions of both sources."""
    return super().get_state() | {'requests': self._requests.get_state()}

  def set_state(self, state):
    """Continues where `get_state` was called."""
    super().set_state(state)
    self._requests.set_state(state['requests'])


class Stage(reasoning_rl.Stage):
  """Reasoning RL whose last rollouts hold general requests too."""

  title = 'RL for all scenarios'
  models = (request.HELPFUL, request.HARMLESS)

  def __init__(self, job, *rest):
    """Arguments as for `reasoning_rl.Stage`, the questions being `Questions`."""
    super().__init__(job, *rest)
    self.watch = HackingWatch(job.general.window, job.general.tolerance)

  def restore(self, arrays, host):
    """Continues exactly where `arrays` and `host` were saved."""
    super().restore(arrays, host)
    self.watch = HackingWatch(self.job.general.window, self.job.general.tolerance, host['watch'])

  def host(self):
    """Positions, counters, and what the watch has seen."""
    return super().host() | {'watch': self.watch.history}

  def judging(self):
    """Those of the reward models, where general requests take part from the first update on."""
    late = self.job.general.preference_updates < self.job.rl.updates
    return [] if late else self.rewards.to_compile()

  def notice(self, replies):
    """What the watch for reward hacking says of a rollout; a suspicion is printed too."""
    named = scenarios.scores(replies.scores)
    # Each kind weighs the same, however many requests of it there are.
    kinds = [np.mean(named[kind]) for kind in request.KINDS if kind in named]
    preferred = float(np.mean(kinds)) if kinds else None
    figures = self.watch.add(right_by_question(replies), preferred)
    if figures.get('hacking/suspected') and jax.process_index() == 0:
      print(
        f'WARNING: reward hacking suspected: since the preference rewards began, rule accuracy has '
        f'fallen by {figures["hacking/accuracy_drop"]:.1%} while preference has risen by '
        f'{figures["hacking/preference_gain"]:.2f}; read samples/, shorten '
        'general.preference_updates, or lower the weights of the reward models'
      )
    return figures


def right_by_question(replies):
  """Rule accuracy of each question of some `replies.Replies` that has a right answer."""
  group, right = replies.group, []
  for p in range(len(replies.problems)):
    verdicts = [score.verdicts for score in replies.scores[p * group : (p + 1) * group]]
    ruled = [one['accuracy'] for one in verdicts if 'accuracy' in one]
    # A verifier that failed says nothing about the model.
    scored = [verdict.score for verdict in ruled if verdict.scored]
    if scored:
      right.append(float(np.mean(scored)))
  return right
