"""Scores of sampled answers: pass@1 with an interval, pass@k, majority vote.

R1's evaluation draws k samples per question and averages them (reference §1.9). Samples of one
question are not independent, so every interval here treats the question as the unit.
"""

import collections
import math

import numpy as np

from r1jax.evaluation import intervals


def pass_at_1(correct_PG, counted_PG=None, interval='wilson'):
  """Accuracy averaged over G samples of each of P questions, with its interval.

  The default is the interval that covers best: `python -m benchmarks.interval_coverage`.

  Args:
    correct_PG: bool, or float in [0, 1].
    counted_PG: bool; False leaves out a sample (the verifier failed). A question without any is
      left out.
    interval: 'wilson' with an effective number of answers, or 'bootstrap' over questions.

  Raises:
    ValueError: nothing to count, or a score outside [0, 1].
  """
  rate_P, samples = question_rates(correct_PG, counted_PG)
  return intervals.estimate(rate_P[~np.isnan(rate_P)], samples, interval)


def question_rates(correct_PG, counted_PG=None):
  """(share of correct answers of each question, number of answers); arguments as `pass_at_1`.

  The rate of a question without any counted sample is NaN.
  """
  correct_PG = _matrix(correct_PG)
  counted_PG = (
    np.ones(correct_PG.shape, bool) if counted_PG is None else np.asarray(counted_PG, bool)
  )
  if counted_PG.shape != correct_PG.shape:
    raise ValueError(f'{counted_PG.shape=} differs from {correct_PG.shape=}')
  per_P = counted_PG.sum(1)
  if not per_P.any():
    raise ValueError(f'no sample of {correct_PG.shape} (questions, samples) is counted')
  # A question without counted samples is NaN and not 0: the model was not judged.
  total_P = np.where(counted_PG, correct_PG, 0).sum(1)
  mean_P = np.where(per_P > 0, total_P / np.maximum(per_P, 1), np.nan)
  return mean_P, int(per_P.sum())


def pass_at_k(correct_PG, k, counted_PG=None):
  """Unbiased estimate of the chance that one of k samples is correct (Chen et al. 2021, eq. 1).

  Args:
    correct_PG: bool [questions, samples].
    k: from 1 to G.
    counted_PG: bool; False leaves out a sample (the verifier failed).

  Returns:
    A number from 0 to 1 per question; NaN where fewer than k of its samples are counted.
  """
  correct_PG = _matrix(correct_PG)
  samples = correct_PG.shape[1]
  if not 1 <= k <= samples:
    raise ValueError(f'pass@{k} needs 1 <= k <= {samples} samples per question')
  counted_PG = np.ones(correct_PG.shape, bool) if counted_PG is None else counted_PG
  total_P = counted_PG.sum(1).tolist()
  right_P = (correct_PG * counted_PG).sum(1).round().astype(int)
  wrong_P = (counted_PG.sum(1) - right_P).tolist()
  # 1 - C(wrong, k) / C(n, k), the chance that k samples drawn without replacement are not all
  # wrong; whole numbers up to the division, so that nothing rounds before it.
  chance = lambda wrong, total: 1 - math.comb(wrong, k) / math.comb(total, k)
  each = zip(wrong_P, total_P)
  return np.array([chance(wrong, total) if total >= k else np.nan for wrong, total in each])


def cons_at_k(answers, correct, k):
  """Accuracy of the majority answer among the first k samples of each question (R1's cons@64).

  Args:
    answers: per question, the sampled answers in a form in which equal means same; None for no
      answer, which has no vote.
    correct: per question, whether each of them is correct.
    k: number of samples that vote; every question needs as many.

  Returns:
    A number from 0 to 1 per question. Answers that tie share the question, so that the order of
    samples has no part.
  """
  scores = []
  for texts, verdicts in zip(answers, correct, strict=True):
    if len(texts) < k or len(verdicts) < k:
      raise ValueError(
        f'cons@{k} of a question with {len(texts)} answers, {len(verdicts)} verdicts'
      )
    # Only answers vote: many replies without one do not outvote a single answer.
    votes = collections.Counter(text for text in texts[:k] if text is not None)
    # All that tie for most votes; the mean over them is taken below, 0 where nobody voted.
    top = [text for text, count in votes.items() if count == max(votes.values())]
    right = [bool(verdicts[texts.index(text)]) for text in top]
    scores.append(np.mean(right) if right else 0.0)
  return np.array(scores)


def _matrix(correct_PG):
  correct_PG = np.asarray(correct_PG, float)
  if correct_PG.ndim != 2 or not correct_PG.size:
    raise ValueError(f'scores need shape [questions, samples], not {correct_PG.shape}')
  if not ((correct_PG >= 0) & (correct_PG <= 1)).all():
    raise ValueError(f'scores lie in [0, 1], not in [{correct_PG.min()}, {correct_PG.max()}]')
  return correct_PG
