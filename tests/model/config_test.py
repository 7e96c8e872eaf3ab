"""The published sizes, counted from specs, and what a model refuses to be."""

import dataclasses

import jax
import numpy as np
import pytest

from r1jax import params
from r1jax.model import config, mla, moe, mtp, transformer
from tests.model import tiny

V3 = config.ModelConfig()


def test_v3_has_671_026_419_200_parameters_without_mtp():
  assert params.count(transformer.specs(dataclasses.replace(V3, mtp_layers=0))) == 671_026_419_200


def test_the_parts_of_v3_have_the_published_sizes():
  assert params.count(mla.params(V3)) == 187_107_328
  assert params.count(moe.params(V3)) == 11_320_164_608
  module = params.count(mtp.params(V3, transformer.block_specs(V3, 'moe')))
  assert round(module / 1e9, 2) == 11.61


def test_v3_caches_576_values_a_token_and_layer(one_device):
  weights = params.abstract(transformer.specs(V3), V3.param_dtype)
  one = tiny.put(np.zeros((1, 1), np.int32))
  out = jax.eval_shape(lambda w, x: transformer.forward(w, V3, x, x, x), weights, one)
  sizes = {kind: rows['latent'].shape for kind, rows in out.entries.items()}
  assert sizes == {'dense': (3, 1, 1, 576), 'moe': (58, 1, 1, 576)}


def test_specs_and_abstract_weights_of_v3_allocate_nothing(one_device):
  before = len(jax.live_arrays())
  abstract = params.abstract(transformer.specs(V3), V3.param_dtype)
  assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(abstract))
  assert len(jax.live_arrays()) == before


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'attention': 'mha'}, "'mha' is not"),
    ({'attention': 'gqa', 'kv_heads': 3}, 'kv_heads=3'),
    ({'attention': 'gqa', 'kv_heads': 0}, 'kv_heads=0'),
    ({'moe': None}, 'all layers are dense'),
    ({'dense_layers': 4}, 'dense_layers=4'),
    ({'head_rope': 3}, 'odd'),
    ({'heads': 0}, '^heads=0'),
    ({'vocab': -1}, '^vocab=-1'),
  ],
)
def test_an_impossible_model_is_refused_with_the_numbers(changes, message):
  with pytest.raises(ValueError, match=message):
    dataclasses.replace(tiny.MLA, **changes)


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'experts': 9}, 'experts=9'),
    ({'per_token': 5}, 'per_token=5'),
    ({'dispatch': 'random'}, "'random'"),
    ({'scores': 'linear'}, "'linear'"),
    ({'groups': 0}, '^groups=0'),
    ({'ffn': 0}, '^ffn=0'),
    ({'shared': -1}, 'shared=-1'),
  ],
)
def test_an_impossible_router_is_refused_with_the_numbers(changes, message):
  with pytest.raises(ValueError, match=message):
    dataclasses.replace(tiny.MLA.moe, **changes)


@pytest.mark.parametrize(
  'axis, shards, name',
  [
    ('tensor', 8, 'heads=4'),
    ('fsdp', 5, 'width=32'),
    ('expert', 16, 'moe.experts=8'),
    ('context', 3, 'heads=4'),
  ],
)
def test_a_mesh_that_does_not_divide_the_model_is_refused_with_the_numbers(axis, shards, name):
  shape = {'data': 1, 'fsdp': 1, 'node': 1, 'expert': 1, 'tensor': 1, 'context': 1}
  tiny.MLA.check_mesh(shape)
  with pytest.raises(ValueError, match=name):
    tiny.MLA.check_mesh(shape | {axis: shards})
