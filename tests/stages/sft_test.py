"""Supervised fine-tuning: replies are learned, prompts are not, each epoch is whole."""

import dataclasses

import jax
import numpy as np
import pytest

from r1jax import config as config_lib
from r1jax.data import examples, prompts, tokenizer
from r1jax.interchange import checkpoints
from r1jax.model import transformer
from r1jax.stages import packing, sft
from r1jax.train import checkpoint, optimizer
from tests.model import tiny

SET = [
  examples.Example(f'What is {i} + 2', f'<think> {i} + 2 = {i + 2} </think> '
                   f'<answer> {i + 2} </answer>', 'en', 'symbols', {})
  for i in range(10)
]  # fmt: skip
CONFIG = sft.SftConfig(epochs=2, batch=4, rows=2, capacity=64, mtp_weight=0.0)
LAYOUT = packing.Layout(CONFIG.batch, CONFIG.rows, CONFIG.capacity)


@pytest.fixture(scope='module')
def tok():
  return tokenizer.load(checkpoints.open('tiny'))


@pytest.fixture(scope='module')
def job():
  config = config_lib.default('sft')
  config.checkpoint = 'tiny'
  config.optimizer.lr = 1e-3
  job = config_lib.build(config)
  return dataclasses.replace(job, sft=CONFIG)


def make(job, tok):
  """A stage on a small model that is ready to start."""
  cfg = dataclasses.replace(tiny.GQA, vocab=tok.vocab_size, layers=1, dense_layers=1, remat=False)
  stage = sft.Stage(job, cfg, prompts.Form(tok), SET)
  stage.initial = tiny.weights(cfg)
  return stage


def test_the_defaults_are_the_papers():
  cfg = config_lib.build(config_lib.default('sft'))
  assert (cfg.sft.epochs, cfg.sft.batch, cfg.sft.capacity) == (2, 128, 32_768)
  assert (cfg.optimizer.lr, cfg.optimizer.lr * cfg.optimizer.end_fraction) == (5e-5, 5e-6)


def test_every_reply_token_and_nothing_else_is_learned(tok, one_device):
  tokens = [examples.encode(one, prompts.Form(tok)) for one in SET[:4]]
  batch, learned, filled = sft.pack(tokens, LAYOUT)
  mask, token = np.array(batch.loss.mask_BT), np.array(batch.rows.token)
  wanted = sorted(i for one in tokens for i in one.ids[one.begin :].tolist())
  assert sorted(token[mask].tolist()) == wanted and learned == len(wanted)
  np.testing.assert_allclose(np.array(batch.loss.weight_BT)[mask].sum(), 1, rtol=1e-5)
  assert mask.shape == (2, 2, 64) and int(batch.count) == 1
  assert filled == sum(len(one.ids) for one in tokens) / (2 * 64)  # of the one micro-batch computed


def test_an_epoch_shows_every_example_once(job, tok, one_device):
  stage = make(job, tok)
  assert stage.total == 5
  shown = [i for _ in range(stage.total) for i in next(stage.stream)]
  assert sorted(shown[:10]) == sorted(shown[10:]) == list(range(10))
  assert shown[:10] != shown[10:]


def test_the_loss_is_the_mean_over_reply_tokens_and_falls(job, tok, one_device):
  stage = make(job, tok)
  chosen = stage.stream._order
  tokens = [stage.tokens[chosen[i]] for i in range(4)]
  nll = []
  for one in tokens:
    ids = one.ids[None]
    place = np.arange(ids.shape[1], dtype=np.int32)[None]
    rows = [tiny.put(x) for x in (ids, np.ones_like(ids), place)]
    out = transformer.forward(stage.initial, stage.cfg, *rows)
    logits = np.array(transformer.logits(stage.initial, stage.cfg, out.hidden_XD), np.float64)
    logp = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    nll += [-logp[t - 1, one.ids[t]] for t in range(one.begin, len(one.ids))]
  stage.start()
  losses = [float(stage.update(step)['loss/total']) for step in range(stage.total)]
  np.testing.assert_allclose(losses[0], np.mean(nll), rtol=1e-4)
  assert losses[-1] < losses[0]


def test_the_rate_falls_along_a_cosine_to_a_tenth(job, tok, one_device):
  stage = make(job, tok)
  steps = np.arange(stage.total + 1)
  rates = optimizer.learning_rate(stage.tx.schedule, steps)
  wanted = 1e-3 * (0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * steps / stage.total)))
  np.testing.assert_allclose(rates, wanted, rtol=1e-5)


def test_saved_and_restored_it_ends_in_the_same_bits(job, tok, one_device, tmp_path):
  whole = make(job, tok)
  whole.start()
  for step in range(3):
    whole.update(step)
    if step == 0:
      with checkpoint.Checkpoints(tmp_path) as saved:
        saved.save(1, whole.arrays(), whole.host())
  again = make(job, tok)
  with checkpoint.Checkpoints(tmp_path) as saved:
    _, arrays, host = saved.latest(again.abstract)
  again.restore(arrays, host)
  for step in (1, 2):
    again.update(step)
  for a, b in zip(*map(jax.tree.leaves, (whole.state.params, again.state.params)), strict=True):
    np.testing.assert_array_equal(a, b)


def test_an_example_that_does_not_fit_is_named(job, tok, one_device):
  job = dataclasses.replace(job, sft=dataclasses.replace(CONFIG, capacity=16))
  with pytest.raises(ValueError, match='example 0 has .* tokens, sft.capacity=16; 10 of 10'):
    make(job, tok)


def test_a_negative_mtp_weight_is_refused():
  with pytest.raises(ValueError, match='mtp_weight=-0.1'):
    sft.SftConfig(mtp_weight=-0.1)
