"""A run with the user's own reward: logged, written, and not gone on with by another function."""

import contextlib
import json
import re
import shlex

import pytest

from r1jax.experiments import r1_zero
from r1jax.rewards import service
from r1jax.runs import workdir
from tests import small_runs

PAGE = (small_runs.ROOT / 'docs' / 'your-reward.md').read_text()
SOURCE = """
from r1jax.rewards import verdict

def long(texts, questions, allowed):
  assert all(q.startswith('Add') for q in questions)
  return [min(len(t) / a, 1.0) for t, a in zip(texts, allowed)]

def odd(texts, answers, **columns):
  assert set(columns) == {'completions', 'prompts', 'questions', 'allowed'}
  kinds = (verdict.Kind.WRONG, verdict.Kind.CORRECT)
  return [verdict.Verdict(len(t) % 2, kinds[len(t) % 2], f'{len(t)} signs') for t in texts]
"""


@pytest.fixture
def example(tmp_path):
  """The file of the page, and the `reward.function` of its command with that file."""
  (tmp_path / 'my_rewards.py').write_text(re.search(r'```python\n(.*?)```', PAGE, re.S)[1])
  flag = '--config.reward.function='
  words = shlex.split(PAGE.split('```bash')[1].split('```')[0], comments=True)
  (written,) = [word.removeprefix(flag) for word in words if word.startswith(flag)]
  return written.replace('my_rewards.py', str(tmp_path / 'my_rewards.py'))


def test_the_example_of_the_page_judges_as_it_says(example):
  texts = ['a few words', 'Please ' * 51, 'b ' * 50]
  items = [service.Item(text, '1', extra={'words': 2} if text[0] == 'a' else {}) for text in texts]
  config = service.RewardConfig(accuracy=0.0, format=0.0, function=example)
  with contextlib.closing(service.RewardService(config)) as rewards:
    found = rewards.submit(items).result()
  scores = [[reward.verdicts[name].score for name in ('short', 'polite')] for reward in found]
  assert scores == [[0, 1], [0, 0], [1, 1]]
  assert [reward.total for reward in found] == [1.0, 0.0, 1.5]


def test_a_changed_function_is_refused_with_its_file(tmp_path, example):
  config = r1_zero.get_config()
  config.reward.function = example
  folder = workdir.prepare(tmp_path / 'run', config)
  path = tmp_path / 'my_rewards.py'
  assert list(json.loads((folder / 'data.json').read_text())) == [f'reward.function:{path}']
  (folder / 'checkpoints' / 'step_00000000').mkdir(parents=True)
  assert workdir.prepare(folder, config) == folder
  path.write_text(path.read_text() + '# changed\n')
  with pytest.raises(ValueError, match=rf'{path} \(config.reward.function\) has changed since'):
    workdir.prepare(folder, config)
  with pytest.raises(ValueError, match=r'holds a run with config.reward.function='):
    config.reward.function = example.replace('0.5', '0.25')
    workdir.prepare(folder, config)


@pytest.mark.heavy
def test_a_run_logs_shows_and_writes_the_rewards_of_functions(tmp_path, small):
  (tmp_path / 'mine.py').write_text(SOURCE)
  for name, first in (('train', 10), ('held', 60)):
    rows = [
      {'question': f'Add {n} and 1', 'answer': str(n + 1), 'allowed': 40 + n % 3}
      for n in range(first, first + 40)
    ]
    (tmp_path / name).write_text(''.join(json.dumps(row) + '\n' for row in rows))
  settings = small | {
    'data__name': 'jsonl',
    'data__path': tmp_path / 'train',
    'data__heldout_path': tmp_path / 'held',
    'reward__function': f'{tmp_path}/mine.py:long,{tmp_path}/mine.py:odd*0.5',
    'rl__updates': 2,
  }
  run = small_runs.finish(tmp_path / 'run', devices=1, **settings)
  row = run.rows[0]
  assert 0 < row['reward/long'] <= 1 and 0 < row['reward/odd'] < 1
  assert ' odd 0.' in run.stdout and ' long 0.' in run.stdout
  samples = [json.loads(line) for line in (run.folder / 'samples' / 'step_000000.jsonl').open()]
  for sample in samples:
    signs = len(sample['completion'])
    assert sample['rewards']['odd']['why'] == f'{signs} signs'
    assert sample['rewards']['odd']['score'] == signs % 2
  mean = sum(sample['rewards']['long']['score'] for sample in samples) / len(samples)
  assert row['reward/long'] == pytest.approx(mean)
