"""Replies that differ in helpfulness or in harm: what reward models learn from (reference §1.4).

A helpful pair holds two summaries of which the worse has one flaw. It is as often shorter as longer
as equally long, so that length tells nothing. A labelled response is a whole one, thought included;
some do harm in the thought only.
"""

import dataclasses
import json
import pathlib
import re

import numpy as np

from r1jax import ranges
from r1jax.data import examples, template
from r1jax.data.tasks import general, scenes, tiny_world

# Streams of their own, apart from those of `tiny_world` (1, 2), `corpus` (3) and `general` (4, 5).
_PAIR = {tiny_world.TRAIN: 6, tiny_world.HELDOUT: 7}
_RESPONSE = {tiny_world.TRAIN: 8, tiny_world.HELDOUT: 9}
# One Chinese sign, one word without Chinese signs, or one other sign.
# Yes: `猫`, `sleeps` and `.` of `猫 sleeps.`. No: ` `, a new line.
_UNIT = re.compile(r'[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+|[^\w\s]')
_BENIGN = tuple(
  (kind, weight) for kind, weight in general.GeneralConfig().kinds if kind != general.HARMFUL
)
_HELPFUL = general.GeneralConfig(kinds=_BENIGN)
_HARMFUL = general.GeneralConfig(kinds=((general.HARMFUL, 1.0),))
_EVASIVE = {
  'en': ('I do not know', 'maybe', 'that is hard to say'),
  'zh': ('我不知道', '也许', '这很难说'),
}
_REFUSAL = {'en': 'I cannot help with that', 'zh': '我不能帮忙'}
_INSULT = {'en': 'you are stupid, do not ask me again', 'zh': '你真笨, 别再问我'}


@dataclasses.dataclass(frozen=True)
class GeneralDataConfig:
  """The tiny world's own general data, where a pipeline has no files of its own.

  Attributes:
    size: records of each file.
  """

  size: ranges.Count = 4096

  def __post_init__(self):
    ranges.check(self)


@dataclasses.dataclass(frozen=True)
class Pair:
  """Two summaries of which `chosen` is the more helpful one.

  Attributes:
    question: the request.
    chosen, rejected: summaries, without tags.
    language: 'en' or 'zh', what the summary is to be written in.
    thought: the reasoning that precedes either.
    flaw: what is wrong with `rejected`, one of FLAWS.
  """

  question: str
  chosen: str
  rejected: str
  language: str
  thought: str
  flaw: str


@dataclasses.dataclass(frozen=True)
class Response:
  """A whole reply to a request.

  Attributes:
    question: the request.
    text: thought and answer with their tags.
    safe: whether neither thought nor answer does harm.
    manner: one of MANNERS.
  """

  question: str
  text: str
  safe: bool
  manner: str


def helpful_pair(seed, index, split=tiny_world.TRAIN):
  """Pair number `index` (>= 0) of `seed` (>= 0) in `split`, always the same one."""
  rng = np.random.default_rng((seed, index, _PAIR[split]))
  asked = general.sample(rng, _HELPFUL, split)
  # Drawn before the flaw: shorter, as long or longer, each as often.
  longer = int(rng.integers(-1, 2))
  while True:
    flaw = FLAWS[int(rng.integers(len(FLAWS)))]
    rejected = _FLAWED[flaw](rng, asked)
    difference = units(rejected) - units(asked.reply)
    if rejected != asked.reply and np.sign(difference) == longer:
      return Pair(asked.question, asked.reply, rejected, asked.reply_language, asked.thought, flaw)


def flawed(rng, asked):
  """A less helpful summary of a benign `general.Request`, or one that does what harm it asks."""
  if asked.harm:
    return asked.harm[1]
  while True:
    made = _FLAWED[FLAWS[int(rng.integers(len(FLAWS)))]](rng, asked)
    if made != asked.reply:
      return made


def labelled_response(seed, index, split=tiny_world.TRAIN):
  """Response number `index` (>= 0) of `seed` (>= 0) in `split`: always the same, half are safe."""
  rng = np.random.default_rng((seed, index, _RESPONSE[split]))
  manner = tiny_world.weighted(rng, _SHARES)
  # What is asked follows from how it is answered, so that the shares of manners hold.
  cfg = _HELPFUL if manner in _OF_BENIGN else _HARMFUL
  asked = general.sample(rng, cfg, split)
  return Response(asked.question, _MANNER[manner](asked), manner in _SAFE, manner)


def harmless_pair(seed, index, split=tiny_world.TRAIN):
  """(question, safe reply, unsafe reply) of one harmful request, whole replies."""
  rng = np.random.default_rng((seed, index, _RESPONSE[split]))
  unsafe = tiny_world.weighted(rng, [(m, w) for m, w in _SHARES if m in _UNSAFE_OF_HARMFUL])
  asked = general.sample(rng, _HARMFUL, split)
  return asked.question, _MANNER['declines'](asked), _MANNER[unsafe](asked)


@dataclasses.dataclass(frozen=True)
class Pairs:
  """`size` helpful pairs as a random-access source (`len`, `[i]`), computed when asked for."""

  seed: int
  size: int
  split: str = tiny_world.TRAIN

  def __len__(self):
    return self.size

  def __getitem__(self, index):
    if not 0 <= index < self.size:
      raise IndexError(f'pair {index} of {self.size}')
    return helpful_pair(self.seed, int(index), self.split)


@dataclasses.dataclass(frozen=True)
class Responses:
  """`size` labelled responses as a random-access source (`len`, `[i]`)."""

  seed: int
  size: int
  split: str = tiny_world.TRAIN

  def __len__(self):
    return self.size

  def __getitem__(self, index):
    if not 0 <= index < self.size:
      raise IndexError(f'response {index} of {self.size}')
    return labelled_response(self.seed, int(index), self.split)


def write(folder, seed, size, split=tiny_world.TRAIN):
  """Writes what the later stages read, `size` records each, replies whole as a policy writes them.

  Of `folder`, helpful.jsonl and harmless.jsonl go to `reward_model.path`, requests.jsonl to
  `general.path`, and general.array_record, benign requests with their replies, to `rejection.path`.
  """
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  helpful, harmless, requests = [], [], []
  fields = ('question', 'chosen', 'rejected')
  for index in range(size):
    # One record for each file, from streams of their own.
    one = helpful_pair(seed, index, split)
    two = harmless_pair(seed, index, split)
    asked = general.request(seed, index, split=split)
    replies = (template.enclose(one.thought, text) for text in (one.chosen, one.rejected))
    helpful.append(dict(zip(fields, (one.question, *replies))))
    harmless.append(dict(zip(fields, two)))
    kind = 'harmless' if asked.harm else 'helpful'
    record = {'question': asked.question, 'kind': kind, 'language': asked.language}
    # Evaluation can compare where one reply only is right.
    determined = asked.kind in general.DETERMINED
    requests.append(record | ({'wanted': asked.reply} if determined else {}))
  for name, records in (('helpful', helpful), ('harmless', harmless), ('requests', requests)):
    text = ''.join(json.dumps(record, ensure_ascii=False) + '\n' for record in records)
    (folder / f'{name}.jsonl').write_text(text, encoding='utf-8')
  # For SFT: benign requests and the replies that are wanted.
  replied = (general.request(seed, index, _HELPFUL, split) for index in range(size))
  examples.write(folder / 'general.array_record', (_example(one) for one in replied))


def _example(one):
  source = {'source': 'general'}
  return examples.Example(one.question, one.text, one.language, one.kind, source)


def units(text):
  """Length of a text about as tokens count it: a word is one, a Chinese character a half."""
  return sum(0.5 if '\u4e00' <= unit <= '\u9fff' else 1 for unit in _UNIT.findall(text))


def _wrong(rng, asked):
  """The reply to another request of the kind: what it says is not so."""
  while True:
    reply = _reply(rng, asked, ((asked.kind, 1.0),))
    if asked.kind != 'writing' or _about(reply) != _about(asked.reply):
      return reply


def _about(line):
  """A written line without what it says that someone does: the request leaves that open."""
  for english, chinese in scenes.DOES:
    # English stands in the middle of the line, Chinese at its end.
    line = line.replace(f' {english} ', ' ').removesuffix(chinese)
  return line


def _off_topic(rng, asked):
  return _reply(rng, asked, [(kind, w) for kind, w in _BENIGN if kind != asked.kind])


def _reply(rng, asked, kinds):
  cfg = general.GeneralConfig(kinds=tuple(kinds))
  while True:
    drawn = general.sample(rng, cfg, tiny_world.TRAIN)
    if drawn.reply_language == asked.reply_language:
      return drawn.reply


def _other_language(rng, asked):
  return asked.reply_other


def _evasive(rng, asked):
  choices = _EVASIVE[asked.reply_language]
  return choices[int(rng.integers(len(choices)))]


def _pieces(asked):
  """(words or characters of the reply, what joins them)."""
  if asked.reply_language == 'en':
    return asked.reply.split(), ' '
  return list(asked.reply), ''


def _repeats(rng, asked):
  pieces, join = _pieces(asked)
  # The last one to three words once more.
  tail = pieces[-int(rng.integers(1, 4)) :]
  return join.join(pieces + tail)


def _broken(rng, asked):
  pieces, join = _pieces(asked)
  return join.join(pieces[i] for i in rng.permutation(len(pieces)))


def _cut(rng, asked):
  pieces, join = _pieces(asked)
  length = int(rng.integers(1, len(pieces)))
  return join.join(pieces[:length]).strip(' ,')


_FLAWED = {
  'wrong': _wrong,
  'off_topic': _off_topic,
  'language': _other_language,
  'evasive': _evasive,
  'repeats': _repeats,
  'broken': _broken,
  'cut': _cut,
}
FLAWS = tuple(_FLAWED)

_MANNER = {
  'declines': lambda asked: asked.text,
  'helps': lambda asked: asked.text,
  'refuses': lambda asked: template.enclose(asked.thought, _REFUSAL[asked.reply_language]),
  'complies': lambda asked: template.enclose(*asked.harm),
  'plans': lambda asked: template.enclose(asked.harm[0], asked.reply),
  'slips': lambda asked: template.enclose(asked.thought, asked.harm[1]),
  'insults': lambda asked: template.enclose(asked.thought, _INSULT[asked.reply_language]),
}
MANNERS = tuple(_MANNER)
# Half of the responses are safe, as far as these shares say; the rest do harm somewhere.
_SHARES = (
  ('declines', 0.3),
  ('helps', 0.15),
  ('refuses', 0.05),
  ('complies', 0.2),
  ('plans', 0.1),
  ('slips', 0.1),
  ('insults', 0.1),
)
_SAFE = ('declines', 'helps', 'refuses')
_OF_BENIGN = ('helps', 'refuses', 'insults')
_UNSAFE_OF_HARMFUL = ('complies', 'plans', 'slips')
