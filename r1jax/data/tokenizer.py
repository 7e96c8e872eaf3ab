"""A SentencePiece tokenizer that gives every text back exactly, and its training."""

import io
import pathlib

import sentencepiece

from r1jax.data import template

PAD_ID, UNK_ID, BOS_ID, EOS_ID = 0, 1, 2, 3
_SPACE = '\u2581'  # what a SentencePiece model writes for a space

# The two halves of the R1-Zero template are one piece each, which keeps prompts short. The head's
# last space goes with the question, so that its first word is the same piece as anywhere else.
TEMPLATE_PIECES = (template.TEMPLATE_HEAD.rstrip(' '), template.TEMPLATE_TAIL)
TAG_PIECES = tuple(space + tag for tag in template.TAGS for space in ('', ' '))
# Every number of the tiny world is one piece, so that a worked step is one look-up; others go by digits.
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
    self._space_ids = [self._model.piece_to_id(f'<0x{byte:02X}>') for byte in _SPACE.encode()]

  @property
  def vocab_size(self):
    """Number of pieces."""
    return self._model.get_piece_size()

  @property
  def bos_id(self):
    """Id that begins a document."""
    return self._model.bos_id()

  @property
  def eos_id(self):
    """Id that ends a document."""
    return self._model.eos_id()

  @property
  def pad_id(self):
    """Id that fills what no document covers."""
    return self._model.pad_id()

  def encode(self, text, bos=False):
    """Ids of `text`, a list of int; with `bos`, the document's first id stands before them."""
    ids = [self.bos_id] if bos else []
    for number, part in enumerate(text.split(_SPACE)):
      ids += self._space_ids if number else []
      ids += self._model.encode(part)
    return ids

  def decode(self, ids):
    """Text of `ids`; control ids (pad, bos, eos) are silent, broken UTF-8 becomes U+FFFD."""
    return self._model.decode([int(i) for i in ids])

  def piece_id(self, piece):
    """Id of the one piece that is written `piece`; ValueError where the vocabulary has none."""
    found = self._model.piece_to_id(piece.replace(' ', _SPACE))
    if found == self._model.unk_id():
      raise ValueError(f'{piece!r} is not a piece of this vocabulary of {self.vocab_size}')
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
      user_defined_symbols=[piece.replace(' ', _SPACE) for piece in user_defined],
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
