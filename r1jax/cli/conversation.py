"""A conversation with a model: its reply piece by piece, thoughts dimmed on a terminal."""

import dataclasses
import sys

import jax

from r1jax import precision, terminal
from r1jax.data import chat_template, template, tokenizer
from r1jax.interchange import checkpoints, huggingface
from r1jax.model import config as model_config
from r1jax.runs import opening
from r1jax.sampling import stream

DIM, PLAIN = '\x1b[2m', '\x1b[0m'


@dataclasses.dataclass(frozen=True)
class Model:
  """What answers: weights from `stream.prepare`, config, tokenizer, template, stopping ids."""

  params: dict
  cfg: model_config.ModelConfig
  tokenizer: tokenizer.SentencePieceTokenizer | tokenizer.HubTokenizer
  chat: chat_template.HubTemplate | chat_template.R1Template | chat_template.ZeroTemplate
  stop_ids: frozenset[int]


def load(path, dtype=None):
  """The `Model` of a hub folder, work directory or shipped model, on the mesh that is set."""
  folder = opening.open_model(path, _note)
  # Of what reading the weights says only this changes who is talked to.
  for line in huggingface.unread(folder):
    _note(line)
  # On a CPU unrolled layers are faster; elsewhere a loop of one layer compiles sooner.
  cpu = jax.default_backend() == 'cpu'
  cfg = huggingface.read_config(
    folder, compute_dtype=dtype, param_dtype=dtype, remat=False, scan_layers=not cpu
  )
  # Weights keep their type; a type that is given is what is computed in, whatever it costs.
  chosen = dtype or precision.compute_dtype(cfg.compute_dtype, jax.devices()[0])
  # Replies do not depend on the multi-token module, so it is not read.
  cfg = dataclasses.replace(cfg, mtp_layers=0, compute_dtype=chosen)
  cfg.check_mesh(dict(jax.sharding.get_mesh().shape))
  tok = checkpoints.tokenizer_of(folder, cfg)
  # Those that ship are meant to be asked so.
  notify = (lambda line: None) if str(path) in checkpoints.SHIPPED else _note
  chat, stop = chat_template.load(folder, tok, notify), tokenizer.stop_ids(folder, tok)
  params = huggingface.load(folder, cfg, cfg.param_dtype, lambda line: None)
  return Model(stream.prepare(params, cfg), cfg, tok, chat, stop)


def system_prompt(path, given=None):
  """The system prompt of a chat: what is `given`, else what the run at `path` learned with."""
  if given is not None:
    return given
  own = opening.asking(path, _note).get('system', '')
  if not own:
    return ''
  # What it learned may show behind this prompt only.
  shown = own if len(own) <= 200 else f'{own[:200]} ... ({len(own)} characters)'
  _note(f"system prompt of the run, --system='' for none: {shown}")
  return own


def _note(line):
  print(terminal.plain(line), file=sys.stderr)


class Conversation:
  """Messages so far and the model that answers them."""

  def __init__(self, model, scfg, seed, system=''):
    """Nothing is said yet, but for the `system` prompt.

    Raises:
      ValueError: the model's template has no place for it, or none for a question.
    """
    chat_template.check(model.chat, system)
    self._model, self._scfg, self._key = model, scfg, jax.random.key(seed)
    self._before = [{'role': 'system', 'content': system}] if system else []
    self.reset()

  def reset(self):
    """Forgets what was said."""
    self.messages = list(self._before)

  def ask(self, question):
    """Yields the reply to `question` piece by piece, a prefilled `<think>` first.

    What was said stays in the conversation, also when the caller stops half-way.

    Raises:
      ValueError: the conversation leaves no room in the model's context, or the question came as
        bytes that are no UTF-8.
    """
    # Bytes that are not UTF-8 come from a terminal as lone surrogates.
    if any('\ud800' <= letter <= '\udfff' for letter in question):
      raise ValueError('the question is not UTF-8 text')
    model, messages = self._model, [*self.messages, {'role': 'user', 'content': question}]
    text = model.chat.render(messages)
    ids = chat_template.encode(model.chat, model.tokenizer, text)
    if not ids:
      raise ValueError("the model's chat template writes nothing for this question")
    room = model.cfg.max_length - len(ids)
    if room < 1:
      # What /reset does not forget is not helped by it.
      first = len(self.messages) == len(self._before)
      what = 'take a shorter question or --system' if first else '/reset, or ask shorter'
      raise ValueError(f'{len(ids)} tokens do not fit a context of {model.cfg.max_length}: {what}')
    said = [chat_template.prefill(text)]
    scfg = dataclasses.replace(self._scfg, max_new=min(room, self._scfg.max_new))
    # A key for each reply: asked twice, a question may be answered in two ways.
    self._key, key = jax.random.split(self._key)
    try:
      yield said[0]
      drawn = stream.tokens(model.params, model.cfg, scfg, ids, key, model.stop_ids)
      for piece in pieces(model.tokenizer, drawn):
        said.append(piece)
        yield piece
        # A base model ends with its tag and not by a token: it would go on with a next question.
        if model.chat.name == 'zero' and _answered(said):
          return
    # Also where the caller closes the generator: what was shown was said.
    finally:
      self.messages = [*messages, {'role': 'assistant', 'content': ''.join(said)}]


def _answered(said):
  # The tag may come in many pieces, but in no more than these; a whole join
  # would slow long replies.
  return template.END_ANSWER in ''.join(said[-32:])


def pieces(tok, ids):
  """Text of a stream of token ids, as soon as its characters are whole."""
  seen, old, new = [], 0, 0
  for token in ids:
    seen.append(token)
    # Only the newest tokens are decoded again: what is new is what their text has grown by.
    before, now = tok.decode(seen[old:new]), tok.decode(seen[old:])
    # A character that takes several tokens is not whole yet.
    if now.endswith('\ufffd'):
      continue
    old, new = new, len(seen)
    if now[len(before) :]:
      yield now[len(before) :]
  rest = tok.decode(seen[old:])[len(tok.decode(seen[old:new])) :]
  if rest:
    yield rest


def shade(parts):
  """The same text with thoughts dimmed, from `<think>` to `</think>`; tags may be cut anywhere."""
  held, dimmed = '', False
  for part in parts:
    held += part
    while True:
      tag = template.END_THINK if dimmed else template.THINK
      at = held.find(tag)
      if at < 0:
        break
      if dimmed:
        yield held[: at + len(tag)] + PLAIN
        held, dimmed = held[at + len(tag) :], False
      else:
        yield held[:at] + DIM + tag
        held, dimmed = held[at + len(tag) :], True
    # An end that may be the beginning of a tag is held back until more has come.
    sizes = range(len(tag) - 1, -1, -1)
    keep = next(size for size in sizes if held.endswith(tag[:size]))
    if held[: len(held) - keep]:
      yield held[: len(held) - keep]
    held = held[len(held) - keep :]
  yield held + (PLAIN if dimmed else '')


def answer(conversation, question, out):
  """Prints a reply as it comes; Ctrl-C ends it and leaves the conversation as far as it went.

  A terminal gets no control characters of the model's; a pipe gets the reply as it is.
  """
  reply = conversation.ask(question)
  coloured = out.isatty()
  try:
    for text in shade(map(terminal.plain, reply)) if coloured else reply:
      out.write(text)
      out.flush()
    out.write('\n')
  except KeyboardInterrupt:
    reply.close()
    out.write(f'{PLAIN if coloured else ""}\n[stopped]\n')


def converse(conversation, out):
  """Questions from the terminal until Ctrl-D."""
  out.write('/reset forgets, Ctrl-C stops an answer, Ctrl-D leaves\n')
  while True:
    try:
      question = input('> ').strip()
    except KeyboardInterrupt:
      out.write('\n')
      continue
    except EOFError:
      out.write('\n')
      return
    if question == '/reset':
      conversation.reset()
    elif question.startswith('/'):
      out.write(f'{terminal.plain(question)}: the only command is /reset\n')
    elif question:
      try:
        answer(conversation, question, out)
      except ValueError as error:
        out.write(f'{terminal.plain(str(error))}\n')
