"""The rollouts kept for reading hold everything, exactly, or the file isn't there."""

import json
import math

import numpy as np
import pytest

from r1jax.rewards import verdict
from r1jax.stages import sample_log


def _sample(**changes):
  rng = np.random.default_rng(0)
  fields = {
    'prompt': 'User: 1 + 1?',
    'completion': '<think>é\n"quoted"</think> <answer>2</answer>',
    'tokens': np.array([5, 6, 7], np.int32),
    'sampler_logp': rng.normal(size=3).astype('f4'),
    'trainer_logp': rng.normal(size=3).astype('f4'),
    'verdicts': {'accuracy': verdict.Verdict(1.0, verdict.Kind.CORRECT, '2 = 2')},
    'advantage': np.float32(0.1),
  }
  return sample_log.Sample(**{**fields, **changes})


def test_a_sample_is_written_with_all_of_its_parts(tmp_path):
  one = _sample()
  path = sample_log.write(tmp_path, 10, [one, one])
  assert path == tmp_path / 'samples' / 'step_000010.jsonl'
  rows = [json.loads(line) for line in path.read_text().splitlines()]
  assert len(rows) == 2 and set(rows[0]) == {
    'prompt', 'completion', 'tokens', 'sampler_logp', 'trainer_logp', 'rewards', 'advantage',
    'version',
  }  # fmt: skip
  assert rows[0]['completion'] == one.completion and rows[0]['tokens'] == [5, 6, 7]
  assert rows[0]['rewards'] == {'accuracy': {'score': 1.0, 'kind': 'correct', 'why': '2 = 2'}}


def test_log_probabilities_come_back_as_the_same_float32(tmp_path):
  values = np.random.default_rng(1).integers(0, 2**31 - 2**24, 1000, np.uint32).view('f4')
  one = _sample(tokens=np.zeros(1000, int), sampler_logp=-values, trainer_logp=values)
  row = json.loads(sample_log.write(tmp_path, 1, [one]).read_text())
  assert np.array_equal(np.array(row['sampler_logp'], 'f4'), -values)
  assert np.array_equal(np.array(row['trainer_logp'], 'f4'), values)


def test_what_json_cannot_say_becomes_null(tmp_path):
  one = _sample(sampler_logp=np.array([-np.inf, np.nan, 0], 'f4'), advantage=math.nan)
  row = json.loads(sample_log.write(tmp_path, 1, [one]).read_text())
  assert row['sampler_logp'] == [None, None, 0.0] and row['advantage'] is None


def test_log_probabilities_that_do_not_match_the_tokens_are_refused():
  with pytest.raises(ValueError, match=r'lengths \[3, 3, 2\]'):
    _sample(trainer_logp=np.zeros(2))


def test_a_write_that_dies_leaves_no_half_file(tmp_path):
  def dying():
    yield _sample()
    raise RuntimeError('killed')

  with pytest.raises(RuntimeError, match='killed'):
    sample_log.write(tmp_path, 1, dying())
  assert not list(tmp_path.rglob('*.jsonl'))
