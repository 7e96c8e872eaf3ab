"""Context parallelism: rows that several devices share, each with its tokens and its heads."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from r1jax import sharding
from r1jax.planning import hlo
from tests.model import tiny

B, T = 4, 16
LENGTHS = [[9, 7], [16], [1, 3, 11], []]
MLA = dataclasses.replace(tiny.MLA, remat=False)
GQA = dataclasses.replace(tiny.GQA, tied=False)


@functools.partial(jax.jit, static_argnames='cfg')
def pull(params, cfg, rows, probe_BTV):
  """Gradient of sum(logits * probe), and the logits."""

  def product(w):
    logits_BTV = tiny.scores(w, cfg, rows)[0]
    return (logits_BTV * probe_BTV).sum(), logits_BTV

  return jax.grad(product, has_aux=True)(params)


def arguments(cfg):
  probe = np.random.default_rng(3).normal(size=(B, T, cfg.vocab)).astype(np.float32)
  return tiny.weights(cfg), cfg, tiny.rows(LENGTHS, T), tiny.put(probe, name='rows')


@functools.cache
def alone(cfg):
  """On one device."""
  with tiny.mesh():
    return tiny.host(pull(*arguments(cfg)))


@pytest.mark.parametrize(
  'cfg, shape',
  [
    (MLA, (1, 1, 1, 1, 4)),
    (MLA, (1, 2, 1, 2, 2)),
    (GQA, (1, 1, 1, 1, 2)),  # a key head a device
    (GQA, (2, 1, 1, 1, 4)),  # two devices to a key head
    (GQA, (1, 2, 1, 2, 2)),
  ],
)
def test_shared_rows_have_the_logits_and_the_gradient_of_one_device(cfg, shape):
  with tiny.mesh(*shape):
    found = tiny.host(pull(*arguments(cfg)))
  assert tiny.worst(found, alone(cfg)) < 1e-5


def test_the_all_to_alls_of_a_layer_carry_queries_keys_values_and_results_once():
  cfg, ways = GQA, 2
  with tiny.mesh(1, 1, 1, 1, ways):
    compiled = tiny.forward.lower(*arguments(cfg)[:3]).compile()
    program = hlo.read(compiled.as_text(), [0] * ways)
  moved = (2 * cfg.heads + 2 * cfg.kv_heads) * cfg.head_qk * B * T // ways * 4
  layer = moved * (ways - 1) / ways
  # XLA may join them, so bytes are compared, not calls.
  received = program.once.received['all-to-all'] + program.loop.received['all-to-all']
  assert received == pytest.approx(cfg.layers * layer)


def test_activations_of_a_layer_are_of_a_devices_own_tokens():
  with tiny.mesh(1, 1, 1, 1, 4):
    weights, cfg, rows, _ = arguments(MLA)
    output = tiny.forward(weights, cfg, rows)[1]
    assert output.hidden_XD.addressable_shards[0].data.shape == (B * T // 4, cfg.width)
    assert jax.typeof(output.hidden_XD).sharding.spec == sharding.act('batch', None)


@pytest.mark.parametrize(
  'change, shape, message',
  [
    ({}, (1, 1, 1, 1, 8), 'model.heads=4 does not divide over 8'),
    ({'heads': 6, 'kv_heads': 3}, (1, 1, 1, 1, 2), '3 of model.kv_heads=3 are on a device; 2'),
  ],
)
def test_heads_that_do_not_divide_over_the_devices_of_a_row_are_refused(change, shape, message):
  cfg = dataclasses.replace(GQA, **change)
  mesh = sharding.make_mesh(shape, jax.devices()[: shape[-1]])
  with pytest.raises(ValueError, match=message):
    cfg.check_mesh(dict(mesh.shape))
