"""Expert parallelism: every mesh, both ways and any routing give one device's plain loop."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax import params as params_lib
from r1jax import sharding
from r1jax.model import config, dispatch, layers, moe
from r1jax.planning import hlo
from tests.model import tiny
from tests.model.moe_test import loop_loss

TOKENS = 64
RNG = np.random.default_rng(0)
X_XD, PROBE_XD = (RNG.normal(size=(TOKENS, 32)).astype(np.float32) for _ in range(2))
# A bias of the router that sends every token to the last experts, all of them on one shard.
ROUTING = {'even': np.zeros(8, np.float32), 'one shard': np.repeat([0, 9], (4, 4)).astype('f4')}


def squeeze(monkeypatch, tokens):
  """Lets a shard's experts see few rows at once: `tokens` from each of 8 shards."""
  monkeypatch.setattr(dispatch, '_ROWS', 8 * tokens * tiny.MLA.width * 4)


def on_nodes(monkeypatch, devices):
  """Lets every so many devices be a node."""
  monkeypatch.setattr(sharding, 'node', lambda device: device.id // devices)


def way(cfg):
  """The stages of tokens to experts on the mesh that is set."""
  mesh = jax.sharding.get_mesh()
  return dispatch.stages(cfg, TOKENS // sharding.batch_shards(mesh), *sharding.expert_shards(mesh))


def layer(kind, routing):
  """(config, weights) of a MoE layer on the mesh that is set."""
  ungrouped = {'groups': 1, 'top_groups': 1}  # so that all of a token's experts fit one shard
  choice = dataclasses.replace(tiny.MLA.moe, dispatch=kind, **ungrouped)
  cfg = dataclasses.replace(tiny.MLA, moe=choice)
  weights = tiny.fill(moe.params(cfg))
  bias_E = sharding.put(ROUTING[routing], sharding.param((None,)))
  return cfg, weights | {'router_bias': bias_E}


def loss(weights, cfg, x_XD, probe_XD):
  """Through the layer as the model runs it; (probed sum, output)."""
  weights = params_lib.gather(weights, moe.params(cfg))
  mask_BT = jnp.ones((8, TOKENS // 8), bool, out_sharding=sharding.act('batch', None))
  y_XD, _ = moe.feed_forward(weights, cfg, x_XD, mask_BT)
  return (y_XD * probe_XD).sum(), y_XD


def gradients(f, cfg, weights, put):
  """(gradient of the weights and the tokens, output) in NumPy."""
  run = jax.jit(jax.grad(f, argnums=(0, 2), has_aux=True), static_argnums=1)
  return tiny.host(run(weights, cfg, put(X_XD), put(PROBE_XD)))


@pytest.fixture(scope='module')
def expected():
  """Of a loop over the experts on one device, by routing."""
  with tiny.mesh():
    cases = {routing: layer('sorted', routing) for routing in ROUTING}
    return {
      routing: gradients(loop_loss, cfg, tiny.host(weights), np.asarray)
      for routing, (cfg, weights) in cases.items()
    }


CASES = [
  # mesh, dispatch, routing, tokens a pair and round
  ((1, 1, 2, 1), 'sorted', 'even', 4),
  ((1, 2, 2, 2), 'sorted', 'one shard', 4),
  ((1, 1, 4, 2), 'sorted', 'even', 1),
  ((2, 1, 4, 1), 'dense', 'one shard', 2),
  ((1, 1, 8, 1), 'sorted', 'one shard', 2),
  ((1, 1, 1, 1), 'sorted', 'even', 1),
  ((1, 2, 2, 2), 'sorted', 'even', 64),
  ((1, 1, 8, 1), 'dense', 'even', 64),
  ((1, 1, 2, 1, 4), 'sorted', 'one shard', 2),
  ((1, 2, 2, 1, 2), 'dense', 'even', 64),
]


@pytest.mark.parametrize('shape, kind, routing, tokens', CASES)
def test_values_and_gradients_are_those_of_one_device(
  expected, monkeypatch, shape, kind, routing, tokens
):
  squeeze(monkeypatch, tokens)
  with tiny.mesh(*shape):
    cfg, weights = layer(kind, routing)
    assert len(way(cfg)) == (tokens < 64)
    actual = gradients(loss, cfg, weights, tiny.put)
  assert tiny.worst(actual, expected[routing]) < 1e-5


ON_NODES = [
  # mesh, dispatch, routing, tokens a pair and round, (devices of a node, nodes x shards)
  ((1, 1, 8, 1), 'sorted', 'even', 1, (4, (2, 4))),
  ((1, 1, 8, 1), 'sorted', 'one shard', 2, (2, (4, 2))),
  ((1, 1, 4, 2), 'dense', 'even', 1, (4, (2, 2))),
  ((1, 2, 4, 1), 'sorted', 'one shard', 1, (2, (2, 2))),
  ((1, 1, 4, 1, 2), 'sorted', 'even', 1, (4, (2, 2))),
  ((1, 1, 8, 1), 'sorted', 'even', 64, (4, (2, 4))),
  ((1, 1, 4, 2), 'sorted', 'even', 1, (2, (4, 1))),
]


@pytest.mark.parametrize('shape, kind, routing, tokens, nodes', ON_NODES)
def test_so_they_are_where_the_experts_are_on_several_nodes(
  expected, monkeypatch, shape, kind, routing, tokens, nodes
):
  devices, placed = nodes
  squeeze(monkeypatch, tokens)
  on_nodes(monkeypatch, devices)
  with tiny.mesh(*shape):
    assert sharding.expert_shards(jax.sharding.get_mesh()) == placed
    cfg, weights = layer(kind, routing)
    levels = 1 if 1 in placed else 2
    assert len(way(cfg)) == levels * (tokens < 64)
    actual = gradients(loss, cfg, weights, tiny.put)
  assert tiny.worst(actual, expected[routing]) < 1e-5


def test_a_token_crosses_to_a_node_once_for_all_of_its_experts_there():
  v3, tokens = config.ModelConfig(), 66_560
  (flat,), (across, within) = (dispatch.stages(v3, tokens, *s) for s in ((1, 64), (8, 8)))
  # Routing drawn as V3's: 8 of the 256 experts, from 4 of 8 groups.
  rng = np.random.default_rng(0)
  group_XG = rng.permuted(np.tile(np.arange(8), (20_000, 1)), axis=1)[:, :4]
  place_XK = rng.permuted(np.tile(np.arange(4 * 32), (20_000, 1)), axis=1)[:, :8]
  expert_XK = np.take_along_axis(group_XG, place_XK // 32, 1) * 32 + place_XK % 32
  shards, nodes = (np.mean([len(set(row)) for row in expert_XK // size]) for size in (4, 32))
  assert shards > 7.3 and nodes < 3.7
  # Rounds x shards x tokens a pair is what crosses for a shard's tokens, the last round in full.
  for stage, hit in ((flat, shards), (across, nodes)):
    sent = stage.rounds * stage.shards * stage.size
    assert 0.995 * tokens * hit < sent < tokens * hit + 1.005 * stage.shards * stage.size
  assert within.rounds == 1
  came = across.shards * across.size
  assert within.shards * within.size == pytest.approx(1.25 * came * shards / nodes, rel=0.02)
  assert within.shards * within.size <= flat.shards * flat.size


@pytest.mark.parametrize('parts', (1, 2, 4, 8))
def test_shares_of_the_experts_that_a_token_reaches_are_counted_exactly(parts):
  every = [
    chosen
    for groups in itertools.combinations(range(4), 2)
    for chosen in itertools.combinations([2 * g + n for g in groups for n in (0, 1)], 3)
  ]
  counted = np.mean([len({e // (8 // parts) for e in chosen}) for chosen in every])
  assert dispatch._hit(tiny.MLA, parts) == pytest.approx(counted)


def test_padding_reaches_no_expert(monkeypatch):
  squeeze(monkeypatch, 2)
  with tiny.mesh(1, 1, 8, 1):
    cfg, weights = layer('sorted', 'even')
    mask_BT = tiny.put(np.arange(TOKENS).reshape(8, 8) % 3 == 0)
    weights = params_lib.gather(weights, moe.params(cfg))
    run = jax.jit(lambda x_XD, mask_BT: moe.feed_forward(weights, cfg, x_XD, mask_BT)[0])
    masked, whole = (np.asarray(run(tiny.put(X_XD), m)) for m in (mask_BT, mask_BT | True))
    shared = np.asarray(layers.swiglu(weights['shared'], tiny.put(X_XD)))
  kept_X = np.arange(TOKENS) % 3 == 0
  np.testing.assert_allclose(masked[kept_X], whole[kept_X], atol=1e-5)
  np.testing.assert_allclose(masked[~kept_X], shared[~kept_X], atol=1e-5)


def test_the_compiled_rounds_are_counted_as_often_as_even_routing_needs_them(monkeypatch):
  squeeze(monkeypatch, 1)
  with tiny.mesh(1, 1, 8, 1):
    cfg, weights = layer('sorted', 'even')
    assert way(cfg)[0].rounds == 3  # 8 tokens want 3 of 8 shards each
    assert dispatch.describe(cfg, 8, 1, 8).endswith(
      '1 tokens a pair in 3 rounds if even, 8 at most'
    )
    run = jax.jit(jax.grad(loss, has_aux=True), static_argnums=1)
    compiled = run.lower(weights, cfg, tiny.put(X_XD), tiny.put(PROBE_XD)).compile()
    program = hlo.read(compiled.as_text(), [0] * 8)
  assert program.loops == 0
  assert program.once.count['all-to-all'] == 3 * (4 + 5)  # forward x, choice, gate, y; backward
