"""Folders of runs as a run leaves them, and figures of healthy runs, for the tests of readers."""

import json
import math

import numpy as np

from r1jax.runs.doctor import finding

CONFIG = {
  'stage': 'reasoning_rl',
  'seed': 3,
  'runtime': {'compute_dtype': 'float32'},
  'loop': {'checkpoint_every': 20},
  'optimizer': {'lr': 3e-4, 'warmup': 0},
  'sample': {'group': 4, 'max_new': 96, 'temperature': 1.0},
  'reward': {
    'accuracy': 1.0, 'format': 1.0, 'language': 0.0, 'answer': 'tags', 'workers': 2,
    'math_seconds': 2.0, 'worker_gib': 1.0, 'max_verifier_error_rate': 0.02,
  },
  'grpo': {'beta': 0.001, 'clip_high': 0.2},
  'rl': {
    'updates': 100, 'prompts': 8, 'staleness': 0, 'dynamic_sampling': False, 'rows': 16,
    'capacity': 144, 'max_refills': 10,
  },
}  # fmt: skip
PAID = ' <think> 7 - 3 = 4 </think> <answer> 4 </answer>'
WRONG = ' <think> I think so </think> <answer> 5 </answer>'


def rows(updates=100, seed=0, **changed):
  """Rows of a run that learns; `changed` has a list, or a function of 0..1, for `family__name`."""
  rng, found = np.random.default_rng(seed), []
  for step in range(1, updates + 1):
    t = step / updates
    grown = 1 / (1 + math.exp(-8 * (t - 0.4)))
    accuracy = 0.2 + 0.7 * grown + 0.02 * rng.normal()
    shape = min(1.0, 0.5 + 0.5 * grown)
    row = {
      'reward/accuracy': accuracy, 'reward/format': shape, 'reward/total': accuracy + shape,
      'reward/verifier_error_rate': 0.0, 'reward/wait_seconds': 0.01 * step,
      'verdict/correct': accuracy, 'verdict/unparseable': 1 - shape, 'verdict/timeout': 0.0,
      'rollout/length': 15 + 10 * grown + rng.normal(), 'rollout/truncated': 0.01,
      'rollout/cap': 96.0, 'rollout/unanimous': 0.1 + 0.6 * grown, 'rollout/mixed': 0.0,
      'rollout/unfilled_groups': 0.0, 'grpo/kl': 0.1 * grown, 'grpo/clip_fraction': 0.001,
      'grpo/entropy': 0.3 - 0.28 * grown, 'parity/logp_mean': 1e-7, 'parity/logp_max': 1e-5,
      'packing/filled': 0.9, 'optimizer/skipped': 0.0, 'speed/rollout_tokens_per_s': 900.0,
    }  # fmt: skip
    for name, values in changed.items():
      row[name.replace('__', '/')] = values(t) if callable(values) else values[step - 1]
    found.append({'step': step, **row})
  return found


def samples(texts=(PAID, WRONG), step=0, group=4, **changed):
  """Rows of samples, `group` to a question, all texts in turn; right where they say 4."""
  found = []
  for index in range(8 * group):
    text = texts[index % len(texts)]
    right = '<answer> 4 </answer>' in text
    accuracy = {'score': float(right), 'kind': 'correct' if right else 'wrong', 'why': ''}
    if not right:
      accuracy['why'] = 'expected 4, got 5'
    row = {
      'step': step, 'index': index, 'group': index // group, 'sample': index % group,
      'question': f'What is 7 - 3 ({index // group})', 'kind': 'sum', 'expected': '4',
      'extracted': '4' if right else '5',
      'rewards': {'accuracy': accuracy, 'format': {'score': 1.0, 'kind': 'correct', 'why': ''}},
      'reward': 1.0 + right, 'length': 9, 'truncated': False, 'advantage': 1.0 if right else -1.0,
      'version': step, 'logp_gap_mean': 1e-7, 'logp_gap_max': 1e-6, 'completion': text,
      'prompt': 'User: 7 - 3. Assistant:',
    }  # fmt: skip
    found.append(row | changed)
  return found


def config(**changed):
  """A healthy run's config; `changed` is written `rl__updates=6`."""
  made = json.loads(json.dumps(CONFIG))
  for name, value in changed.items():
    section, _, key = name.partition('__')
    if key:
      made[section][key] = value
    else:
      made[section] = value
  return made


def evidence(figures=None, last=None, checkpoints=(80, 100), updates=None, **keys):
  """`finding.Evidence` of a healthy run, some of it changed; `updates` None: as the rows say."""
  figures = rows() if figures is None else figures
  updates = figures[-1]['step'] if updates is None else updates
  return finding.Evidence(
    rows=tuple(figures),
    config=config(**keys),
    last=tuple(samples(step=98) if last is None else last),
    checkpoints=checkpoints,
    updates=updates,
  )


def write(folder, figures=None, kept=None, summary=None, base=None, **keys):
  """A run's folder; `kept` is file name -> rows of samples."""
  folder.mkdir(parents=True, exist_ok=True)
  (folder / 'config.json').write_text(json.dumps(config(**keys)))
  lines = (json.dumps(row) + '\n' for row in (rows() if figures is None else figures))
  (folder / 'metrics.jsonl').write_text(''.join(lines))
  (folder / 'samples').mkdir(exist_ok=True)
  kept = {'step_000000': samples(), 'step_000098': samples(step=98)} if kept is None else kept
  for name, content in kept.items():
    text = ''.join(json.dumps(row, ensure_ascii=False) + '\n' for row in content)
    (folder / 'samples' / f'{name}.jsonl').write_text(text)
  for name, content in (('summary', summary), ('base', base)):
    if content is not None:
      (folder / f'{name}.json').write_text(json.dumps(content))
  return folder
