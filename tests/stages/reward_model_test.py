"""A reward model learns which reply is preferred, resumes in the same bits, scores as trained."""

import dataclasses

import jax
import numpy as np
import pytest

from r1jax import config as config_lib
from r1jax import sharding
from r1jax.data import pairs as pairs_lib
from r1jax.data import tokenizer
from r1jax.interchange import checkpoints
from r1jax.model import presets, scalar_head
from r1jax.rewards import request
from r1jax.stages import judge, reward_model
from tests.model import tiny

WORDS = ('sure', 'gladly', 'no', 'never')
SETTINGS = {'pairs': 8, 'micro': 2, 'capacity': 96, 'heldout': 16, 'updates': 12}


def pairs(count, seed=0):
  """Kind replies against curt ones; nothing but the reply tells which is which."""
  rng = np.random.default_rng(seed)
  reply = lambda words: f' <think> 1 + 1 = 2 </think> <answer> {rng.choice(words)} </answer>'
  return [
    pairs_lib.Pair(f'What is {i} + {seed}', reply(WORDS[:2]), reply(WORDS[2:]))
    for i in range(count)
  ]


def make_stage(kind='helpful', **changes):
  config = config_lib.default('reward_model')
  config.checkpoint = 'tiny'
  config.runtime.update(config_lib.describe(config_lib.CPU_RUNTIME))
  config.reward_model.update(SETTINGS | {'kind': kind} | changes)
  config.optimizer.lr = 3e-3
  job = config_lib.build(config)
  cfg = dataclasses.replace(presets.tiny(), layers=1, dense_layers=1, moe=None, width=32, ffn=32)
  cfg = dataclasses.replace(cfg, compute_dtype='float32', param_dtype='float32', remat=False)
  tok = tokenizer.load(checkpoints.open('tiny'))
  stage = reward_model.Stage(job, cfg, tok, pairs(64), pairs(16, seed=1))
  stage.initial = tiny.weights(cfg)
  return stage


@pytest.fixture(scope='module', autouse=True)
def mesh():
  with tiny.mesh():
    yield


@pytest.fixture(scope='module')
def trained():
  stages = {}
  for kind in request.KINDS:
    stages[kind] = stage = make_stage(kind)
    stage.start()
    stage.first = stage.update(0)
    for step in range(1, stage.total):
      stage.last = stage.update(step)
  return stages


@pytest.mark.parametrize('kind', request.KINDS)
def test_training_puts_held_out_pairs_in_order(trained, kind):
  stage = trained[kind]
  assert float(stage.first['preference/loss']) == pytest.approx(np.log(2), rel=1e-5)
  assert stage.accuracy().mean == 1.0
  assert stage.last['preference/margin'] > stage.first['preference/margin'] == 0


def test_the_unused_output_head_neither_moves_nor_has_moments(trained):
  stage = trained['helpful']
  head = tiny.weights(stage.cfg)['head']
  np.testing.assert_array_equal(stage.state.params['head'], head)
  shapes = [leaf.shape for leaf in jax.tree.leaves(stage.state.optimizer)]
  assert shapes.count(head.shape) == 2  # the embedding's two moments


def test_a_stage_that_was_interrupted_ends_in_the_same_bits(trained):
  first = make_stage()
  first.start()
  for step in range(5):
    first.update(step)
  second = make_stage()
  abstract = second.abstract(first.host())
  assert jax.tree.map(lambda x: x.shape, abstract) == jax.tree.map(
    lambda x: x.shape, first.arrays()
  )
  second.restore(first.arrays(), first.host())
  for step in range(5, second.total):
    second.update(step)
  jax.tree.map(np.testing.assert_array_equal, second.state.params, trained['helpful'].state.params)


def test_saved_and_loaded_it_scores_a_reply_as_it_did_in_its_pair(trained, tmp_path):
  stage = trained['harmless']
  judge.save(tmp_path, stage.model())
  loaded = judge.load(tmp_path, remat=False, scan_layers=False)
  assert loaded.kind == 'harmless' and loaded.calibration == judge.Calibration()
  texts = [(p.question, reply) for p in stage.held[:3] for reply in (p.chosen, p.rejected)]
  scores, cut = judge.Judge(loaded, rows=4, capacity=64).scores(texts)
  np.testing.assert_allclose(scores, stage.scores(stage.held[:3]).reshape(-1), atol=1e-5)
  assert not cut.any()


def test_a_helpful_model_does_not_see_the_thought_and_a_harmless_one_does(trained):
  def spread(kind):
    model = trained[kind].model()
    thoughts = ('1 + 1 = 2', 'never no no no')
    texts = [('What is 1 + 1', f' <think> {t} </think> <answer> sure </answer>') for t in thoughts]
    return np.ptp(judge.Judge(model, rows=2, capacity=96).scores(texts)[0])

  assert spread('helpful') == 0 < spread('harmless')


def test_verdicts_lie_between_0_and_1_and_a_long_text_is_cut_and_said(trained):
  judged = judge.Judge(trained['helpful'].model(), rows=2, capacity=24)
  good, long = judged.verdicts([('1 + 1', ' <answer> sure </answer>'), ('1 + 1', ' no' * 99)])
  assert 0.5 < good.score < 1 and good.scored
  assert long.why.endswith('cut to 24 tokens')
  assert judged.verdicts([]) == []
  (silent,) = judged.verdicts([('1 + 1', ' <think> sure sure')])
  assert (silent.score, str(silent.kind)) == (0.0, 'unparseable')


def test_scores_are_the_same_on_every_mesh(trained):
  stage = trained['helpful']
  expected = stage.scores(stage.held[:8])
  params, rows = tiny.host(stage.state.params), stage._rows(stage.held[:8], 8)
  with tiny.mesh(2, 2, 1, 2):
    put = jax.tree.map(tiny.put, rows)
    specs = scalar_head.specs(stage.cfg)
    placed = jax.tree.map(
      lambda p, x: sharding.put(x, sharding.param(p.axes)),
      specs,
      params,
      is_leaf=lambda x: hasattr(x, 'axes'),
    )
    found = reward_model.steps.preference_scores(placed, stage.cfg, put, 2)
    np.testing.assert_allclose(sharding.fetch(found), expected, atol=1e-4)


def test_what_does_not_work_out_is_refused_with_the_numbers(tmp_path):
  with pytest.raises(ValueError, match='do not fit|does not fit reward_model.capacity=20'):
    stage = make_stage(capacity=20)
    stage.start()
    stage.update(0)
  with pytest.raises(ValueError, match='pairs=8 do not divide into micro=3'):
    reward_model.RewardModelConfig(pairs=8, micro=3)
  with pytest.raises(ValueError, match="kind='clever' is not one of 'helpful', 'harmless'"):
    reward_model.RewardModelConfig(kind='clever')
  with pytest.raises(ValueError, match='reward_model.json: not a reward model'):
    judge.load(tmp_path)
