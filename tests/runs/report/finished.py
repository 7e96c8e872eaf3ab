"""Folders of stages as a pipeline leaves them, for the tests of its report."""

import json

import numpy as np

from r1jax.evaluation import passk
from r1jax.interchange import hub_config
from r1jax.model import presets

SHOWN = [{'question': 'q <b>', 'correct': True, 'reply': '<think> a </think>'}]
MODELS = ('base', 'r1_zero', 'dev1', 'dev2', 'dev3', 'r1')
STUDENTS = ('base_qwen', 'distill_qwen', 'rl_qwen', 'matched_qwen', 'base_llama', 'distill_llama')


def card(*rates, **more):
  """A report card of one sample for each of these rates of questions."""
  found = passk.pass_at_1(np.array(rates)[:, None]).as_json()
  shares = {name: 0.5 for name in ('format', 'truncated', 'language', 'mixed')}
  splits = {'domains': {'words': found}, 'languages': {'en': found}}
  content = {'accuracy': found, 'readability': found, 'rates': list(rates), 'length': 12.5}
  return content | shares | splits | {'wait': 0.25, 'reflection': 0.5} | more


def pipeline(folder, cards):
  """Stage -> its folder, with the files that the report reads; `cards` is model -> report card."""
  inputs = {}
  for name, content in cards.items():
    _json(
      inputs, folder, f'report_card_{name}', 'report_card.json', content | {'transcripts': SHOWN}
    )
  for name in MODELS:  # harmless was never measured
    helped = 8 if name == 'r1' else 3
    found = {'helpful': passk.pass_at_1([[1.0]] * helped + [[0.0]] * (10 - helped)).as_json()}
    _json(inputs, folder, f'scenarios_{name}', 'summary.json', found | {'requests': 10})
  _json(inputs, folder, 'general_data', 'summary.json', {'records': 9})
  for name in ('cold_start', 'rejection'):
    found = {'kept': 3, 'model': 'a', 'flops': 5e9}
    _json(inputs, folder, name, 'summary.json', found)
    (folder / name / 'data.array_record').write_text('')
  _json(inputs, folder, 'r1', 'summary.json', {})
  for name in ('helpful', 'harmless'):
    found = {'accuracy': 0.912, 'ci95': [0.9, 0.92], 'pairs': 512, 'kind': name}
    _json(inputs, folder, name, 'summary.json', found)
  _rows(inputs, folder, 'r1_zero', {'reward/accuracy': 0.1, 'rollout/wait': 0.1})
  hacking = {
    'suspected': 0.0,
    'accuracy_drop': 0.01,
    'accuracy_error': 0.02,
    'preference_gain': 0.3,
  }
  _rows(inputs, folder, 'r1', {f'hacking/{name}': value / 5 for name, value in hacking.items()})
  for name in cards:
    if name in (*STUDENTS, 'dev2'):
      _student(inputs, folder, name)
  return inputs


def _student(inputs, folder, name):
  cfg = presets.tiny() if name == 'dev2' else presets.tiny_qwen2()
  if 'llama' in name:
    cfg = presets.tiny_llama()
  _json(inputs, folder, f'{name}', 'summary.json', {'examples': 64, 'updates': 4, 'flops': 3e9})
  (folder / name / 'model').mkdir()
  (folder / name / 'model' / 'config.json').write_text(json.dumps(hub_config.write(cfg)))
  if name.startswith(('rl', 'matched')):
    _rows(inputs, folder, name, {'compute/flops': 1e12})


def _json(inputs, folder, stage, name, content):
  inputs[stage] = folder / stage
  inputs[stage].mkdir(parents=True, exist_ok=True)
  (inputs[stage] / name).write_text(json.dumps(content))


def _rows(inputs, folder, stage, slopes):
  """`metrics.jsonl` of five updates, each metric rising by its slope."""
  inputs[stage] = folder / stage
  inputs[stage].mkdir(parents=True, exist_ok=True)
  rows = [{'step': s} | {name: s * slope for name, slope in slopes.items()} for s in range(1, 6)]
  text = ''.join(json.dumps(row) + '\n' for row in rows)
  (inputs[stage] / 'metrics.jsonl').write_text(text)
