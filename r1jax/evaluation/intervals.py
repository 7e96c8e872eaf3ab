"""How sure a mean over questions is: intervals, and the paired test between two models.

The question is the unit everywhere: samples of one question are not independent. How often each
interval holds the truth is simulated by `python -m benchmarks.interval_coverage`.
"""

import dataclasses
import math

import numpy as np
import scipy.special

RESAMPLES = 10_000
SIGNIFICANT = 0.05
KINDS = ('wilson', 'bootstrap')
# Of a question. Chosen by simulation: less covers 30 questions nearly all solved too rarely, twice
# as much covers those that are all alike too often.
_UNSEEN = 0.05
_AT_ONCE = 500  # resamples drawn together, which bounds the memory
_EXACT = 14  # questions that differ, up to which all sign flips are counted


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A mean over questions with its 95 % confidence interval (`low`, `high`), and from how much."""

  mean: float
  low: float
  high: float
  questions: int
  samples: int

  def __str__(self):
    return f'{self.mean:.1%} [{100 * self.low:.1f}, {100 * self.high:.1f}]'

  def as_json(self):
    """The object that files hold wherever an estimate stands."""
    return {
      'mean': self.mean,
      'ci95': [self.low, self.high],
      'questions': self.questions,
      'samples': self.samples,
    }


@dataclasses.dataclass(frozen=True)
class Difference:
  """Mean of A's question rates minus B's, its 95 % interval, and the p value of "no difference"."""

  mean: float
  low: float
  high: float
  p: float
  questions: int

  @property
  def significant(self):
    """Whether chance alone would give such a difference less than 5 times in 100."""
    return self.p < SIGNIFICANT

  @property
  def verdict(self):
    """What the interval allows to say of A beside B."""
    return 'higher' if self.low > 0 else 'lower' if self.high < 0 else 'no difference shown'

  def as_json(self):
    """The object that files hold."""
    return {'mean': self.mean, 'ci95': [self.low, self.high], 'verdict': self.verdict}


def estimate(rate_P, samples, kind='wilson'):
  """The mean of question rates, `samples` answers in all, with the interval of that kind."""
  rate_P = np.asarray(rate_P, float)
  if kind not in KINDS:
    raise ValueError(f'interval {kind!r} is none of {", ".join(KINDS)}')
  low, high = wilson(rate_P, samples) if kind == 'wilson' else bootstrap(rate_P)
  return Estimate(float(rate_P.mean()), low, high, len(rate_P), samples)


def wilson(rate_P, samples):
  """Wilson's interval of a mean of rates with as many answers as their spread is worth.

  The number of independent answers is p(1-p)/se^2, se being the standard error between questions,
  and the quantile Student's for P-1. Where nearly all questions agree their spread is mostly
  unseen, so a little of a solved and of an unsolved question (`_UNSEEN`) counts in it. The interval
  stays inside [0, 1] and keeps a width where all agree.
  """
  questions, p = len(rate_P), rate_P.mean()
  q = (rate_P.sum() + _UNSEEN) / (questions + 2 * _UNSEEN)
  unseen = _UNSEEN * (q**2 + (1 - q) ** 2)
  squares = ((rate_P - q) ** 2).sum() + unseen
  alike = squares / (questions - 1 + 2 * _UNSEEN) / (q * (1 - q))
  # Samples of a question agree at least as much as independent ones and at most wholly.
  n = np.clip(questions / alike, questions, samples)
  z = scipy.special.stdtrit(questions - 1, 0.975) if questions > 1 else math.inf
  # A single question says nothing of others.
  if math.isinf(z):
    return 0.0, 1.0
  # Both ends q solve (p - q)^2 = z^2 q (1 - q) / n, Wilson's equation.
  middle = (p + z * z / (2 * n)) / (1 + z * z / n)
  spread = math.sqrt(p * (1 - p) / n + (z / (2 * n)) ** 2)
  half = z / (1 + z * z / n) * spread
  return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def bootstrap(rate_P, resamples=RESAMPLES, seed=0):
  """Percentile bootstrap over questions: ends of the middle 95 % of resampled means."""
  questions = len(rate_P)
  means = [weights @ rate_P for weights in resampled(questions, resamples, seed)]
  low, high = np.quantile(np.concatenate(means), (0.025, 0.975))
  return float(low), float(high)


def resampled(questions, resamples, seed=0):
  """Yields how much each question weighs in resampled sets, arrays [resamples, questions]."""
  rng, left = np.random.default_rng(seed), resamples
  while left:
    count = min(left, _AT_ONCE)
    yield rng.multinomial(questions, np.full(questions, 1 / questions), count) / questions
    left -= count


def ratio(first_P, second_P, resamples=RESAMPLES, seed=0):
  """(share, low, high): A's mean rate as a share of B's on the same questions, with the ends of the
  middle 95 % of resampled shares; None where B answers nothing.
  """
  first_P, second_P = np.asarray(first_P, float), np.asarray(second_P, float)
  if not second_P.any():
    return None
  shares = []
  for weights in resampled(len(first_P), resamples, seed):
    # A resample in which B answers nothing has no share.
    below = weights @ second_P
    shares.append((weights @ first_P)[below > 0] / below[below > 0])
  low, high = np.quantile(np.concatenate(shares), (0.025, 0.975))
  return float(first_P.mean() / second_P.mean()), float(low), float(high)


def paired(first_P, second_P, draws=20_000, seed=0):
  """Whether A's question rates differ from B's on the same questions: a `Difference`.

  The p value is that of a permutation test: were there no difference, each question's could as well
  have the other sign. All sign flips are counted where few questions differ, else `draws` random
  ones. The interval is Student's.

  Raises:
    ValueError: not the same number of questions, or none.
  """
  gap_P = np.asarray(first_P, float) - np.asarray(second_P, float)
  questions = len(gap_P)
  if not questions:
    raise ValueError('no questions to compare on')
  mean, low, high = float(gap_P.mean()), -1.0, 1.0
  if questions > 1:
    half = half_width(gap_P)
    low, high = max(-1.0, mean - half), min(1.0, mean + half)
  return Difference(mean, low, high, _flipped(gap_P[gap_P != 0], draws, seed), questions)


def half_width(values):
  """Half the width of Student's 95 % interval of the mean of at least two values."""
  error = np.std(values, ddof=1) / math.sqrt(len(values))
  return float(scipy.special.stdtrit(len(values) - 1, 0.975) * error)


def rank_correlation(first, second):
  """Spearman's correlation of two equally long series; ties share their mean rank.

  Returns None where it is undefined: fewer than two points, or a constant series.
  """
  first, second = np.asarray(first, float), np.asarray(second, float)
  if first.shape != second.shape or first.ndim != 1:
    raise ValueError(f'{first.shape=} and {second.shape=} are not two series of one length')
  if not (np.isfinite(first).all() and np.isfinite(second).all()):
    raise ValueError('a series to rank has a value that is not finite')
  if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
    return None
  from scipy import stats  # takes half a second to import, which only the end of a run pays

  return float(stats.spearmanr(first, second).statistic)


def _flipped(gap_P, draws, seed):
  """Share of sign flips whose sum is at least as far from 0 as the one seen."""
  # Flips whose sum differs by rounding alone are as far out as the one seen.
  seen = abs(gap_P.sum()) - 1e-9
  if len(gap_P) <= _EXACT:
    # Bit i of a number below 2^n is the sign of question i: all choices of signs.
    bits = np.arange(1 << len(gap_P))[:, None] >> np.arange(len(gap_P))
    sign_RP = 1 - 2 * (bits & 1)
    return float((np.abs(sign_RP @ gap_P) >= seen).mean())
  rng, hits = np.random.default_rng(seed), 0
  for _ in range(draws // _AT_ONCE):
    flips = 1 - 2 * rng.integers(0, 2, (_AT_ONCE, len(gap_P)), np.int8)
    hits += int((np.abs(flips @ gap_P) >= seen).sum())
  # The signs as they were seen count as one draw, so p is never 0.
  return (1 + hits) / (1 + draws // _AT_ONCE * _AT_ONCE)
