"""General requests of the tiny world with a reference reply each: reasoning, then summary.

What R1 mixes into its second SFT and its last RL (reference §1.5): writing, factual questions,
self-cognition and translation, and requests that do harm and are declined. Request `index` of
`seed` is computed on demand, held out by the hash that holds out `tiny_world`'s questions.
"""

import dataclasses

import numpy as np

from r1jax import ranges
from r1jax.data import template
from r1jax.data.tasks import phrases, scenes, tiny_world

HARMFUL = 'harmful'
DETERMINED = ('factual', 'self', 'translation')  # kinds of which only one reply is right
_STREAM = {tiny_world.TRAIN: 4, tiny_world.HELDOUT: 5}
# Who asks; the first two ask for themselves.
_ASKERS = (
  ('{}', '{}'),
  ('please tell me, {}', '请告诉我, {}'),
  *(
    (f'{en} asks, {{}}', f'{zh}问, {{}}')
    for en, zh in zip(phrases.ENGLISH.names, phrases.CHINESE.names)
  ),
)
_OWNERS = (('my neighbour', '邻居'), *zip(phrases.ENGLISH.names, phrases.CHINESE.names))


@dataclasses.dataclass(frozen=True)
class Request:
  """A request and the reply that is wanted.

  Attributes:
    question: text without a final stop; the template sets one.
    kind: one of KINDS.
    language: 'en' or 'zh', asked in and thought in.
    thought, reply: the reasoning, and the summary that stands as the answer.
    reply_language: the same as `language` but for translations.
    thought_other, reply_other: the same said in the language it should not be in.
    harm: (thought, reply) that does what a harmful request asks; None for others.
  """

  question: str
  kind: str
  language: str
  thought: str
  reply: str
  reply_language: str
  thought_other: str
  reply_other: str
  harm: tuple[str, str] | None = None

  @property
  def text(self):
    """The whole reply, as `template.parse` cuts it."""
    return template.enclose(self.thought, self.reply)


@dataclasses.dataclass(frozen=True)
class GeneralConfig:
  """What is requested.

  Attributes:
    kinds: (kind, weight) pairs.
    languages: (language, weight) pairs of what is asked in.
  """

  kinds: tuple[tuple[str, ranges.Weight], ...] = (
    ('writing', 0.25),
    ('factual', 0.25),
    ('self', 0.1),
    ('translation', 0.2),
    (HARMFUL, 0.2),
  )
  languages: tuple[tuple[str, ranges.Weight], ...] = tiny_world.BILINGUAL

  def __post_init__(self):
    ranges.check(self)
    tiny_world.check_weights(self, 'kinds', KINDS)
    tiny_world.check_weights(self, 'languages', phrases.LANGUAGES)


def request(seed, index, cfg=None, split=tiny_world.TRAIN):
  """Request number `index` (>= 0) of `seed` (>= 0) in `split`, always the same one."""
  return sample(np.random.default_rng((seed, index, _STREAM[split])), cfg or GeneralConfig(), split)


def sample(rng, cfg, split):
  """Draws requests from `rng`, a NumPy Generator, until one belongs to `split`."""
  while True:
    language = tiny_world.language_of(rng, cfg.languages)
    kind = tiny_world.weighted(rng, cfg.kinds)
    drawn = _MAKERS[kind](rng, language)
    # By the question's own text, so that no split knows the other's.
    if tiny_world.split_of(drawn.question) == split:
      return drawn


@dataclasses.dataclass(frozen=True)
class Requests:
  """`size` requests as a random-access source (`len`, `[i]`), computed when asked for."""

  seed: int
  size: int
  cfg: GeneralConfig = dataclasses.field(default_factory=GeneralConfig)
  split: str = tiny_world.TRAIN

  def __len__(self):
    return self.size

  def __getitem__(self, index):
    if not 0 <= index < self.size:
      raise IndexError(f'request {index} of {self.size}')
    return request(self.seed, int(index), self.cfg, self.split)


def _make(kind, language, question, thought, reply, reply_language=None):
  """A `Request` from (English, Chinese) pairs of texts."""
  own = 0 if language == 'en' else 1
  reply_language = reply_language or language
  replied = 0 if reply_language == 'en' else 1
  # Only Latin letters have a capital; a Chinese sign is its own.
  text = question[own]
  return Request(
    question=text[:1].upper() + text[1:],
    kind=kind,
    language=language,
    thought=thought[own],
    reply=reply[replied],
    reply_language=reply_language,
    thought_other=thought[1 - own],
    reply_other=reply[1 - replied],
  )


def _writing(rng, language):
  which, how, does, place = _scene(rng)
  about = scenes.described(which, how)
  form, formed = _pick(rng, (('write a line', '写一句话'), ('tell a story', '讲个故事')))
  asker = _pick(rng, _ASKERS)
  question = (f'{form} about {about[0]} {place[0]}', f'{formed}, 关于{place[1]}的{about[1]}')
  thought = (
    f'the user wants {form.split(" ", 1)[1]} about {about[0]}, so I say what it does',
    f'用户要我{formed}, 关于{about[1]}, 我写它做什么',
  )
  return _make('writing', language, _asked(asker, question), thought, _sentence(about, does, place))


def _factual(rng, language):
  which = int(rng.integers(len(scenes.ANIMALS)))
  english, chinese = scenes.animal(which)
  food, home, legs = scenes.EATS[which], scenes.LIVES[which], scenes.LEGS[which]
  question, reply = _pick(
    rng,
    (
      (
        (f'what does a {english} eat', f'{chinese}吃什么'),
        (f'a {english} eats {food[0]}', f'{chinese}吃{food[1]}'),
      ),
      (
        (f'where does a {english} live', f'{chinese}住在哪里'),
        (f'a {english} lives in a {home[0]}', f'{chinese}住在{home[1]}里'),
      ),
      (
        (f'how many legs has a {english}', f'{chinese}有几条腿'),
        (f'a {english} has {legs} legs', f'{chinese}有 {legs} 条腿'),
      ),
    ),
  )
  asker = _pick(rng, _ASKERS)
  thought = (
    f'the user asks about a {english}, I remember that {reply[0]}',
    f'用户问的是{chinese}, 我记得{reply[1]}',
  )
  return _make('factual', language, _asked(asker, question), thought, reply)


def _self(rng, language):
  question, reply = _pick(rng, scenes.ABOUT_ITSELF)
  asker = _pick(rng, _ASKERS)
  thought = ('the user asks about me, so I say what I am', '用户问的是我, 我说我是什么')
  return _make('self', language, _asked(asker, question), thought, reply)


def _translation(rng, language):
  which, how, does, place = _scene(rng)
  said = _sentence(scenes.described(which, how), does, place)
  question = (f'translate into Chinese: {said[0]}', f'翻译成英文: {said[1]}')
  thought = (
    'the user wants Chinese, so I say the same in Chinese',
    '用户要英文, 我用英文说同样的话',
  )
  # Asked in one language, answered in the other.
  into = 'zh' if language == 'en' else 'en'
  return _make('translation', language, question, thought, said, into)


def _harmful(rng, language):
  harm, thing, owner = (_pick(rng, c) for c in (scenes.HARMS, scenes.BELONGINGS, _OWNERS))
  deed = (f'{harm[0]} the {thing[0]} of {owner[0]}', f'{harm[1]}{owner[1]}的{thing[1]}')
  # Only those who ask for themselves: "Ann asks, how can I" would change who does it.
  asker = _pick(rng, _ASKERS[:2])
  question = _asked(asker, (f'how can I {deed[0]}', f'怎样才能{deed[1]}'))
  thought = (
    f'the user wants to {deed[0]}, that does harm, so I decline',
    f'用户想{deed[1]}, 这有害, 我拒绝',
  )
  reply = (f'I cannot help with that, it would hurt {owner[0]}', f'我不能帮忙, 这会伤害{owner[1]}')
  # What a policy that complies would think and say: kept beside, for pairs and for documents.
  plan = (
    f'the user wants to {deed[0]}, that is easy, so I say how',
    f'用户想{deed[1]}, 这很容易, 我说怎么做',
  )
  done = (f'go at night and {deed[0]}', f'夜里过去{deed[1]}就行')
  own = 0 if language == 'en' else 1
  declined = _make(HARMFUL, language, question, thought, reply)
  return dataclasses.replace(declined, harm=(plan[own], done[own]))


def _scene(rng):
  which = int(rng.integers(len(scenes.ANIMALS)))
  return which, *(_pick(rng, c) for c in (scenes.KINDS_OF, scenes.DOES, scenes.PLACES))


def _sentence(about, does, place):
  return f'{about[0]} {does[0]} {place[0]}', f'{about[1]}{place[1]}{does[1]}'


def _asked(asker, question):
  return tuple(form.format(text) for form, text in zip(asker, question))


def _pick(rng, choices):
  return choices[int(rng.integers(len(choices)))]


_MAKERS = {
  'writing': _writing,
  'factual': _factual,
  'self': _self,
  'translation': _translation,
  HARMFUL: _harmful,
}
KINDS = tuple(_MAKERS)
