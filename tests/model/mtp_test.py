"""Multi-token prediction: what the module sees, and what its gradient reaches."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from r1jax import sharding
from r1jax.model import transformer
from tests.model import tiny

B, T = 4, 12
CONFIG = dataclasses.replace(tiny.MLA, layers=1, dense_layers=0, remat=False)


@pytest.fixture(scope='module', autouse=True)
def mesh():
  with tiny.mesh():
    yield


@functools.partial(jax.jit, static_argnames='cfg')
def pull(params, cfg, token_BT, rows, probe_BTD):
  """Gradient of sum(predict_ahead * probe), the next token of the row's end being 0."""

  def loss(params):
    output = transformer.forward(params, cfg, token_BT, rows.segment, rows.position)
    next_BT = jax.numpy.roll(token_BT, -1, axis=1)
    ahead_XD, _ = transformer.predict_ahead(
      params, cfg, output.hidden_XD, next_BT, rows.segment, rows.position
    )
    return (sharding.in_rows(ahead_XD, rows.segment) * probe_BTD).sum()

  return jax.grad(loss)(params)


@pytest.fixture(scope='module')
def gradients():
  """For each position t: the gradient of the module's output there, tokens all different."""
  rows = tiny.rows([[T], [6, 6], [T], [4, 8]], T)
  token_BT = np.arange(1, B * T + 1).reshape(B, T).astype(np.int32)
  params = tiny.weights(CONFIG)
  probe_BTD = np.random.default_rng(0).normal(size=(B, T, 32)).astype(np.float32)
  found = []
  for t in range(T):
    one = np.where(np.arange(T)[:, None] == t, probe_BTD, 0).astype(np.float32)
    found.append(tiny.host(pull(params, CONFIG, token_BT, rows, one)))
  return token_BT, np.asarray(rows.segment), found


def test_at_t_the_module_has_seen_its_segment_up_to_token_t_plus_1_and_no_further(gradients):
  token_BT, segment_BT, found = gradients
  for t in range(T - 1):
    reached_BT = np.abs(found[t]['embed'][token_BT]).max(-1) > 0
    own_BT = segment_BT == segment_BT[:, t : t + 1]
    # A segment's last position joins the next segment's first token: the loss leaves it out.
    allowed_BT = (np.arange(T) <= t) & own_BT | (np.arange(T) == t + 1)
    inside = segment_BT[:, t] == segment_BT[:, t + 1]
    np.testing.assert_array_equal(reached_BT[inside], allowed_BT[inside], err_msg=f'{t}')


def test_the_gradient_reaches_the_module_the_trunk_and_the_embedding_but_no_bias(gradients):
  total = jax.tree.map(lambda *leaves: np.abs(np.sum(leaves, 0)).max(), *gradients[2])
  for path, size in jax.tree_util.tree_leaves_with_path(total):
    name = jax.tree_util.keystr(path)
    # The module has a norm of its own and predicts through the head, after this output.
    untouched = 'router_bias' in name or name in ("['head']",)
    assert (size > 0) != untouched, name
