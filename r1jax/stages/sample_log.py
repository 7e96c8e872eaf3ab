"""`samples/`: every reply of some rollouts and examinations, for a person to read.

`step_000010.jsonl` holds the replies of the rollout taken at update 10, a row each with what was
asked, what was expected and why it earned what it did; `heldout_000010.jsonl` those of the
examination after it. What is told token by token stands in the same order in a compressed file of
NumPy beside it, `step_000010.npz`, so that the rows stay readable.
"""

import dataclasses
import io
import json
import math
import pathlib

import jax
import numpy as np

from r1jax import files
from r1jax.data import prompts
from r1jax.evaluation.exam import answers
from r1jax.stages import sample_files

_MIB = 1 << 20
_ROW = 700  # bytes of a row beside its texts, about
_TOKEN = 16  # bytes per token: its id, two log-probabilities, where its text ends
_SHARE = 4  # one step takes at most this part of the space
_UNFINISHED = 16  # tokens that one character may be spread over before it is given up


@dataclasses.dataclass(frozen=True)
class Learned:
  """What training adds to the replies of a rollout.

  Attributes:
    advantage_B: of each reply, after group normalisation.
    trainer_logp_BT: log-probability of each token by the trainer, in nats.
    version: updates of the weights that sampled them.
  """

  advantage_B: np.ndarray
  trainer_logp_BT: np.ndarray
  version: int


@dataclasses.dataclass(frozen=True)
class Log:
  """Where and how the replies of one run are written.

  Attributes:
    workdir: folder of the run.
    form: the `prompts.Form` by which the model is asked.
    answer: `reward.answer`, where the final answer of a reply stands.
    mib: most MiB of all files together.
  """

  workdir: pathlib.Path
  form: prompts.Form
  answer: str
  mib: int

  def write(self, name, step, replies, learned=None):
    """Writes both files of a step, then thins out what lies between the first step and this one.

    Args:
      name: `sample_files.ROLLOUT` or `HELDOUT`.
      step: updates that were complete.
      replies: `replies.Replies`. Of those that alone would take more than a quarter of the space,
        groups are left out evenly.
      learned: `Learned`; None where nothing was trained on them.

    Returns:
      The path of the rows, or None on processes other than the first: all hold the same replies.
    """
    if jax.process_index() != 0:
      return None
    chosen = self._groups(replies)
    numbers = [p * replies.group + g for p in chosen for g in range(replies.group)]
    path = pathlib.Path(self.workdir) / sample_files.FOLDER / f'{name}_{step:06d}.jsonl'
    # Tokens first: where the rows are, their tokens are too.
    files.write_atomically(path.with_suffix('.npz'), self._tokens(replies, numbers, learned))
    rows = (self._row(step, index, b, replies, learned) for index, b in enumerate(numbers))
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
    files.write_atomically(path, ''.join(f'{line}\n' for line in lines))
    sample_files.thin(path.parent, self.mib * _MIB)
    return path

  def _groups(self, replies):
    """Numbers of the questions whose replies are written."""
    texts = sum(len(text.encode()) for text in replies.texts)
    asked = sum(len(prompt) for prompt in replies.rollout.prompts) * replies.group * 4
    tokens = int(replies.length_B.sum()) * _TOKEN
    size = texts + asked + tokens + _ROW * len(replies.texts)
    count = len(replies.problems)
    fit = int(count * min(1.0, self.mib * _MIB / _SHARE / size))
    evenly = np.linspace(0, count - 1, max(1, fit))
    return np.unique(evenly.astype(int)).tolist()

  def _row(self, step, index, b, replies, learned):
    """One reply as a JSON object, what a reader looks for first."""
    problem, reward = replies.asked(b), replies.scores[b]
    row = {
      'step': step,
      'index': index,
      'group': b // replies.group,
      'sample': b % replies.group,
      'question': problem.question,
      'kind': problem.kind,
      'language': problem.language,
      'expected': answers.expected(problem.answer),
      'extracted': extracted(replies.texts[b], problem.answer, self.answer),
      'rewards': {
        name: {'score': verdict.score, 'kind': str(verdict.kind), 'why': verdict.why}
        for name, verdict in reward.verdicts.items()
      },
      'reward': _number(reward.total) if reward.scored else None,
      'length': int(replies.length_B[b]),
      'truncated': not replies.stopped_B[b],
    }
    if learned:
      with np.errstate(invalid='ignore'):  # two infinities have no difference
        gap_T = np.abs(_cut(learned.trainer_logp_BT, b, replies) - _logp(b, replies))
      row |= {
        'advantage': _number(learned.advantage_B[b]),
        'version': learned.version,
        'logp_gap_mean': _number(gap_T.mean()),
        'logp_gap_max': _number(gap_T.max()),
      }
    prompt = self.form.tokenizer.decode(replies.rollout.prompts[b // replies.group])
    return row | {'completion': replies.texts[b], 'prompt': prompt}

  def _tokens(self, replies, numbers, learned):
    """The bytes of the compressed file, see `sample_files.Tokens`."""
    ids, known = [replies.rollout.completion(b) for b in numbers], {}
    decode = self.form.tokenizer.decode
    arrays = {
      'first': np.cumsum([0, *map(len, ids)]).astype(np.int64),
      'token': np.concatenate(ids).astype(np.int32),
      'text_end': np.concatenate(
        [text_ends(decode, one, replies.texts[b], known) for b, one in zip(numbers, ids)]
      ),
      'sampler_logp': np.concatenate([_logp(b, replies) for b in numbers]),
    }
    if learned:
      cut = [_cut(learned.trainer_logp_BT, b, replies) for b in numbers]
      arrays['trainer_logp'] = np.concatenate(cut)
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def extracted(completion, answer, where):
  """The final answer that was read from a completion, None without one.

  Args:
    completion: text.
    answer: of its problem.
    where: `reward.answer`.
  """
  stated = answers.stated(completion, answer, where)
  return None if stated is None else stated.strip()


def text_ends(decode, ids, text, known=None):
  """Characters of `text` up to the end of each token, int32 [T]; the last one is all of it.

  Args:
    decode: ids -> text.
    ids: int [T], at least one.
    text: what they decode to, perhaps behind a thought that the prompt has opened.
    known: dict that remembers what few ids in a row decode to; for many replies give all the same.
  """
  known, ids = {} if known is None else known, tuple(map(int, ids))
  # The same pairs of tokens come again and again, and to decode one is slow.
  few = lambda some: known[some] if some in known else known.setdefault(some, decode(some))
  # Behind what the prompt has opened.
  at = len(text) - len(decode(ids))
  ends, before, done = [], 0, 0
  for number in range(1, len(ids) + 1):
    # Decoded behind the token before it: alone, some tokenizers drop its leading space.
    old, new = few(ids[before:done]), few(ids[before:number])
    # A character may be spread over tokens; until its last one it is a replacement sign.
    whole = len(new) > len(old) and not new.endswith('\ufffd')
    if whole or number - done > _UNFINISHED:
      at += len(new) - len(old)
      before, done = done, number
    ends.append(at)
  ends[-1] = len(text)
  return np.minimum(ends, len(text)).astype(np.int32)


def _logp(b, replies):
  return _cut(replies.rollout.logp_BT, b, replies)


def _cut(values_BT, b, replies):
  """Of reply `b` the values of its tokens, float32."""
  return np.asarray(values_BT[b, : replies.length_B[b]], np.float32)


def _number(scalar):
  """Shortest decimal that gives the same float32 back; None for what JSON lacks."""
  # str() of a NumPy float32 has as few digits as it needs; float() would show those of a double.
  number = float(str(np.float32(scalar)))
  return number if math.isfinite(number) else None
