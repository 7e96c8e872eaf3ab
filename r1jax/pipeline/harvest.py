"""Many samples of many training questions, scored, on disk part by part: what curation reads.

`samples/part_000003.jsonl` holds all samples of one batch of questions and is written at once, so a
harvest that was interrupted goes on with the first part that is not there.
"""

import dataclasses
import json
import zlib

import jax
from jax.experimental import multihost_utils

from r1jax.algorithms import rejection
from r1jax.model import flops
from r1jax.pipeline import experience
from r1jax.sampling import rollout
from r1jax.train import metrics

FOLDER = 'samples'


@dataclasses.dataclass(frozen=True)
class HarvestConfig:
  """How much is sampled, and how much of it may be kept.

  Attributes:
    questions: training questions that are asked.
    batch: questions of one part, which is sampled and saved at once; divides `questions`.
    most_per_question: replies kept of one question (0: all that pass the filters).
    heldout: held-out questions whose n-grams no example may share; at least those of the
      evaluations.
  """

  questions: int = 4096
  batch: int = 512
  most_per_question: int = 1
  heldout: int = 4096

  def __post_init__(self):
    if self.batch < 1 or self.questions < 1 or self.questions % self.batch:
      raise ValueError(f'{self.questions=} is no multiple of {self.batch=}')
    if self.most_per_question < 0 or self.heldout < 0:
      raise ValueError(f'{self.most_per_question=} and {self.heldout=} must be >= 0')


@dataclasses.dataclass(frozen=True)
class Sample:
  """One reply: `index` counts the questions of the source, `number` the replies of a question."""

  index: int
  number: int
  domain: str
  answer: str
  candidate: rejection.Candidate


def collect(folder, job, policy, problems, rewards):
  """Yields the `Sample`s of the first `job.harvest.questions` problems, in order.

  Args:
    folder: the stage's folder.
    job: its `harvest`, `sample`, `data` and `seed` are read.
    policy: `rollout.Policy` that replies.
    problems: random-access source.
    rewards: `service.RewardService`.
  """
  cfg = job.harvest
  if len(problems) < cfg.questions:
    raise ValueError(f'harvest.questions={cfg.questions}, but there are {len(problems)}')
  for part in range(cfg.questions // cfg.batch):
    first = part * cfg.batch
    asked = [problems[first + i] for i in range(cfg.batch)]
    path = folder / FOLDER / f'part_{part:06d}.jsonl'
    if not _there(path):
      rows = _sample(job, policy, asked, part, rewards)
      if jax.process_index() == 0:
        metrics.write_atomically(path, ''.join(f'{_line(row)}\n' for row in rows))
      _there(path)
    for line in path.read_text().split('\n')[:-1]:
      row = json.loads(line)
      asking = asked[row['question']]
      yield Sample(
        first + row['question'],
        row['sample'],
        asking.kind,
        str(asking.answer),
        rejection.Candidate(asking.question, language=asking.language, **row['reply']),
      )


def spent(folder, job, policy, problems):
  """Counted operations of what has been sampled so far; arguments as in `collect`."""
  total = 0
  for path in sorted((folder / FOLDER).glob('part_*.jsonl')):
    first = int(path.stem.removeprefix('part_')) * job.harvest.batch
    asked = [problems[first + i].question for i in range(job.harvest.batch)]
    prompts = [len(rollout.encode_prompt(policy.tokenizer, question)) for question in asked]
    rows = [json.loads(line) for line in path.read_text().split('\n')[:-1]]
    replies = [row['reply']['tokens'] for row in rows]
    total += flops.sampling(policy.cfg, prompts, replies, job.sample.group)
  return total


def _sample(job, policy, asked, part, rewards):
  key = jax.random.fold_in(jax.random.key(job.seed), zlib.crc32(b'harvest'))
  limits = rollout.Limits(job.data.max_prompt, job.sample.max_new)
  found = experience.sample_once(
    policy, job.sample, asked, limits, jax.random.fold_in(key, part), rewards
  )
  out = found.rollout
  for b, text in enumerate(found.texts):
    accuracy = found.scores[b].verdicts['accuracy']
    reply = {
      'reply': text,
      'tokens': int(out.length_B[b]),
      'stopped': bool(out.stopped_B[b]),
      'correct': accuracy.score > 0.5,
      'scored': accuracy.scored,
    }
    yield {'question': b // out.group, 'sample': b % out.group, 'reply': reply}


def _line(row):
  return json.dumps(row, ensure_ascii=False)


def _there(path):
  """Whether the file exists, as the first process sees it: all processes do the same."""
  if jax.process_count() == 1:
    return path.exists()
  return bool(multihost_utils.broadcast_one_to_all(path.exists()))
