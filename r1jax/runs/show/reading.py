"""What a run's folder says of it, also while the run goes on; nothing here writes or loads JAX."""

import dataclasses
import json
import os
import pathlib
import re
import socket
import time

from r1jax import files
from r1jax.rewards import request
from r1jax.stages import sample_files

_ALIVE = 60.0  # seconds within which a living run touches its lock
# Yes: `step_00000080`. No: `step_00000080.tmp`.
_CHECKPOINT = re.compile(r'step_(\d+)')


@dataclasses.dataclass(frozen=True)
class Run:
  """A run.

  Attributes:
    folder: of the run.
    config: `config.json`.
    rows: `metrics.jsonl`, a dict each.
    base, summary: `base.json`, `summary.json`; {} before they are written.
    versions: `versions.json`.
    kept: `sample_files.Kept` in order.
    checkpoints: updates at which there is a checkpoint, ascending.
    alive: whether the run goes on now.
    changed: when its figures last changed, seconds since 1970.
    stopped: why it ended before its end; '' where it did not, or was told to.
  """

  folder: pathlib.Path
  config: dict
  rows: list
  base: dict
  summary: dict
  versions: dict
  kept: tuple
  checkpoints: tuple
  alive: bool
  changed: float
  stopped: str = ''

  @property
  def name(self):
    """The folder's own name."""
    return self.folder.resolve().name

  @property
  def step(self):
    """Updates that are complete."""
    # A whole run's summary knows it too, and its figures may have lost their last rows.
    written = self.rows[-1]['step'] if self.rows else 0
    return max(written, self.summary.get('updates', 0))

  @property
  def total(self):
    """Updates in all; 0 where the config does not say."""
    # Of RL alone: other stages count epochs, of which the folder does not know the length.
    rl = self.config.get('stage') in ('reasoning_rl', 'general_rl')
    return self.config.get('rl', {}).get('updates', 0) if rl else 0

  @property
  def reward_ends(self):
    """(least, most) that a reply can earn in all; None where the config does not bound it."""
    reward, general = (self.config.get(name) or {} for name in ('reward', 'general'))
    # A function of the user's gives any number.
    if reward.get('function'):
      return None
    weight = lambda section, name: section.get(name) or 0.0
    # A general request has no right answer: a reward model judges it instead.
    models = [weight(general, f'{kind}_weight') for kind in request.KINDS if general.get(kind)]
    judged = max(weight(reward, 'accuracy'), *models, 0.0)
    most = judged + sum(weight(reward, name) for name in ('format', 'language', 'repetition'))
    least = -1.0 if self.value('grpo.overlong_buffer') else 0.0
    return (least, most) if most else None

  @property
  def state(self):
    """In a word or two: running, finished, stopped."""
    if self.alive:
      return 'running'
    if self.summary and self.step >= self.total:
      return 'finished'
    return 'stopped' if self.rows else 'not begun'

  def latest(self, name):
    """The newest `Kept` of that name, or None."""
    return next((one for one in reversed(self.kept) if one.name == name), None)

  def value(self, key, default=None):
    """A value of the config by its dotted key."""
    value = self.config
    for part in key.split('.'):
      value = value.get(part, default) if isinstance(value, dict) else default
    return value


def read(folder):
  """The `Run` in a folder.

  Raises:
    ValueError: there is none, or a file of it is damaged; the message names it.
  """
  folder = pathlib.Path(folder)
  if not (folder / 'config.json').is_file():
    raise ValueError(f'{folder} is no folder of a run: it holds no config.json{_near(folder)}')
  optional = lambda name: files.read_json(folder / name) if (folder / name).exists() else {}
  metrics = folder / 'metrics.jsonl'
  checkpoints = ((p, _CHECKPOINT.fullmatch(p.name)) for p in (folder / 'checkpoints').glob('*'))
  return Run(
    folder=folder,
    config=_config(folder),
    rows=files.read_metrics(metrics),
    base=optional('base.json'),
    summary=optional('summary.json'),
    versions=optional('versions.json'),
    kept=tuple(sample_files.found(folder / sample_files.FOLDER)),
    checkpoints=tuple(sorted(int(match[1]) for _, match in checkpoints if match)),
    alive=_alive(folder / 'run.lock'),
    stopped=str(optional('stopped.json').get('why', '')),
    changed=(metrics if metrics.exists() else folder / 'config.json').stat().st_mtime,
  )


def _config(folder):
  """The config of a run's folder; ValueError where it is none that a run has written."""
  path = folder / 'config.json'
  config = files.read_json(path)
  if not isinstance(config.get('stage'), str):
    kind = 'a model' if 'model_type' in config else f'no stage ({config.get("stage")!r:.40})'
    raise ValueError(f'{folder} is no folder of a run: its config.json is of {kind}')
  for name in ('rl', 'reward', 'general', 'data', 'loop', 'sample'):
    if not isinstance(config.get(name) or {}, dict):
      raise ValueError(f'{path}: {name}={config[name]!r:.40} is no section; restore the file')
  return config


def series(rows, name):
  """(steps, values) of one metric in rows of figures, where it has finite ones."""
  # Not every row has every metric: one rollout serves several updates, and what is
  # not finite is null.
  points = [(row['step'], row[name]) for row in rows if row.get(name) is not None]
  return [step for step, _ in points], [value for _, value in points]


def heldout(run):
  """Examinations in order: {step, mean, low, high}; the ends are None where nobody wrote them."""
  examinations = {}
  if 'pass@1' in run.base:
    examinations[0] = _point(0, run.base)
  for row in run.rows:
    if row.get('eval/pass_at_1') is not None:
      ends = (row.get('eval/pass_at_1_low'), row.get('eval/pass_at_1_high'))
      examinations[row['step']] = _at(row['step'], row['eval/pass_at_1'], *ends)
  # The closing examination asks all questions, one on the way perhaps fewer: it replaces that.
  # Supervised stages examine nothing before, so their summary is that of the end.
  after = run.summary.get('after', run.summary)
  if 'pass@1' in after:
    examinations[run.step] = _point(run.step, after)
  return [examinations[step] for step in sorted(examinations)]


def accuracy(row):
  """Whether a reply is right; None where no rule says so or the verifier failed."""
  part = row['rewards'].get('accuracy')
  if not part or part['kind'] == 'verifier_error':
    return None
  return part['score'] > 0.5


def verdict(row):
  """The kind of the accuracy verdict, or `no rule` for a general request."""
  return row['rewards'].get('accuracy', {}).get('kind', 'no rule')


def why(row):
  """Why a reply earned less than it could, in a line; '' where nothing is wrong."""
  parts = row['rewards'].items()
  return '; '.join(f'{name}: {part["why"]}' for name, part in parts if part.get('why'))


def _point(step, evaluation):
  return _at(step, evaluation['pass@1'], *evaluation.get('ci95', (None, None)))


def _at(step, mean, low, high):
  return {'step': step, 'mean': mean, 'low': low, 'high': high}


def _alive(lock):
  """Whether a run holds the folder: it touches the file every ten seconds, as long as it lives."""
  try:
    holder = json.loads(lock.read_text())
    touched = time.time() - lock.stat().st_mtime < _ALIVE
  except (OSError, ValueError):
    return False
  if not touched or not isinstance(holder, dict):
    return False
  host, pid = holder.get('host'), holder.get('pid')
  if not isinstance(host, str) or type(pid) is not int or not 0 < pid < 2**31:
    return False  # no run writes that
  # A run that was killed has touched it a moment ago; of another host nothing else is known.
  return host != socket.gethostname() or _exists(pid)


def _exists(pid):
  """Whether a process of that number is there."""
  try:
    os.kill(pid, 0)
  except ProcessLookupError:
    return False
  except PermissionError:
    return True  # another user's
  return True


def _near(folder):
  """Runs below a folder that is none, for the message."""
  # A model's folder has a config of its own, beside its weights.
  runs = (p.parent for p in folder.glob('*/config.json') if not any(p.parent.glob('*.safetensors')))
  near = sorted(runs)[:3]
  return f'; there are {", ".join(map(str, near))}' if near else ''
