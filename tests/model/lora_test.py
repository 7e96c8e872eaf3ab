"""Adapters: the base at first, then the base plus their product, and nothing else is trained."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax import params as params_lib
from r1jax.model import lora, transformer
from r1jax.sampling import sample
from tests.model import tiny

GQA = dataclasses.replace(tiny.GQA, layers=2, dense_layers=2, remat=False, scan_layers=False)
RANK = lora.LoraConfig(rank=4, alpha=6.0)


@pytest.fixture(autouse=True)
def mesh():
  with tiny.mesh():
    yield


def adapted(base, settings=RANK, key=0):
  """(ModelConfig, specs, weights) of a base with new adapters."""
  cfg = transformer.with_adapters(base, settings)
  specs = transformer.specs(cfg)
  return cfg, specs, lora.attach(tiny.weights(base), specs, jax.random.key(key))


def moved(specs, params, seed=3):
  """The weights with B drawn at random too."""
  trained, frozen = params_lib.split(specs, params)
  fresh = tiny.fill(params_lib.trained(specs), seed)
  del trained
  return params_lib.join(fresh, frozen)


def merged(params):
  """Every matrix plus its adapter's product, by loops over layers in float64."""

  def one(leaf):
    if not lora.is_adapted(leaf):
      return jnp.array(leaf, copy=True)
    base, a, b = (np.asarray(x, np.float64) for x in (leaf.base, leaf.a, leaf.b))
    return jnp.asarray(np.stack([w + leaf.scale * u @ v for w, u, v in zip(base, a, b)]), 'float32')

  return jax.tree.map(one, params, is_leaf=lora.is_adapted)


def test_new_adapters_leave_the_bits_of_the_base():
  cfg, _, params = adapted(GQA)
  base, rows = tiny.weights(GQA), tiny.rows([[5, 7], [12]], 12)
  wanted, _ = tiny.forward(base, GQA, rows)
  found, _ = tiny.forward(params, cfg, rows)
  np.testing.assert_array_equal(found, wanted)
  # And a rollout's.
  settings = sample.SampleConfig(group=2, max_new=6)
  prompt = (tiny.put(np.arange(1, 9).reshape(2, 4).astype(np.int32)), tiny.put(np.int32([4, 3])))
  draw = lambda weights, cfg: sample.generate(
    weights, cfg, settings, *prompt, jax.random.key(1), cap=np.int32(6), stop_KW=np.int32([[63]])
  )
  ours, theirs = draw(params, cfg), draw(base, GQA)
  np.testing.assert_array_equal(ours.token_BT, theirs.token_BT)
  np.testing.assert_array_equal(ours.logp_BT, theirs.logp_BT)


@pytest.mark.parametrize('base', [GQA, tiny.MLA], ids=['gqa', 'mla with experts'])
def test_the_side_path_is_the_model_with_the_products_added(base):
  cfg, specs, params = adapted(base)
  params, rows = moved(specs, params), tiny.rows([[5, 7], [12]], 12)
  found, _ = tiny.forward(params, cfg, rows)
  wanted, _ = tiny.forward(merged(params), base, rows)
  plain, _ = tiny.forward(tiny.weights(base), base, rows)
  assert tiny.worst(found, wanted) < 2e-5
  assert tiny.worst(found, plain) > 0.05  # they do move the model


def test_a_delta_is_the_scaled_product():
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=(7, 3)).astype(np.float32), rng.normal(size=(3, 5)).astype(np.float32)
  wanted = [[1.5 * sum(a[i, r] * b[r, j] for r in range(3)) for j in range(5)] for i in range(7)]
  np.testing.assert_allclose(lora.delta(a, b, 1.5), wanted, rtol=1e-5)


def test_adapters_begin_by_keys_of_their_own_and_in_float32():
  half = dataclasses.replace(GQA, param_dtype='bfloat16')
  leaves = lambda key: adapted(half, key=key)[2]['dense']
  one, same, other = leaves(0), leaves(0), leaves(1)
  query, out = one['attention']['w_q'], one['attention']['w_out']
  assert query.base.dtype == jnp.bfloat16 and query.a.dtype == query.b.dtype == jnp.float32
  assert query.a.shape == (2, 32, 4) and query.b.shape == (2, 4, 32) and query.scale == 1.5
  assert not query.b.any() and 0.9 < float(abs(query.a).max()) * 32**0.5 <= 1
  np.testing.assert_array_equal(query.a, same['attention']['w_q'].a)
  for another in (other['attention']['w_q'].a, out.a):
    assert (np.asarray(query.a) != np.asarray(another)).mean() > 0.99
  # A target more changes none of the others.
  few = adapted(half, dataclasses.replace(RANK, targets=('q_proj',)))[2]['dense']
  np.testing.assert_array_equal(few['attention']['w_q'].a, query.a)
  assert not lora.is_adapted(few['attention']['w_out']) and not lora.is_adapted(few['ffn']['w_up'])


def test_what_is_split_is_joined_and_only_adapters_are_trained():
  cfg, specs, params = adapted(tiny.MLA)
  trained, frozen = params_lib.split(specs, params)
  whole = params_lib.join(trained, frozen)
  assert jax.tree.structure(whole) == jax.tree.structure(params)
  assert all(a is b for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(params)))
  names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(trained)]
  assert names and all(name.endswith(('.a', '.b')) for name in names)
  # The module that predicts ahead, the routed experts and the absorbed projection have none.
  assert not any('mtp' in n or 'experts' in n or 'w_kv_up' in n or 'router' in n for n in names)
  assert any("['shared']['w_up']" in n for n in names) and any("['w_kv_down']" in n for n in names)
  assert lora.without(cfg) == tiny.MLA
  plain = transformer.specs(tiny.MLA)
  assert params_lib.split(plain, plain) == (plain, None) and params_lib.join(plain, None) is plain


EXPERTS = dataclasses.replace(
  tiny.GQA, dense_layers=0, tied=False, moe=dataclasses.replace(tiny.MLA.moe, shared=0)
)


@pytest.mark.parametrize(
  'base, changes, why',
  [
    (GQA, {'rank': 33}, 'config.lora.rank=33 is above the width of the model, 32'),
    (GQA, {'targets': ('q',)}, "targets: 'q' is not one of attention, ffn, q_proj, k_proj"),
    (GQA, {'targets': ('q_a_proj',)}, "no 'q_a_proj' that takes an adapter, only q_proj, k_proj"),
    (GQA, {'targets': ('lm_head',)}, "'lm_head' takes no adapter: the head is read in chunks"),
    (GQA, {'targets': ('embed_tokens',)}, "'embed_tokens' takes no adapter: its rows are looked"),
    (tiny.MLA, {'targets': ('kv_b_proj',)}, "'kv_b_proj' takes no adapter: a step of decoding"),
    (tiny.MLA, {'targets': ('experts',)}, "'experts' takes no adapter: routed experts"),
    (
      tiny.MLA,
      {'targets': ('v_proj',)},
      "no 'v_proj' that takes an adapter, only o_proj, q_a_proj",
    ),
    (EXPERTS, {}, "no 'ffn' that takes an adapter, only q_proj, k_proj, v_proj, o_proj"),
  ],
)
def test_what_does_not_fit_the_model_is_refused_in_one_line(base, changes, why):
  with pytest.raises(ValueError) as error:
    transformer.with_adapters(base, dataclasses.replace(RANK, **changes))
  assert why in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize(
  'changes', [{'rank': -1}, {'rank': 2.5}, {'alpha': 0.0}, {'targets': ()}, {'targets': ('ffn', 3)}]
)
def test_unusable_values_are_refused(changes):
  with pytest.raises(ValueError, match=next(iter(changes))):
    lora.LoraConfig(**changes)
