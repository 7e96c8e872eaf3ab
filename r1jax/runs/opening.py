"""The model that a user names, also of a run that has not ended or of one of its checkpoints."""

import pathlib

import jax
import ml_collections

from r1jax import config as config_lib
from r1jax import files
from r1jax.interchange import checkpoints
from r1jax.runs import kinds, model
from r1jax.train import checkpoint


def open_model(path, notify=print):
  """Folder of the model that the user named, as `checkpoints.open`, or of a run that has not ended.

  The mesh must be set.

  Args:
    path: as for `checkpoints.open`, or a work directory without `model/`, or the folder of one of
      a run's checkpoints: see `open_run`.
    notify: called with one line of text where it is a run's checkpoint that is opened.

  Raises:
    ValueError: there is no model there.
  """
  run, step = checkpoints.run_and_step(path)
  if run is not None:
    return open_run(run, notify, step)
  if checkpoints.find(path) is None and checkpoints.is_run(path):
    return open_run(path, notify)
  return checkpoints.open(path)


def open_run(workdir, notify=print, step=None):
  """Writes a checkpoint of a run as WORKDIR/model-at-STEP and returns that folder.

  The whole training state passes through the mesh that is set: about four times the weights.

  Args:
    workdir: folder with `config.json` and `checkpoints/`.
    notify: called with one line that names the step and the folder.
    step: of the checkpoint; None for the newest one that is whole.

  Raises:
    ValueError: there is no such checkpoint, it is damaged, or config.json is not of this version.
  """
  workdir = pathlib.Path(workdir)
  job = read_job(workdir)
  run = kinds.KINDS[job.stage].learns(job, jax.sharding.get_mesh())
  # For the shapes of its state alone: RL reads no data for that, which may be gone from here.
  stage = run.stage(run.unread())
  stage.beside = model.base(job)
  try:
    with checkpoint.Checkpoints(workdir / 'checkpoints', notify=notify) as saved:
      newest = step is None
      loaded = saved.latest(stage.abstract) if newest else (step, *saved.load(step, stage.abstract))
  except checkpoint.CheckpointError as error:
    raise ValueError(str(error)) from error
  if loaded is None:
    raise ValueError(f'{workdir}/checkpoints: no finished checkpoint')
  step, arrays, host = loaded
  # Of adapters the checkpoint has no more than themselves.
  base = model.weights(job, run.cfg) if stage.beside else None
  stage.hold_again(base, host.get('frozen', ''))
  # RL saves more than its state; where a stage stood in its data does not matter here.
  stage.state = arrays['state'] if isinstance(arrays, dict) else arrays
  folder = workdir / f'model-at-{step}'
  ended = '' if (workdir / 'model').is_dir() else ' has not ended'
  notify(f'{workdir}{ended}: its weights after update {step} of {stage.total} are {folder}')
  run.save(folder, stage)
  return folder


def read_job(workdir):
  """The `Job` that a run's config.json describes; JSON has lists for its tuples.

  Raises:
    ValueError: there is none, it is not of this version, or its stage does not learn.
  """
  file = pathlib.Path(workdir) / 'config.json'
  config = read_config(workdir)
  try:
    job = config_lib.build(config)
  except (ValueError, KeyError, AttributeError, TypeError) as error:
    raise ValueError(f'{file} is not the config of a run of this version: {error}') from error
  # Stages that make data have no checkpoints.
  learning = [name for name, kind in kinds.KINDS.items() if kind.learns]
  if job.stage not in learning:
    raise ValueError(f'{file}: the stage {job.stage!r} is none of {", ".join(learning)}')
  return job


def asking(path, notify=print):
  """How a run asks: flags of an examination by name (`system`, `few_shot`, `answer`, `template`).

  Args:
    path: what the user named; the folder `model` of a run stands for the run.
    notify: called with one line where there is a run that cannot tell.

  Returns:
    {} where there is no run, or its stage asks no questions with one right answer.
  """
  run = _run_of(pathlib.Path(path))
  if run is None:
    return {}
  try:
    # A graph of stages asks nothing itself.
    job = read_job(run) if 'stage' in read_config(run) else None
  except ValueError as error:
    notify(f'note: how this run asks is not known, so no system prompt of its own is used: {error}')
    return {}
  if job is None or job.data is None or job.reward is None:
    return {}
  data = job.data
  flags = {'system': data.system, 'few_shot': data.few_shot, 'answer': job.reward.answer}
  # Of the other forms the model's folder has a chat template.
  return flags | ({'template': 'text'} if data.prompt == 'text' else {})


def _run_of(folder):
  """The work directory that a folder is, or whose model it is; None of another one."""
  run, _ = checkpoints.run_and_step(folder)
  if run is not None:
    return run
  # A finished run may have lost its checkpoints to a full disk; its model is there.
  if checkpoints.is_run(folder) or (folder / 'model').is_dir():
    return folder
  above = folder.resolve().parent
  is_model = folder.name == 'model' or folder.name.startswith('model-at-')
  return above if is_model and (above / 'metrics.jsonl').exists() else None


def read_config(workdir):
  """The ConfigDict that a run's config.json holds; ValueError where there is none."""
  file = pathlib.Path(workdir) / 'config.json'
  try:
    return ml_collections.ConfigDict(_tuples(files.read_json(file)))
  except OSError as error:
    raise ValueError(
      f'{file}: cannot be read ({error.strerror}), so {workdir} is no run'
    ) from error


def _tuples(value):
  if isinstance(value, dict):
    return {key: _tuples(one) for key, one in value.items()}
  return tuple(map(_tuples, value)) if isinstance(value, list) else value
