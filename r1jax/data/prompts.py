"""How a question is put to a model and what ends its reply: one `Form` for all who ask a policy.

  zero   R1-Zero's template, no turns: base models (the default)
  chat   the checkpoint's own chat template: models that somebody has taught to talk
  text   the question as it stands: base models that are shown solved examples
  r1     R1's chat template, where the vocabulary has its tokens

A chat may begin with a system prompt, and every form but `zero` with solved examples.
"""

import dataclasses

import numpy as np

from r1jax.data import chat_template, template, tokenizer

NAMES = ('zero', 'chat', 'text', 'r1')
_TITLES = {'zero': 'R1-Zero', 'chat': "checkpoint's chat", 'text': 'plain text', 'r1': 'R1 chat'}


@dataclasses.dataclass(frozen=True)
class Prompt:
  """What a model is given.

  Attributes:
    text: the rendered prompt.
    ids: its tokens.
    prefill: the end of `text` that belongs to the reply (an opened thought), or ''.
  """

  text: str
  ids: tuple[int, ...]
  prefill: str


@dataclasses.dataclass(frozen=True)
class Shot:
  """A solved example that stands before the question."""

  question: str
  reply: str


class Form:
  """One way of putting questions to one model.

  Attributes:
    name: one of `NAMES`.
    chat: the template, of `data.chat_template`; its `source` is saved beside what has learned.
    shots: solved examples, `Shot`s.
    before: messages that stand before the question of a chat: system prompt and examples.
    end_id: ends a reply that is learned.
    stop_KW: token sequences that end a reply, as `sample.decode` takes them.
    tokenizer: of the model.
  """

  def __init__(self, tokenizer, name='zero', folder=None, system='', shots=()):
    """Reads the chat template and what ends a turn.

    Args:
      tokenizer: of the model.
      name: one of `NAMES`.
      folder: of the model; 'chat' reads its template, and all its end ids stop a reply.
      system: text of the system message of a chat.
      shots: `Shot`s, in order.

    Raises:
      ValueError: an unknown name; no chat template in the folder, or tokens that the vocabulary
        lacks; a system prompt or examples where the form has no place for them; an example with
        what ends a reply.
    """
    if name not in NAMES:
      raise ValueError(f'prompt {name!r} is none of {", ".join(NAMES)}')
    if (system and name not in ('chat', 'r1')) or (shots and name == 'zero'):
      what = ('a system prompt', "'chat'") if system else ('examples', "'chat' or 'text'")
      raise ValueError(f'the prompt {name!r} has no place for {what[0]}: take {what[1]}')
    split = next((shot.reply for shot in shots if '\n\n' in shot.reply), '')
    if split and name == 'text':
      raise ValueError(
        f"an example's reply {split!r:.60} has an empty line, at which the prompt 'text' ends "
        "replies: leave it out, or take 'chat'"
      )
    self.name, self.tokenizer, self.shots = name, tokenizer, tuple(shots)
    self.before = _before(system, self.shots)
    self.chat = _chat(name, folder, tokenizer)
    chat_template.check(self.chat, system)
    self.stop_KW = self._stops(folder)
    self.end_id = self._end_of_turn()

  @property
  def title(self):
    """What to call it in print."""
    return _TITLES[self.name]

  def put(self, question, instruction=''):
    """The `Prompt` for a question; below it stands the instruction, but in R1-Zero's template."""
    below = f'\n{instruction}' if instruction and self.name != 'zero' else ''
    asked = {'role': 'user', 'content': f'{question}{below}'}
    text = self.chat.render([*self.before, asked])
    ids = chat_template.encode(self.chat, self.tokenizer, text)
    return Prompt(text, tuple(ids), chat_template.prefill(text) if self.chat.turns else '')

  def decode(self, prompt, ids):
    """The text of a reply to `prompt`, the opened thought of the prompt first."""
    return prompt.prefill + self.tokenizer.decode(ids)

  def example(self, question, reply):
    """(ids, begin): prompt and reply to be learned, the reply and its end from `begin` on."""
    prompt = self.put(question)
    text = continued(reply, prompt.prefill)
    # R1-Zero's template ends in a colon: the reply begins with a space, as the sampler writes it.
    said = self.tokenizer.encode(f' {text}' if self.name == 'zero' else text)
    ids = [*prompt.ids, *said, self.end_id]
    return np.array(ids, np.int32), len(prompt.ids)

  @property
  def end_ids(self):
    """Single ids that end a reply, ascending."""
    lone = [row for row in self.stop_KW if (row[:-1] < 0).all()]
    return sorted({int(row[-1]) for row in lone})

  def _stops(self, folder):
    """What ends a reply: the model's end ids, and what only this form writes."""
    ends = tokenizer.stop_ids(folder, self.tokenizer) if folder else [self.tokenizer.eos_id]
    sequences = {(int(one),) for one in ends}
    if self.name == 'zero':
      sequences |= set(_closing_tags(self.tokenizer))
    if self.name == 'text' and self.shots:  # after its answer it would go on with a new question
      sequences.add(tuple(self.tokenizer.encode('\n\n')))
    return _padded(sequences)

  def _end_of_turn(self):
    """The id that ends a reply to be learned: what the template writes after one, else the end."""
    if not self.chat.turns:
      return self.tokenizer.eos_id
    turns = [{'role': 'user', 'content': 'a'}, {'role': 'assistant', 'content': 'b'}]
    text = self.chat.render(turns, add_generation_prompt=False)
    ids = chat_template.encode(self.chat, self.tokenizer, text)
    return next((one for one in reversed(ids) if one in self.end_ids), self.tokenizer.eos_id)


def continued(reply, prefill):
  """What is left to say of a reply, stripped, behind a prompt that ends in `prefill`.

  Where the prompt has opened a thought and the reply has none, it is closed at once.
  """
  text = reply.strip()
  if not prefill:
    return text
  if text.startswith(template.THINK):
    return text.removeprefix(template.THINK).strip()
  return text if template.END_THINK in text else f'{template.END_THINK}\n\n{text}'


def _before(system, shots):
  """Messages of a system prompt and of solved examples."""
  messages = [{'role': 'system', 'content': system}] if system else []
  for shot in shots:
    messages.append({'role': 'user', 'content': shot.question})
    messages.append({'role': 'assistant', 'content': shot.reply})
  return messages


def _chat(name, folder, tok):
  """The template of a form."""
  if name == 'r1':
    for special in (chat_template.USER, chat_template.ASSISTANT):
      tok.piece_id(special)
    return chat_template.R1Template()
  if name != 'chat':
    return chat_template.ZeroTemplate() if name == 'zero' else chat_template.TextTemplate()
  chat = chat_template.load(folder, tok)
  if chat.name != 'chat':
    raise ValueError(
      f'{folder} has no chat template (chat_template.jinja, or chat_template in '
      "tokenizer_config.json): data.prompt='zero' or 'text'"
    )
  return chat


def _closing_tags(tok):
  """Ids of a closing answer tag, by what stands around it.

  A byte-level tokenizer cuts the tag by its surroundings, so each usual one is a sequence.
  """
  befores = ('', ' ', '\n', '.', ')', '}', '$')
  afters = ('', ' ', '\n', '\n\n', '.')
  texts = [before + template.END_ANSWER + after for before in befores for after in afters]
  return [tuple(tok.encode(text)) for text in texts]


def _padded(sequences):
  """Distinct sequences as int32 [K, W], padded on the left with -1; none contains another."""
  distinct = sorted(set(sequences))
  least = [ids for ids in distinct if not any(_inside(one, ids) for one in distinct if one != ids)]
  width = max(map(len, least))
  rows = [[-1] * (width - len(ids)) + list(ids) for ids in least]
  return np.array(rows, np.int32)


def _inside(short, long):
  """Whether the ids `short` stand somewhere in a row in `long`."""
  size = len(short)
  return any(long[i : i + size] == short for i in range(len(long) - size + 1))
