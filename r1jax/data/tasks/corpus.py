"""Documents about the tiny world as a base model meets them on the web, training questions only.

Most answer at once and are often wrong, some work step by step, some correct themselves, few use
tags.
"""

import dataclasses
import re

import numpy as np

from r1jax.data import template
from r1jax.data.tasks import tiny_world

_STREAM = 3  # keeps the documents' questions apart from `tiny_world.problem` of the same seed
_WEB_HEAD, _WEB_TAIL = 'Question: ', '. Answer:'
_BARE = ('{}', 'the answer is {}', 'it is {}')
_THOUGHTS = ('this is easy', 'I know this', 'let me guess', 'I think so')
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
  """

  world: tiny_world.WorldConfig = dataclasses.field(default_factory=tiny_world.WorldConfig)
  bare: float = 0.40
  tagged: float = 0.25
  worked: float = 0.15
  worked_tagged: float = 0.12
  corrected: float = 0.08
  right: float = 0.35
  web_form: float = 0.15

  def __post_init__(self):
    shares = {name: getattr(self, name) for name in STYLES}
    if min(shares.values()) < 0 or sum(shares.values()) <= 0:
      raise ValueError(f'style shares must be >= 0 with a positive sum, got {shares}')
    for name in ('right', 'web_form'):
      if not 0 <= getattr(self, name) <= 1:
        raise ValueError(f'{name} must be within 0..1, got {getattr(self, name)}')


@dataclasses.dataclass(frozen=True)
class Document:
  """A prompt and a reply that starts with one space; `problem` is the question that it is about."""

  prompt: str
  reply: str
  style: str
  problem: tiny_world.Problem

  @property
  def text(self):
    """The document as it stands in the corpus."""
    return self.prompt + self.reply


def document(seed, index, cfg=None):
  """Document number `index` (>= 0) of `seed` (>= 0), always the same one."""
  cfg = cfg or CorpusConfig()
  rng = np.random.default_rng((seed, index, _STREAM))
  asked = tiny_world.sample(rng, cfg.world, tiny_world.TRAIN)
  edges = np.cumsum([getattr(cfg, style) for style in STYLES])
  style = STYLES[int(np.searchsorted(edges, rng.random() * edges[-1], side='right'))]
  if rng.random() < cfg.web_form:
    prompt = f'{_WEB_HEAD}{asked.question}{_WEB_TAIL}'
  else:
    prompt = template.render(asked.question)
  return Document(prompt, f' {_REPLIES[style](rng, asked, cfg)}', style, asked)


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
  return _pick(rng, _BARE).format(_at_once(rng, asked, cfg))


def _tagged(rng, asked, cfg):
  return _enclosed(_pick(rng, _THOUGHTS), _at_once(rng, asked, cfg))


def _worked(rng, asked, cfg):
  return f'{", ".join(asked.steps)}, so the answer is {asked.answer}'


def _worked_tagged(rng, asked, cfg):
  return _enclosed(', '.join(asked.steps), asked.answer)


def _corrected(rng, asked, cfg):
  at = int(rng.integers(len(asked.steps)))
  right = asked.steps[at]
  slip = _LAST_NUMBER.sub(lambda found: str(_near(rng, int(found.group()))), right)
  steps = [*asked.steps[:at], slip, 'wait', *asked.steps[at:]]
  return _enclosed(', '.join(steps), asked.answer)


def _enclosed(thought, answer):
  t = template
  return f'{t.THINK} {thought} {t.END_THINK} {t.ANSWER} {answer} {t.END_ANSWER}'


def _at_once(rng, asked, cfg):
  return asked.answer if rng.random() < cfg.right else str(_near(rng, int(asked.answer)))


def _near(rng, number):
  """A wrong number at most four away, never negative."""
  low, high = max(0, number - 4), number + 4
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
