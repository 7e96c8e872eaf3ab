"""The glossary knows every metric that the code can log, and nothing that it cannot."""

import ast
import pathlib
import re

import numpy as np
import pytest

from r1jax.evaluation import heldout, language
from r1jax.rewards import service
from r1jax.rewards.verdict import Kind
from r1jax.train import glossary

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
NAME = re.compile(r'[a-z]+/[a-z][a-z0-9_]*')
# What f-strings put behind `family/`, asked of the code itself where it can say.
MANNER = {
  *heldout.by_manner(['1 + 1 = 2', '2'], np.array([1.0, 0.0])),
  *language.figures(['<think> a few words </think> <answer> 2 </answer>'], ['en']),
}
WEIGHTS = {'accuracy', 'format', 'language', 'repetition'}
FORMED = {
  'reward': WEIGHTS | {'helpful', 'harmless'},
  'verdict': {str(kind) for kind in Kind},
  'rollout': MANNER,
  'eval': MANNER
  | {'pass_at_1', 'pass_at_1_low', 'pass_at_1_high', 'format', 'length', 'truncated'}
  | {f'level_{n}' for n in range(1, heldout.LEVELS + 1)},
  'sft': {'mtp1_nll'},
}


def trees():
  """(path, syntax tree) of the files that could log."""
  for path in sorted((ROOT / 'r1jax').rglob('*.py')):
    if path.name != 'glossary.py':
      yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def keys(tree):
  """Constants that stand where a metric's name does: keys of dicts, indices, lone strings."""
  for node in ast.walk(tree):
    if isinstance(node, ast.Dict):
      yield from node.keys
    elif isinstance(node, ast.DictComp):
      yield node.key
    elif isinstance(node, ast.Subscript):
      yield node.slice


def literals(tree):
  """Texts of all names written out as keys or indices."""
  for key in keys(tree):
    if isinstance(key, ast.Constant) and isinstance(key.value, str) and NAME.fullmatch(key.value):
      yield key.value


def families_formed(tree):
  """Families of names formed by an f-string that begins with `family/`."""
  for key in keys(tree):
    if isinstance(key, ast.JoinedStr) and isinstance(key.values[0], ast.Constant):
      found = re.match(r'([a-z]+)/', key.values[0].value)
      if found:
        yield found[1]


def test_every_name_written_in_the_code_is_in_the_glossary():
  wrong = [f'{path}: {name}' for path, tree in trees() for name in literals(tree)]
  wrong = [line for line in wrong if line.split(': ')[1] not in glossary.NAMES]
  assert not wrong, 'add to r1jax/train/glossary.py:\n' + '\n'.join(wrong)


def test_every_name_formed_by_the_code_is_in_the_glossary():
  formed = {family for _, tree in trees() for family in families_formed(tree)}
  assert {'reward', 'rollout', 'verdict', 'eval'} <= formed <= set(FORMED), formed
  names = {f'{family}/{name}' for family, names in FORMED.items() for name in names}
  assert not names - glossary.NAMES


def test_every_weighted_part_of_the_reward_is_named():
  config = service.RewardConfig(language=1, repetition=1)
  asked = service.RewardService(config)
  try:
    item = service.Item('<think> a </think> <answer> 2 </answer>', '2', '1 + 1', 'en')
    parts = asked.submit([item]).result()[0].verdicts
    counters = asked.metrics()
  finally:
    asked.close()
  assert set(parts) == WEIGHTS
  assert set(counters) <= glossary.NAMES


def test_the_glossary_has_no_name_that_no_code_can_log():
  written = {name for _, tree in trees() for name in literals(tree)}
  formed = {f'{family}/{name}' for family, names in FORMED.items() for name in names}
  assert not glossary.NAMES - written - formed


def test_a_new_name_in_the_code_is_found():
  tree = ast.parse("a = {'new/name': 1}\nb['other/name'] = 2\nc = {f'fresh/{x}': 1 for x in y}")
  assert set(literals(tree)) == {'new/name', 'other/name'}
  assert list(families_formed(tree)) == ['fresh']


@pytest.mark.parametrize('metric', glossary.METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_described_whole(metric):
  assert NAME.fullmatch(metric.name) and metric.span in glossary.SPANS
  assert metric.name.split('/')[0] in glossary.FAMILIES
  assert metric.unit and metric.meaning.endswith('.') and '|' not in metric.meaning


def test_no_metric_is_described_twice():
  assert len(glossary.NAMES) == len(glossary.METRICS)


@pytest.mark.heavy
def test_a_run_logs_no_name_that_is_not_in_the_glossary(reference):
  logged = {name for row in reference.rows for name in row} - {'step'}
  assert logged <= glossary.NAMES, logged - glossary.NAMES
