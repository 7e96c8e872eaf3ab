"""Whole programs of a job with the GPU kernels, compiled for GPUs that are not here."""

import dataclasses
import importlib.util

import jax
import pytest

from r1jax import config as config_lib
from r1jax import kernels, sharding
from r1jax.experiments import r1_zero
from r1jax.model import presets
from r1jax.planning import phases, topology

needs_compiler = pytest.mark.skipif(
  not importlib.util.find_spec('jax_cuda13_plugin'),
  reason="no GPU compiler: pip install -e '.[gpu-compiler]'",
)


def model():
  """A V3 of one dense and one MoE layer, in widths that the kernels take."""
  tiny = presets.tiny()
  experts = dataclasses.replace(tiny.moe, ffn=64, dispatch='sorted')
  return dataclasses.replace(
    tiny, layers=2, dense_layers=1, mtp_layers=0, kv_latent=128, head_rope=64, moe=experts,
    kernels='gpu', compute_dtype='bfloat16',
  )  # fmt: skip


def job_of(cfg):
  job = config_lib.build(r1_zero.get_config('tiny'))
  sample = dataclasses.replace(job.sample, cache_growth=1, max_new=32)
  rl = dataclasses.replace(job.rl, capacity=48, length_schedule=((0, 32),))
  data = dataclasses.replace(job.data, max_prompt=16)
  return dataclasses.replace(job, checkpoint='', model=cfg, sample=sample, rl=rl, data=data)


@needs_compiler
@pytest.mark.parametrize(
  'program, ours',
  [
    ('rollout', {'attention', 'mla_decode', 'grouped_matmul'}),
    ('update', {'attention', 'attention_dq', 'attention_dkv', 'token_scores', 'grouped_matmul_dw'}),
  ],
)
def test_a_program_of_two_gpus_has_our_kernels_and_compiles(program, ours):
  cfg, mesh = model(), sharding.make_mesh((1, 1, 2, 1), list(topology.target('h100:2').devices))
  cfg.check_mesh(dict(mesh.shape))
  with jax.set_mesh(mesh):
    lowered = phases.LOWER[program](job_of(cfg), cfg, mesh)
    text = lowered.as_text()
    assert all(f'{name}_mosaic_gpu' in text for name in ours)
    assert lowered.compile().memory_analysis().temp_size_in_bytes > 0


@pytest.mark.parametrize(
  'change, why',
  [
    ({'compute_dtype': 'float32'}, "not 'bfloat16'"),
    ({'kv_latent': 64}, 'multiples of 128, kv_latent is 64'),
    ({'head_rope': 32}, r'multiples of 64, kv_latent \+ head_rope is 160'),
    ({'vocab': 516}, 'multiples of 8, vocab is 516'),
  ],
)
def test_a_model_that_the_kernels_do_not_take_is_refused_with_its_mesh(change, why):
  mesh = dict(zip(sharding.MESH_AXES, (1, 1, 1, 1, 1, 1)))
  with pytest.raises(ValueError, match=why):
    dataclasses.replace(model(), **change).check_mesh(mesh)
  with pytest.raises(ValueError, match='moe.ffn is 32 on a device'):
    model().check_mesh(mesh | {'tensor': 2})


def test_caches_are_whole_blocks_only_where_the_kernels_read_them_so():
  assert [kernels.whole_blocks(n, 'gpu') for n in (1, 128, 144)] == [128, 128, 256]
  assert [kernels.whole_blocks(133, form) for form in ('reference', 'tpu')] == [144, 133]
