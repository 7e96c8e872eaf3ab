"""A scanned model's sampler by the compilers of chips that are not here: one cache, not several."""

import dataclasses

import jax
import pytest

from r1jax import config as config_lib
from r1jax import sharding
from r1jax.experiments import r1_zero
from r1jax.model import presets
from r1jax.planning import phases, topology


def job_of(cfg):
  """256 completions of 992 tokens, a slot each: next to the cache all else is small."""
  job = config_lib.build(r1_zero.get_config('tiny'))
  sample = dataclasses.replace(job.sample, cache_growth=1, max_new=992, group=16, slots=0)
  rl = dataclasses.replace(job.rl, prompts=16, capacity=1024, length_schedule=((0, 992),))
  data = dataclasses.replace(job.data, max_prompt=32)
  return dataclasses.replace(job, checkpoint='', model=cfg, sample=sample, rl=rl, data=data)


# What the cache takes there: a TPU pads the last axis of values to 128, four times theirs here.
@pytest.mark.parametrize('chip, padded', [('h100:1', 1.0), ('v5e:1x1', 2.5)])
def test_a_loop_over_layers_holds_one_cache_on_a_chip(chip, padded):
  target = topology.target(chip)
  if not target.exact:
    pytest.skip(f'no compiler for {chip} is installed')
  layers = dict(layers=8, dense_layers=8, scan_layers=True, vocab=512)
  cfg = dataclasses.replace(presets.bench_qwen2(), **layers, compute_dtype='bfloat16')
  mesh = sharding.make_mesh((1, 1, 1, 1), list(target.devices)[:1])
  with jax.set_mesh(mesh):
    compiled = phases.LOWER['rollout'](job_of(cfg), cfg, mesh).compile()
  cache = 256 * 1024 * cfg.layers * cfg.kv_heads * (cfg.head_qk + cfg.head_value) * 2
  held = compiled.memory_analysis().temp_size_in_bytes / cache
  assert padded < held < padded + 0.9
