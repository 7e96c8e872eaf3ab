"""The package as others get it: a wheel, installed away from the checkout."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from r1jax.cli import flags
from tests import small_runs

SHIPPED = ('r1jax', 'kernels', 'experiments', 'setup.py', 'pyproject.toml', 'README.md')
LEGAL = ('LICENSE', 'NOTICE')
pytestmark = pytest.mark.heavy


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
  """The folder that holds the installed wheel, built from a copy of what git knows."""
  source, target = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('installed')
  for name in SHIPPED + LEGAL:
    path = small_runs.ROOT / name
    if path.is_dir():
      shutil.copytree(path, source / name, ignore=shutil.ignore_patterns('__pycache__'))
    else:
      shutil.copy(path, source / name)
  pip = [sys.executable, '-m', 'pip', '-q', '--disable-pip-version-check']
  subprocess.run([*pip, 'wheel', '--no-deps', '-w', target, source], check=True)
  (wheel,) = target.glob('r1jax-*.whl')
  flags = ['--no-deps', '--no-index', '--target', target / 'site']
  subprocess.run([*pip, 'install', *flags, wheel], check=True)
  return target / 'site'


def command(installed, folder, *words):
  """What a command of the installed package gives, in a folder without a checkout."""
  program = [sys.executable, installed / 'bin' / 'r1jax', *words]
  environment = small_runs.environment() | {'PYTHONPATH': str(installed)}
  return subprocess.run(
    program, cwd=folder, env=environment, capture_output=True, text=True, check=False
  )


def test_what_is_imported_is_the_wheel(installed, tmp_path):
  program = (
    'import r1jax.kernels, r1jax.experiments as e; print(r1jax.kernels.__file__, e.__file__)'
  )
  done = subprocess.run(
    [sys.executable, '-c', program],
    cwd=tmp_path,
    env=os.environ | {'PYTHONPATH': str(installed)},
    capture_output=True,
    text=True,
    check=True,
  )
  assert all(str(installed) in path for path in done.stdout.split())


def test_it_holds_licence_notice_and_shipped_models(installed):
  (info,) = installed.glob('r1jax-*.dist-info')
  found = {path.name for path in info.rglob('*')}
  assert set(LEGAL) <= found
  there = {path.relative_to(installed) for path in installed.rglob('*.safetensors')}
  assets = pathlib.Path('r1jax/assets')
  assert there == {
    assets / name / 'model.safetensors' for name in ('tiny_base', 'tiny_bilingual_base')
  }


def test_experiments_are_found_by_name_from_any_folder(installed, tmp_path):
  for one in flags.shipped():
    done = command(installed, tmp_path, 'config', one.name, '--filter', 'seed')
    assert done.returncode == 0, done.stderr
    assert 'seed' in done.stdout
  done = command(installed, tmp_path, 'config', 'nowhere')
  assert done.returncode == 1 and 'There are distill_llama, ' in done.stderr


def test_a_run_trains_and_its_model_answers(installed, tmp_path):
  words = small_runs.command(tmp_path / 'run')[4:]  # what stands behind its --config
  done = command(installed, tmp_path, 'train', '--config=r1_zero', *words)
  assert done.returncode == 0, done.stderr
  asked = ['--checkpoint=run', '--prompt=1 + 1', '--max_tokens=4']
  done = command(installed, tmp_path, 'chat', *asked)
  assert done.returncode == 0 and done.stdout.strip(), done.stderr
