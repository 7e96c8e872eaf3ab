"""Documents about the tiny world as a base model meets them on the web, training questions only.

Most answer at once and are often wrong, some work step by step, some correct themselves, and few
write the tags of the template.
"""

import dataclasses
import re

import numpy as np

from r1jax import ranges
from r1jax.data import template
from r1jax.data.problem import Problem
from r1jax.data.tasks import general, general_files, phrases, thoughts, tiny_world

GENERAL = 'general'  # style of the documents about general requests
_STREAM = 3  # keeps the documents' questions apart from `tiny_world.problem` of the same seed
_WEB_HEAD, _WEB_TAIL = 'Question: ', '. Answer:'
# Yes: `7` of `3 + 4 = 7`. No: `so the answer is 7.`, `the first is 2 so`.
_LAST_NUMBER = re.compile(r'\d+$')


@dataclasses.dataclass(frozen=True)
class CorpusConfig:
  """What the documents look like; the five style shares need not sum to 1.

  Attributes:
    world: the questions asked.
    bare: share of replies that are an answer and nothing else.
    tagged: share of replies in the template's tags around a thought without content.
    worked: share of replies worked out without tags.
    worked_tagged: share of replies worked out inside the tags.
    corrected: share of replies worked out inside the tags that take one step back.
    right: how often an answer given at once is right.
    web_form: share of documents that ask in a plain web form instead of the R1-Zero template.
    connected: whether worked solutions introduce each line by a word and end in a conclusion, which
      is what shows the language of a thought.
    other, switching: shares of thoughts in the language that the question is not in, and of those
      that begin in one language and go on in the other from some line on.
    requested: share of documents about general requests.
    requested_right: how often their reply is the one that is wanted; of others a harmful request is
      complied with, and a reply to a benign one has a flaw.
    requests: the general requests.
  """

  world: tiny_world.WorldConfig = dataclasses.field(default_factory=tiny_world.WorldConfig)
  bare: ranges.Share = 0.40
  tagged: ranges.Share = 0.25
  worked: ranges.Share = 0.15
  worked_tagged: ranges.Share = 0.12
  corrected: ranges.Share = 0.08
  right: ranges.Share = 0.35
  web_form: ranges.Share = 0.15
  connected: bool = False
  other: ranges.Share = 0.0
  switching: ranges.Share = 0.0
  requested: ranges.Share = 0.0
  requested_right: ranges.Share = 0.5
  requests: general.GeneralConfig = dataclasses.field(default_factory=general.GeneralConfig)

  def __post_init__(self):
    ranges.check(self)
    styles = ', '.join(f'{{{name}}}' for name in STYLES)
    ranges.require(
      self, sum(getattr(self, name) for name in STYLES) > 0, f'{styles}: one must be above 0'
    )
    ranges.require(
      self,
      self.other + self.switching <= (1 if self.connected else 0),
      '{other} and {switching} are over 1 together, or above 0 with {connected}: only thoughts '
      'with connecting words have a language',
    )


@dataclasses.dataclass(frozen=True)
class Document:
  """A prompt and a reply that starts with one space; `problem` is the question that it is about.

  Of a general request the problem's answer is the reply that is wanted.
  """

  prompt: str
  reply: str
  style: str
  problem: Problem

  @property
  def text(self):
    """The document as it stands in the corpus."""
    return self.prompt + self.reply


def document(seed, index, cfg=None):
  """Document number `index` (>= 0) of `seed` (>= 0), always the same one."""
  cfg = cfg or CorpusConfig()
  rng = np.random.default_rng((seed, index, _STREAM))
  # Nothing is drawn where no requests are wanted, so that older corpora stay as they are.
  if cfg.requested and rng.random() < cfg.requested:
    asked, reply = _general(rng, cfg)
    return Document(_prompt(rng, cfg, asked.question), f' {reply}', GENERAL, asked)
  # Only training questions: a base that has seen a held-out one would prove nothing.
  asked = tiny_world.sample(rng, cfg.world, tiny_world.TRAIN)
  # By shares, which need not sum to 1.
  edges = np.cumsum([getattr(cfg, style) for style in STYLES])
  at = np.searchsorted(edges, rng.random() * edges[-1], side='right')
  style = STYLES[int(at)]
  prompt = _prompt(rng, cfg, asked.question)
  return Document(prompt, f' {_REPLIES[style](rng, asked, cfg)}', style, asked)


def _prompt(rng, cfg, question):
  if rng.random() < cfg.web_form:
    return f'{_WEB_HEAD}{question}{_WEB_TAIL}'
  return template.render(question)


@dataclasses.dataclass(frozen=True)
class Corpus:
  """`size` documents as a random-access source (`len`, `[i]`), computed when asked for."""

  seed: int
  size: int
  cfg: CorpusConfig = dataclasses.field(default_factory=CorpusConfig)

  def __len__(self):
    return self.size

  def __getitem__(self, index):
    if not 0 <= index < self.size:
      raise IndexError(f'document {index} of {self.size}')
    return document(self.seed, int(index), self.cfg)


def question_of(text):
  """The question that a document of this corpus asks; ValueError for a text of no known form."""
  for head, tail in ((template.TEMPLATE_HEAD, template.TEMPLATE_TAIL), (_WEB_HEAD, _WEB_TAIL)):
    if text.startswith(head) and tail in text:
      return text[len(head) : text.index(tail)]
  raise ValueError(f'no question found in a training text that starts {text[:80]!r}')


def check_training_texts(texts):
  """Raises ValueError at the first text that asks a held-out question or asks in no known form."""
  for number, text in enumerate(texts):
    question = question_of(text)
    if tiny_world.split_of(question) != tiny_world.TRAIN:
      raise ValueError(f'training text {number} asks a held-out question: {question!r}')


def _bare(rng, asked, cfg):
  return _pick(rng, phrases.LANGUAGES[asked.language].bare).format(_at_once(rng, asked, cfg))


def _tagged(rng, asked, cfg):
  # The thought says nothing, but it says so in a language.
  say = phrases.LANGUAGES[_spoken(rng, asked.language, cfg, 1)[0]]
  return template.enclose(_pick(rng, say.empty), _at_once(rng, asked, cfg))


def _worked(rng, asked, cfg):
  lines, _ = _lines(rng, asked, cfg)
  say = phrases.LANGUAGES[asked.language]
  # Connected lines end in a conclusion of their own.
  ends = () if cfg.connected else (say.conclusion.format(asked.answer),)
  return ', '.join([*lines, *ends])


def _worked_tagged(rng, asked, cfg):
  return template.enclose(', '.join(_lines(rng, asked, cfg)[0]), asked.answer)


def _corrected(rng, asked, cfg):
  # One line goes wrong by a few; it is said again, right this time.
  at = int(rng.integers(len(asked.steps)))
  lines, spoken = _lines(rng, asked, cfg)
  other = lambda number: str(_near(rng, int(number.group())))
  slip = _LAST_NUMBER.sub(other, lines[at])
  wait = phrases.LANGUAGES[spoken[at]].wait
  thought = ', '.join([*lines[:at], slip, wait, *lines[at:]])
  return template.enclose(thought, asked.answer)


def _lines(rng, asked, cfg):
  """(lines of the worked solution, language of each)."""
  if not cfg.connected:
    return asked.steps, (asked.language,) * len(asked.steps)
  spoken = _spoken(rng, asked.language, cfg, len(asked.steps) + 1)
  return thoughts.lines(asked, spoken, rng), spoken


def _spoken(rng, own, cfg, lines):
  """The language of each of `lines` lines of a thought."""
  # Nothing is drawn, which keeps the stream of worlds that speak one language.
  if not cfg.other + cfg.switching:
    return (own,) * lines
  drawn, other = rng.random(), thoughts.other(own)
  if drawn < cfg.other:
    return (other,) * lines
  if drawn >= cfg.other + cfg.switching or lines < 2:
    return (own,) * lines
  # From line `at` on in the other language; each comes first as often.
  at = int(rng.integers(1, lines))
  first, second = (own, other) if rng.random() < 0.5 else (other, own)
  return (first,) * at + (second,) * (lines - at)


def _general(rng, cfg):
  """(a general request as a problem, a reply to it)."""
  asked = general.sample(rng, cfg.requests, tiny_world.TRAIN)
  # A thought of one line: a switch can't happen in it.
  own = _spoken(rng, asked.language, cfg, 1)[0] == asked.language
  thought, reply = asked.thought if own else asked.thought_other, asked.reply
  if rng.random() >= cfg.requested_right:
    reply = general_files.flawed(rng, asked)
    thought = asked.harm[0] if asked.harm else thought
  # Without tags as often as documents of the two styles without them.
  whole = sum(getattr(cfg, style) for style in STYLES)
  bare = rng.random() < (cfg.bare + cfg.worked) / whole
  problem = Problem(asked.question, asked.reply, asked.kind, 0, (), asked.language)
  return problem, reply if bare else template.enclose(thought, reply)


def _at_once(rng, asked, cfg):
  return asked.answer if rng.random() < cfg.right else str(_near(rng, int(asked.answer)))


def _near(rng, number):
  """A wrong number at most four away, never negative."""
  low, high = max(0, number - 4), number + 4
  # One number fewer than there are: the right one is stepped over.
  drawn = int(rng.integers(low, high))
  return drawn + 1 if drawn >= number else drawn


def _pick(rng, choices):
  return choices[int(rng.integers(len(choices)))]


_REPLIES = {
  'bare': _bare,
  'tagged': _tagged,
  'worked': _worked,
  'worked_tagged': _worked_tagged,
  'corrected': _corrected,
}
STYLES = tuple(_REPLIES)
