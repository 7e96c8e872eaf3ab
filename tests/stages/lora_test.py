"""Every stage that learns from texts trains adapters alone when asked, by the same mechanism."""

import dataclasses

import jax
import numpy as np
import pytest

from r1jax import config as config_lib
from r1jax.data import prompts, tokenizer
from r1jax.interchange import checkpoints
from r1jax.model import lora, presets, scalar_head, transformer
from r1jax.stages import distill, reward_model, sft
from tests.model import tiny
from tests.stages import reward_model_test, sft_test

RANK = lora.LoraConfig(rank=4)
UPDATES = 4


@pytest.fixture(autouse=True)
def mesh():
  with tiny.mesh():
    yield


def job_of(stage, **changes):
  config = config_lib.default(stage)
  config.checkpoint = 'tiny'
  config.optimizer.lr = 3e-2
  if stage == 'distill':
    config.distill.teacher = 'tiny'
    config.distill.kl.update(weight=0.5, chunk=32)
  if stage == 'reward_model':
    config.reward_model.update(reward_model_test.SETTINGS)
  return dataclasses.replace(config_lib.build(config), **changes)


def make(name, rank=RANK):
  """A stage on a one-layer model that is ready to start."""
  tok = tokenizer.load(checkpoints.open('tiny'))
  base = dataclasses.replace(
    tiny.GQA, vocab=tok.vocab_size, max_length=512, layers=1, dense_layers=1, remat=False
  )
  cfg = transformer.with_adapters(base, rank)
  if name == 'reward_model':
    pairs = reward_model_test.pairs(64), reward_model_test.pairs(16, seed=1)
    stage = reward_model.Stage(job_of(name), cfg, tok, *pairs)
  else:
    job = job_of(name, sft=sft_test.CONFIG)
    rest = (job, cfg, prompts.Form(tok), sft_test.SET)
    teacher = distill.Teacher(tiny.weights(base, seed=5), base)
    stage = distill.Stage(*rest, teacher=teacher) if name == 'distill' else sft.Stage(*rest)
  stage.beside = 'a base, SHA-256 0'
  stage.initial = initial(stage)
  return stage


def initial(stage):
  base = tiny.weights(lora.without(stage.cfg))
  return lora.attach(base, transformer.specs(stage.cfg), jax.random.key(0))


def names(tree):
  return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


@pytest.mark.parametrize('name', ['sft', 'distill', 'reward_model'])
def test_adapters_learn_beside_a_base_that_stays_and_go_on_in_the_same_bits(name):
  stage = make(name)
  stage.start()
  own = [f"['{scalar_head.HEAD}']"] if name == 'reward_model' else []
  assert all(n.endswith(('.a', '.b')) or n in own for n in names(stage.state.params))
  assert set(own) <= set(names(stage.state.params))
  frozen, first = tiny.host(stage.frozen), tiny.host(stage.state.params)
  key = 'preference/loss' if own else 'loss/total'
  losses = [float(stage.update(0)[key])]
  # As a checkpoint does it: arrays and host, and the base is read again.
  arrays, host = tiny.host(stage.arrays()), stage.host()
  losses += [float(stage.update(step)[key]) for step in range(1, UPDATES)]
  assert losses[-1] < losses[0] - 0.05
  jax.tree.map(np.testing.assert_array_equal, stage.frozen, frozen)
  for now, before in zip(jax.tree.leaves(stage.state.params), jax.tree.leaves(first)):
    assert (np.asarray(now) != before).any()
  again = make(name)
  placed = jax.tree.map(lambda x, like: jax.device_put(x, like.sharding), arrays, stage.arrays())
  again.restore(placed, host)
  for step in range(1, UPDATES):
    again.update(step)
  jax.tree.map(np.testing.assert_array_equal, again.weights, stage.weights)


def test_a_checkpoint_of_the_one_kind_is_no_checkpoint_of_the_other():
  adapted, full = make('sft'), make('sft', lora.LoraConfig())
  full.beside = ''
  for stage in (adapted, full):
    stage.start()
  with pytest.raises(ValueError, match='holds adapters of the base a base, SHA-256 0, .* has no'):
    full.restore(adapted.arrays(), adapted.host())
  with pytest.raises(ValueError, match='all weights and no adapters, this run has a base, SHA'):
    adapted.restore(full.arrays(), full.host())


def test_a_bias_of_the_router_that_is_frozen_cannot_be_moved():
  job = job_of('sft', lora=RANK)
  job = dataclasses.replace(job, sft=dataclasses.replace(job.sft, path='x.jsonl', bias_speed=1e-3))
  with pytest.raises(ValueError, match='config.sft.bias_speed=0.001 moves the bias of the router'):
    sft.check(job, jax.sharding.get_mesh())


def test_a_reward_models_scalar_head_is_trained_whole():
  specs = scalar_head.specs(transformer.with_adapters(presets.tiny(), RANK))
  assert not specs[scalar_head.HEAD].frozen and specs['head'].frozen and specs['embed'].frozen
