"""A model's report card: accuracy by domain, language, readability, length, with intervals."""

import numpy as np
import scipy.special

from r1jax.algorithms import rejection
from r1jax.evaluation import passk, reading


def figures(answers, readable):
  """The figures of one model on held-out questions.

  Args:
    answers: `heldout.Answers`.
    readable: `rejection.FilterConfig` by which a reply counts as readable.

  Returns:
    dict that JSON holds: `accuracy`, `readability` and each of `domains` and `languages` as
    {mean, low, high, questions, samples}; `language` (mean consistency), `mixed`, `length`
    (tokens), `truncated`, `format`, `wait` and `reflection` (words a reply); `rates`, the accuracy
    of each question (None where its verifier failed), for paired comparisons.
  """
  targets = [problem.language for problem in answers.problems for _ in range(answers.samples)]
  scores = answers.scores
  good_PG = answers.by_question([not why for why in _faults(answers, targets, readable)])
  found = {
    'accuracy': estimate(answers.correct_PG, answers.counted_PG),
    'readability': estimate(good_PG),
    'format': float(np.mean([s.verdicts['format'].score for s in scores])),
    'length': float(answers.length_B.mean()),
    'truncated': float(1 - answers.stopped_B.mean()),
    'rates': _rates(answers),
    'domains': _split(answers, [problem.kind for problem in answers.problems]),
    'languages': _split(answers, [problem.language for problem in answers.problems]),
  }
  return found | reading.figures(answers.texts, targets)


def estimate(correct_PG, counted_PG=None):
  """Mean over questions with its interval, as JSON holds it."""
  found = passk.pass_at_1(correct_PG, counted_PG)
  return {
    'mean': found.mean,
    'low': found.low,
    'high': found.high,
    'questions': found.questions,
    'samples': found.samples,
  }


def _rates(answers):
  counted_P = answers.counted_PG.sum(1)
  right_P = np.where(answers.counted_PG, answers.correct_PG, 0).sum(1)
  return [float(r / n) if n else None for r, n in zip(right_P.tolist(), counted_P.tolist())]


def difference(before, after):
  """Mean change of accuracy between two cards on the same questions, with its 95 % interval.

  Args:
    before, after: `rates` of two cards.

  Returns:
    (mean, low, high): Student's interval over questions, which are the unit.

  Raises:
    ValueError: the cards are not about equally many questions.
  """
  pairs = [(a, b) for a, b in zip(before, after, strict=True) if a is not None and b is not None]
  change_P = np.array([b - a for a, b in pairs])
  if len(change_P) < 2:
    return (float(change_P.mean()) if len(change_P) else 0.0, -1.0, 1.0)
  error = change_P.std(ddof=1) / len(change_P) ** 0.5
  half = float(scipy.special.stdtrit(len(change_P) - 1, 0.975) * error)
  mean = float(change_P.mean())
  return mean, max(-1.0, mean - half), min(1.0, mean + half)


def verdict(low, high):
  """What an interval of a difference allows to say."""
  return 'higher' if low > 0 else 'lower' if high < 0 else 'no difference shown'


def _split(answers, labels):
  """Accuracy of the questions of each label."""
  labels_P = np.array(labels)
  return {
    label: estimate(answers.correct_PG[labels_P == label], answers.counted_PG[labels_P == label])
    for label in sorted(set(labels))
    if answers.counted_PG[labels_P == label].any()
  }


def _faults(answers, targets, cfg):
  for b, text in enumerate(answers.texts):
    candidate = rejection.Candidate(
      answers.problems[b // answers.samples].question,
      text,
      targets[b],
      int(answers.length_B[b]),
      bool(answers.stopped_B[b]),
      correct=True,
    )
    yield rejection.unreadable(candidate, cfg)
