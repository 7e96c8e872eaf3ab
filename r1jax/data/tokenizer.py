"""Text to ids and back: SentencePiece models of our own, `tokenizer.json` files of the hub."""

import io
import json
import os
import pathlib
import re

import sentencepiece
import tokenizers

from r1jax.data import hub_files, template

PAD_ID, UNK_ID, BOS_ID, EOS_ID = 0, 1, 2, 3
SENTENCEPIECE_FILE, HUB_FILE = 'tokenizer.model', 'tokenizer.json'
# What a hub folder says about its tokenizer; the settings are read, the files kept for `save`.
_SETTINGS, _CONFIG = 'tokenizer_config.json', 'config.json'
_ADDED = 'added_tokens.json'  # of older folders
_ENDS = ('generation_config.json', _CONFIG)  # where further ends of a turn are listed
_HUB_FILES = (
  HUB_FILE,
  'tokenizer_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
  'generation_config.json',
)
SPACE = '\u2581'  # what a SentencePiece model writes for a space

# The two halves of the R1-Zero template are one piece each, which keeps prompts short. The head's
# last space goes with the question, so that its first word is the same piece as anywhere else.
TEMPLATE_PIECES = (template.TEMPLATE_HEAD.rstrip(' '), template.TEMPLATE_TAIL)
TAG_PIECES = tuple(space + tag for tag in template.TAGS for space in ('', ' '))
# Numbers of the tiny world are one piece each: a worked step is one look-up; others go by digits.
NUMBER_PIECES = tuple(f' {number}' for number in range(25))
USER_DEFINED = TEMPLATE_PIECES + TAG_PIECES + NUMBER_PIECES


class SentencePieceTokenizer:
  """Text to ids and back with a SentencePiece model, by path or as bytes."""

  def __init__(self, model):
    where = 'the SentencePiece model'
    if not isinstance(model, bytes):
      where, model = model, hub_files.read_bytes(pathlib.Path(model))
    self.model_bytes = model
    try:
      self._model = sentencepiece.SentencePieceProcessor(model_proto=model)
    except RuntimeError as error:
      raise ValueError(f'{where}: not a SentencePiece model: {error}') from error
    # A literal U+2581 would come back as a space: it goes in as the bytes of its UTF-8 form.
    self._space_ids = [self._model.piece_to_id(f'<0x{byte:02X}>') for byte in SPACE.encode()]

  @property
  def vocab_size(self):
    """Number of pieces."""
    return self._model.get_piece_size()

  @property
  def template_variables(self):
    """What chat templates call the special tokens: name -> text."""
    return {'bos_token': self.text_of(self.bos_id), 'eos_token': self.text_of(self.eos_id)}

  @property
  def bos_id(self):
    """Id that begins a document; None where the model has none."""
    number = self._model.bos_id()
    return None if number < 0 else number

  @property
  def eos_id(self):
    """Id that ends a document."""
    return self._model.eos_id()

  @property
  def pad_id(self):
    """Id that fills what no document covers: that of the end where the model has none (Llama)."""
    number = self._model.pad_id()
    return self.eos_id if number < 0 else number

  @property
  def file_names(self):
    """What `save` writes, a set of names."""
    return {SENTENCEPIECE_FILE}

  def save(self, folder):
    """Writes the files that `load` reads into an existing folder."""
    (pathlib.Path(folder) / SENTENCEPIECE_FILE).write_bytes(self.model_bytes)

  def encode(self, text, bos=False):
    """Ids of `text`, a list of int; with `bos`, the document's first id stands before them."""
    ids = [self.bos_id] if bos and self.bos_id is not None else []
    for number, part in enumerate(text.split(SPACE)):
      ids += self._space_ids if number else []
      ids += self._model.encode(part)
    return ids

  def encode_marked(self, text):
    """Ids of a rendered conversation, begun once; `<s>` and `</s>` in it are read as ids."""
    ends = [one for one in (self.bos_id, self.eos_id) if one is not None]
    ids, marks = [], {self.text_of(one): one for one in ends}
    for part in re.split('(' + '|'.join(map(re.escape, marks)) + ')', text):
      ids += [marks[part]] if part in marks else self.encode(part)
    return ids if ids[:1] == [self.bos_id] or self.bos_id is None else [self.bos_id, *ids]

  def decode(self, ids):
    """Text of `ids`; control ids (pad, bos, eos) are silent, broken UTF-8 becomes U+FFFD."""
    return self._model.decode([int(i) for i in ids])

  def piece_id(self, piece):
    """Id of the one piece that is written `piece`; ValueError where the vocabulary has none."""
    token_id = self._model.piece_to_id(piece.replace(' ', SPACE))
    if token_id == self._model.unk_id():
      raise ValueError(f'{piece!r} is not a piece of this vocabulary of {self.vocab_size}')
    return token_id

  def text_of(self, token_id):
    """How the vocabulary writes a token, '' for None: what a chat template calls bos_token."""
    return '' if token_id is None else self._model.id_to_piece(token_id)


class HubTokenizer:
  """A `tokenizer.json` with the settings beside it; same interface as `SentencePieceTokenizer`.

  Attributes:
    files: name -> bytes of what was read, for `save`.
    settings: contents of tokenizer_config.json ({} without).
  """

  def __init__(self, path):
    path = pathlib.Path(path)
    self._folder = folder = path.parent
    others = [name for name in _HUB_FILES[1:] if (folder / name).exists()]
    self.files = {name: hub_files.read_bytes(folder / name) for name in others}
    self.files[HUB_FILE] = hub_files.read_bytes(path)
    self._model = _hub_model(path, self.files[HUB_FILE])
    self.settings = hub_files.read_json(folder / _SETTINGS)
    self._check_added()
    config = hub_files.read_json(folder / _CONFIG)
    self.bos_id = self._special('bos_token', config)
    self.eos_id = self._special('eos_token', config)
    if self.eos_id is None:
      raise ValueError(f'{folder}: neither {_SETTINGS} nor {_CONFIG} says what ends a document')
    pad = self._special('pad_token', config)
    self.pad_id = self.eos_id if pad is None else pad
    # Of the two ways to ask for a beginning, the switch means nothing without a token: Qwen's null.
    plain, marked = (self._model.encode('a', add_special_tokens=m).ids for m in (False, True))
    switched = bool(self.settings.get('add_bos_token')) and bool(self._text('bos_token'))
    self._begins = switched or (
      self.bos_id is not None and marked[:1] == [self.bos_id] != plain[:1]
    )

  def _check_added(self):
    """Raises for a token that other files of the folder add and the vocabulary lacks.

    transformers adds it; here its text would be cut into letters.
    """
    path = self._folder / _SETTINGS
    listed = self.settings.get('added_tokens_decoder')
    if listed is None:
      path = self._folder / _ADDED
      listed = {token: {'content': token} for token in hub_files.read_json(path)}
    told = listed.values() if isinstance(listed, dict) else [listed]
    texts = [token.get('content') if isinstance(token, dict) else None for token in told]
    if not all(isinstance(text, str) for text in texts):
      raise ValueError(f'{path}: added_tokens_decoder holds what is no token: {listed!r:.60}')
    lacking = [text for text in texts if self._model.token_to_id(text) is None]
    if lacking:
      raise ValueError(
        f'{path}: adds {", ".join(map(repr, lacking[:3]))}{", ..." if lacking[3:] else ""}, which '
        f'{HUB_FILE} lacks; load and save the tokenizer with transformers to write them there'
      )

  def _text(self, key):
    """How tokenizer_config.json writes the token `key`; None where it names none."""
    token = self.settings.get(key)
    token = token.get('content') if isinstance(token, dict) else token
    if token is not None and not isinstance(token, str):
      raise ValueError(f'{self._folder / _SETTINGS}: {key}={self.settings[key]!r} is no token')
    return token

  def _special(self, key, config):
    """Id of 'bos_token' and the like; None where the folder names none."""
    token = self._text(key)
    if token is None:
      ids = _ids(config, f'{key}_id', self._folder / _CONFIG)
      return ids[0] if ids else None
    number = self._model.token_to_id(token)
    if number is None:
      raise ValueError(
        f'{self._folder / _SETTINGS}: {key} {token!r} is not in the vocabulary of {self.vocab_size}'
      )
    return number

  @property
  def template_variables(self):
    """What chat templates call the special tokens: name -> text, those of tokenizer_config.json."""
    names = ('bos_token', 'eos_token', 'pad_token', 'unk_token')
    texts = {name: self._text(name) for name in names}
    given = {name: text for name, text in texts.items() if text is not None}
    return {'bos_token': '', 'eos_token': self.text_of(self.eos_id)} | given

  @property
  def vocab_size(self):
    """One more than the largest id."""
    return max(self._model.get_vocab(with_added_tokens=True).values(), default=-1) + 1

  @property
  def file_names(self):
    """What `save` writes, a set of names."""
    return set(self.files)

  def save(self, folder):
    """Writes the files that `load` reads into an existing folder."""
    for name, contents in self.files.items():
      (pathlib.Path(folder) / name).write_bytes(contents)

  def encode(self, text, bos=False):
    """Ids of `text`, a list of int.

    With `bos`, the id that begins a document stands before them, once, in families whose documents
    have one (Qwen's have none).
    """
    ids = self._model.encode(text, add_special_tokens=False).ids
    if bos and self._begins and ids[:1] != [self.bos_id]:
      return [self.bos_id, *ids]
    return ids

  def encode_marked(self, text):
    """Ids of a rendered conversation, which begins once in families whose documents do."""
    return self.encode(text, bos=True)

  def decode(self, ids):
    """Text of `ids`; special ids (pad, bos, eos) are silent, broken UTF-8 becomes U+FFFD."""
    return self._model.decode([int(i) for i in ids], skip_special_tokens=True)

  def piece_id(self, piece):
    """Id of the one token that is written `piece`; ValueError where the vocabulary has none."""
    token_id = self._model.token_to_id(piece)
    if token_id is not None:
      return token_id
    ids = self.encode(piece)
    if len(ids) != 1:
      raise ValueError(f'{piece!r} is not a token of this vocabulary of {self.vocab_size}')
    return ids[0]

  def text_of(self, token_id):
    """How the vocabulary writes a token, '' for None: what a chat template calls bos_token."""
    return '' if token_id is None else self._model.id_to_token(token_id)


def load(path):
  """The tokenizer of a folder or file: `tokenizer.json` of the hub, or a SentencePiece `.model`.

  Raises:
    ValueError: there is neither (it names the place).
  """
  path = pathlib.Path(path)
  if path.is_dir():
    # A link whose file is gone is named where it is read, not passed over.
    files = [path / n for n in (HUB_FILE, SENTENCEPIECE_FILE) if os.path.lexists(path / n)]
    if not files:
      raise ValueError(f'{path}: holds neither {HUB_FILE} nor {SENTENCEPIECE_FILE}')
    path = files[0]
  if not os.path.lexists(path):
    raise ValueError(f'{path}: no such tokenizer')
  return HubTokenizer(path) if path.suffix == '.json' else SentencePieceTokenizer(path)


def adds_bos(tokenizer):
  """Whether its family's documents begin with the beginning-of-sequence token."""
  return tokenizer.encode('a', bos=True) != tokenizer.encode('a')


def stop_ids(folder, tokenizer):
  """All ids that end a turn of a model, a frozenset of int: every place that draws asks here.

  They are the tokenizer's end of a document and what generation_config.json and config.json list as
  `eos_token_id`, such as Qwen's `<|im_end|>` beside `<|endoftext|>`.

  Args:
    folder: of the model; a folder without those files adds nothing.
    tokenizer: of the model.

  Raises:
    ValueError: a file is no JSON object, or its `eos_token_id` is neither an id nor a list of ids.
  """
  paths = [pathlib.Path(folder) / name for name in _ENDS]
  listed = [_ids(hub_files.read_json(path), 'eos_token_id', path) for path in paths]
  return frozenset([tokenizer.eos_id, *(i for ids in listed for i in ids)])


def _ids(contents, key, path):
  """The ids that a settings file has at `key`: one, a list, or none (null)."""
  ids = contents.get(key)
  ids = [] if ids is None else ids if isinstance(ids, list) else [ids]
  if not all(type(i) is int and i >= 0 for i in ids):
    raise ValueError(f'{path}: {key}={contents[key]!r} is neither a token id nor a list of them')
  return ids


def _hub_model(path, contents):
  """The library's tokenizer of a tokenizer.json, with the four tags as ordinary tokens.

  `add_special_tokens` marks the tags as special, and decoding drops what is special: the format and
  the answer of every reply would be lost. Ids and encoding do not depend on that mark.
  """
  try:
    model = tokenizers.Tokenizer.from_buffer(contents)
    added = model.get_added_tokens_decoder().values()
    if any(token.special and token.content in template.TAGS for token in added):
      edited = json.loads(contents)
      for token in edited['added_tokens']:
        token['special'] = token['special'] and token['content'] not in template.TAGS
      model = tokenizers.Tokenizer.from_buffer(json.dumps(edited).encode())
    model.encode('a')  # some damage shows only here
  except (KeyboardInterrupt, SystemExit):
    raise
  except BaseException as error:  # the library raises plain Exceptions, and panics beside them
    raise ValueError(f'{path}: not a tokenizer that `tokenizers` can read: {error}') from error
  # A file may carry the settings of the last batch it was used for; ids must not depend on them.
  model.no_truncation()
  model.no_padding()
  return model


def train_sentencepiece(texts, vocab_size, user_defined=USER_DEFINED, out_path=None):
  """Trains a BPE model on `texts`; the same texts give the same bytes.

  Args:
    texts: iterable of str.
    vocab_size: number of pieces, control (4), bytes (256) and `user_defined` ones included.
    user_defined: texts that are one piece wherever they occur; of two that fit the longer one wins.
    out_path: file to write the model to; None to write none.

  Returns:
    The model, bytes. ValueError where the texts don't yield `vocab_size` pieces.
  """
  written = io.BytesIO()
  try:
    sentencepiece.SentencePieceTrainer.train(
      sentence_iterator=iter(texts),
      model_writer=written,
      model_type='bpe',
      vocab_size=vocab_size,
      user_defined_symbols=[piece.replace(' ', SPACE) for piece in user_defined],
      pad_id=PAD_ID,
      unk_id=UNK_ID,
      bos_id=BOS_ID,
      eos_id=EOS_ID,
      split_digits=True,
      byte_fallback=True,
      character_coverage=1.0,
      normalization_rule_name='identity',
      add_dummy_prefix=False,
      remove_extra_whitespaces=False,
      num_threads=1,
      minloglevel=2,
    )
  except RuntimeError as error:
    raise ValueError(f'cannot train a vocabulary of {vocab_size} pieces: {error}') from error
  if out_path is not None:
    pathlib.Path(out_path).write_bytes(written.getvalue())
  return written.getvalue()
