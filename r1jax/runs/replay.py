"""An update of a run once more: from a checkpoint before it, to the same bits, and looked into."""

import contextlib
import dataclasses
import json
import math
import pathlib

import jax
import numpy as np

from r1jax import files
from r1jax import params as params_lib
from r1jax.runs import kinds, learned, model, opening
from r1jax.stages import tokenwise
from r1jax.train import checkpoint

_RL = ('reasoning_rl', 'general_rl')
# What the seed does not decide: timings, what was compiled, counts of a process.
_NOT_DECIDED = (
  'speed/', 'compile/', 'handover/seconds', 'reward/wait_seconds', 'reward/worker_restarts',
  'reward/verifier_error_rate', 'eval/',
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Where:
  """What is replayed: a run's folder, an update from 1, and that of the checkpoint before it."""

  folder: pathlib.Path
  update: int
  begun: int

  @property
  def place(self):
    """The folder that is written."""
    return self.folder / f'replay-{self.update:06d}'


@dataclasses.dataclass(frozen=True)
class Replay:
  """An update that was run again.

  Attributes:
    where: `Where`.
    compared: how many metrics of the update the run's own row has too.
    differing: (name, then, now) of those that are not the same.
    digest: SHA-256 of the weights after it.
    same_weights: whether a checkpoint of the run after this update, or its end, has that digest;
      None where neither is there.
  """

  where: Where
  compared: int
  differing: tuple
  digest: str
  same_weights: bool | None


def prepare(folder, update):
  """(job, update of the checkpoint to begin from) of a replay; reads no weights.

  Raises:
    ValueError: no folder of an RL run, no such update, no checkpoint before it, or changed data.
  """
  folder = pathlib.Path(folder)
  job = opening.read_job(folder)
  if job.stage not in _RL:
    raise ValueError(f'{folder}: only updates of RL are run again, this is a run of {job.stage}')
  config, data = opening.read_config(folder), folder / 'data.json'
  if data.exists():
    learned.check_same(folder, files.read_json(data), learned.digests(config), config)
  if not 1 <= update <= job.rl.updates:
    raise ValueError(f'--update={update}: {folder} has updates 1 to {job.rl.updates}')
  # Only names are read here: nothing is written into the folder.
  kept = (folder / 'checkpoints').glob('step_' + '[0-9]' * 8)
  there = sorted(int(one.name[5:]) for one in kept)
  before = [step for step in there if step < update]
  if not before:
    kept = ', '.join(map(str, there)) or 'none'
    raise ValueError(
      f'{folder}/checkpoints has none before update {update} (there are {kept}): '
      f'--config.loop.keep_every=N keeps one in N updates for good'
    )
  return job, before[-1]


def run(where, job, chosen=4, say=print):
  """Runs a run's updates again from a checkpoint, and writes what the last one is made of.

  The mesh must be set; that of the run gives its bits.

  Args:
    where: `Where`.
    job: of the run.
    chosen: indices in the rollout of the samples to look into, or how many of those whose tokens
      are pulled at most.
    say: called with a line of text.

  Returns:
    `Replay`.

  Raises:
    ValueError: a sample is not in the mini-batch of the update.
    CheckpointError: the checkpoint is damaged.
  """
  folder, update = where.folder, where.update
  # What the stage writes goes beside the run's own samples.
  course = kinds.KINDS[job.stage].learns(
    dataclasses.replace(job, workdir=str(where.place)), jax.sharding.get_mesh()
  )
  with contextlib.closing(course.service()) as course.rewards:
    stage = course.stage(course.read())
    with contextlib.closing(stage), checkpoint.Checkpoints(folder / 'checkpoints') as saved:
      _restore(stage, course, saved, where.begun, job)
      say(f'{folder}: from the checkpoint of update {where.begun} to update {update}')
      metrics = _look(stage, where, chosen, say)
      digest = params_lib.sha256(stage.state.params)
      own = _digest(folder, stage, saved, update)
  figures = {name: float(value) for name, value in jax.device_get(metrics).items()}
  compared, differing = _compare(folder, update, figures)
  same = None if own is None else own == digest
  return Replay(where, compared, differing, digest, same)


def _restore(stage, course, saved, step, job):
  stage.beside = model.base(job)
  stage.initial = model.weights(job, course.cfg) if stage.beside else None
  stage.restore(*saved.load(step, stage.abstract))


def _look(stage, where, chosen, say):
  """Metrics of the last update, which is looked into."""
  for step in range(where.begun, where.update):
    if step + 1 == where.update:
      # Before the weights move.
      stage.heed = lambda minibatch: _write(stage, minibatch, chosen, where.place, say)
    metrics = stage.update(step)
  return metrics


def _write(stage, minibatch, chosen, place, say):
  """Writes `tokens.jsonl`, a row per sample, and `tokens.npz`, the arrays of all of them."""
  told = tokenwise.of(stage, minibatch)
  pulled = lambda index: -float(np.abs(told.sample(index)['pull']).sum())
  if isinstance(chosen, int):
    chosen = sorted(told.samples, key=pulled)[:chosen]
  missing = [index for index in chosen if index not in told.samples]
  if missing:
    raise ValueError(
      f'--sample={missing[0]} is not in the mini-batch of this update; there are '
      f'{", ".join(map(str, told.samples))}'
    )
  rows, arrays = [], {}
  for index in chosen:
    say(f'gradients of the {len(told.sample(index)["pull"])} tokens of sample {index}')
    one = told.sample(index) | {'gradient': tokenwise.gradient_norms(stage, told, index)}
    arrays |= {f'{name}_{index}': values for name, values in one.items()}
    rows.append(_row(stage, index, one, told))
  place.mkdir(parents=True, exist_ok=True)
  files.write_rows(place / 'tokens.jsonl', rows)
  np.savez_compressed(place / 'tokens.npz', loss=told.loss, **arrays)


def _row(stage, index, one, told):
  """A sample for people: its text, what it adds to the loss, the tokens that are pulled at most."""
  decode = stage.form.tokenizer.decode
  ids = one['token'].tolist()
  far = np.argsort(-np.abs(one['pull']))[:8]
  names = [name for name in ('logp', 'pull', 'gradient', 'ratio', 'policy', 'kl') if name in one]
  tokens = []
  for t in far:
    figures = {name: _number(one[name][t]) for name in names}
    tokens.append({'at': int(t), 'text': decode([ids[t]])} | figures)
  prompt, begin = told.whole(index)
  return {
    'index': int(index),
    'prompt': decode(prompt[:begin].tolist()),
    'completion': decode(ids),
    'advantage': _number(one['advantage'][0]),
    'loss': {name: _number(one[name].sum()) for name in ('policy', 'kl') if name in one},
    'loss_of_all': told.loss,
    'most_pulled': tokens,
  }


def _number(value):
  value = float(f'{float(value):.6g}')
  return value if math.isfinite(value) else None


def _digest(folder, stage, saved, update):
  """SHA-256 of the run's own weights after the update, where it has kept them; else None."""
  with contextlib.suppress(checkpoint.CheckpointError):
    if update in saved.steps():
      arrays, _ = saved.load(update, stage.abstract)
      return params_lib.sha256(arrays['state'].params)
  with contextlib.suppress(OSError, ValueError):
    summary = files.read_json(folder / 'summary.json')
    if summary.get('updates') == update:
      return summary.get('final_params_sha256')
  return None


def _compare(folder, update, figures):
  """(how many metrics the run's own row has too, (name, then, now) of those that differ)."""
  rows = [row for row in files.read_metrics(folder / 'metrics.jsonl') if row.get('step') == update]
  own = rows[-1] if rows else {}
  both = [name for name in figures if name in own and not name.startswith(_NOT_DECIDED)]
  # As they stand in the file: what is not finite is null there.
  now = {name: json.loads(json.dumps(figures[name])) for name in both}
  now = {name: value if math.isfinite(value) else None for name, value in now.items()}
  differing = [name for name in both if own[name] != now[name]]
  return len(both), tuple((name, own[name], now[name]) for name in differing)
