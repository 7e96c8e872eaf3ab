"""The batch arithmetic of an RL job is checked before anything is made; the plan tells it."""

import dataclasses

import jax
import pytest

from r1jax import config as config_lib
from r1jax import sharding
from r1jax.experiments import r1_zero
from r1jax.model import presets
from r1jax.runs import tables
from r1jax.stages import reasoning_rl, rl_schedule
from r1jax.train import loop


@pytest.fixture(scope='module')
def job():
  return config_lib.build(r1_zero.get_config())


def changed(job, **sections):
  """The job with some fields of its sections replaced."""
  parts = {name: dataclasses.replace(getattr(job, name), **f) for name, f in sections.items()}
  return dataclasses.replace(job, **parts)


def test_the_presets_are_well_on_one_device(job):
  rl_schedule.check(job, sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1]))


@pytest.mark.parametrize(
  'sections, message',
  [
    ({'rl': {'mini_batches': 5}}, '32 prompts x 16 samples = 512 .* rl.mini_batches=5'),
    ({'rl': {'rows': 12}}, 'rl.rows=12 does not divide over 8 shards of rows'),
    ({'sample': {'group': 1}}, 'sample.group=1'),
    ({'sample': {'max_new': 32}}, 'asks for .* tokens'),
    ({'data': {'max_prompt': 500}}, 'max_prompt=500 .*do not fit rl.capacity'),
    (
      {
        'rl': {'length_schedule': ((0, 8), (9, 96))},
        'grpo': {'overlong_buffer': 9, 'max_length': 96},
      },
      'buffer=9 is longer than the cap of 8',
    ),
    (
      {'grpo': {'aggregation': 'dr_grpo', 'max_length': 95}},
      'max_length=95 is below the cap of 96 tokens',
    ),
    (
      {'rl': {'mini_batches': 2, 'reference_every': 5}, 'grpo': {'beta': 0.1}},
      'rl.reference_every=5 is no multiple of rl.mini_batches=2',
    ),
    ({'rl': {'next_level': 0.5}, 'evaluation': {'every': 0}}, 'next_level=0.5: no examination'),
    (
      {'rl': {'next_level': 0.5, 'updates': 4}, 'evaluation': {'every': 4}},
      'evaluation.every=4 and rl.updates=4 no level would be let in',
    ),
  ],
)
def test_arithmetic_that_does_not_work_out_is_refused_with_the_numbers(job, sections, message):
  mesh = sharding.make_mesh((1, 2, 4, 1), jax.devices()[:8])
  with pytest.raises(ValueError, match=message):
    rl_schedule.check(changed(job, **sections), mesh)


def test_without_a_reference_nothing_is_asked_of_its_updates(job):
  mesh = sharding.make_mesh((1, 2, 4, 1), jax.devices()[:8])
  without = {'rl': {'mini_batches': 2, 'reference_every': 5}, 'grpo': {'beta': 0.0}}
  rl_schedule.check(changed(job, **without), mesh)


@pytest.mark.parametrize(
  'schedule', [((1, 5),), ((0, 5), (9, 6), (3, 7)), ((0, 0),), (5,), ((0, 5, 6),)]
)
def test_a_length_schedule_starts_at_0_ascends_and_allows_tokens(schedule):
  with pytest.raises(ValueError, match='schedule='):
    rl_schedule.RlConfig(length_schedule=schedule)


def test_rows_that_a_context_axis_cannot_cut_into_equal_shares_are_refused(job):
  mesh = sharding.make_mesh((1, 1, 1, 1, 8), jax.devices()[:8])
  with pytest.raises(ValueError, match='2 rows x 147, do not divide over 8 devices of the context'):
    rl_schedule.check(changed(job, rl={'rows': 2, 'capacity': 147}), mesh)


def test_the_cap_is_that_of_the_last_start_reached():
  cfg = rl_schedule.RlConfig(length_schedule=((0, 5), (3, 8), (7, 6)))
  assert [cfg.cap(step) for step in (0, 2, 3, 6, 7, 99)] == [5, 5, 8, 8, 6, 6]


def test_the_plan_tells_the_batch_and_the_parameters(job):
  mesh = sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1])
  cfg = presets.tiny()
  job = changed(job, rl={'updates': 7, 'length_schedule': ((0, 50), (4, 96))})
  told = dict(tables.model_rows(cfg, mesh) + tables.rl_rows(job, cfg, mesh))
  assert told['rollout'] == '32 prompts x 16 samples = 512 sequences'
  assert 'mini-batches of 256 sequences, 7 in all = 4 rollouts' in told['updates']
  assert '50 from update 0, 96 from update 4' in told['length']
  assert '1,200,920 + 319,272' in told['parameters']
  assert 'MiB more in an update' in told['memory'] and 'in a rollout' in told['memory']
  assert 'data 1, fsdp 1, expert 1, tensor 1, context 1 on 1 cpu' in told['mesh']


@pytest.mark.parametrize(
  'staleness, processes, leaves', [(0, 1, True), (1, 1, False), (0, 2, False)]
)
def test_a_rollout_is_left_where_that_is_safe(job, monkeypatch, staleness, processes, leaves):
  monkeypatch.setattr(reasoning_rl.jax, 'process_count', lambda: processes)
  stage = object.__new__(reasoning_rl.Stage)
  stage.job, stage.stopping = changed(job, rl={'staleness': staleness}), str
  stage._heed()  # nobody asks for it
  stage.stopping = lambda: 'SIGTERM'
  if leaves:
    with pytest.raises(loop.LeftError):
      stage._heed()
  else:
    stage._heed()


def test_groups_that_stay_together_divide_into_mini_batches(job):
  mesh = sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1])
  with pytest.raises(ValueError, match="rl.split='groups': 32 groups do not divide into .*=5"):
    rl_schedule.check_batches(
      changed(job, rl={'mini_batches': 5, 'split': 'groups', 'prompts': 32}, sample={'group': 5}),
      mesh,
    )
