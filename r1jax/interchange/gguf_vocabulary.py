"""The vocabulary of a GGUF file, with the chat template that llama.cpp runs."""

import json
from typing import NamedTuple

import gguf
from sentencepiece import sentencepiece_model_pb2

from r1jax.data import chat_template, template, tokenizer

# How llama.cpp cuts text into words before merging: its names for the pre_tokenizer of
# tokenizer.json. Special tokens would not tell: R1's distillations have DeepSeek's over Qwen's and
# Llama's words.
_WORDS = (
  r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s"
  r'| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+'
)
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_BYTES, _BYTES_OF_GPT2 = ('ByteLevel', False), ('ByteLevel', True)  # with GPT-2's cut and without
PRE_TOKENIZERS = {
  (('Split', _WORDS % r'\p{N}'), _BYTES): 'qwen2',
  (('Split', _WORDS % r'\p{N}{1,3}'), _BYTES): 'llama-bpe',
  (
    ('Split', r'\p{N}{1,3}'),
    ('Split', '[一-龥぀-ゟ゠-ヿ]+'),
    (
      'Split',
      r'[!"#$%&' + r"'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"
      r'|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+',
    ),
    _BYTES,
  ): 'deepseek-v3',
  (('Digits', True), _BYTES_OF_GPT2): 'smollm',  # SmolLM2: every digit alone, then as GPT-2
  (_BYTES_OF_GPT2,): 'gpt-2',
  (('Split', _GPT2), _BYTES): 'gpt-2',
}
# llama.cpp's names for the same cuts, as files have them.
_PRE_NAMES = {name: name for name in PRE_TOKENIZERS.values()} | {
  'deepseek-r1-qwen': 'qwen2',
  'llama3': 'llama-bpe',
  'llama-v3': 'llama-bpe',
}
# The hub's names of special tokens -> llama.cpp's, which has further ends of a turn besides.
_SPECIAL_IDS = {
  'bos_token': 'bos_token_id',
  'eos_token': 'eos_token_id',
  'pad_token': 'padding_token_id',
  'unk_token': 'unknown_token_id',
}
# Key -> its type, and what that is called.
_NEEDED = {
  'model': (str, 'a text'),
  'pre': (str, 'a text'),
  'tokens': (list, 'a list'),
  'token_type': (list, 'a list'),
  'merges': (list, 'a list'),
  'eos_token_id': (int, 'a whole number'),
}
_FURTHER_ENDS = ('eot_token_id', 'eom_token_id')
_ADDED = dict(single_word=False, lstrip=False, rstrip=False, normalized=False)
_BPE = dict(
  type='BPE',
  dropout=None,
  unk_token=None,
  continuing_subword_prefix=None,
  end_of_word_suffix=None,
  fuse_unk=False,
  byte_fallback=False,
)
# llama.cpp changes no text before it cuts. It leaves Qwen's NFC out too, which changes rare text.
_NORMALIZERS = {'NFC'}
_NO_PLACE = (
  "has no place in a GGUF file of ours; export with --format=hub and try llama.cpp's "
  'convert_hf_to_gguf.py on that folder'
)


def write(writer, folder, tok, rows):
  """Adds the tokenizer of a hub folder to a GGUF file.

  Args:
    writer: `gguf.GGUFWriter`.
    folder: hub folder, for its chat template.
    tok: its tokenizer.
    rows: of the embedding table; ids beyond the vocabulary become unused tokens.
  """
  if isinstance(tok, tokenizer.SentencePieceTokenizer):
    _sentencepiece(writer, tok, rows)
  else:
    _byte_pairs(writer, tok, rows)
  if tok.bos_id is not None:
    writer.add_bos_token_id(tok.bos_id)
  writer.add_eos_token_id(tok.eos_id)
  # llama.cpp knows two more ends of a reply by their keys, and further ones by their texts.
  others = sorted(tokenizer.stop_ids(folder, tok) - {tok.eos_id})
  for add, end in zip((writer.add_eot_token_id, writer.add_eom_token_id), others):
    add(end)
  writer.add_pad_token_id(tok.pad_id)
  writer.add_add_bos_token(tokenizer.adds_bos(tok))
  writer.add_chat_template(chat_template.load(folder, tok).source)


def _sentencepiece(writer, tok, rows):
  model = sentencepiece_model_pb2.ModelProto.FromString(tok.model_bytes)
  defined = sentencepiece_model_pb2.ModelProto.SentencePiece.USER_DEFINED
  # llama.cpp looks for user-defined pieces in the text itself, where a space is a space.
  pieces = [
    p.piece.replace(tokenizer.SPACE, ' ') if p.type == defined else p.piece for p in model.pieces
  ]
  spare = rows - len(pieces)
  writer.add_tokenizer_model('llama')
  writer.add_tokenizer_pre('default')
  writer.add_token_list(pieces + [f'<unused{i}>' for i in range(spare)])
  writer.add_token_scores([p.score for p in model.pieces] + [-1000.0] * spare)
  kinds = [gguf.TokenType(p.type) for p in model.pieces]  # the two enumerations agree
  writer.add_token_types(kinds + [gguf.TokenType.UNUSED] * spare)
  writer.add_add_space_prefix(False)


def _byte_pairs(writer, tok, rows):
  contents = json.loads(tok.files[tokenizer.HUB_FILE])
  model, cut = contents['model'], pre_tokenizer(contents)
  added = {token['id']: token for token in contents.get('added_tokens') or ()}
  written = {i: text for text, i in model['vocab'].items()}
  pieces, kinds = [], []
  for i in range(rows):
    if i in added:
      pieces.append(added[i]['content'])
      # The tags are text to us whatever their kind is: a control token would not be printed.
      special = added[i]['special'] and added[i]['content'] not in template.TAGS
      kinds.append(gguf.TokenType.CONTROL if special else gguf.TokenType.USER_DEFINED)
    else:
      pieces.append(written.get(i, f'[PAD{i}]'))
      kinds.append(gguf.TokenType.NORMAL if i in written else gguf.TokenType.UNUSED)
  merges = [pair if isinstance(pair, str) else ' '.join(pair) for pair in model['merges']]
  writer.add_tokenizer_model('gpt2')
  writer.add_tokenizer_pre(cut)
  writer.add_token_list(pieces)
  writer.add_token_types(kinds)
  writer.add_token_merges(merges)


class Vocabulary(NamedTuple):
  """What a GGUF file says of its tokenizer, as the hub has it.

  Attributes:
    config: token ids for config.json.
    files: name -> contents of the JSON files beside it.
  """

  config: dict
  files: dict


def read(values):
  """The `Vocabulary` of a GGUF file's metadata, a dict of llama.cpp's keys.

  Raises:
    ValueError: no byte-level BPE, or words cut in a way that is not in `PRE_TOKENIZERS`.
  """
  own = {key.removeprefix('tokenizer.ggml.'): value for key, value in values.items()}
  lacking = [key for key in _NEEDED if key not in own]
  if lacking:
    raise ValueError(f'lacks tokenizer.ggml.{lacking[0]}')
  for key, (kind, called) in _NEEDED.items():
    if not isinstance(own[key], kind):
      raise ValueError(f'tokenizer.ggml.{key}={own[key]!r:.40} is not {called}')
  if own['model'] != 'gpt2':
    raise ValueError(f'tokenizer {own["model"]!r} cannot be read, only gpt2 (byte-level BPE)')
  count, ids = len(own['tokens']), {}
  if len(own['token_type']) != count:
    raise ValueError(f'{count} tokens have {len(own["token_type"])} types')
  for key in (*_SPECIAL_IDS.values(), *_FURTHER_ENDS):
    i = own.get(key, 0)
    if not isinstance(i, int) or not 0 <= i < count:
      raise ValueError(f'tokenizer.ggml.{key}={i!r:.40} is none of {count} tokens')
  for name, key in _SPECIAL_IDS.items():
    ids |= {name: own[key]} if key in own else {}
  further = [own[key] for key in _FURTHER_ENDS if key in own]
  ends = list(dict.fromkeys([ids['eos_token'], *further]))
  settings = {name: own['tokens'][i] for name, i in ids.items()}
  # Where the file leaves it out, llama.cpp begins Llama 3's texts only.
  begins = own.get('add_bos_token', _PRE_NAMES.get(own['pre']) == 'llama-bpe')
  settings |= {'add_bos_token': bool(begins), 'tokenizer_class': 'PreTrainedTokenizerFast'}
  chat = values.get('tokenizer.chat_template', '')
  if not isinstance(chat, str):
    raise ValueError(f'tokenizer.chat_template={chat!r:.40} is not a text')
  settings |= {'chat_template': chat} if 'tokenizer.chat_template' in values else {}
  generation = {f'{name}_id': i for name, i in ids.items()} | {'eos_token_id': ends}
  files = {
    tokenizer.HUB_FILE: _tokenizer_json(own),
    'tokenizer_config.json': settings,
    'generation_config.json': generation,
  }
  return Vocabulary({f'{name}_id': i for name, i in ids.items()}, files)


def _tokenizer_json(own):
  """tokenizer.json of tokens, their types, merges and llama.cpp's name of the pre_tokenizer."""
  if own['pre'] not in _PRE_NAMES:
    raise ValueError(f'tokenizer.ggml.pre={own["pre"]!r} is none of {", ".join(_PRE_NAMES)}')
  name = _PRE_NAMES[own['pre']]
  steps = next(steps for steps, known in PRE_TOKENIZERS.items() if known == name)
  kinds = own['token_type']
  used = [i for i, kind in enumerate(kinds) if kind != gguf.TokenType.UNUSED]
  added = [
    dict(_ADDED, id=i, content=own['tokens'][i], special=kinds[i] != gguf.TokenType.USER_DEFINED)
    for i in used
    if kinds[i] != gguf.TokenType.NORMAL
  ]
  bpe = dict(
    _BPE,
    vocab={own['tokens'][i]: i for i in used},
    merges=own['merges'],
    ignore_merges=name == 'llama-bpe',  # as in Llama 3's own file: a word that is a token is one
  )
  return {
    'version': '1.0',
    'truncation': None,
    'padding': None,
    'added_tokens': added,
    'normalizer': {'type': 'NFC'} if name == 'qwen2' else None,  # as in Qwen's own file
    'pre_tokenizer': {'type': 'Sequence', 'pretokenizers': list(map(_step, steps))},
    'post_processor': None,
    'decoder': _byte_level(True),
    'model': bpe,
  }


def _step(cut):
  """The opposite of `_cut`."""
  kind, what = cut
  if kind == 'Split':
    return dict(type=kind, pattern={'Regex': what}, behavior='Isolated', invert=False)
  return dict(type=kind, individual_digits=what) if kind == 'Digits' else _byte_level(what)


def _byte_level(pattern):
  return dict(type='ByteLevel', add_prefix_space=False, trim_offsets=True, use_regex=pattern)


def limits(tok):
  """Why a tokenizer has no place in a GGUF file, in one line; '' where it has one."""
  if isinstance(tok, tokenizer.SentencePieceTokenizer):
    return ''
  try:
    pre_tokenizer(json.loads(tok.files[tokenizer.HUB_FILE]))
  except ValueError as error:
    return str(error)
  return ''


def pre_tokenizer(contents):
  """llama.cpp's name for how a tokenizer.json cuts text, such as 'qwen2'.

  Args:
    contents: the file's, a dict.

  Raises:
    ValueError: it is no byte-level BPE, or cuts in a way that llama.cpp has no name for.
  """
  model = contents['model']
  if model.get('type') != 'BPE':
    raise ValueError(f'a {model.get("type")} tokenizer.json {_NO_PLACE}: only byte-level BPE has')
  marks = [key for key in ('continuing_subword_prefix', 'end_of_word_suffix') if model.get(key)]
  normalizers = {step.get('type') for step in _steps(contents.get('normalizer'), 'normalizers')}
  unknown = sorted(normalizers - _NORMALIZERS) + marks
  if unknown:
    raise ValueError(f'tokenizer.json changes text by {unknown} before it cuts it, and {_NO_PLACE}')
  steps = tuple(map(_cut, _steps(contents.get('pre_tokenizer'), 'pretokenizers')))
  if steps not in PRE_TOKENIZERS:
    known = ', '.join(dict.fromkeys(PRE_TOKENIZERS.values()))
    raise ValueError(
      f'tokenizer.json cuts words by {steps}, which is none of {known}, and {_NO_PLACE}'
    )
  return PRE_TOKENIZERS[steps]


def _steps(rule, key):
  """The steps of a normalizer or pre_tokenizer, a list of dicts: it is one, a sequence, or null."""
  if not rule:
    return []
  return rule.get(key) or [] if rule.get('type') == 'Sequence' else [rule]


def _cut(step):
  """One step of a pre_tokenizer as `PRE_TOKENIZERS` has it: its kind, and what tells it apart."""
  kind = step.get('type')
  if kind == 'Split' and step.get('behavior') == 'Isolated' and not step.get('invert'):
    return kind, _escaped(step['pattern'].get('Regex', repr(step['pattern'])))
  if kind == 'Digits':
    return kind, step.get('individual_digits')
  if kind == 'ByteLevel' and not step.get('add_prefix_space', True):
    return kind, step.get('use_regex', True)
  return kind, repr({key: value for key, value in step.items() if key != 'type'})


def _escaped(pattern):
  """The pattern with its line ends spelled out: some files hold the characters themselves."""
  return pattern.replace('\r', r'\r').replace('\n', r'\n')
