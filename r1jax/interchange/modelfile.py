"""Ollama's Modelfile: a GGUF file's sampling, system prompt and chat template, in Go's language.

Ollama takes the template of a GGUF file only where it is near one that it knows, so it is written
out. It is found by trying: conversations are rendered, and what stands between their messages is
what stands there in all of them.
"""

import dataclasses
import itertools
import json
import os.path

from r1jax.data import chat_template, template, tokenizer

# Stand for what is said; no template has them, and none but the system prompt is asked for first.
_SYSTEM, *_SAID = (f'\0{name}\0' for name in ('system', 'first', 'second', 'third', 'fourth'))
_QUOTES = '"""'
# As `r1jax chat` samples; where a Modelfile is silent, Ollama has a top_k and a penalty of its own.
_SAMPLING = ('temperature 0.6', 'top_p 0.95', 'top_k 0', 'repeat_penalty 1')
_ZERO = f'{template.TEMPLATE_HEAD}{{{{ .Prompt }}}}{template.TEMPLATE_TAIL}'


@dataclasses.dataclass(frozen=True)
class Turns:
  """What a chat template writes round the messages of a conversation.

  Attributes:
    system: (before, behind) a system prompt; None where the template refuses one.
    unasked: what it writes in the place of a system prompt that is not given.
    user: (before, behind) what a user says.
    assistant: (before, behind) a reply.
    opening: what stands before the next reply.
  """

  system: tuple[str, str] | None
  unasked: str
  user: tuple[str, str]
  assistant: tuple[str, str]
  opening: str

  def render(self, system, said):
    """The text of a conversation: what the user and the assistant `said` by turns, up to a reply.

    `system` is None where there is no such message.
    """
    text = self.unasked if system is None else system.join(self.system)
    for parts, content in zip(itertools.cycle((self.user, self.assistant)), said):
      text += content.join(parts)
    return text + self.opening

  def go(self):
    """The same as a template of Ollama's."""
    head = self.unasked
    if self.system:
      given = '{{ .System }}'.join(self.system)
      head = f'{{{{ if .System }}}}{given}{{{{ else }}}}{self.unasked}{{{{ end }}}}'
    user, assistant = ('{{ .Content }}'.join(parts) for parts in (self.user, self.assistant))
    return (
      f'{head}{{{{ range .Messages }}}}{{{{ if eq .Role "user" }}}}{user}'
      f'{{{{ else if eq .Role "assistant" }}}}{assistant}{{{{ end }}}}{{{{ end }}}}{self.opening}'
    )


def turns(chat, bos=''):
  """The `Turns` of a chat template; None where it is not made of such.

  Args:
    chat: as `chat_template.load` returns it.
    bos: text that the runner adds itself, so that the template must not begin with it.
  """
  # What a date is today, a file must not say for ever.
  if 'strftime_now' in chat.source:
    return None
  try:
    first, *_, last = bare = _between(chat, None, _SAID[:3], bos)
  except chat_template.ChatTemplateError:
    return None
  try:
    begin, behind, *_ = _between(chat, _SYSTEM, _SAID[:3], bos)
  except chat_template.ChatTemplateError:
    # Ollama has a place for it at the beginning and no other.
    if _says_system(chat, bos):
      return None
    begin = behind = None
  # Where a turn ends and the next begins is open: any cut that is the same everywhere will do.
  heads = [first, bare[2], *([] if behind is None else [behind])]
  user = os.path.commonprefix([text[::-1] for text in heads])[::-1]
  closed = os.path.commonprefix([bare[1], last])
  cut = lambda text: text[: len(text) - len(user)]
  form = Turns(
    system=None if behind is None else (begin, cut(behind)),
    unasked=cut(first),
    user=(user, closed),
    assistant=(bare[1][len(closed) :], cut(bare[2])),
    opening=last[len(closed) :],
  )
  return form if _holds(form, chat, bos) else None


def _says_system(chat, bos):
  """Whether a template writes a system prompt, wherever that is."""
  try:
    return _SYSTEM in _rendered(chat, _SYSTEM, _SAID[:3], bos)
  except chat_template.ChatTemplateError:
    return False


def _between(chat, system, said, bos):
  """What a template writes before, between and behind the messages of a conversation."""
  text = _rendered(chat, system, said, bos)
  pieces = []
  for content in [*([] if system is None else [system]), *said]:
    piece, there, text = text.partition(content)
    if not there:
      raise chat_template.ChatTemplateError(f'{content!r} is not written, or not in its place')
    pieces.append(piece)
  return [*pieces, text]


def _rendered(chat, system, said, bos):
  messages = [] if system is None else [{'role': 'system', 'content': system}]
  for role, content in zip(itertools.cycle(('user', 'assistant')), said):
    messages.append({'role': role, 'content': content})
  return chat.render(messages).removeprefix(bos)


def _holds(form, chat, bos):
  """Whether `Turns` write what the template writes, for other lengths and words too."""
  if any('{{' in text or _QUOTES in text for text in _texts(form)):
    return False  # it would end what it stands in
  systems = [None] if form.system is None else [None, 'Be brief.', _SYSTEM]
  saids = (_SAID[:1], _SAID[:3], ['How?', 'So:\n\n7.', 'And "9"?', 'No.', 'Why {not}?'])
  return all(
    form.render(system, said) == _rendered(chat, system, said, bos)
    for system in systems
    for said in saids
  )


def _keeps_thoughts(form, chat, bos):
  """Whether an earlier reply stays as it was: one with a thought, and a long one."""
  replies = (f'{template.THINK}\na\n{template.END_THINK}\n\nb', 'word ' * 200 + 'end')
  saids = [('Why?', reply, 'And?') for reply in replies]
  return all(form.render(None, said) == _rendered(chat, None, said, bos) for said in saids)


def _texts(form):
  return [form.unasked, form.opening, *form.user, *form.assistant, *(form.system or ())]


def write(folder, tok, file, system='', notify=print):
  """The text of a Modelfile for the GGUF file `file` beside it.

  Args:
    folder: hub folder, for its chat template and what ends a reply.
    tok: its tokenizer.
    file: name of the GGUF file.
    system: system prompt; '' for none.
    notify: called with a line for what a Modelfile cannot hold.
  """
  chat = chat_template.load(folder, tok)
  text = f'FROM ./{file}\n' + ''.join(f'PARAMETER {one}\n' for one in _SAMPLING)
  # Ollama's quotes have no escape.
  if _QUOTES in system:
    notify(f'the Modelfile cannot hold the system prompt, which has {_QUOTES}: give it in the chat')
  elif system:
    text += f'SYSTEM {_QUOTES}{system}{_QUOTES}\n'
  further = sorted(tokenizer.stop_ids(folder, tok) - {tok.eos_id})
  stops = list(map(tok.text_of, further))
  # R1-Zero's template has one question and no turns.
  if chat.name == 'zero':
    body, stops = _ZERO, [*stops, template.END_ANSWER]
  else:
    bos = tok.text_of(tok.bos_id) if tokenizer.adds_bos(tok) else ''
    form = turns(chat, bos)
    body = form.go() if form else ''
    if form and not _keeps_thoughts(form, chat, bos):
      notify(
        'the chat template changes earlier replies (it cuts their thoughts), which the Modelfile '
        'does not: Ollama shows the model what it is handed'
      )
  if body:
    text += f'TEMPLATE {_QUOTES}{body}{_QUOTES}\n'
  else:
    notify(
      "the chat template has no form in Ollama's language: without a TEMPLATE of yours in the "
      f'Modelfile, Ollama takes the one in {file} where it knows it, and else none'
    )
  return text + ''.join(f'PARAMETER stop {json.dumps(s, ensure_ascii=False)}\n' for s in stops)
