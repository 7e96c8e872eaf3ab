"""Each rule speaks of a run that has its fault, with numbers and a key, and of no healthy run."""

import numpy as np
import pytest

from r1jax.cli import settings
from r1jax.runs.doctor import rules
from r1jax.runs.show import reading
from tests.runs.show import folders

LONG = ' '.join(['so it goes on and on and'] * 40)
BOXES = ' <think> a </think> \\boxed{5} or \\boxed{4}'
USER = f'{folders.PAID}\nUser: What is 2 + 2?\nAssistant: 4'
FAILED = {'accuracy': {'score': 0.0, 'kind': 'verifier_error', 'why': 'worker died (signal 9)'}}
flat = lambda value: lambda t: value
waited = lambda t: 400.0 * t  # of about 100 rollouts of 8 x 4 replies of 20 tokens at 90 per second

# name -> (a run that has the fault, a key of the cure).
BROKEN = {
  'no reward': (
    dict(figures=folders.rows(
      reward__total=flat(0.0), reward__accuracy=flat(0.0), rollout__truncated=flat(0.9),
    )),
    'sample.max_new (now 96)',
  ),
  'only the format grows': (
    dict(figures=folders.rows(reward__accuracy=lambda t: 0.2 + 0.01 * np.sin(40 * t))),
    'reward.format (now 1.0)',
  ),
  'groups agree': (
    dict(figures=folders.rows(rollout__unanimous=flat(0.9), reward__accuracy=flat(0.1))),
    'rl.dynamic_sampling',
  ),
  'replies are cut off': (
    dict(
      figures=folders.rows(rollout__truncated=flat(0.5)),
      last=[
        *folders.samples((folders.WRONG,), truncated=True, reward=0.0),
        *folders.samples((folders.PAID,)),
      ],
    ),
    'sample.max_new (now 96)',
  ),
  'the cap teaches brevity': (
    dict(figures=folders.rows(
      rollout__truncated=lambda t: 0.6 - 0.6 * t, rollout__length=lambda t: 30 - 10 * t,
      reward__accuracy=lambda t: 0.1 + 0.1 * t,
    )),
    'sample.max_new (now 96)',
  ),
  'accuracy falls': (
    dict(figures=folders.rows(reward__accuracy=lambda t: 0.9 * np.sin(np.pi * t))),
    'optimizer.lr (now 0.0003)',
  ),
  'entropy has collapsed': (
    dict(figures=folders.rows(
      grpo__entropy=lambda t: 0.5 * np.exp(-8 * t), reward__accuracy=lambda t: 0.3 + 0.1 * t,
    )),
    'grpo.clip_high (now 0.2)',
  ),
  'the policy runs away': (
    dict(figures=folders.rows(grpo__kl=lambda t: 5 * t)), 'grpo.beta (now 0.001)',
  ),
  'updates are too large': (
    dict(figures=folders.rows(grpo__clip_fraction=flat(0.4))), 'optimizer.lr (now 0.0003)',
  ),
  'the policy does not move': (
    dict(figures=folders.rows(
      grpo__kl=flat(1e-7), reward__total=lambda t: 0.7 + 0.01 * np.sin(50 * t),
      reward__accuracy=flat(0.2), reward__format=flat(0.5), rollout__unanimous=flat(0.2),
    )),
    'optimizer.lr (now 0.0003)',
  ),
  'the sampler is not the trainer': (
    dict(figures=folders.rows(parity__logp_mean=flat(0.02), parity__logp_max=flat(1.5))),
    'grpo.tis_cap=2.0',
  ),
  'the reward model is being fooled': (
    dict(
      figures=folders.rows(
        hacking__suspected=flat(1.0), hacking__accuracy_drop=flat(0.2),
        hacking__preference_gain=flat(0.3),
      ),
      general={'preference_updates': 50},
    ),
    'general.preference_updates (now 50)',
  ),
  'length grows by repetition': (
    dict(
      figures=folders.rows(rollout__length=lambda t: 20 + 60 * t),
      last=folders.samples((LONG,)),
    ),
    'reward.repetition=0.5',
  ),
  'length grows without reward': (
    dict(figures=folders.rows(
      rollout__length=lambda t: 20 + 60 * t, reward__total=lambda t: 1 + 0.01 * np.sin(50 * t),
      reward__format=flat(0.8), reward__accuracy=flat(0.2),
    )),
    'grpo.overlong_buffer',
  ),
  'several answers per reply': (dict(last=folders.samples((BOXES,))), 'reward.format (now 1.0)'),
  'replies ask further questions': (
    dict(last=folders.samples((USER, folders.PAID))), 'data.prompt',
  ),
  'languages are mixed': (
    dict(figures=folders.rows(rollout__mixed=flat(0.4))), 'reward.language (now 0.0)',
  ),
  'verifiers fail': (
    dict(
      figures=folders.rows(reward__verifier_error_rate=flat(0.01)),
      last=folders.samples(rewards=FAILED),
    ),
    'reward.worker_gib (now 1.0)',
  ),
  'verifiers time out': (
    dict(figures=folders.rows(verdict__timeout=flat(0.1))), 'reward.math_seconds (now 2.0)',
  ),
  'rollouts wait for verdicts': (
    dict(figures=folders.rows(
      reward__wait_seconds=waited, speed__rollout_tokens_per_s=flat(90.0),
    )),
    'reward.workers (now 2)',
  ),
  'batches are mostly padding': (
    dict(figures=folders.rows(packing__filled=flat(0.2))), 'rl.rows (now 16)',
  ),
  'refills run out': (
    dict(figures=folders.rows(rollout__unfilled_groups=flat(3.0)), rl__dynamic_sampling=True),
    'rl.max_refills (now 10)',
  ),
  'checkpoints are missing': (dict(checkpoints=(0, 20)), 'disk'),
  'figures are gone': (dict(figures=[], updates=40), 'metrics.jsonl'),
  'figures are not finite': (
    dict(figures=folders.rows(metrics__nonfinite=flat(1.0), grpo__loss=flat(None))), 'grpo/loss',
  ),
}  # fmt: skip


def told(**changes):
  """name -> `Finding` of a run."""
  return {one.name: one for one in rules.examine(folders.evidence(**changes))}


def test_every_rule_has_a_run_that_breaks_it():
  assert len(BROKEN) == len(rules.RULES)


@pytest.mark.parametrize('name', BROKEN)
def test_a_fault_is_named_with_numbers_and_what_to_do(name):
  changes, key = BROKEN[name]
  found = told(**changes)
  assert name in found, found
  line = found[name].told()
  assert key in line and '\n' not in line and ' nan' not in line
  assert name == 'checkpoints are missing' or any(sign.isdigit() for sign in found[name].seen)


@pytest.mark.parametrize('name', BROKEN)
def test_a_fault_does_not_call_up_a_crowd_of_others(name):
  assert len(told(**BROKEN[name][0])) <= 3


@pytest.mark.parametrize('seed', range(20))
@pytest.mark.parametrize('updates', [1, 7, 30, 100])
def test_a_healthy_run_has_no_finding(updates, seed):
  figures = folders.rows(updates, seed)
  assert told(figures=figures, checkpoints=(updates - 1,)) == {}


def test_a_run_without_figures_or_samples_has_no_finding():
  assert told(figures=[], updates=0, last=[], checkpoints=()) == {}


@pytest.mark.parametrize(
  'kept, seen',
  [
    (
      lambda step: step not in (7, 9),
      '2 of 100 updates have no row in metrics.jsonl, the first is 7',
    ),
    (lambda step: step <= 98, '2 of 100 updates have no row in metrics.jsonl, the first is 99'),
    (lambda step: step <= 99, None),  # the newest row may be on its way
  ],
)
def test_holes_and_lost_ends_of_the_figures_are_counted(kept, seen):
  figures = [row for row in folders.rows(100) if kept(row['step'])]
  found = told(figures=figures, updates=100)
  assert found['figures are gone'].seen.startswith(seen) if seen else found == {}


def test_accuracy_may_follow_the_form():
  rising = dict(
    reward__format=lambda t: 0.4 + 0.4 * t, reward__accuracy=lambda t: 0.2 + 0.01 * np.sin(40 * t)
  )
  assert 'only the format grows' not in told(figures=folders.rows(24, **rising))
  none = rising | {'reward__accuracy': lambda t: 0.04 + 0.01 * np.sin(40 * t)}
  assert 'only the format grows' in told(figures=folders.rows(24, **none))


def test_a_function_that_pays_in_negative_numbers_pays():
  figures = folders.rows(reward__total=lambda t: -2 + t, reward__accuracy=flat(0.0))
  assert 'no reward' in told(figures=figures)
  own = dict(reward__function='mine.py:score')
  assert 'no reward' not in told(figures=figures, **own)
  nothing = folders.rows(reward__total=flat(0.0), reward__accuracy=flat(0.0))
  assert 'no reward' in told(figures=nothing, **own)


def test_a_solved_task_whose_groups_agree_is_well():
  figures = folders.rows(reward__accuracy=lambda t: 0.2 + t, rollout__unanimous=lambda t: t)
  assert 'groups agree' not in told(figures=figures)


def test_a_task_that_was_solved_from_the_start_teaches_nothing():
  figures = folders.rows(reward__accuracy=flat(0.99), rollout__unanimous=flat(0.95))
  assert 'take harder ones' in told(figures=figures)['groups agree'].do
  cold = told(figures=figures, sample__temperature=0.02)
  assert 'sample.temperature (now 0.02)' in cold['groups agree'].do


def test_a_run_that_learns_to_be_brief_is_well():
  figures = folders.rows(
    rollout__truncated=lambda t: 0.9 - 0.7 * t, rollout__length=lambda t: 30 - 10 * t
  )
  assert told(figures=figures) == {}


def test_stale_rollouts_may_differ_from_the_trainer():
  figures = folders.rows(parity__logp_mean=flat(0.02))
  assert 'the sampler is not the trainer' not in told(figures=figures, rl__staleness=2)


def test_keys_that_are_named_exist():
  known = {key.name for key in settings.defaults()}
  named = set()
  for changes, _ in BROKEN.values():
    for one in rules.examine(folders.evidence(**changes)):
      words = one.do.replace('=', ' ').replace(',', ' ').replace(';', ' ').replace(':', ' ').split()
      named |= {word.strip('().') for word in words if word.split('.')[0] in folders.CONFIG}
  keys = {name for name in named if '.' in name}
  assert len(keys) > 15 and keys <= known, keys - known


def test_a_folder_is_examined_with_its_samples(tmp_path):
  kept = {'step_000098': folders.samples((BOXES,))}
  run = reading.read(folders.write(tmp_path / 'run', kept=kept))
  assert [one.name for one in rules.of(run)] == ['several answers per reply']
