"""A model's report card: accuracy by domain, language, readability, length, with intervals."""

import numpy as np

from r1jax.algorithms import filtering
from r1jax.evaluation import intervals, language, passk

# Where no question counts in both cards nothing is known of their difference.
_UNKNOWN = intervals.Difference(0.0, -1.0, 1.0, 1.0, 0)


def figures(answers, readable):
  """The figures of one model on held-out questions.

  Args:
    answers: `replies.Replies`.
    readable: `filtering.FilterConfig` by which a reply counts as readable.

  Returns:
    dict that JSON holds: `accuracy`, `readability` and each of `domains` and `languages` as
    {mean, ci95, questions, samples}; `language` (mean consistency), `mixed`, `length`
    (tokens), `truncated`, `format`, `wait` and `reflection` (words a reply); `rates`, the accuracy
    of each question (None where its verifier failed), for paired comparisons.
  """
  good_PG = answers.by_problem([not fault for fault in _faults(answers, readable)])
  card = {
    'accuracy': passk.pass_at_1(answers.correct_PG, answers.valid_PG).as_json(),
    'readability': passk.pass_at_1(good_PG).as_json(),
    'format': float(np.mean([score.verdicts['format'].score for score in answers.scores])),
    'length': float(answers.length_B.mean()),
    'truncated': float(1 - answers.stopped_B.mean()),
    # By question, as two models are compared in pairs of answers to the same one.
    'rates': _rates(answers),
    'domains': _split(answers, [problem.kind for problem in answers.problems]),
    'languages': _split(answers, [problem.language for problem in answers.problems]),
  }
  return card | language.figures(answers.texts, answers.languages)


def _rates(answers):
  counted_P = answers.valid_PG.sum(1)
  right_P = np.where(answers.valid_PG, answers.correct_PG, 0).sum(1)
  both = zip(right_P.tolist(), counted_P.tolist())
  return [float(right / counted) if counted else None for right, counted in both]


def difference(before, after):
  """How accuracy changed between two cards on the same questions, an `intervals.Difference`.

  Args:
    before, after: `rates` of two cards.

  Raises:
    ValueError: the cards are not about equally many questions.
  """
  pairs = [pair for pair in zip(after, before, strict=True) if None not in pair]
  return intervals.paired(*zip(*pairs)) if pairs else _UNKNOWN


def _split(answers, labels):
  """Accuracy of the questions of each label."""
  # A label none of whose questions was judged is left out, as it has no accuracy.
  labels_P = np.array(labels)
  return {
    label: passk.pass_at_1(
      answers.correct_PG[labels_P == label], answers.valid_PG[labels_P == label]
    ).as_json()
    for label in sorted(set(labels))
    if answers.valid_PG[labels_P == label].any()
  }


def _faults(answers, cfg):
  """Why each reply is not readable; '' where it is."""
  for b, text in enumerate(answers.texts):
    # `correct` is given, so that a wrong answer is no fault of form: accuracy stands beside this.
    candidate = filtering.Candidate(
      answers.asked(b).question,
      text,
      answers.asked(b).language,
      int(answers.length_B[b]),
      bool(answers.stopped_B[b]),
      correct=True,
    )
    yield filtering.unreadable(candidate, cfg)
