"""The kept replies of a run, judged once more by another reward: which verdicts flip, and why."""

import contextlib
import dataclasses

import numpy as np

from r1jax.data import problem, records
from r1jax.data.tasks import jsonl
from r1jax.rewards import golds, service
from r1jax.stages import sample_files

_RIGHT = 0.5
# Sources whose answers are texts: a row of samples holds them as they are.
_GENERATED = ('tiny_world', 'arithmetic', 'tfds')


@dataclasses.dataclass(frozen=True)
class Rescored:
  """A reply and its two judgements.

  Attributes:
    kept: the `sample_files.Kept` that it stands in.
    row: of that file, with the verdicts of the run.
    verdicts: part -> `verdict.Verdict` of the other reward.
    total: its weighted sum; None where a verifier failed.
    pushed: whether the reply was above the mean of its group (1), below (-1) or neither (0), by
      the run's reward and by the other one.
  """

  kept: sample_files.Kept
  row: dict
  verdicts: dict
  total: float | None
  pushed: tuple = (0, 0)

  @property
  def flips(self):
    """Names of the parts that both have judged, one as right and the other as not."""
    before = {name: part['score'] > _RIGHT for name, part in self.row['rewards'].items()}
    after = {name: part.score > _RIGHT for name, part in self.verdicts.items()}
    return [name for name in before if name in after and before[name] != after[name]]

  @property
  def turned(self):
    """Whether the reply would be pushed the other way: once more likely, once less."""
    return self.pushed[0] * self.pushed[1] < 0

  def as_json(self):
    """The row with what the other reward says beside it."""
    parts = {
      name: {'score': verdict.score, 'kind': str(verdict.kind), 'why': verdict.why}
      for name, verdict in self.verdicts.items()
    }
    return self.row | {
      'rescored': parts, 'rescored_reward': self.total, 'flips': self.flips, 'turned': self.turned,
    }  # fmt: skip


def rescore(run, data, cfg, heard=lambda count: None):
  """Judges all kept replies of a run.

  Args:
    run: `show.reading.Run`.
    data: `source.DataConfig` of the run; of files the questions are read again.
    cfg: `service.RewardConfig`.
    heard: called with the number of replies of each file when they are judged.

  Returns:
    (`Rescored` of every reply that can be judged, in order; how many cannot: their question has no
    rule, or its file is gone or has changed).

  Raises:
    ValueError: a file of replies is damaged, or a reward cannot be used.
    VerifierFailure: too many verifiers failed.
  """
  known, rescored, left = _problems(data), [], 0
  # All are read before any is judged: a damaged one is said at once.
  files = [(kept, kept.rows()) for kept in run.kept]
  with contextlib.closing(service.RewardService(cfg)) as rewards:
    for kept, rows in files:
      asked = [_problem(row, data, known) for row in rows]
      chosen = [(row, one) for row, one in zip(rows, asked) if one]
      left += len(rows) - len(chosen)
      scores = rewards.submit([_item(*pair) for pair in chosen]).result()
      new = [
        Rescored(kept, row, score.verdicts, score.total if score.scored else None)
        for (row, _), score in zip(chosen, scores)
      ]
      rescored += _pushed(new)
      heard(len(rows))
  return rescored, left


def _problems(data):
  """Question -> `problem.Problem` of the files that a run has learned from and is asked."""
  if data.name in _GENERATED or data.name == 'none':
    return {}
  known, columns = {}, records.columns(data.columns)
  for path, split in ((data.path, data.split), (data.heldout_path, data.heldout_split)):
    with contextlib.suppress(records.RecordError, OSError):  # gone: its replies are counted
      known |= {one.question: one for one in jsonl.load(path, columns, split)} if path else {}
  return known


def _problem(row, data, known):
  """The problem that a row answers, None where it is not known or no rule judges it."""
  if row['question'] in known:
    asked = known[row['question']]
    # A file that has changed since would judge the run's replies by another answer.
    same = golds.of(asked.answer).expected() == row['expected']
    return asked if same or row['expected'] is None else None
  if data.name not in _GENERATED or not row['expected'] or 'accuracy' not in row['rewards']:
    return None
  language = row.get('language', '')
  return problem.Problem(row['question'], row['expected'], row['kind'], 0, language=language)


def _item(row, asked):
  return service.Item(
    row['completion'], asked.answer, asked.question, asked.language, extra=asked.extra
  )


def _pushed(rescored):
  """The same `Rescored` of one file, each told which way it is pushed within its group."""
  # Nothing is learned from an examination.
  if not rescored or rescored[0].kept.name != sample_files.ROLLOUT:
    return rescored
  groups = {}
  for one in rescored:
    groups.setdefault(one.row['group'], []).append(one)
  told = []
  for one in rescored:
    same = groups[one.row['group']]
    both = ([other.row['reward'] for other in same], [other.total for other in same])
    own = (one.row['reward'], one.total)
    told.append(dataclasses.replace(one, pushed=tuple(map(_side, own, both))))
  return told


def _side(value, group):
  scored = [other for other in group if other is not None]
  if value is None or not scored:
    return 0
  gap = value - float(np.mean(scored))
  # Rounding is no opinion.
  return 0 if abs(gap) < 1e-9 else int(np.sign(gap))
