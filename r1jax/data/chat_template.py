"""Conversations as text: the hub's jinja2 chat templates, R1's own, and R1-Zero's plain one.

A conversation is a list of messages {'role': 'system' | 'user' | 'assistant', 'content': str}.
"""

import datetime
import json
import pathlib

import jinja2
import jinja2.ext
import jinja2.sandbox

from r1jax.data import template

BOS, EOS = '<｜begin▁of▁sentence｜>', '<｜end▁of▁sentence｜>'
USER, ASSISTANT = '<｜User｜>', '<｜Assistant｜>'
PREFILL = template.THINK + '\n'


class ChatTemplateError(ValueError):
  """A chat template that cannot be read, or that refuses a conversation."""


class HubTemplate:
  """A chat template of the hub, run in jinja2's sandbox.

  Args:
    source: the template's text.
    bos, eos: texts of the tokens that templates call bos_token and eos_token.
    **variables: the template's own switches, wherever `render` is not given another value.
  """

  def __init__(self, source, bos='', eos='', **variables):
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
      trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols]
    )
    environment.filters['tojson'] = _to_json
    environment.globals['raise_exception'] = _refuse
    environment.globals['strftime_now'] = lambda form: datetime.datetime.now().strftime(form)
    self.source, self._defaults = source, variables | {'bos_token': bos, 'eos_token': eos}
    try:
      self._template = environment.from_string(source)
    except jinja2.TemplateError as error:
      raise ChatTemplateError(f'chat template does not parse: {error}') from error

  def render(self, messages, add_generation_prompt=True, **variables):
    """Text of a conversation, up to the place where the assistant goes on.

    The text begins with BOS where the template writes one: encode it without adding another.
    `variables` are the template's own switches, such as enable_thinking or tools.
    """
    given = {'messages': messages, 'add_generation_prompt': add_generation_prompt}
    try:
      return self._template.render(self._defaults | given | variables)
    except (jinja2.TemplateError, TypeError) as error:
      raise ChatTemplateError(f'chat template refuses the conversation: {error}') from error


class R1Template:
  """R1's chat template (reference §3.1), its two habits each switchable.

  Args:
    prefill: whether the prompt ends inside the thought, after `<think>` and a line end.
    strip_thoughts: whether past replies lose everything up to their last `</think>`. Text for
      training must keep its thoughts.
  """

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


def encode(chat, tokenizer, text):
  """Token ids of a conversation that `chat` has rendered, with one BOS where the family has one.

  Special tokens that a message spells out are still read as such by the tokenizer: text of
  strangers should be cleaned of them before. R1-Zero's plain template has none.
  """
  if isinstance(chat, ZeroTemplate):
    return tokenizer.encode(text, bos=True)
  return tokenizer.encode_marked(text)


def load(folder, tokenizer):
  """The chat template of a hub folder.

  Looks for chat_template.jinja, then for `chat_template` in tokenizer_config.json; a folder with
  neither gets R1-Zero's plain template, which needs no special token. Templates that can be told to
  think are.
  """
  folder = pathlib.Path(folder)
  settings = getattr(tokenizer, 'settings', {})
  path, source = folder / 'chat_template.jinja', settings.get('chat_template')
  if path.exists():
    source = path.read_text()
  if isinstance(source, list):  # named templates, one of them the default
    source = {entry['name']: entry['template'] for entry in source}.get('default')
  if not source or source == ZeroTemplate.source:
    return ZeroTemplate()
  bos, eos = tokenizer.text_of(tokenizer.bos_id), tokenizer.text_of(tokenizer.eos_id)
  try:
    return HubTemplate(source, bos, eos, enable_thinking=True)
  except ChatTemplateError as error:
    raise ChatTemplateError(f'{folder}: {error}') from error


def _to_json(value, indent=None, ensure_ascii=False, separators=None, sort_keys=False):
  """JSON as the hub's templates expect it: no HTML escapes."""
  return json.dumps(
    value, indent=indent, ensure_ascii=ensure_ascii, separators=separators, sort_keys=sort_keys
  )


def _refuse(message):
  raise jinja2.TemplateError(message)
