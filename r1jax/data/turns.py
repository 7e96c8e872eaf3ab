"""Which tokens of a conversation are learned: what the assistant said, and the end of each reply.

A conversation is put as a model is asked it. Each piece of it, given or said, is encoded by itself:
a sampler too encodes the prompt and then adds token by token, so no token is half prompt.
"""

import numpy as np

from r1jax.data import chat_template, examples, prompts, template


def encode(conversation, form):
  """[`examples.Tokens`] of a `conversations.Conversation` as a `prompts.Form` puts it.

  They are one. Where the chat template rewrites earlier replies (it cuts their thoughts), there is
  one for each reply that is learned, with what the template then makes of those before it.

  Raises:
    ValueError: a form without turns is given several, or the chat template refuses them.
  """
  if not form.chat.turns:
    return [_alone(conversation, form)]
  messages, begin = list(conversation.messages), conversation.begin
  # A system prompt of its own stands in place of the one that questions are asked with.
  before = [] if messages[0]['role'] == 'system' else form.before
  messages, begin = [*before, *messages], begin + len(before)
  said = [i for i, m in enumerate(messages) if m['role'] == 'assistant' and i >= begin]
  pieces = _by_marks(form.chat, messages, said) or _by_turns(form, messages, said)
  if pieces:
    return [_joined(pieces, form)]
  return [_joined(_by_turns(form, messages[: i + 1], [i]), form) for i in said]


def _alone(conversation, form):
  """A question and its reply in a form without turns."""
  roles = [one['role'] for one in conversation.messages]
  if roles != ['user', 'assistant']:
    raise ValueError(
      f'the prompt {form.name!r} has place for a question and a reply, not for the messages of '
      f"{', '.join(roles[:4])}: take data.prompt='chat'"
    )
  question, reply = (one['content'] for one in conversation.messages)
  # R1-Zero's template asks for its two tags.
  if form.name == 'zero' and conversation.worked:
    reply = template.enclose(*conversation.worked)
  return examples.encode(examples.Example(question, reply, '', '', {}), form)


def _by_marks(chat, messages, said):
  """[(text, learned)] by the template's own `{% generation %}`; None where it has none."""
  pieces = chat.pieces(messages) if isinstance(chat, chat_template.HubTemplate) else []
  replies = [i for i, one in enumerate(messages) if one['role'] == 'assistant']
  blocks = [place for place, (_, marked) in enumerate(pieces) if marked]
  if not blocks:
    return None
  if len(blocks) != len(replies):
    raise chat_template.ChatTemplateError(
      f'chat template marks {len(blocks)} blocks of {len(replies)} replies by {{% generation %}}'
    )
  learned = {place for place, i in zip(blocks, replies, strict=True) if i in said}
  return [(text, place in learned) for place, (text, _) in enumerate(pieces)]


def _by_turns(form, messages, said):
  """[(text, learned)] by what the template adds at each reply; None where it rewrites earlier ones.

  The last of `said` is the last message.
  """
  whole = form.chat.render(messages[:-1])
  pieces, done = [], 0
  for i in said[:-1]:
    asked = form.chat.render(messages[:i])
    told = form.chat.render(messages[: i + 1], add_generation_prompt=False)
    if not (whole.startswith(told) and told.startswith(asked)):
      return None
    reply, end = _ended(told[len(asked) :], messages[i], form)
    if not _keeps_thought(reply, messages[i]):
      return None
    pieces += [(whole[done : len(asked)], False), (reply, True), (end, False)]
    done = len(told)
  return [*pieces, (whole[done:], False), (_last(form, messages, whole), True)]


def _last(form, messages, asked):
  """What is to be said behind the prompt `asked`, with the end that the template writes."""
  told = form.chat.render(messages, add_generation_prompt=False)
  rest = told[len(asked) :] if told.startswith(asked) else ''
  # Templates that cut the thoughts of past replies would cut the one that is to be learned.
  if rest and _keeps_thought(rest, messages[-1]):
    return _ended(rest, messages[-1], form)[0]
  return prompts.continued(messages[-1]['content'], chat_template.prefill(asked))


def _keeps_thought(text, message):
  """Whether a message as it is written still has its thought, if it had one."""
  return template.END_THINK in text or template.END_THINK not in message['content']


def _ended(text, message, form):
  """(reply, rest): a reply up to what the template ends it with, and what it writes after that.

  A reply without such an end is all reply.
  """
  for end in map(form.tokenizer.text_of, form.end_ids):
    # What somebody wrote in a message is no end that the template writes.
    if end and text.count(end) > message['content'].count(end):
      before, closing, after = text.rpartition(end)
      return before + closing, after
  return text, ''


def _joined(pieces, form):
  """The `examples.Tokens` of [(text, learned)] pieces, up to the last one that is learned."""
  ids, learned = [], []
  last = max(place for place, (_, said) in enumerate(pieces) if said)
  for place, (text, said) in enumerate(pieces[: last + 1]):
    first = form.chat if place == 0 else None
    part_ids = chat_template.encode(first, form.tokenizer, text) if first else _more(form, text)
    # The end of a reply is learned even where the template writes none.
    if place == last and part_ids[-1:] and part_ids[-1] not in form.end_ids:
      part_ids = [*part_ids, form.end_id]
    ids += part_ids
    learned += [said] * len(part_ids)
  return examples.Tokens(np.array(ids, np.int32), np.array(learned, bool))


def _more(form, text):
  """Ids of a text that goes on: without the id that begins a document, unless it is written."""
  ids, bos = form.tokenizer.encode_marked(text), form.tokenizer.bos_id
  written = bos is not None and text.startswith(form.tokenizer.text_of(bos))
  return ids if written or ids[:1] != [bos] else ids[1:]
