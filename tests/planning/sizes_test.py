"""Sizes that the machine chooses: they fit, the next do not, and what is learned stays."""

import dataclasses
import math
import re

import jax
import pytest

from r1jax import config as config_lib
from r1jax import sharding
from r1jax.cli import overrides
from r1jax.experiments import r1_zero
from r1jax.model import presets, transformer
from r1jax.planning import fit, memory, resident, sizes
from r1jax.stages import rl_schedule

GIB = 2**30
# Qwen2.5-0.5B's shape.
CFG = dataclasses.replace(
  presets.qwen_1_5b(), width=896, ffn=4864, layers=24, dense_layers=24, heads=14, kv_heads=2,
  head_rope=64, head_value=64, tied=True,
)  # fmt: skip


def job_of(*flags):
  """The job of the preset `hub`, with flags as users write them."""
  config = r1_zero.get_config('hub')
  for flag in ('checkpoint=qwen', 'data.path=train.jsonl', *flags):
    overrides.override(config, *flag.split('=', 1))
  return config_lib.build(config)


def model_of(job):
  """Its ModelConfig."""
  cfg = dataclasses.replace(CFG, param_dtype=job.runtime.param_dtype)
  return transformer.with_adapters(cfg, job.lora)


def mesh_of(*shape):
  """A mesh of the first devices."""
  shape = shape or (1, 1, 1, 1)
  return sharding.make_mesh(shape, jax.devices()[: math.prod(shape)])


def chosen(job, gib, mesh=None, here=0):
  """The `sizes.Choice` where so much is free."""
  return sizes.choose(job, model_of(job), mesh or mesh_of(), sizes.Room(gib * GIB, here))


def peak(job, mesh):
  """What the plan of the run says of its peak on devices with memory of their own."""
  cfg, updates = model_of(job), resident.of_rl(job)
  held = memory.held(job, cfg, mesh)
  return max(ask(cfg, mesh, held, updates, 0) for ask in (resident.in_update, resident.in_rollout))


@pytest.mark.parametrize('shape', [(1, 1, 1, 1), (1, 4, 1, 1), (1, 2, 1, 2), (1, 2, 1, 1, 2)])
def test_what_is_chosen_fits_and_twice_of_either_does_not_or_is_of_no_use(shape):
  mesh, best = mesh_of(*shape), None
  for gib in (80, 15, 13.5, 12, 11, 6, 4.5, 2):
    choice = chosen(job_of(), gib, mesh)
    if choice.refused:
      break
    job, room = choice.job, sizes.ROOM * gib * GIB
    rl_schedule.check_batches(job, mesh)
    assert peak(job, mesh) <= room and not job.automatic
    # With the most memory all are as large as is of use.
    best = best or choice.values
    for key, size in choice.values.items():
      assert size <= best[key]
      if size < best[key]:
        assert peak(sizes.put(job, key, 2 * size), mesh) > room
  assert best and choice.refused


def test_what_is_learned_stays_as_asked():
  asked = job_of()
  job = chosen(asked, 15).job
  for key in config_lib.SIZES:
    job = sizes.put(job, key, 'auto')
  assert job == asked


def test_a_number_stays_and_the_others_are_chosen_around_it():
  free = chosen(job_of(), 80).values
  for key, value in {'rl.rows': 64, 'rl.capacity': 4096, 'sample.slots': 7}.items():
    choice = chosen(job_of(f'{key}={value}'), 80)
    assert sizes.value_of(choice.job, key) == value
    assert choice.values.keys() == free.keys() - {key}
  # Longer rows, fewer of them.
  assert chosen(job_of('rl.capacity=4096'), 80).values['rl.rows'] < free['rl.rows']
  every = job_of('rl.rows=3', 'rl.capacity=1536', 'sample.slots=0')
  assert not every.automatic and chosen(every, 1).job == every


@pytest.mark.parametrize('flags, gib, here', [((), 8, 0), ((), 12, 1), (('lora.rank=8',), 2.5, 0)])
def test_what_a_refusal_proposes_fits(flags, gib, here):
  choice = chosen(job_of(*flags), gib, here=here)
  proposed = re.findall(r'((?:--config\.\S+ )+)\(about ([\d.]+) GiB\)', choice.refused)
  assert proposed and 'GiB' in choice.refused
  for text, need in proposed:
    more = [flag.removeprefix('--config.') for flag in text.split()]
    assert float(need) <= sizes.ROOM * gib
    assert not chosen(job_of(*flags, *more), gib, here=here).refused


def test_where_nothing_helps_that_is_said():
  assert 'take a smaller model' in chosen(job_of(), 0.5).refused


def test_a_number_in_place_of_auto_starts_what_does_not_fit():
  assert not chosen(job_of('rl.rows=1', 'sample.slots=1'), 1).refused


def test_where_nobody_says_how_much_there_is_they_are_the_smallest():
  job = job_of()
  choice = sizes.choose(job, model_of(job), mesh_of(1, 2, 1, 1), sizes.Room(None))
  assert choice.values == {'rl.rows': 2, 'rl.capacity': 1536, 'sample.slots': 1}
  assert not choice.refused


def test_a_job_without_numbers_yet_can_be_asked_whether_a_mesh_would_do():
  job = job_of()
  assert not fit.refused(job, model_of(job), (1, 2, 1, 1))
  assert 'rl.rows=3 does not divide' in fit.refused(job_of('rl.rows=3'), CFG, (1, 2, 1, 1))


def test_adapters_make_room_for_larger_sizes():
  whole, few = chosen(job_of(), 12).values, chosen(job_of('lora.rank=16'), 12).values
  assert all(whole[key] <= few[key] for key in whole) and whole != few
