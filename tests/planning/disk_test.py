"""What a plan says of the disk, against what runs leave on it."""

import dataclasses
import shutil

import jax
import pytest

from r1jax import config as config_lib
from r1jax import sharding
from r1jax.experiments import r1_zero
from r1jax.planning import disk, planner
from r1jax.runs import opening
from tests import small_runs

MESH = sharding.make_mesh((1, 2, 1, 1), jax.devices()[:2])


def job_of(folder, **loop):
  """The default job in a folder, and its architecture."""
  job = config_lib.build(r1_zero.get_config('tiny'))
  job = dataclasses.replace(
    job, workdir=str(folder), loop=dataclasses.replace(job.loop, checkpoint_every=10, **loop)
  )
  return job, planner.architecture(job)


def folder_size(folder):
  return sum(file.stat().st_size for file in folder.rglob('*') if file.is_file())


@pytest.mark.parametrize(
  'loop, updates, count',
  [
    ({}, 100, 3),  # two that stay and one that is written
    ({}, 10, 2),  # before the first update and at the end
    ({'keep': 5}, 100, 6),
    ({'keep': 5}, 30, 4),
    ({'keep_every': 20}, 100, 8),
    ({'keep_best': True}, 100, 4),
  ],
)
def test_checkpoints_are_counted_as_they_are_kept(loop, updates, count, tmp_path):
  job, cfg = job_of(tmp_path, **loop)
  assert disk.need(job, cfg, MESH, updates)[1] == count


def test_adapters_are_saved_without_what_is_frozen(tmp_path):
  job, cfg = job_of(tmp_path)
  small = dataclasses.replace(cfg, lora=dataclasses.replace(cfg.lora, rank=4))
  (whole, _, model), (adapters, _, merged) = (
    disk.need(job, cfg, MESH, 100),
    disk.need(job, small, MESH, 100),
  )
  assert adapters < whole / 2 and merged == model


@pytest.mark.parametrize(
  'loop, advice', [({}, '--config.workdir'), ({'keep': 9}, 'keep=2'), ({'keep_every': 10}, 'y=0')]
)
def test_a_disk_that_is_too_small_is_told_before_the_run(loop, advice, tmp_path, monkeypatch):
  job, cfg = job_of(tmp_path / 'not' / 'yet', **loop)
  ((name, said),) = disk.row(job, cfg, MESH, 100)
  assert name == 'disk' and 'are free' in said and 'WILL NOT FIT' not in said
  full = shutil.disk_usage(tmp_path)._replace(free=1024)
  monkeypatch.setattr(shutil, 'disk_usage', lambda place: full)
  ((_, said),) = disk.row(job, cfg, MESH, 100)
  assert said.startswith('WILL NOT FIT') and advice in said
  # A run that goes on writes over what it has left.
  (tmp_path / 'not' / 'yet').mkdir(parents=True)
  with (tmp_path / 'not' / 'yet' / 'left').open('wb') as file:
    file.truncate(2**30)
  assert 'WILL NOT FIT' not in disk.row(job, cfg, MESH, 100)[0][1]


def test_a_finished_run_has_the_checkpoints_and_the_model_that_its_plan_says(reference):
  job = opening.read_job(reference.folder)
  checkpoint, most, model = disk.need(job, planner.architecture(job), MESH, job.rl.updates)
  found = small_runs.checkpoints(reference.folder)
  assert len(found) in (most - 1, most)
  for one in found[1:]:  # the first has moments of zeros
    assert 0.75 * checkpoint < folder_size(one) < checkpoint  # compressed on disk
  weights = reference.folder / 'model' / 'model.safetensors'
  # The multi-token module shares its head, which the file holds once more.
  assert weights.stat().st_size == pytest.approx(model, rel=0.1)
  assert f'{most} checkpoints of' in reference.stdout
