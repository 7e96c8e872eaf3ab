"""Small R1-Zero runs as a user starts them: a command, its files, its output."""

import atexit
import dataclasses
import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
UPDATES = 4
# Everything a run does, as small as it goes: 2 rollouts of 8 x 4 completions, 2 updates each.
SMALL = {
  'rl.prompts': 8,
  'sample.group': 4,
  'sample.max_new': 24,
  'rl.updates': UPDATES,
  'rl.length_schedule': '((0,16),(2,24))',
  'rl.rows': 8,
  'rl.capacity': 72,
  'rl.samples_every': 2,
  'evaluation.questions': 8,
  'evaluation.few': 8,
  'evaluation.samples': 4,
  'evaluation.every': 0,
  'loop.checkpoint_every': 1,
  'loop.keep': 9,
}
# Which of its writes a save looks at first is a race: seen once in hundreds, the cut file.
NO_ROOM = ('File too large', 'a file of it was cut short, as for want of room or by someone else')
TIMINGS = ('speed/', 'reward/wait_seconds', 'compile/', 'handover/')


@dataclasses.dataclass(frozen=True)
class Run:
  """A run that has ended: its folder and what it printed."""

  folder: pathlib.Path
  status: int
  stdout: str
  stderr: str

  @property
  def summary(self):
    """`summary.json`."""
    return json.loads((self.folder / 'summary.json').read_text())

  @property
  def sha256(self):
    """Digest of the final weights."""
    return self.summary['final_params_sha256']

  @property
  def rows(self):
    """`metrics.jsonl`."""
    return [json.loads(line) for line in (self.folder / 'metrics.jsonl').open()]

  @property
  def figures(self):
    """The metrics that the seed decides: all but timings."""
    return [{k: v for k, v in row.items() if not k.startswith(TIMINGS)} for row in self.rows]

  @property
  def on_any_mesh(self):
    """Those of the figures that another mesh gives too."""
    # Requests wait for slots shard by shard.
    return [{k: v for k, v in row.items() if k != 'rollout/slots_busy'} for row in self.figures]


def command(folder, *flags, config='experiments/r1_zero.py', program=('r1jax.main',), **overrides):
  """The command of a small run; `overrides` are written `rl__updates=6`."""
  settings = SMALL | {name.replace('__', '.'): value for name, value in overrides.items()}
  settings['workdir'] = folder
  pairs = [f'--config.{name}={value}' for name, value in settings.items()]
  return [sys.executable, '-m', *program, f'--config={config}', *pairs, *flags]


def environment(devices=1):
  """Variables of a run's process: so many CPU devices, programs compiled once for all runs."""
  of_suite = os.environ.get('XLA_FLAGS', '')  # of a flag that stands twice the last one holds
  return os.environ | {
    'JAX_PLATFORMS': 'cpu',
    'XLA_FLAGS': f'{of_suite} --xla_force_host_platform_device_count={devices}',
    'JAX_COMPILATION_CACHE_DIR': _programs(),
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
    'COLUMNS': '120',
  }


@functools.cache
def _programs():
  folder = tempfile.mkdtemp(prefix='programs')
  atexit.register(shutil.rmtree, folder, ignore_errors=True)
  return folder


def start(folder, *flags, devices=2, variables=None, **overrides):
  """Starts a run, on as many devices as two cores are; returns the process, for `end` to wait.

  `variables` of the environment go before those of `environment`.
  """
  return subprocess.Popen(
    command(folder, *flags, **overrides),
    cwd=ROOT,
    env=environment(devices) | (variables or {}),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def end(process, folder):
  """Waits for a run; returns it as a `Run`, whatever its exit status."""
  stdout, stderr = process.communicate(timeout=600)
  return Run(pathlib.Path(folder), process.returncode, stdout, stderr)


def finish(folder, *flags, **overrides):
  """A run from its start (or its newest checkpoint) to its last line; fails where it fails."""
  run = end(start(folder, *flags, **overrides), folder)
  assert run.status == 0, run.stderr[-3000:]
  return run


def replay(folder, update, devices=2):
  """`r1jax replay` of an update, one sample of it looked into; the process when it has ended."""
  program = [sys.executable, '-W', 'ignore', '-m', 'r1jax.replay', str(folder)]
  # Any sample that is in the mini-batch: that which the run's own split puts there.
  flags = [f'--update={update}', '--samples=1']
  env = environment(devices)
  return subprocess.run([*program, *flags], cwd=ROOT, env=env, capture_output=True, text=True)


def copy(run, folder, newest):
  """A copy of a run's folder as it was when checkpoint `newest` was its last."""
  shutil.copytree(run.folder, folder, ignore=shutil.ignore_patterns('summary.json', 'model'))
  for checkpoint in (folder / 'checkpoints').iterdir():
    if int(checkpoint.name.split('_')[1]) > newest:
      shutil.rmtree(checkpoint)
  return folder


def checkpoints(folder):
  """The folders of finished checkpoints, oldest first."""
  found = (folder / 'checkpoints').glob('step_*')
  return sorted(path for path in found if path.name[5:].isdigit())


def spoil(checkpoint):
  """Cuts the largest file of a checkpoint in half, as a full disk or a power cut would."""
  largest = max((p for p in checkpoint.rglob('*') if p.is_file()), key=lambda p: p.stat().st_size)
  os.truncate(largest, largest.stat().st_size // 2)
