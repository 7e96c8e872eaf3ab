"""Text to ids and back: SentencePiece models of our own, `tokenizer.json` files of the hub."""

import io
import json
import pathlib
import re

import sentencepiece
import tokenizers

from r1jax.data import template

PAD_ID, UNK_ID, BOS_ID, EOS_ID = 0, 1, 2, 3
SENTENCEPIECE_FILE, HUB_FILE = 'tokenizer.model', 'tokenizer.json'
# What a hub folder says about its tokenizer; the settings are read, the files kept for `save`.
_HUB_SETTINGS = ('tokenizer_config.json', 'config.json')
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
    if not isinstance(model, bytes):
      model = pathlib.Path(model).read_bytes()
    self.model_bytes = model
    self._model = sentencepiece.SentencePieceProcessor(model_proto=model)
    # A literal U+2581 would come back as a space: it goes in as the bytes of its UTF-8 form.
    self._space_ids = [self._model.piece_to_id(f'<0x{byte:02X}>') for byte in SPACE.encode()]

  @property
  def vocab_size(self):
    """Number of pieces."""
    return self._model.get_piece_size()

  @property
  def bos_id(self):
    """Id that begins a document; None where the model has none."""
    found = self._model.bos_id()
    return None if found < 0 else found

  @property
  def eos_id(self):
    """Id that ends a document."""
    return self._model.eos_id()

  @property
  def pad_id(self):
    """Id that fills what no document covers: that of the end where the model has none (Llama)."""
    found = self._model.pad_id()
    return self.eos_id if found < 0 else found

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
    ids, marks = [], {self.text_of(i): i for i in (self.bos_id, self.eos_id) if i is not None}
    for part in re.split('(' + '|'.join(map(re.escape, marks)) + ')', text):
      ids += [marks[part]] if part in marks else self.encode(part)
    return ids if ids[:1] == [self.bos_id] or self.bos_id is None else [self.bos_id, *ids]

  def decode(self, ids):
    """Text of `ids`; control ids (pad, bos, eos) are silent, broken UTF-8 becomes U+FFFD."""
    return self._model.decode([int(i) for i in ids])

  def piece_id(self, piece):
    """Id of the one piece that is written `piece`; ValueError where the vocabulary has none."""
    found = self._model.piece_to_id(piece.replace(' ', SPACE))
    if found == self._model.unk_id():
      raise ValueError(f'{piece!r} is not a piece of this vocabulary of {self.vocab_size}')
    return found

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
    folder = path.parent
    self.files = {n: (folder / n).read_bytes() for n in _HUB_FILES[1:] if (folder / n).exists()}
    self.files[HUB_FILE] = path.read_bytes()
    try:
      self._model = tokenizers.Tokenizer.from_buffer(self.files[HUB_FILE])
    except Exception as error:  # the library raises nothing narrower
      raise ValueError(f'{path}: not a tokenizer that `tokenizers` can read: {error}') from error
    # A file may carry the settings of the last batch it was used for; ids must not depend on them.
    self._model.no_truncation()
    self._model.no_padding()
    self.settings, config = (read_json(folder / name) for name in _HUB_SETTINGS)
    self.bos_id = self._special('bos_token', config)
    self.eos_id = self._special('eos_token', config)
    if self.eos_id is None:
      raise ValueError(f'{folder}: neither {" nor ".join(_HUB_SETTINGS)} says what ends a document')
    pad = self._special('pad_token', config)
    self.pad_id = self.eos_id if pad is None else pad
    plain, marked = (self._model.encode('a', add_special_tokens=m).ids for m in (False, True))
    self._begins = (
      bool(self.settings.get('add_bos_token')) or marked[:1] == [self.bos_id] != plain[:1]
    )

  def _special(self, key, config):
    """Id of 'bos_token' and the like; None where the folder names none."""
    token = self.settings.get(key)
    token = token['content'] if isinstance(token, dict) else token
    found = config.get(f'{key}_id') if token is None else self._model.token_to_id(token)
    if token is not None and found is None:
      raise ValueError(f'{key} {token!r} is not in the vocabulary of {self.vocab_size}')
    return found[0] if isinstance(found, list) else found

  @property
  def vocab_size(self):
    """One more than the largest id."""
    return max(self._model.get_vocab(with_added_tokens=True).values()) + 1

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
    found = self._model.token_to_id(piece)
    if found is not None:
      return found
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
    found = [path / n for n in (HUB_FILE, SENTENCEPIECE_FILE) if (path / n).exists()]
    if not found:
      raise ValueError(f'{path}: holds neither {HUB_FILE} nor {SENTENCEPIECE_FILE}')
    path = found[0]
  if not path.exists():
    raise ValueError(f'{path}: no such tokenizer')
  return HubTokenizer(path) if path.suffix == '.json' else SentencePieceTokenizer(path)


def read_json(path):
  """Contents of a settings file, {} where it is absent; ValueError for anything but an object."""
  try:
    found = json.loads(path.read_text()) if path.exists() else {}
  except ValueError as error:
    raise ValueError(f'{path}: not JSON: {error}') from error
  if not isinstance(found, dict):
    raise ValueError(f'{path}: expected a JSON object, not {type(found).__name__}')
  return found


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
