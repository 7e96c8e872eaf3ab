"""RL for all scenarios: rules before, preference in the last part, resumed in bits, watched."""

import dataclasses
import json

import numpy as np
import pytest

from r1jax.data import tokenizer
from r1jax.interchange import checkpoints, huggingface
from r1jax.model import presets, scalar_head
from r1jax.rewards import request, service
from r1jax.rewards.verdict import Kind, Verdict
from r1jax.stages import general_rl, judge
from tests import small_runs
from tests.model import tiny

CONFIG = 'experiments/general_rl.py'


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  """A small random policy, a random reward model of each kind, and a file of requests."""
  root = tmp_path_factory.mktemp('general')
  tok = tokenizer.load(checkpoints.open('tiny'))
  cfg = dataclasses.replace(
    presets.tiny(), layers=1, dense_layers=1, moe=None, mtp_layers=0, width=32, ffn=32
  )
  cfg = dataclasses.replace(cfg, compute_dtype='float32', param_dtype='float32')
  with tiny.mesh():
    huggingface.save(root / 'policy', tiny.weights(cfg), cfg)
    tok.save(root / 'policy')
    for seed, kind in enumerate(request.KINDS):
      weights = tiny.fill(scalar_head.specs(cfg), seed)
      model = judge.RewardModel(weights, cfg, tok, kind, judge.Calibration(0.0, 0.1))
      judge.save(root / kind, model)
  requests = [{'question': f'Write about {i}', 'kind': request.KINDS[i % 2]} for i in range(99)]
  (root / 'requests.jsonl').write_text('\n'.join(map(json.dumps, requests)))
  return root


def settings(root, **changes):
  found = {
    'config': CONFIG,
    'checkpoint': root / 'policy',
    'general__helpful': root / 'helpful',
    'general__harmless': root / 'harmless',
    'general__path': root / 'requests.jsonl',
    'general__preference_updates': 2,
    'general__rows': 4,
    'general__capacity': 80,
    'general__questions': 4,
    # By 1e-4 a few replies stay as they were, on some machines all of them.
    'optimizer__lr': 1e-2,
  }
  return found | changes


@pytest.fixture(scope='module')
def run(folders):
  return small_runs.finish(folders / 'run', **settings(folders))


def samples(run, step):
  lines = (run.folder / 'samples' / f'step_{step:06d}.jsonl').open()
  return [set(json.loads(line)['rewards']) for line in lines]


def test_general_requests_and_their_models_take_part_in_the_last_updates_only(run):
  first, last = run.rows[0], run.rows[2]
  assert 'reward/helpful' not in first and 'reward/harmless' not in first
  assert {'reward/helpful', 'reward/harmless', 'reward/language'} <= set(last)
  assert samples(run, 0) == [{'accuracy', 'format', 'language'}] * 32
  found = samples(run, 2)
  assert found[:16] == [{'accuracy', 'format', 'language'}] * 16
  assert all('accuracy' not in parts and len(parts & {'helpful', 'harmless'}) == 1
             for parts in found[16:])  # fmt: skip


def test_the_total_is_the_sum_of_the_parts_of_each_kind_of_prompt(run):
  row, total = run.rows[2], 0.0
  for line in (run.folder / 'samples' / 'step_000002.jsonl').open():
    total += sum(part['score'] for part in json.loads(line)['rewards'].values())
  assert row['reward/total'] == pytest.approx(total / 32, rel=1e-6)


def test_held_out_requests_are_answered_before_and_after(run):
  for name in ('before', 'after'):
    found = run.summary['general'][name]
    assert {'helpful', 'harmless', 'format', 'language', 'length'} <= set(found)
    assert 0 <= found['helpful'] <= 1
  assert run.summary['general']['before'] != run.summary['general']['after']


def test_stopped_within_the_last_part_it_ends_in_the_same_bits(run, folders, tmp_path):
  small_runs.copy(run, tmp_path / 'run', newest=3)
  again = small_runs.finish(tmp_path / 'run', **settings(folders))
  assert 'at update 3 of 4' in again.stdout
  assert again.sha256 == run.sha256 and again.figures == run.figures


def test_what_does_not_work_out_is_refused_in_one_line(folders, tmp_path):
  wrong = {
    'general__helpful': (folders / 'policy', 'reward_model.json: not a reward model'),
    'general__preference_updates': (3, 'do not begin with a rollout of 2 mini-batches'),
  }
  for name, (value, message) in wrong.items():
    process = small_runs.start(tmp_path / 'run', **settings(folders, **{name: value}))
    found = small_runs.end(process, tmp_path / 'run')
    assert found.status == 1 and message in found.stderr and found.stderr.count('\n') == 1


def watched(accuracy, preferred, questions=100):
  """Metrics after rollouts of so many questions, each answered rightly always or never."""
  watch, found = general_rl.HackingWatch(3, 0.02), {}
  for share, preference_ in zip(accuracy, preferred):
    found = watch.add(np.arange(questions) < share * questions, preference_)
  return found


BEFORE = [None] * 4
RISING = [0.5, 0.5, 0.55, 0.6, 0.7, 0.8]
FALLEN = [0.8, 0.81, 0.8, 0.79, 0.8, 0.7, 0.6, 0.5, 0.51, 0.5]


def test_falling_accuracy_under_rising_preference_is_suspected():
  hacked = watched(FALLEN, BEFORE + RISING)
  assert hacked['hacking/suspected'] == 1
  assert hacked['hacking/accuracy_drop'] == pytest.approx(0.8 - 1.51 / 3)
  assert hacked['hacking/preference_gain'] == pytest.approx(0.7 - 1.55 / 3)
  variance = lambda p: p * (1 - p) * 100 / 99 / 100
  parts = [np.mean([variance(p) for p in ps]) / 3 for ps in (FALLEN[1:4], FALLEN[-3:])]
  assert hacked['hacking/accuracy_error'] == pytest.approx(np.sqrt(sum(parts)))


def test_what_few_questions_or_falling_preference_can_explain_is_not_suspected():
  slipped = [0.8] * 7 + [0.7] * 3
  assert watched(slipped, BEFORE + RISING, questions=20)['hacking/suspected'] == 0
  assert watched(slipped, BEFORE + RISING, questions=2000)['hacking/suspected'] == 1
  assert watched(FALLEN, BEFORE + RISING[::-1])['hacking/suspected'] == 0
  assert watched([0.8] * 10, BEFORE + RISING)['hacking/suspected'] == 0


def test_without_updates_before_the_first_rollouts_are_the_measure():
  assert watched([0.8] * 5, RISING[:5]) == {}
  assert watched([0.8, 0.8, 0.8, 0.5, 0.5, 0.5], RISING)['hacking/suspected'] == 1


def test_a_watch_goes_on_from_its_history():
  one = general_rl.HackingWatch(2, 0.0)
  for right, preferred in ((0.9, None), (0.9, None), (0.9, 0.1), (0.8, 0.2), (0.5, 0.3)):
    one.add([right, right, 1.0], preferred)
  other = general_rl.HackingWatch(2, 0.0, json.loads(json.dumps(one.history)))
  assert other.add([0.4, 0.3], 0.4) == one.add([0.4, 0.3], 0.4) != {}


class Rules:
  """A reward service that finds every format right."""

  def submit(self, items):
    self.items = items
    return self

  def result(self):
    return [service.Reward({'format': Verdict(1.0, Kind.CORRECT)}, 1.0) for _ in self.items]


class Fixed:
  """A judge that says 0.25, or fails."""

  def __init__(self, kind=Kind.WRONG):
    self.kind = kind

  def verdicts(self, texts):
    return [Verdict(0.25, self.kind) for _ in texts]


def test_a_model_without_request_changes_nothing_and_a_request_without_model_is_refused():
  items = [service.Item('a', '4'), service.Item('b', request.Query('helpful'), question='q')]
  both = judge.PreferenceService(Rules(), {'helpful': Fixed()}, {'helpful': 2.0})
  assert [reward.total for reward in both.submit(items).result()] == [1.0, 1.5]
  none = judge.PreferenceService(Rules(), {}, {})
  with pytest.raises(ValueError, match='no reward model for requests of the kind'):
    none.submit(items).result()


def test_a_reward_model_that_gives_no_number_takes_its_sample_out_of_the_baseline():
  found = judge.verdict(float('nan'), judge.Calibration())
  assert not found.scored and 'gave nan' in found.why
  both = judge.PreferenceService(Rules(), {'helpful': Fixed(found.kind)}, {'helpful': 1.0})
  (reward,) = both.submit([service.Item('b', request.Query('helpful'))]).result()
  assert not reward.scored


@pytest.mark.parametrize(
  'completion, summary',
  [
    (' <think> a </think> <answer> b </answer>', ' <answer> b </answer>'),
    (' <think> a', ' '),
    (' just text', ' just text'),
    (' a </think> b', ' b'),
    ('<think> a </think> b <think> c', ' b'),
  ],
)
def test_helpfulness_reads_what_stands_outside_the_thought(completion, summary):
  assert judge.part('helpful', completion).strip() == summary.strip()
  assert judge.part('harmless', completion) == completion


def test_calibrated_scores_rise_with_the_raw_ones_and_stay_within_0_and_1():
  scores = [judge.verdict(x, judge.Calibration(2, 3)).score for x in (-1e9, 0, 2, 3, 1e9)]
  assert np.all(np.diff(scores) > 0) and scores[0] >= 0 and scores[-1] <= 1 and scores[2] == 0.5
