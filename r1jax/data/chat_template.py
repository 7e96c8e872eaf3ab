"""Conversations as text: the hub's jinja2 chat templates, R1's own, and R1-Zero's plain one.

A conversation is a list of messages {'role': 'system' | 'user' | 'assistant', 'content': str}.
"""

import pathlib
import re

from r1jax.data import hub_files, jinja, template

BOS, EOS = '<｜begin▁of▁sentence｜>', '<｜end▁of▁sentence｜>'
USER, ASSISTANT = '<｜User｜>', '<｜Assistant｜>'
PREFILL = template.THINK + '\n'
# The thought that a prompt leaves open. Yes: the end of `Hi<think>\n`, and of DeepSeek-V3.1's
# `Hi<think>`. No: that of `Hi<think>\n\n</think>\n\n`, which asks for no thought.
_OPENED = re.compile(re.escape(template.THINK) + r'\s*\Z')
# Stand round what an assistant said where a template is rendered for training; no text has them.
_MARKS = ('\0said\0', '\0end of what was said\0')
# Yes: `{%- generation %}`. No: `{% if add_generation_prompt %}`.
_MARKED = re.compile(r'\{%[-+]?\s*generation\b')
# Two names of one switch: Qwen3's and SmolLM3's, DeepSeek-V3.1's and Granite's.
_ASKED = 'What is 2 + 2?'
_THINKING = {'enable_thinking': True, 'thinking': True}


class ChatTemplateError(ValueError):
  """A chat template that cannot be read, or that refuses a conversation."""


class HubTemplate:
  """A chat template of the hub, run in jinja2's sandbox.

  It is a program that strangers wrote: whatever goes wrong in it is a `ChatTemplateError`, and
  what would take hours or gigabytes is refused (`jinja.Environment`).

  Args:
    source: the template's text.
    bos, eos: texts of the tokens that templates call bos_token and eos_token.
    **variables: the template's own switches, wherever `render` is not given another value. `tools`
      and `documents` are None, as transformers gives them.
  """

  # Here and below: the one of `prompts.NAMES` that it is, and whether it has turns.
  name, turns = 'chat', True

  def __init__(self, source, bos='', eos='', **variables):
    self.source = source
    self._defaults = {'tools': None, 'documents': None, 'bos_token': bos, 'eos_token': eos}
    self._defaults |= variables
    self._environment = jinja.Environment()
    try:
      self._template = self._environment.from_string(source)
    except Exception as error:  # Recursion, Syntax, Memory and Type errors beside jinja's own
      raise ChatTemplateError(f'chat template does not parse: {_told(error)}') from error

  def render(self, messages, add_generation_prompt=True, **variables):
    """Text of a conversation, up to the place where the assistant goes on.

    The text begins with BOS where the template writes one: encode it without adding another.
    `variables` are the template's own switches, such as enable_thinking or tools.
    """
    given = {'messages': messages, 'add_generation_prompt': add_generation_prompt}
    self._environment.begin()
    try:
      return self._template.render(self._defaults | given | variables)
    except Exception as error:  # ZeroDivision, Overflow, Recursion, Memory, Key, Value, ...
      raise ChatTemplateError(f'chat template refuses the conversation: {_told(error)}') from error

  def pieces(self, messages):
    """[(text, whether the assistant said it)] of a conversation, by the template's own marks.

    Those are its blocks `{% generation %}`; [] where it has none.

    Raises:
      ChatTemplateError: it refuses the conversation, or writes another text where it is marked.
    """
    if not _MARKED.search(self.source):
      return []
    self._environment.marks = _MARKS
    try:
      marked = self.render(messages, add_generation_prompt=False)
    finally:
      self._environment.marks = ('', '')
    (begin, end), pieces = _MARKS, []
    for part in marked.split(begin):
      # The first part comes before all marks; each other one ends what was said.
      said, mark, rest = part.partition(end)
      pieces += [(said, True), (rest, False)] if mark else [(said, False)]
    # A filter on a block, such as `trim`, would see the marks.
    if ''.join(text for text, _ in pieces) != self.render(messages, add_generation_prompt=False):
      raise ChatTemplateError('chat template changes what its blocks {% generation %} hold')
    return [piece for piece in pieces if piece[0]]


class R1Template:
  """R1's chat template (reference §3.1), its two habits each switchable.

  Args:
    prefill: whether the prompt ends inside the thought, after `<think>` and a line end.
    strip_thoughts: whether past replies lose everything up to their last `</think>`. Text for
      training must keep its thoughts.

  Attributes:
    source: the same, with both habits, as a hub chat template.
  """

  name, turns = 'r1', True
  source = (
    "{% set last = namespace(system='') %}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{% set last.system = message['content'] %}{% endif %}"
    f'{{% endfor %}}{BOS}{{{{ last.system }}}}{{% for message in messages %}}'
    f"{{% if message['role'] == 'user' %}}{USER}{{{{ message['content'] }}}}"
    f"{{% elif message['role'] == 'assistant' %}}{ASSISTANT}"
    f"{{{{ message['content'].split('{template.END_THINK}')[-1] }}}}{EOS}"
    '{% endif %}{% endfor %}'
    f'{{% if add_generation_prompt %}}{ASSISTANT}{{{{ {PREFILL!r} }}}}{{% endif %}}'
  )

  def __init__(self, prefill=True, strip_thoughts=True):
    self._prefill, self._strip = prefill, strip_thoughts

  def render(self, messages, add_generation_prompt=True):
    """Text of a conversation; it begins with BOS."""
    system = [m['content'] for m in messages if m['role'] == 'system']
    text = BOS + (system[-1] if system else '')
    for message in messages:
      if message['role'] == 'user':
        text += USER + message['content']
      elif message['role'] == 'assistant':
        content = message['content']
        content = content.split(template.END_THINK)[-1] if self._strip else content
        text += ASSISTANT + content + EOS
      elif message['role'] != 'system':
        raise ChatTemplateError(f'role {message["role"]!r} is not system, user or assistant')
    if not add_generation_prompt:
      return text
    return text + ASSISTANT + (PREFILL if self._prefill else '')


class ZeroTemplate:
  """R1-Zero's plain template (reference §1.1): one question, so only the conversation's last one.

  Attributes:
    source: the same as a hub chat template.
  """

  name, turns = 'zero', False
  source = template.TEMPLATE_HEAD + "{{ messages[-1]['content'] }}" + template.TEMPLATE_TAIL

  def render(self, messages, add_generation_prompt=True):
    """Text of the last question, and of the reply to it if there is one; no special token."""
    asked = [i for i, message in enumerate(messages) if message['role'] == 'user']
    if not asked:
      raise ChatTemplateError('the R1-Zero template needs a question')
    question, *replies = messages[asked[-1] :]
    if add_generation_prompt and replies:
      raise ChatTemplateError(
        'the R1-Zero template cannot go on after a reply: ask another question'
      )
    return template.render(question['content']) + ''.join(m['content'] for m in replies)


class TextTemplate(HubTemplate):
  """Questions as they stand, each with a line end behind it, and an empty line behind its reply.

  It is the prompt 'text' of `data.prompts`: replies are what solved examples are there.
  """

  name, turns = 'text', False
  SOURCE = (
    "{% for message in messages %}{% if message['role'] not in ('user', 'assistant') %}"
    "{{ raise_exception('plain text has no place for the role ' ~ message['role']) }}{% endif %}"
    "{{ message['content'] }}{{ '\\n' if message['role'] == 'user' else '\\n\\n' }}{% endfor %}"
  )

  def __init__(self):
    super().__init__(self.SOURCE)


def check(chat, system=''):
  """Raises ValueError where a template leaves out the question, or takes no system prompt.

  Those of models that see images often write the parts of a content and no text alone.
  """
  if system:
    _check_system(chat, system)
  if _ASKED not in chat.render([{'role': 'user', 'content': _ASKED}]):
    raise ValueError(
      'the chat template does not write the question, so every prompt would be the same; write one '
      'that does to chat_template.jinja in the folder of the model'
    )


def _check_system(chat, system):
  messages = [{'role': 'system', 'content': system}, {'role': 'user', 'content': _ASKED}]
  hint = 'leave it out, or say in the questions what it says'
  try:
    text = chat.render(messages)
  except ChatTemplateError as error:
    raise ValueError(
      f'the chat template does not take a system prompt ({error}): {hint}'
    ) from error
  # Many strip it, none that is known changes it otherwise.
  if system.strip() not in text:
    raise ValueError(f'the chat template does not write the system prompt: {hint}')


def encode(chat, tokenizer, text):
  """Token ids of a conversation that `chat` has rendered, with one BOS where the family has one.

  Special tokens that a message spells out are still read as such by the tokenizer: text of
  strangers should be cleaned of them before. The templates without turns have none.
  """
  if not chat.turns:
    return tokenizer.encode(text, bos=True)
  return tokenizer.encode_marked(text)


def prefill(text):
  """The end of a rendered prompt that belongs to the reply, `<think>` and what follows it, or ''.

  What a model says after it is the inside of a thought until it writes `</think>`.
  """
  opened = _OPENED.search(text)
  return opened[0] if opened else ''


def load(folder, tokenizer, notify=lambda line: None):
  """The chat template of a hub folder.

  Looks for chat_template.jinja, then for `chat_template` in tokenizer_config.json; a folder with
  neither gets R1-Zero's plain template, which needs no special token. Templates that can be told to
  think are. `notify` is called with a line where there is none.

  Raises:
    ChatTemplateError: it does not parse, or is no text.
  """
  folder = pathlib.Path(folder)
  path = folder / 'chat_template.jinja'
  source = hub_files.read_text(path) if path.exists() else _in_settings(folder, tokenizer)
  if not source:
    notify(f'{folder} has no chat template: it is asked in the words of R1-Zero')
  if not source or source == ZeroTemplate.source:
    return ZeroTemplate()
  if source == TextTemplate.SOURCE:
    return TextTemplate()
  try:
    return HubTemplate(source, **_renamed(tokenizer.template_variables), **_THINKING)
  except ChatTemplateError as error:
    raise ChatTemplateError(f'{folder}: {error}') from error


def _in_settings(folder, tokenizer):
  """The template that tokenizer_config.json holds, the default one of several; None without."""
  # A SentencePiece model has none: it would spell out the tokens that a template marks turns by.
  source = getattr(tokenizer, 'settings', {}).get('chat_template')
  if isinstance(source, list) and source:
    named = [entry for entry in source if isinstance(entry, dict)]
    templates = {str(entry.get('name')): entry.get('template') for entry in named}
    if 'default' not in templates:
      raise ChatTemplateError(
        f"{folder / 'tokenizer_config.json'}: chat_template is a list without 'default', only "
        f'{", ".join(templates) or "no template with a name"}; write the one to use to '
        'chat_template.jinja beside it'
      )
    source = templates['default']
  source = None if source == [] else source
  if source is not None and not isinstance(source, str):
    raise ChatTemplateError(
      f'{folder / "tokenizer_config.json"}: chat_template is no text but {type(source).__name__}'
    )
  return source


def _renamed(variables):
  """A tokenizer's template variables as `HubTemplate` takes them."""
  names = {'bos_token': 'bos', 'eos_token': 'eos'}
  return {names.get(name, name): text for name, text in variables.items()}


def _told(error):
  """What an error says of itself, in one line; its kind where it says nothing (MemoryError)."""
  kind = type(error).__name__
  text = ' '.join(str(error).split())
  return text if text and kind.startswith('Template') else f'{kind}: {text}'.removesuffix(': ')
