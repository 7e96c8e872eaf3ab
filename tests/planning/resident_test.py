"""What layers keep, against the compiler's own count; what a plan says where memory is short."""

import dataclasses
import math
import re
import types

import jax
import jax.numpy as jnp
import pytest

from r1jax import config as config_lib
from r1jax import params as params_lib
from r1jax import sharding
from r1jax.experiments import r1_zero
from r1jax.model import transformer
from r1jax.planning import memory, resident, residuals
from r1jax.sampling import sample
from tests.model import tiny

ROWS, LENGTH = 4, 128
WIDE = dataclasses.replace(
  tiny.GQA, width=128, heads=4, kv_heads=2, head_rope=32, head_value=32, ffn=256, max_length=256,
  qkv_bias=False, qk_norm=False, remat=False,
)  # fmt: skip


def temporaries(cfg, mesh):
  """Bytes that the compiler asks for in a gradient of the model's hidden states."""
  weights = params_lib.abstract(transformer.specs(cfg), 'float32', mesh)
  where = jax.sharding.NamedSharding(mesh, sharding.act('rows', None))
  row = jax.ShapeDtypeStruct((ROWS, LENGTH), jnp.int32, sharding=where)

  def loss(weights, row):
    return jnp.square(transformer.forward(weights, cfg, row, row, row).hidden_XD).sum()

  compiled = jax.jit(jax.grad(loss)).lower(weights, row).compile()
  return compiled.memory_analysis().temp_size_in_bytes


def test_a_layer_keeps_what_the_compiler_adds_for_one():
  with tiny.mesh():
    mesh = jax.sharding.get_mesh()
    few, many = (
      temporaries(dataclasses.replace(WIDE, layers=n, dense_layers=n), mesh) for n in (8, 16)
    )
    kept = ROWS * residuals.of_layer(WIDE, LENGTH, mesh)
  assert kept == pytest.approx((many - few) / 8, rel=0.1)


def test_with_remat_a_layer_keeps_its_input_alone_and_without_no_copy_of_its_weights():
  mesh = sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1])
  remade = dataclasses.replace(WIDE, remat=True)
  assert residuals.of_layer(remade, LENGTH, mesh) == 4 * LENGTH * WIDE.width
  # However few the tokens, nothing of the size of the weights is left.
  assert residuals.of_layer(WIDE, 1, mesh) < 4 * WIDE.width * WIDE.ffn / 10


def test_two_devices_that_share_the_heads_keep_about_half_each_and_those_of_rows_their_own():
  shapes = ((1, 1, 1, 1), (1, 2, 1, 1), (1, 1, 1, 2))
  meshes = [sharding.make_mesh(shape, jax.devices()[: math.prod(shape)]) for shape in shapes]
  whole, rows, heads = (residuals.of_layer(WIDE, LENGTH, mesh) for mesh in meshes)
  assert rows == whole
  # The residual stream and what belongs to it are on both.
  assert whole / 2 < heads < 0.7 * whole


@pytest.fixture(scope='module')
def told():
  """(bytes free, rows, remat) -> the plan's text for SmolLM2's shape by RL."""
  job = config_lib.build(r1_zero.get_config('tiny'))
  cfg = dataclasses.replace(WIDE, layers=16, dense_layers=16)
  mesh = sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1])
  held = memory.held(dataclasses.replace(job, model=cfg), cfg, mesh)
  held = dataclasses.replace(held, cache=0.0)  # an update is what decides

  def tell(free, rows, remat=False, key='resident'):
    model = dataclasses.replace(cfg, remat=remat)
    updates = resident.Updates('rl.rows', rows, 128)
    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(resident, 'available', lambda: free)
      return dict(resident.row(model, mesh, held, updates))[key], updates

  return tell, lambda rows: resident.peak(cfg, mesh, held, resident.Updates('', rows, 128))


def test_what_does_not_fit_is_said_with_what_does(told):
  tell, peak = told
  assert 'WILL NOT FIT' not in tell(peak(64) + 1, 64)[0]
  text, _ = tell(peak(33), 64)
  assert text.startswith('WILL NOT FIT')
  rows = int(re.search(r'rl\.rows=(\d+) it fits', text)[1])
  assert rows == 33 and 'NOT' not in tell(peak(33), rows)[0]
  text, _ = tell((peak(1) + resident.PROCESS) / 2, 64)
  found = re.search(r'remat=True --config\.rl\.rows=(\d+)', text)
  assert (
    found is None or 'NOT' not in tell((peak(1) + resident.PROCESS) / 2, int(found[1]), True)[0]
  )
  assert 'lora.rank' in tell(resident.PROCESS, 64)[0]


def test_a_checkpoint_that_is_written_while_updates_go_on_is_a_copy_of_what_is_saved(told):
  tell, peak = told
  job = config_lib.build(r1_zero.get_config('tiny'))
  cfg = dataclasses.replace(WIDE, layers=16, dense_layers=16)
  mesh = sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1])
  held = dataclasses.replace(memory.held(job, cfg, mesh), cache=0.0)
  more = resident.peak(cfg, mesh, held, resident.Updates('', 64, 128, saves=True))
  weights = 4 * params_lib.count(transformer.specs(cfg))
  # Weights, the two moments, and the reference of a run with a KL penalty.
  assert more - peak(64) == pytest.approx((3 + bool(job.grpo.beta)) * weights, rel=0.01)


def test_a_system_that_does_not_say_what_is_free_is_left_out(monkeypatch):
  monkeypatch.setattr(resident, 'available', lambda: None)
  mesh = sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1])
  assert resident.row(WIDE, mesh, None, None) == []


def test_a_device_with_memory_of_its_own_says_what_fits(monkeypatch, told):
  tell, peak = told
  stats = {}
  device = types.SimpleNamespace(platform='gpu', memory_stats=lambda: stats)
  monkeypatch.setattr(resident, '_device', lambda mesh: device)
  row = lambda rows: tell(0, rows, key='device memory')[0]
  with pytest.raises(KeyError):  # some devices do not say
    row(64)
  assert peak(64) < peak(65)
  stats |= {'bytes_limit': 2 * peak(33), 'bytes_in_use': peak(33)}
  assert 'NOT' not in row(33) and 'GiB per device' in row(33)
  assert re.search(r'WILL NOT FIT: .*rl\.rows=33 it fits', row(64))


def test_an_unrolled_sampler_is_planned_with_the_layers_that_it_cuts_from_their_stacks():
  mesh = sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1])
  scanned = dataclasses.replace(WIDE, layers=3, dense_layers=3, scan_layers=True)
  unrolled = dataclasses.replace(scanned, unroll_sampling=True)
  held = memory.ArrayBytes(*[0.0] * 7)
  need = [
    resident.in_rollout(cfg, mesh, held, resident.Updates('rl.rows', 1, 128), 1)
    for cfg in (scanned, unrolled)
  ]
  with jax.set_mesh(mesh):
    weights = params_lib.init(transformer.specs(unrolled), jax.random.key(0), 0.02, 'float32')
    layers = sample.prepare(weights, sample.decoding(unrolled))['dense']
  assert len(layers) == 3 and need[1] - need[0] == sum(x.nbytes for x in jax.tree.leaves(layers))
