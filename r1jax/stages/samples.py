"""Many samples of many training questions, scored, on disk part by part: what curation reads.

`samples/part_000003.jsonl` holds all samples of one batch of questions and is written at once, so
that an interrupted run goes on with the first part that is not there.
"""

import dataclasses

import jax
from jax.experimental import multihost_utils

from r1jax import files, keys, ranges
from r1jax.algorithms import filtering
from r1jax.evaluation import replies
from r1jax.model import flops
from r1jax.sampling import rollout

FOLDER = 'samples'


@dataclasses.dataclass(frozen=True)
class SamplesConfig:
  """How much is sampled, and how much of it may be kept.

  Attributes:
    questions: training questions that are asked.
    batch: questions of one part, which is sampled and saved at once; divides `questions`.
    most_per_question: replies kept of one question (0: all that pass the filters).
    heldout: held-out questions whose n-grams no example may share; those of the evaluations at
      the least are among them.
  """

  questions: ranges.Count = 4096
  batch: ranges.Count = 512
  most_per_question: ranges.Size = 1
  heldout: ranges.Size = 4096

  def __post_init__(self):
    ranges.check(self)
    ranges.require(self, self.questions % self.batch == 0, '{questions} is no multiple of {batch}')


@dataclasses.dataclass(frozen=True)
class Sample:
  """One reply: `index` counts the questions of the source, `number` the replies of a question."""

  index: int
  number: int
  domain: str
  answer: str
  candidate: filtering.Candidate


def collect(folder, job, policy, problems, rewards, heard=lambda count: None):
  """Yields the `Sample`s of the first `job.samples.questions` problems, in order.

  Args:
    folder: the stage's folder.
    job: its `samples`, `sample`, `data` and `seed` are read.
    policy: `rollout.Policy` that replies.
    problems: random-access source.
    rewards: `service.RewardService`.
    heard: called now and then with the number of new replies, those on disk included.
  """
  cfg = job.samples
  if len(problems) < cfg.questions:
    raise ValueError(f'samples.questions={cfg.questions}, but there are {len(problems)}')
  for part in range(cfg.questions // cfg.batch):
    first = part * cfg.batch
    asked = [problems[first + i] for i in range(cfg.batch)]
    path = folder / FOLDER / f'part_{part:06d}.jsonl'
    # Hours of drawing are not repeated; the same seed would draw the same replies.
    if _there(path):
      heard(cfg.batch * job.sample.group)
    else:
      rows = list(_draw(job, policy, asked, part, rewards, heard))
      if jax.process_index() == 0:
        files.write_rows(path, rows)
      # All wait here: no process reads before the first has written.
      _there(path)
    # Read back even where just drawn: a resumed run sees the very same values.
    for row in files.read_rows(path):
      problem = asked[row['question']]
      yield Sample(
        first + row['question'],
        row['sample'],
        problem.kind,
        str(problem.answer),
        filtering.Candidate(problem.question, language=problem.language, **row['reply']),
      )


def spent(folder, job, policy, problems):
  """Counted operations of what has been sampled so far; arguments as in `collect`."""
  # Counted from the files, so that what was drawn before an interruption is in it.
  total = 0
  for path in sorted((folder / FOLDER).glob('part_*.jsonl')):
    first = int(path.stem.removeprefix('part_')) * job.samples.batch
    asked = [problems[first + i].question for i in range(job.samples.batch)]
    prompts = [len(policy.form.put(question).ids) for question in asked]
    lengths = [row['reply']['tokens'] for row in files.read_rows(path)]
    total += flops.sampling(policy.cfg, prompts, lengths, job.sample.group)
  return total


def _draw(job, policy, asked, part, rewards, heard):
  """Rows of one part: the replies to its questions, as its file holds them."""
  # The same shape for every part, so that one program is compiled.
  limits = rollout.Limits(job.data.max_prompt, job.sample.max_new, job.sample.slots)
  # By part, so that it does not matter which ones an earlier attempt made. 'harvest' is an older
  # name of this stage, kept so that a seed goes on meaning the same replies.
  key = jax.random.fold_in(keys.named(job.seed, 'harvest'), part)
  out = replies.ask(policy, job.sample, asked, limits, key, rewards, heard)
  for b, text in enumerate(out.texts):
    accuracy = out.scores[b].verdicts['accuracy']
    reply = {
      'reply': text,
      'tokens': int(out.length_B[b]),
      'stopped': bool(out.stopped_B[b]),
      'correct': accuracy.score > 0.5,
      'scored': accuracy.scored,
    }
    yield {'question': b // out.group, 'sample': b % out.group, 'reply': reply}


def _there(path):
  """Whether the file exists, as the first process sees it: all processes do the same."""
  if jax.process_count() == 1:
    return path.exists()
  return bool(multihost_utils.broadcast_one_to_all(path.exists()))
