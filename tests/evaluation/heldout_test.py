"""The held-out evaluation, with the shipped base and with replies written by hand."""

import jax
import numpy as np
import pytest

from r1jax.data import prompts, tokenizer
from r1jax.data.tasks import tiny_world
from r1jax.evaluation import heldout
from r1jax.interchange import checkpoints, huggingface
from r1jax.rewards import service
from r1jax.sampling import rollout

LIMITS = rollout.Limits(48, 12, 0)


@pytest.fixture(scope='module')
def base():
  folder = checkpoints.open('tiny')
  tok = tokenizer.load(folder)
  return huggingface.read_config(folder, compute_dtype='float32', param_dtype='float32'), tok


def problems(count):
  world = tiny_world.World(0, 1000, tiny_world.WorldConfig(levels=(1, 3)), tiny_world.HELDOUT)
  return [world[i] for i in range(count)]


def evaluated(*asked):
  """The result of `heldout.ask`."""
  return heldout.result(heldout.ask(*asked))


@pytest.mark.parametrize('slots', [0, 5])
def test_counts_are_of_all_samples_and_the_same_key_gives_the_same(base, one_device, slots):
  cfg, tok = base
  weights = huggingface.load(checkpoints.open('tiny'), cfg, 'float32')
  limits = rollout.Limits(48, 12, slots)
  ecfg = heldout.EvaluationConfig(questions=4, few=4, samples=3)
  rewards = service.RewardService()
  ask = lambda seed: evaluated(
    rollout.Policy(weights, cfg, prompts.Form(tok)),
    ecfg,
    problems(4),
    limits,
    heldout.key(seed),
    rewards,
  )
  first, again, other = ask(0), ask(0), ask(1)
  rewards.close()
  assert first == again
  assert first.completions != other.completions
  assert (first.evaluation.pass_at_1.questions, first.evaluation.pass_at_1.samples) == (4, 12)
  assert 1 <= first.evaluation.mean_length <= 12
  assert len(first.completions) == len(first.verdicts) == 4
  assert first.metrics['eval/pass_at_1'] == first.evaluation.pass_at_1.mean
  assert {'eval/format', 'eval/length', 'eval/truncated', 'eval/worked'} <= set(first.metrics)


def test_correct_and_well_formed_replies_count_question_by_question(base, monkeypatch):
  _, tok = base
  asked = problems(2)
  right = f'<think> 1 + 1 = 2 </think> <answer> {asked[0].answer} </answer>'
  texts = [right, 'no idea', 'it is 8', 'it is 9']
  ids = [tok.encode(text) for text in texts]
  width = max(map(len, ids))
  token_BT = np.array([row + [0] * (width - len(row)) for row in ids], np.int32)
  length_B = np.array([len(row) for row in ids])
  written = rollout.Rollout(
    ([1], [2]), token_BT, np.zeros(token_BT.shape, np.float32), length_B, length_B < width
  )
  # The second question's replies are there first.
  parts = [((p,), written.take([p])) for p in (1, 0)]
  monkeypatch.setattr(rollout, 'run', lambda *arguments, **options: iter(parts))
  ecfg = heldout.EvaluationConfig(questions=2, few=2, samples=2)
  rewards = service.RewardService()
  key = jax.random.key(0)
  found = evaluated(rollout.Policy({}, None, prompts.Form(tok)), ecfg, asked, LIMITS, key, rewards)
  rewards.close()
  assert found.evaluation.pass_at_1.mean == 0.25
  assert found.evaluation.format_rate == 0.25
  assert found.evaluation.mean_length == length_B.mean()
  assert found.completions == (texts[0], texts[2])
  assert found.metrics['eval/accuracy_worked'] == 1.0
  assert found.metrics['eval/accuracy_direct'] == 0.0


def test_accuracy_is_told_apart_for_worked_and_direct_replies():
  found = heldout.by_manner(['1 + 2 = 3', 'it is 4', 'it is 5'], [1, 0, 1])
  assert found == {'worked': pytest.approx(1 / 3), 'accuracy_worked': 1, 'accuracy_direct': 0.5}
  assert 'accuracy_worked' not in heldout.by_manner(['it is 4'], [1])


def test_an_evaluation_of_nothing_is_refused():
  with pytest.raises(ValueError, match='few=9.*questions=8'):
    heldout.EvaluationConfig(questions=8, few=9)
