"""Sampling for curation goes on with the first part that is not on disk."""

import dataclasses

import pytest

from r1jax import config as config_lib
from r1jax.data import prompts, tokenizer
from r1jax.data.tasks import tiny_world
from r1jax.interchange import checkpoints
from r1jax.model import flops, presets
from r1jax.sampling import rollout
from r1jax.stages import samples

PROBLEMS = tiny_world.World(0, 100, tiny_world.WorldConfig(levels=(1, 1)))


@pytest.fixture
def job():
  job = config_lib.build(config_lib.default('rejection'))
  return dataclasses.replace(job, samples=samples.SamplesConfig(questions=6, batch=2))


@pytest.fixture
def sampled(monkeypatch):
  """Numbers of the parts that were sampled, two replies a question."""
  parts = []

  def sample(job, policy, asked, part, rewards, heard):
    parts.append(part)
    heard(2 * len(asked))
    for b in range(2 * len(asked)):
      reply = {'reply': f'第{part}.{b}\u2028', 'tokens': b, 'stopped': True, 'correct': True,
               'scored': True}  # fmt: skip
      yield {'question': b // 2, 'sample': b % 2, 'reply': reply}

  monkeypatch.setattr(samples, '_draw', sample)
  return parts


def test_samples_come_in_order_with_their_question(job, sampled, tmp_path):
  found = list(samples.collect(tmp_path, job, None, PROBLEMS, None))
  assert [(s.index, s.number) for s in found] == [(i // 2, i % 2) for i in range(12)]
  assert all(s.candidate.question == PROBLEMS[s.index].question for s in found)
  assert found[5].candidate.reply == '第1.1\u2028' and found[5].answer == PROBLEMS[2].answer


def test_parts_that_are_there_are_not_sampled_again(job, sampled, tmp_path):
  whole = list(samples.collect(tmp_path / 'whole', job, None, PROBLEMS, None))
  cut = samples.collect(tmp_path / 'cut', job, None, PROBLEMS, None)
  for _ in range(5):
    next(cut)  # part 1 is on disk, part 2 is not
  sampled.clear()
  heard = []
  again = samples.collect(tmp_path / 'cut', job, None, PROBLEMS, None, heard.append)
  assert list(again) == whole
  # Those on disk count as asked for, the others as they come.
  assert sampled == [2] and heard == [2 * job.sample.group] * 2 + [4]


def test_operations_of_what_was_sampled_are_counted_from_the_disk(job, sampled, tmp_path):
  policy = rollout.Policy(
    None, presets.tiny(), prompts.Form(tokenizer.load(checkpoints.open('tiny')))
  )
  job = dataclasses.replace(job, sample=dataclasses.replace(job.sample, group=2))
  drawn = samples.collect(tmp_path, job, None, PROBLEMS, None)
  for _ in range(5):
    next(drawn)  # two of three parts are on disk
  expected = 0
  for i in range(4):
    prompt = len(policy.form.put(PROBLEMS[i].question).ids)
    replies = [2 * (i % 2), 2 * (i % 2) + 1]
    expected += flops.sampling(policy.cfg, [prompt], replies, 2)
  assert samples.spent(tmp_path, job, policy, PROBLEMS) == expected


def test_too_few_questions_are_an_error_and_batches_divide(job, sampled, tmp_path):
  with pytest.raises(ValueError, match='samples.questions=6, but there are 3'):
    list(samples.collect(tmp_path, job, None, [PROBLEMS[i] for i in range(3)], None))
  with pytest.raises(ValueError, match='no multiple of'):
    samples.SamplesConfig(questions=5, batch=2)
