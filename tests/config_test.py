"""The config: every knob once, presets that build, mistakes that are refused."""

import dataclasses

import jax
import numpy as np
import pytest

from r1jax import config as config_lib
from r1jax import params, sharding
from r1jax.experiments import r1_zero, tiny_base
from r1jax.model import transformer
from r1jax.planning import fit
from r1jax.stages import packing, rl_schedule
from r1jax.train import state as state_lib
from r1jax.train import steps

# One GPU and 512 chips, as descriptions: no device and no array of that size is made.
MESHES = {'small': (1, 1, 1, 1), 'v3_671b': (1, 2, 64, 4)}


def abstract_step(job, mesh):
  """(state, batch) of a job's GRPO step as shapes, types and shardings."""
  specs, rl = transformer.specs(job.model), job.rl
  tx = state_lib.make_optimizer(job.optimizer, specs)
  weights = params.abstract(specs, job.model.param_dtype, mesh)
  state = jax.eval_shape(lambda w: state_lib.create(w, tx, True), weights)
  per_update = rl.prompts * job.sample.group // rl.mini_batches
  one = packing.empty(packing.Layout(per_update, rl.rows, rl.capacity), True, True)

  def placed(x):
    spec = sharding.act(None, 'rows', None) if x.ndim == 3 else jax.P()
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=jax.sharding.NamedSharding(mesh, spec))

  return tx, state, jax.tree.map(placed, one.batch)


@pytest.mark.parametrize('preset', MESHES)
def test_the_step_of_a_large_preset_lowers_without_allocating_it(preset):
  job = config_lib.build(r1_zero.get_config(preset))
  mesh = fit.described(MESHES[preset])
  rl_schedule.check(job, mesh)
  job.model.check_mesh(dict(mesh.shape))
  with jax.sharding.use_abstract_mesh(mesh):
    tx, state, batch = abstract_step(job, mesh)
    traced = steps.grpo_update.trace(
      state,
      batch,
      cfg=job.model,
      gcfg=job.grpo,
      tx=tx,
      temperature=job.sample.temperature,
      reference_every=job.rl.reference_every,
    )
    new_state, metrics = traced.out_info
    assert 'stablehlo' in traced.lower(lowering_platforms=('tpu',)).as_text()[:2000]
  same = jax.tree.map(lambda a, b: a.shape == b.shape and a.dtype == b.dtype, new_state, state)
  assert all(jax.tree.leaves(same))
  assert metrics['grpo/kl'].shape == ()


def test_every_weight_of_the_paper_is_split_over_its_mesh():
  job = config_lib.build(r1_zero.get_config('v3_671b'))
  specs = transformer.specs(job.model)
  count = params.count(specs) - params.count(specs['mtp'])
  assert round(count / 1e9, 3) == 671.026
  weights = jax.tree.leaves(params.abstract(specs, 'bfloat16', fit.described(MESHES['v3_671b'])))
  held = sum(np.prod(w.sharding.shard_shape(w.shape)) * w.dtype.itemsize for w in weights)
  whole = sum(np.prod(w.shape, dtype=float) * w.dtype.itemsize for w in weights)
  assert held < whole / 512 * 1.1  # what is not split weighs little


def test_the_paper_preset_has_the_papers_numbers():
  job = config_lib.build(r1_zero.get_config('v3_671b'))
  assert (job.rl.prompts, job.sample.group, job.rl.mini_batches) == (512, 16, 16)
  assert (job.optimizer.lr, job.grpo.beta, job.rl.reference_every) == (3e-6, 1e-3, 400)
  assert [job.rl.cap(step) for step in (0, 8_199, 8_200, 10_399)] == [32_768] * 2 + [65_536] * 2
  assert (job.sample.temperature, job.rl.updates) == (1.0, 10_400)


def test_small_is_about_100m_parameters():
  model = config_lib.build(r1_zero.get_config('small')).model
  assert 90e6 < params.count(transformer.specs(model)) < 130e6


@pytest.mark.parametrize('module, preset', [(r1_zero, 'tiny'), (tiny_base, 'tiny')])
def test_a_config_builds_into_what_it_says(module, preset):
  config = module.get_config(preset)
  job = config_lib.build(config)
  assert job.stage == config.stage and job.seed == 0
  for name in ('data', 'sample', 'optimizer', 'loop', 'evaluation', 'runtime'):
    if name not in config:
      assert module is tiny_base and name in ('data', 'sample')
      continue
    wanted = config[name].to_dict()
    found = dataclasses.asdict(getattr(job, name))
    assert {key: found[key] for key in wanted} == wanted


@pytest.mark.parametrize('module', [r1_zero, tiny_base])
def test_an_unknown_preset_is_refused_with_those_there_are(module):
  with pytest.raises(ValueError, match="'huge'.* has .*tiny"):
    module.get_config('huge')


def test_a_mistyped_key_is_refused():
  config = r1_zero.get_config()
  with pytest.raises((KeyError, AttributeError), match='prompts'):
    config.rl.promts = 8
  with pytest.raises(AttributeError, match='pretrain'):
    _ = config.pretrain  # a section that the stage never reads is not there


def test_what_a_section_refuses_is_told_with_its_key():
  config = r1_zero.get_config()
  config.loop.keep = 1
  with pytest.raises(ValueError, match='config.loop.keep=1 is not a whole number within 2'):
    config_lib.build(config)


def test_a_run_without_a_folder_is_refused():
  config = r1_zero.get_config('tiny')
  config.workdir = ''
  with pytest.raises(ValueError, match="workdir='' must be a folder for this run alone"):
    config_lib.build(config)


def test_a_seed_that_no_generator_takes_is_refused():
  config = r1_zero.get_config()
  config.seed = -1
  with pytest.raises(ValueError, match='config.seed=-1 is not a whole number within 0'):
    config_lib.build(config)


def test_a_checkpoint_brings_its_own_architecture_and_a_preset_without_one_needs_it():
  config = r1_zero.get_config('small')
  assert config_lib.build(config).model.width == 512
  config.checkpoint = 'tiny'
  assert config_lib.build(config).model is None
  config = r1_zero.get_config('tiny')
  config.checkpoint = ''
  with pytest.raises(ValueError, match='needs a checkpoint'):
    config_lib.build(config)
