"""Every key of every experiment takes a value that can be used, or refuses it with its name."""

import math
import random

import ml_collections
import pytest

from r1jax import config as config_lib
from r1jax.cli import flags, overrides, settings
from r1jax.runs import r1, rl_vs_distill

GRAPHS = {'r1': r1.graph_nodes, 'rl_vs_distill': rl_vs_distill.graph_nodes}
SAMPLE = 40  # of an experiment's thousands of pairs of a key and a value; --slow tries all
EXPERIMENTS = [one.name for one in flags.shipped()]
# What somebody writes behind the equals sign of any key, by mistake or not.
TEXTS = (
  'nan', 'inf', '-inf', '-1', '0', '1', '2', '7', '1.5', '-0.0', '1e-30', '1e-3', '1e30',
  str(10**22), '9' * 400, '', ' ', 'x', 'None', 'True', 'false', '()', '(1,)', '(0, 0)',
  '(1, -1, 1, 1)', '[[0, 8]]', '((0, 8), (0, 9))', '((5, 8),)', '((0, 0),)', '((0, 8), (4, -1))',
  "(('en', 1.0),)", "(('xx', 1),)", "(('en', 0.0),)", "(('en', float),)", '((1, 2), 3)', '(nan,)',
  '__import__("os")', '{', 'tiny', 'cosine', 'bfloat16', 'float64', 'é', '0x10', '1_000', '(' * 300,
)  # fmt: skip


def pairs(name):
  """(experiment, key, text) of everything that can be tried on an experiment."""
  return [
    (name, key.name, text) for key in settings.of(overrides.experiment(name)) for text in TEXTS
  ]


def outcome(name, key, text):
  """'job', or the line that the command would end in."""
  config = overrides.experiment(name)
  try:
    overrides.override(config, key, text)
    if config.stage in GRAPHS:
      config_lib.check_graph(config)
      for node in GRAPHS[config.stage](config):
        node.check()
    else:
      _usable(config_lib.build(config))
  except ValueError as error:
    return str(error)
  return 'job'


def _usable(part):
  """Fails where a number of a job is none."""
  values = part if isinstance(part, tuple) else vars(part).values()
  for value in values:
    if isinstance(value, float):
      assert math.isfinite(value)
    elif hasattr(value, '__dataclass_fields__') or isinstance(value, tuple):
      _usable(value)


def judge(name, key, text):
  """Fails unless the outcome is a job, or one short line that names the key as it is written."""
  said = outcome(name, key, text)
  if said == 'job':
    return said
  assert '\n' not in said and len(said) < 600, said
  assert f'config.{key}' in said or 'config.checkpoint is empty' in said, (key, text, said)
  return said


@pytest.mark.parametrize('name', EXPERIMENTS)
def test_a_sample_of_values_ends_in_a_job_or_a_line(name):
  tried = random.Random(name).sample(pairs(name), SAMPLE)
  refused = [one for one in tried if judge(*one) != 'job']
  # Both ends of the property are met: most of these values fit one kind of key only.
  assert SAMPLE / 4 < len(refused) < SAMPLE


@pytest.mark.slow
@pytest.mark.parametrize('name', EXPERIMENTS)
def test_all_values_do(name):
  for one in pairs(name):
    judge(*one)


@pytest.mark.parametrize(
  'key, text',
  [
    ('optimizer.lr', 'nan'),
    ('reward.worker_gib', '-1'),
    ('reward.accuracy', 'nan'),
    ('evaluation.temperature', '-1'),
    ('evaluation.questions', str(10**22)),
    ('data.languages', '1.5'),
    ('sample.temperature', '0'),
    ('rl.length_schedule', '((0, 96), (0, 97))'),
    ('mesh', '(1, 0, 1, 1)'),
    ('seed', '-1'),
  ],
)
def test_values_that_ran_once_are_refused(key, text):
  assert f'config.{key}=' in outcome('r1_zero', key, text)


def test_a_refusal_names_the_key_of_a_section_inside_a_section():
  assert outcome('r1_zero', 'reward.programs.limits.seconds', '-1').startswith(
    'config.reward.programs.limits.seconds=-1'
  )
  assert outcome('tiny_base', 'pretrain.corpus.world.limit', '3').startswith(
    'config.pretrain.corpus.world.limit=3 is not a whole number within 18..'
  )


def test_every_key_says_what_it_takes():
  """No number is without a range, but those of the architecture, which the checkpoint brings."""
  bare = [key.name for key in settings.defaults() if key.takes in ('a number', 'a whole number')]
  assert not bare, bare


def test_a_config_that_came_from_json_is_the_same_job():
  config = overrides.experiment('r1_zero')
  again = ml_collections.ConfigDict(_lists(config.to_dict()))
  assert config_lib.build(again) == config_lib.build(config)


def _lists(value):
  """Tuples become lists, as in JSON."""
  if isinstance(value, dict):
    return {key: _lists(one) for key, one in value.items()}
  return [_lists(one) for one in value] if isinstance(value, tuple) else value
