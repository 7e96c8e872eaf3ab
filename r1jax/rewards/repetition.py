"""The repetition reward: the share of word n-grams that are distinct.

R1-Zero has none; it is an option known from open reproductions (reference §4.3).
"""

import re

from r1jax.rewards.verdict import Kind, Verdict

LONGEST_READ = 200_000  # characters; repetition is judged on the last part beyond
# A word or a number. Yes: `cat`, `42`, `数学`. No: `_`, `...`.
_TOKEN = re.compile(r'[^\W_]+', re.UNICODE)
# A sign of Chinese, each of which is a word. Yes: `数`. No: `の`, `a`.
_CJK = re.compile('[\u3400-\u9fff]')


def check(completion, n=6):
  """Verdict whose score is the share (0 to 1) of distinct word n-grams; 1 below n words.

  Fewer than n words that repeat one character a hundred times score 0.
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


def _words(text):
  """Words of `text` in lower case, a run of Chinese as one word per sign."""
  return [
    piece
    for word in _TOKEN.findall(text.lower())
    for piece in (word if _CJK.search(word) else (word,))
  ]


def _longest_run(text):
  # A sign and all that repeat it. Yes: `aaa` and `b` of `aaab`. No: an empty text.
  runs = re.finditer(r'(.)\1*', text, re.S)
  return max((len(run.group()) for run in runs), default=0)


def _judged(score, why):
  return Verdict(score, Kind.CORRECT if score >= 0.5 else Kind.WRONG, why)
