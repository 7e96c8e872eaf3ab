"""The examination itself: sample, mark and write down call by call; a killed one goes on.

The file of samples begins with the settings that decide the draws; then comes one line a reply.
The lines of a call are written at once, and a call that is not whole is drawn again: the same seed
gives the same replies, so an interrupted examination ends as one that was not.
"""

import dataclasses
import json
import os
import pathlib
import time
from collections.abc import Callable

import jax
import numpy as np

from r1jax import files
from r1jax.evaluation.exam import answers, protocol
from r1jax.rewards import format as format_reward
from r1jax.rewards import service
from r1jax.sampling import rollout
from r1jax.train import progress

FIGURES = (
  ('pass@1', 'exam/pass_at_1', '.3f'),
  ('length', 'exam/length', ',.0f'),
  ('truncated', 'exam/truncated', '.2f'),
  ('tok/s', 'exam/tokens_per_s', ',.0f'),
)


class OtherExamError(ValueError):
  """A file holds the replies of an examination with other settings."""


@dataclasses.dataclass(frozen=True)
class Exam:
  """What is asked of whom.

  Attributes:
    title: of the progress bar.
    load: gives the `rollout.Policy`; called when there is something to draw.
    problems: list of `problem.Problem`.
    prompts: `prompts.Prompt` of each.
    proto: `protocol.Protocol`.
    shape: `protocol.Shape`.
    stop_KW: token sequences that end a reply.
    answer: where an answer is looked for, as `service.RewardConfig.answer`.
  """

  title: str
  load: Callable
  problems: list
  prompts: list
  proto: protocol.Protocol
  shape: protocol.Shape
  stop_KW: np.ndarray
  answer: str = 'tags'


def run(exam, path, settings, rewards):
  """Draws and marks what `path` does not hold yet; returns all rows, by question and sample.

  Args:
    exam: `Exam`.
    path: file of samples, written as they come.
    settings: JSON object that decides the draws, the first line of that file.
    rewards: `service.RewardService`.

  Raises:
    OtherExamError: `path` was begun with other settings.
    VerifierFailure: the verifiers fail too often.
  """
  rows = _resume(path, settings, exam.shape)
  # `_resume` keeps whole calls only, so the first question of a call stands for all of it.
  have = {(row['question'], row['sample'] // exam.shape.group) for row in rows}
  calls = exam.shape.calls
  left = [(part, number) for part, number in calls if (part[0], number) not in have]
  done, drawn, began = len(calls) - len(left), 0, time.monotonic()
  bar = progress.Progress(exam.title, len(calls), done, FIGURES)
  # Behind the lines that `_resume` has kept.
  with open(path, 'ab') as file, bar:
    if done:
      bar.print(f'{done} of {len(calls)} calls are in {path}: going on')
    for new in _examined(exam, left, rewards):
      _append(file, new)
      rows += new
      done, drawn = done + 1, drawn + sum(row['tokens'] for row in new)
      # Of this attempt alone: what was there already took none of its time.
      speed = drawn / (time.monotonic() - began)
      bar.update(done, _figures(rows) | {'exam/tokens_per_s': speed})
  return sorted(rows, key=lambda row: (row['question'], row['sample']))


def _examined(exam, calls, rewards):
  """Yields the rows of one call after the other; workers mark one while the next is sampled."""
  # Weights are not read where nothing is left to draw.
  policy, waiting = exam.load() if calls else None, None
  for call in calls:
    drawn = (call, *_draw(exam, policy, call, rewards))
    # The call before: its marks were made while this one was sampled.
    if waiting:
      yield _rows(exam, *waiting)
    waiting = drawn
  if waiting:
    yield _rows(exam, *waiting)


def _draw(exam, policy, call, rewards):
  """(rollout, texts, marks to come) of a call; the last call is filled up with its last prompt."""
  (part, number), shape = call, exam.shape
  # Always as many questions, so that one program is compiled; what fills the call up is dropped.
  filled = (*part, *[part[-1]] * (shape.questions - len(part)))
  # By question and round: what was drawn before, or in another attempt, moves nothing.
  key = jax.random.fold_in(jax.random.key(exam.proto.seed), part[0])
  parts = rollout.run(
    policy,
    protocol.sampling(exam.proto, shape),
    [exam.prompts[i].ids for i in filled],
    shape.limits,
    jax.random.fold_in(key, number),
    exam.stop_KW,
  )
  out = rollout.ordered(parts)
  tokenizer, group = policy.tokenizer, shape.group
  # A prompt may have begun the reply, with `<think>` say; that belongs to what is marked.
  texts = [
    exam.prompts[part[b // group]].prefill + tokenizer.decode(out.completion(b))
    for b in range(len(part) * group)
  ]
  items = [
    service.Item(text, exam.problems[part[b // group]].answer) for b, text in enumerate(texts)
  ]
  return out, texts, rewards.submit(items)


def _rows(exam, call, out, texts, marks):
  (part, number), group, rows = call, exam.shape.group, []
  for b, (text, mark) in enumerate(zip(texts, marks.result())):
    question, verdict = part[b // group], mark.verdicts['accuracy']
    problem = exam.problems[question]
    rows.append(
      {
        'question': question,
        'sample': number * group + b % group,
        'asked': problem.question,
        'expected': answers.expected(problem.answer),
        'kind': str(verdict.kind),
        'why': verdict.why,
        'answer': answers.stated(text, problem.answer, exam.answer),
        'tokens': int(out.length_B[b]),
        'stopped': bool(out.stopped_B[b]),
        'format': format_reward.check(text).score == 1,
        'completion': text,
      }
    )
  return rows


def _figures(rows):
  count = len(rows)
  return {
    'exam/pass_at_1': sum(row['kind'] == 'correct' for row in rows) / count,
    'exam/length': sum(row['tokens'] for row in rows) / count,
    'exam/truncated': sum(not row['stopped'] for row in rows) / count,
  }


def _append(file, rows):
  lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
  # A lone surrogate, which UTF-8 cannot hold, becomes a question mark.
  file.write(''.join(line + '\n' for line in lines).encode('utf-8', 'replace'))
  file.flush()
  # On the disk and not in a cache, as a call may have taken an hour.
  os.fsync(file.fileno())


def _resume(path, settings, shape):
  """Rows of the calls that `path` holds whole; cuts the file to them, or begins it."""
  path = pathlib.Path(path)
  # A file that does not exist yet begins with our settings.
  begun, *rows = files.read_rows(path) or [settings]
  if begun != settings:
    raise OtherExamError(
      f'{path} was begun otherwise ({", ".join(protocol.apart(begun, settings))} differ): give '
      'another --output, or remove it'
    )
  held = {(row['question'], row['sample']): row for row in rows}
  # A torn call is drawn again as a whole: its draws depend on its shape.
  whole = []
  for part, number in shape.calls:
    wanted = [(i, number * shape.group + j) for i in part for j in range(shape.group)]
    if all(one in held for one in wanted):
      whole += [held[one] for one in wanted]
  lines = [json.dumps(row, ensure_ascii=False) for row in (settings, *whole)]
  files.write_atomically(path, ''.join(line + '\n' for line in lines))
  return whole
