"""Supervised fine-tuning: replies are learned, prompts are not, each epoch is whole."""

import dataclasses
import json

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


def make(job, tok, source=SET, held=()):
  """A stage on a small model that is ready to start."""
  cfg = dataclasses.replace(tiny.GQA, vocab=tok.vocab_size, layers=1, dense_layers=1, remat=False)
  stage = sft.Stage(job, cfg, prompts.Form(tok), source, held)
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
  wanted = sorted(i for one in tokens for i in one.ids[one.learned].tolist())
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


def _nll(stage, one):
  """Negative log-likelihoods of the learned tokens of one example, alone in its row."""
  ids = one.ids[None]
  place = np.arange(ids.shape[1], dtype=np.int32)[None]
  rows = [tiny.put(x) for x in (ids, np.ones_like(ids), place)]
  out = transformer.forward(stage.initial, stage.cfg, *rows)
  logits = np.array(transformer.logits(stage.initial, stage.cfg, out.hidden_XD), np.float64)
  logp = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  return [-logp[t - 1, one.ids[t]] for t in np.flatnonzero(one.learned)]


def test_the_loss_is_the_mean_over_reply_tokens_and_falls(job, tok, one_device):
  stage = make(job, tok)
  chosen = stage.stream._order
  tokens = [stage.tokens[chosen[i]] for i in range(4)]
  nll = [x for one in tokens for x in _nll(stage, one)]
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
  with pytest.raises(
    ValueError,
    match='10 of 10 examples have more than 16 tokens .* the longest 19: .*sft.too_long=drop',
  ):
    make(job, tok)


def test_long_examples_may_be_left_out_and_are_counted(job, tok, one_device):
  long = dataclasses.replace(SET[0], question='What is 1' + ' + 1' * 40)
  cfg = dataclasses.replace(CONFIG, too_long='drop')
  found = sft.encoded(cfg, tiny.GQA, [*SET[:3], long], prompts.Form(tok))
  assert len(found.tokens) == 3 and len(found.long) == 1
  assert found.told().startswith('1 of 4 examples have more than 64 tokens')
  with pytest.raises(ValueError, match='1 of 1 examples'):
    sft.encoded(cfg, tiny.GQA, [long], prompts.Form(tok))
  # A row of 64 tokens is no room in a model of 16.
  short = dataclasses.replace(tiny.GQA, max_length=16)
  with pytest.raises(ValueError, match='3 of 3 examples have more than 16 tokens'):
    sft.encoded(cfg, short, SET[:3], prompts.Form(tok))


def test_the_held_out_loss_is_the_mean_over_learned_tokens(job, tok, one_device):
  job = dataclasses.replace(job, sft=dataclasses.replace(CONFIG, heldout=0.5, loss_every=2))
  stage = make(job, tok, SET[:5], SET[5:])
  nll = [x for one in stage.held.tokens for x in _nll(stage, one)]
  found = stage.heldout_loss(stage.initial)
  np.testing.assert_allclose(found, np.mean(nll), rtol=1e-4)
  stage.start()
  rows = [stage.update(step) for step in range(2)]
  assert 'eval/loss' not in rows[0] and 0 < rows[1]['eval/loss'] < found


def test_a_hash_of_the_question_holds_out_the_share_that_is_asked_for():
  questions = [f'What is {i} + 1?' for i in range(4000)]
  held = [sft.held_out(question, 0.1) for question in questions]
  assert 0.08 < np.mean(held) < 0.12 and not any(sft.held_out(q, 0.0) for q in questions)
  # More are held out by a larger share, none is given back.
  assert all(sft.held_out(q, 0.2) for q, out in zip(questions, held, strict=True) if out)
  assert held == [sft.held_out(f' {q.upper()} ', 0.1) for q in questions]


def test_examples_are_read_from_each_kind_of_file_and_split(tmp_path):
  examples.write(tmp_path / 'data.array_record', SET)
  rows = [{'prompt': one.question, 'completion': one.reply} for one in SET]
  (tmp_path / 'a.jsonl').write_text('\n'.join(map(json.dumps, rows)))
  parts = []
  for name in ('data.array_record', 'a.jsonl'):
    cfg = dataclasses.replace(CONFIG, path=str(tmp_path / name), heldout=0.3)
    parts.append([[one.question for one in part] for part in sft.read(cfg)])
  assert parts[0] == parts[1] and sorted(sum(parts[0], [])) == [one.question for one in SET]
  assert all(parts[0])
  with pytest.raises(ValueError, match='10 examples to learn and 0 held out'):
    sft.read(dataclasses.replace(cfg, heldout=1e-6))


def test_a_table_in_place_of_examples_is_called_that(tmp_path):
  (tmp_path / 'a.csv').write_text('1+1?,2\n')
  with pytest.raises(ValueError, match=r'a.csv looks like CSV .*wanted is .jsonl'):
    sft.read(dataclasses.replace(CONFIG, path=str(tmp_path / 'a.csv')))


def test_a_run_without_a_file_is_refused_before_anything_is_read(job, one_device):
  with pytest.raises(ValueError, match='config.sft.path is empty'):
    sft.check(job, None)


@pytest.mark.parametrize(
  'change, why',
  [
    ({'loss_every': 2}, 'loss_every=2 .* but heldout=0.0 holds out nothing: raise'),
    ({'heldout': 1.0}, 'heldout=1.0'),
    ({'columns': 'prompt='}, 'is no new FIELD=COLUMN'),
    (
      {'columns': 's2k'},
      r"columns='s2k': 's2k' is neither a preset \(openr1_math, s1k\) nor a field",
    ),
    (
      {'columns': 'promt=x,completion=y'},
      "columns='promt=x,completion=y': 'promt' is neither a preset",
    ),
    ({'too_long': 'cut'}, "too_long='cut'"),
  ],
)
def test_a_config_that_makes_no_sense_is_refused(change, why):
  with pytest.raises(ValueError, match=why):
    dataclasses.replace(CONFIG, **change)


def test_a_negative_mtp_weight_is_refused():
  with pytest.raises(ValueError, match='mtp_weight=-0.1'):
    sft.SftConfig(mtp_weight=-0.1)
