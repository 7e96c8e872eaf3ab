"""What is kept of a model's own samples: right, readable, new, no held-out question (R1 §2.3.3).

The paper names the filters (mixed languages, long paragraphs, code blocks, repetition) and gives no
thresholds; those here are ours.
"""

import collections
import dataclasses
import re

from r1jax import ranges
from r1jax.data import splits, template
from r1jax.rewards import language, repetition

# A Chinese or Japanese sign, a run of letters and digits, or one sign of punctuation.
# '猫吃, x1' gives 猫, 吃, ',' and x1; ' ' and '_' give nothing.
_SIGN = re.compile('[\u3400-\u9fff\u3041-\u30ff]|[^\\W_]+|[^\\w\\s]')
_CODE = '```'


@dataclasses.dataclass(frozen=True)
class FilterConfig:
  """Thresholds of the filters; a reply must pass all of them.

  Attributes:
    language: least share of the thought's words that are in the question's language.
    distinct: least share of the reply's 6-grams of words that are distinct.
    longest: most tokens of a reply; 0 for as many as were sampled.
    paragraph: most words of one paragraph of the thought; 0 for any number.
    ngram: words in a row that, shared with a held-out text, contaminate a question; the paper's 10.
    tags: whether a reply must be R1-Zero's two blocks; False for models that were asked otherwise,
      whose whole reply then is the thought.
  """

  language: ranges.Share = 0.95
  distinct: ranges.Share = 0.6
  longest: ranges.Size = 0
  paragraph: ranges.Size = 0
  ngram: ranges.Count = 10
  tags: bool = True

  def __post_init__(self):
    ranges.check(self)


@dataclasses.dataclass(frozen=True)
class Candidate:
  """A sampled reply and what is known of it.

  Attributes:
    question: text; reply: text with its tags.
    language: of the question, 'en' or 'zh'.
    tokens: length of the reply.
    stopped: whether it ended by itself.
    correct: whether its answer is right.
    scored: False where the verifier failed.
  """

  question: str
  reply: str
  language: str
  tokens: int
  stopped: bool
  correct: bool
  scored: bool = True


def fault(candidate, cfg):
  """Why a reply is dropped, in two words; '' where it is kept."""
  if not candidate.scored:
    return 'not scored'
  if not candidate.correct:
    return 'wrong answer'
  return unreadable(candidate, cfg)


def unreadable(candidate, cfg):
  """Why a reply can't be shown to a reader, whatever its answer; '' where it can."""
  thought = candidate.reply
  if cfg.tags:
    reply = template.parse(candidate.reply)
    if not reply.well_formed:
      return 'wrong format'
    thought = reply.thought
  if not candidate.stopped or (cfg.longest and candidate.tokens > cfg.longest):
    return 'too long'
  if repetition.check(candidate.reply).score < cfg.distinct:
    return 'repetition'
  # A thought without words has no language to be wrong in.
  ours, words = language.count(thought, candidate.language)
  if ours < cfg.language * words:
    return 'mixed language'
  if _CODE in thought:
    return 'code block'
  # Paragraphs are parted by an empty line, spaces on it or not.
  longest = max(len(_words(part)) for part in re.split(r'\n\s*\n', thought))
  return 'long paragraph' if cfg.paragraph and longest > cfg.paragraph else ''


class Heldout:
  """n-grams of the held-out texts; a text of fewer than n words counts as one n-gram."""

  def __init__(self, texts, n):
    """`texts` are questions, and solutions where there are any."""
    self.n = n
    self._grams = {gram for text in texts for gram in self._of(text)}

  def contains(self, text):
    """Whether `text` shares an n-gram with a held-out text."""
    return any(gram in self._grams for gram in self._of(text))

  def _of(self, text):
    words = _words(text)
    # A text shorter than n words is one gram, or short questions would never be found.
    starts = range(max(1, len(words) - self.n + 1))
    return [tuple(words[i : i + self.n]) for i in starts]


class Sieve:
  """Takes candidates one by one, keeps those without a fault, and counts what it drops."""

  def __init__(self, cfg, heldout, most_per_question=0):
    """`heldout` is a `Heldout`; of one question at most `most_per_question` are kept (0: all)."""
    self.cfg, self.heldout, self.most = cfg, heldout, most_per_question
    self.dropped, self.kept = collections.Counter(), 0
    self._seen, self._questions = set(), collections.Counter()

  def keep(self, candidate):
    """Whether the candidate is kept; the reason otherwise is counted in `dropped`."""
    why = fault(candidate, self.cfg) or self._against_the_others(candidate)
    if why:
      self.dropped[why] += 1
      return False
    self.kept += 1
    # Only what is kept makes a later one a duplicate.
    self._seen.add(self._identity(candidate))
    self._questions[splits.canonical(candidate.question)] += 1
    return True

  def figures(self):
    """Counts of what was kept and dropped, by reason."""
    dropped = {f'dropped: {why}': n for why, n in sorted(self.dropped.items())}
    return {'kept': self.kept} | dropped

  def _against_the_others(self, candidate):
    if self.heldout.contains(candidate.question) or self.heldout.contains(candidate.reply):
      return 'contaminated'
    if self._identity(candidate) in self._seen:
      return 'duplicate'
    if self.most and self._questions[splits.canonical(candidate.question)] >= self.most:
      return 'enough of the question'
    return ''

  def _identity(self, candidate):
    return splits.canonical(candidate.question), splits.canonical(candidate.reply)


def _words(text):
  """Words, single Chinese signs and single other signs of a text, lower case."""
  return _SIGN.findall(text.lower())
