"""Optional shaping of the reward: repetition and length, each a score in [0, 1] to be weighted.

R1-Zero has neither; they are options known from open reproductions (reference section 4.3).
"""

import re

from r1jax.rewards.verdict import Kind, Verdict

LONGEST_READ = 200_000  # characters; repetition is judged on the last part beyond
_TOKEN = re.compile(r'[^\W_]+', re.UNICODE)
_CJK = re.compile('[\u3400-\u9fff]')


def repetition(completion, n=6):
  """Share (0 to 1) of the word n-grams of `completion` that are distinct; 1 when it has fewer than
  n words.
  """
  if n < 1:
    raise ValueError(f'{n=} words make no n-gram')
  words = _words(completion[-LONGEST_READ:])
  total = len(words) - n + 1
  if total < 1:
    long_run = _longest_run(completion[-LONGEST_READ:])
    return _judged(1.0 if long_run < 100 else 0.0, f'one character {long_run} times')
  share = len({tuple(words[i : i + n]) for i in range(total)}) / total
  return _judged(share, f'{share:.0%} of {n}-grams are distinct')


def length(tokens, limit, buffer):
  """Soft overlong penalty in tokens (DAPO, reference section 4.3): 1 up to `limit - buffer`, 0 at
  `limit`.
  """
  if not 0 < buffer <= limit:
    raise ValueError(f'{buffer=} must lie in (0, {limit=}]')
  score = min(1.0, max(0.0, (limit - tokens) / buffer))
  return _judged(score, f'{tokens} of {limit} tokens')


def _words(text):
  return [
    piece
    for word in _TOKEN.findall(text.lower())
    for piece in (word if _CJK.search(word) else (word,))
  ]


def _longest_run(text):
  return max((len(run.group()) for run in re.finditer(r'(.)\1*', text, re.S)), default=0)


def _judged(score, why):
  return Verdict(score, Kind.CORRECT if score >= 0.5 else Kind.WRONG, why)
