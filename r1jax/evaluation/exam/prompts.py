"""How a question is put: R1-Zero's plain template, R1's chat template, or the checkpoint's own."""

import dataclasses
import json

import numpy as np

from r1jax.data import chat_template, template
from r1jax.sampling import rollout

FORMS = ('checkpoint', 'zero', 'r1')


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


class Form:
  """One way of putting questions.

  Attributes:
    chat: the chat template; None for R1-Zero's, which has no turns.
    stop_KW: token sequences that end a reply, as `sample.generate` takes them.
  """

  def __init__(self, name, folder, tokenizer):
    """Raises ValueError where the vocabulary lacks the tokens of the template.

    Args:
      name: 'zero', 'r1', or 'checkpoint' for what the folder brings, R1-Zero's where it has none.
      folder: of the model, a path.
      tokenizer: of the model.
    """
    if name not in FORMS:
      raise ValueError(f'template {name!r} is none of {", ".join(FORMS)}')
    self._tokenizer = tokenizer
    chat = chat_template.load(folder, tokenizer) if name == 'checkpoint' else None
    if name == 'r1':
      for special in (chat_template.USER, chat_template.ASSISTANT):
        tokenizer.piece_id(special)
      chat = chat_template.R1Template()
    self.chat = None if isinstance(chat, chat_template.ZeroTemplate) else chat
    self.stop_KW = rollout.stop_sequences(tokenizer)
    if self.chat:
      self.stop_KW = np.array([[i] for i in sorted(stop_ids(folder, tokenizer))], np.int32)

  @property
  def name(self):
    """What to call it in print."""
    if not self.chat:
      return 'R1-Zero'
    return 'R1 chat' if isinstance(self.chat, chat_template.R1Template) else "checkpoint's chat"

  def put(self, question, instruction):
    """The `Prompt` for a question; in a chat the instruction stands below it."""
    if not self.chat:
      text = template.render(question)
      return Prompt(text, tuple(self._tokenizer.encode(text, bos=True)), '')
    content = f'{question}\n{instruction}' if instruction else question
    text = self.chat.render([{'role': 'user', 'content': content}])
    prefill = chat_template.PREFILL if text.endswith(chat_template.PREFILL) else ''
    return Prompt(text, tuple(self._tokenizer.encode(text, bos=True)), prefill)


def stop_ids(folder, tokenizer):
  """Ids that end a turn: the end of sequence, and what generation_config.json adds."""
  path, stop = folder / 'generation_config.json', {tokenizer.eos_id}
  if path.exists():
    listed = json.loads(path.read_text()).get('eos_token_id') or []
    stop |= set(listed if isinstance(listed, list) else [listed])
  return stop
