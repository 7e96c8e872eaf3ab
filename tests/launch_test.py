"""Launch scripts: what they would run, without the machine they run it on."""

import pathlib
import shlex
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCRIPTS = sorted((ROOT / 'launch').glob('*.sh'))
JOB = ['--config=experiments/r1_zero.py:tiny', '--config.rl.length_schedule=((0, 96),)']
FLAGS = {
  'tpu': ['--zone=us-east5-a', '--type=v5p-2048', '--spot'],
  'slurm': ['--nodes=4', '--gpus=8', '--partition=long'],
  'host': ['--gpus=8'],
}


def dry(name, *flags):
  """The finished process of a dry run."""
  command = ['bash', ROOT / 'launch' / f'{name}.sh', *FLAGS[name], '--dry-run', *flags]
  return subprocess.run(command, capture_output=True, text=True, timeout=20)


def test_every_script_is_tested():
  assert {script.stem for script in SCRIPTS} == set(FLAGS)


@pytest.mark.parametrize('name', FLAGS)
def test_a_dry_run_prints_the_job_with_its_quotes_intact(name):
  done = dry(name, '--', *JOB)
  assert done.returncode == 0, done.stderr
  line = next(line for line in done.stdout.splitlines() if 'r1jax.main' in line)
  words = shlex.split(line)
  inner = next((w for w in words if w.startswith('--command=')), None)
  words = shlex.split(inner) if inner else words
  assert words[words.index(JOB[0]) :][:2] == JOB


def test_a_tpu_slice_is_requested_before_all_its_workers_run_the_job():
  lines = dry('tpu', '--', *JOB).stdout.splitlines()
  assert 'queued-resources create' in lines[0] and '--accelerator-type=v5p-2048' in lines[0]
  assert '--spot' in lines[0]
  assert all('--worker=all' in line for line in lines[1:])
  assert '--distributed' in lines[-1]


def test_slurm_starts_one_process_a_node_and_queues_again_after_its_signal():
  text = dry('slurm', '--', *JOB).stdout
  for wanted in ('--nodes=4', '--ntasks-per-node=1', '--gpus-per-node=8', '--partition=long'):
    assert f'#SBATCH {wanted}' in text
  assert '--processes="$SLURM_NTASKS" --process="$SLURM_PROCID"' in text
  assert 'scontrol requeue' in text


@pytest.mark.parametrize('name', FLAGS)
def test_a_mistyped_flag_or_a_missing_job_is_refused(name):
  assert dry(name).returncode == 64
  wrong = dry(name, '--nodez=4', '--', *JOB)
  assert wrong.returncode == 64 and '--nodez=4' in wrong.stderr


@pytest.mark.skipif(not shutil.which('shellcheck'), reason='shellcheck is not installed')
def test_shellcheck_has_nothing_to_say():
  done = subprocess.run(['shellcheck', *SCRIPTS], capture_output=True, text=True)
  assert done.returncode == 0, done.stdout
