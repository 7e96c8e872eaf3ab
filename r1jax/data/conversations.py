"""Conversations to be learned, from files in the forms that data sets are published in.

{"messages": [{"role": "user", "content": ".."}, {"role": "assistant", "content": ".."}]}
{"prompt": "..", "completion": ".."}           texts, or lists of messages
{"question": "..", "reasoning": "..", "answer": ".."}
"""

import dataclasses

from r1jax.data import records, template, turns
from r1jax.data.problem import is_text

# What a record has of each form; where it has several, the first one counts.
FORMS = (
  ('messages',),
  ('prompt', 'completion'),
  ('question', 'reasoning', 'answer'),
  ('conversations',),  # ShareGPT's name of messages
)
# Columns of published traces of R1, for `sft.columns`.
PRESETS = {
  # open-r1/OpenR1-Math-220k: `messages` holds a generation that was verified.
  'openr1_math': 'messages',
  # simplescaling/s1K-1.1: R1's thought and R1's answer; `solution` is the question's own.
  's1k': 'question,reasoning=deepseek_thinking_trajectory,answer=deepseek_attempt',
}
_SYSTEM = 'system'  # column of a system prompt beside the messages, as LLaMA-Factory has it
_ROLES = {'human': 'user', 'gpt': 'assistant'}  # ShareGPT's names
_KNOWN = ('system', 'user', 'assistant')
# Fields by which other trainers are told not to learn a reply, and the value that says nothing.
_MASKS = {
  'weight': 1, 'train': True, 'training': True, 'trainable': True, 'loss': True, 'masked': False,
  'mask': False, 'ignore': False, 'train_detail': [],
}  # fmt: skip
# A reasoning model's reply may come in two fields, by DeepSeek's API and by other data sets.
_THOUGHTS = ('reasoning_content', 'reasoning', 'thinking')


@dataclasses.dataclass(frozen=True)
class Conversation:
  """Messages of which the assistant's are learned.

  Attributes:
    messages: dicts of `role` and `content`, texts; the last is the assistant's.
    begin: number of messages that are given, the assistant's among them too.
    worked: (thought, answer) of a reply that came in two, or ().
    where: file and line or row.
  """

  messages: tuple
  begin: int = 0
  worked: tuple = ()
  where: str = ''

  @property
  def question(self):
    """What the user said first."""
    return next(one['content'] for one in self.messages if one['role'] == 'user')

  def tokens(self, form):
    """[`examples.Tokens`] as `prompts.Form` puts it; ValueError where the form can't, with place.

    They are one, or one per reply where the chat template rewrites earlier replies.
    """
    try:
      return turns.encode(self, form)
    except ValueError as error:
      raise ValueError(f'{self.where}: {error}') from error


def read(path, columns='', split='', limit=0):
  """The conversations of a file, a list of `Conversation`.

  Args:
    path: JSONL or parquet file, or a folder of them: see `records.files`.
    columns: as for `named`.
    split, limit: as in `records.each`.

  Raises:
    RecordError: a file can't be read or has none of the columns (it names those that are there),
      or a record is no conversation (with its line or row).
  """
  renamed, fields, wanted = _wanted(columns, path, records.first(path, split))
  make = lambda record: _conversation(renamed.named(record), fields)
  placed = records.placed(path, make, split, limit, wanted)
  return [dataclasses.replace(one, where=place) for place, one in placed]


def named(text):
  """The `records.Columns` of `sft.columns`: of a preset, or as `records.columns` reads it.

  Raises:
    ValueError: it names a field that no form has, or is no `records.columns`.
  """
  columns = records.columns(PRESETS.get(text, text))
  fields = dict.fromkeys(one for form in FORMS for one in (*form, _SYSTEM))
  unknown = next((one for one in (*columns.kept, *columns.names) if one not in fields), '')
  if unknown:
    raise ValueError(
      f'{unknown!r} is neither a preset ({", ".join(PRESETS)}) nor a field of what is learned '
      f'({", ".join(fields)}), as in prompt=instruction,completion=output'
    )
  return columns


def unread(path, columns='', split=''):
  """Names of the first record's columns that `read` passes over, sorted; arguments as there."""
  first = records.first(path, split)
  *_, wanted = _wanted(columns, path, first)
  return tuple(sorted(first.keys() - wanted))


def _wanted(columns, path, record):
  """(`records.Columns`, fields of the form, columns that are read) by the first record."""
  renamed = named(columns)
  fields = _form(path, renamed, record)
  beside = (_SYSTEM,) if fields in (FORMS[0], FORMS[3]) else ()
  read = {renamed.names.get(field, field) for field in (*fields, *beside, *renamed.names)}
  return renamed, fields, read


def _form(path, renamed, record):
  """The fields of the first of `FORMS` that the first record has."""
  try:
    there = renamed.named(record)
  except ValueError as error:
    raise records.RecordError(f'{path}: {error}') from error
  # Whose columns the user has named goes first.
  said = {*renamed.names, *renamed.kept}
  for fields in sorted(FORMS, key=said.isdisjoint):
    if all(field in there for field in fields):
      return fields
  raise records.RecordError(
    f'{path}: neither messages, nor prompt and completion, nor question, reasoning and answer are '
    f'among its columns {", ".join(sorted(record))}; say which they are by sft.columns, such as '
    f'prompt=instruction,completion=output, or a preset ({", ".join(PRESETS)})'
  )


def _conversation(record, fields):
  missing = next((field for field in fields if field not in record), '')
  if missing:
    raise ValueError(f'no field {missing!r}, which the first record has')
  if fields == FORMS[1]:
    return _completed(record['prompt'], record['completion'])
  if fields == FORMS[2]:
    return _worked(*(records.text(record, field) for field in fields))
  return Conversation(_checked(_led(_messages(record[fields[0]], fields[0]), record)))


def _led(messages, record):
  """The messages after the system prompt of the record's own column, where it has one."""
  system = record.get(_SYSTEM)
  if system is None or system == '':
    return messages
  given = _message('system', _text(system, f'column {_SYSTEM!r}'))
  if messages[0]['role'] != 'system':
    return [given, *messages]
  if messages[0] != given:
    raise ValueError(
      f'column {_SYSTEM!r} and message 1 are two system prompts that differ: leave one out'
    )
  return messages


def _worked(question, reasoning, answer):
  """A conversation of one reply that came in two parts."""
  thought = reasoning.removeprefix(template.THINK).removesuffix(template.END_THINK).strip()
  messages = (_message('user', question), _message('assistant', _thought(thought, answer)))
  return Conversation(messages, worked=(thought, answer))


def _completed(prompt, completion):
  """A conversation of which only the completion is learned."""
  given, said = _part(prompt, 'user', 'prompt'), _part(completion, 'assistant', 'completion')
  return Conversation(_checked([*given, *said]), begin=len(given))


def _part(value, role, field):
  """The messages of a field that holds a text or messages."""
  if not isinstance(value, str):
    return _messages(value, field, learned=role == 'assistant')
  if not value.strip():
    raise ValueError(f'the {field} is empty')
  return [_message(role, _text(value, f'the {field}'))]


def _message(role, content):
  return {'role': role, 'content': content}


def _thought(thought, answer):
  """A reply in R1's form."""
  return f'{template.THINK}\n{thought}\n{template.END_THINK}\n\n{answer}'


def _messages(value, field, learned=True):
  """The messages of a field, each with role and text; of a prompt none is `learned`."""
  if not isinstance(value, list) or not value:
    raise ValueError(f'field {field!r} holds {value!r:.40}, expected a list of messages')
  messages = [_read(one, number) for number, one in enumerate(value, 1)]
  for number, one in enumerate(value, 1):
    if learned and messages[number - 1]['role'] == 'assistant':
      _check_masks(one, f'message {number} (assistant)')
  return messages


def _read(value, number):
  """One message as {'role', 'content'}; its thought, where it has a field of its own, in front."""
  if not isinstance(value, dict):
    raise ValueError(f'message {number} is {value!r:.40}, expected an object of role and content')
  role = value.get('role', value.get('from'))
  content = value.get('content', value.get('value'))
  role = _ROLES.get(role, role)
  if role not in _KNOWN:
    raise ValueError(f'message {number} has the role {role!r:.40}, none of {", ".join(_KNOWN)}')
  what = f'message {number} ({role})'
  if value.get('tool_calls'):
    raise ValueError(f'{what} calls tools, which are not learned')
  text = _text(content, what)
  # A default system prompt is written where there is none: an empty one says "none at all".
  if not text.strip() and role != 'system':
    raise ValueError(f'{what} is empty')
  thought = next((value[name] for name in _THOUGHTS if value.get(name)), '')
  if role == 'assistant' and thought and template.END_THINK not in text:
    text = _thought(_text(thought, f'the thought of {what}').strip(), text.strip())
  return _message(role, text)


def _check_masks(message, what):
  """Raises ValueError where a reply is marked as not to be learned."""
  for name, usual in _MASKS.items():
    mark = message.get(name)
    if mark is not None and mark != usual:
      raise ValueError(
        f'{what} is marked by {name}={mark!r:.40}, but all replies of {FORMS[0][0]} are learned '
        'alike: end the conversation before it, or give what is not learned as prompt and what is '
        'as completion'
      )


def _text(content, what):
  """The text of a message, joined where it comes in parts; an image and the like is refused."""
  if isinstance(content, list):
    parts = [one if isinstance(one, dict) else {'type': 'text', 'text': one} for one in content]
    other = next((one.get('type') for one in parts if one.get('type') != 'text'), None)
    if other:
      raise ValueError(f'{what} holds a part of type {other!r}: only texts are learned')
    content = [one.get('text') for one in parts]
    content = ''.join(content) if all(isinstance(one, str) for one in content) else None
  if not isinstance(content, str):
    raise ValueError(f'{what} holds {content!r:.40}, expected text')
  if not is_text(content):
    raise ValueError(f'{what} holds half a surrogate pair, which no UTF-8 can write')
  return content


def _checked(messages):
  """The messages, a tuple; ValueError where the order of their roles is none of a conversation."""
  roles = [one['role'] for one in messages]
  if 'assistant' not in roles:
    raise ValueError(f'no message of an assistant, only of {", ".join(dict.fromkeys(roles))}')
  first = int(roles[0] == 'system')
  for number, role in enumerate(roles[first:]):
    wanted = ('user', 'assistant')[number % 2]
    if role != wanted:
      raise ValueError(
        f"message {first + number + 1} is the {role}'s, expected the {wanted}'s: users and "
        'assistants take turns, after at most one system prompt'
      )
  if roles[-1] != 'assistant':
    raise ValueError("the last message is the user's, to which nothing is learned: leave it out")
  return tuple(messages)
