"""Services that a run's figures may go to beside its own files: Weights & Biases, and trackio.

Both are packages that a user installs, and what they need (an account, a project, whether to be
offline) they are told by their own variables, such as WANDB_MODE=offline or TRACKIO_SPACE_ID.
"""

import contextlib
import importlib.util
import os
import pathlib
import secrets

from r1jax import files

_PROJECT = 'r1jax'
_IDENTITY = 'sinks.json'  # in the run's folder: by what its run is known there


def check(names):
  """Raises ValueError where a package of some of `SERVICES` is not installed."""
  for name in names:
    if name in SERVICES and importlib.util.find_spec(name) is None:
      raise ValueError(
        f'config.loop.sinks has {name!r}, which is not installed: pip install {name}, '
        'or leave it out'
      )


def opened(name, workdir, notify):
  """The sink of a service, with `write(row, finite)` and `close()`; None where it does not open.

  Args:
    name: one of `SERVICES`.
    workdir: folder of the run; its config.json, if it is there, is told to the service.
    notify: called with a line that says where the figures are, or why they are not.
  """
  workdir = pathlib.Path(workdir)
  try:
    return SERVICES[name](workdir, _identity(workdir), notify)
  # A service's own errors: no key, no network, another version. Figures never stop a run.
  except Exception as error:
    notify(f'{name}: takes no figures of this start ({_told(error)}); the run goes on without it')
    return None


def _identity(workdir):
  """By what the run of a folder is known; made at its first start, the same at all others."""
  path = workdir / _IDENTITY
  if not path.exists():
    files.write_json(path, {'id': secrets.token_hex(4)})
  return files.read_json(path)['id']


def _config(workdir):
  path = workdir / 'config.json'
  return files.read_json(path) if path.exists() else {}


@contextlib.contextmanager
def _failing():
  """Turns what a service raises into the OSError by which a file is given up."""
  try:
    yield
  except Exception as error:
    raise OSError(0, _told(error)) from error


def _told(error):
  return f'{type(error).__name__}: {" ".join(str(error).split()):.200}'


class WandB:
  """A run of Weights & Biases."""

  def __init__(self, workdir, identity, notify):
    import wandb  # takes seconds

    self._run = wandb.init(
      project=os.environ.get('WANDB_PROJECT', _PROJECT),
      name=os.environ.get('WANDB_NAME', workdir.name),
      id=identity,
      # Offline there is nobody who knows the earlier start.
      resume=None if os.environ.get('WANDB_MODE') in ('offline', 'disabled') else 'allow',
      dir=str(workdir),
      config=_config(workdir),
      settings=wandb.Settings(console='off', silent=True),
    )
    # Its own counter never goes back, as a run does that is started again from a checkpoint.
    self._run.define_metric('*', step_metric='step')
    notify(f'wandb: figures are also in {self._run.url or self._run.dir}')

  def write(self, row, finite):
    """Sends the finite values of a row."""
    with _failing():
      self._run.log({'step': row['step']} | finite)

  def close(self):
    """Waits until all is sent, or on disk where it is offline."""
    with _failing():
      self._run.finish()


class Trackio:
  """A run of trackio, on this machine unless its variables say where."""

  def __init__(self, workdir, identity, notify):
    import trackio  # takes seconds

    project, name = os.environ.get('TRACKIO_PROJECT', _PROJECT), f'{workdir.name}-{identity}'
    self._run = trackio.init(project=project, name=name, config=_config(workdir), resume='allow')
    notify(f'trackio: figures are also in the project {project}, run {name}: trackio show')

  def write(self, row, finite):
    """Sends the finite values of a row."""
    with _failing():
      self._run.log(finite, step=row['step'])

  def close(self):
    """Waits until all is written."""
    with _failing():
      self._run.finish()


# Name in `loop.sinks`, which is that of the package -> what takes the figures.
SERVICES = {'wandb': WandB, 'trackio': Trackio}
