"""The vocabulary of a GGUF file, and the Modelfile with the chat template that Ollama runs."""

import json

import gguf
from sentencepiece import sentencepiece_model_pb2

from r1jax.data import chat_template, template, tokenizer

# How llama.cpp cuts text into words before merging: its name for the patterns of tokenizer.json.
# Special tokens would not tell: R1's distillations have DeepSeek's over Qwen's and Llama's words.
_WORDS = (
  r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s"
  r'| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+'
)
_CUTTERS = {
  (_WORDS % r'\p{N}',): 'qwen2',
  (_WORDS % r'\p{N}{1,3}',): 'llama-bpe',
  (
    r'\p{N}{1,3}',
    '[一-龥぀-ゟ゠-ヿ]+',
    r'[!"#$%&' + r"'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"
    r'|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+',
  ): 'deepseek-v3',
}
# Ollama's template language is Go's. R1's format, past thoughts included as Ollama hands them over.
_R1_MODELFILE = f"""\
TEMPLATE \"\"\"{{{{- if .System }}}}{{{{ .System }}}}{{{{ end }}}}
{{{{- range .Messages }}}}
{{{{- if ne .Role "system" }}}}
{{{{- if eq .Role "user" }}}}{chat_template.USER}{{{{ .Content }}}}
{{{{- else }}}}{chat_template.ASSISTANT}{{{{ .Content }}}}{chat_template.EOS}
{{{{- end }}}}
{{{{- end }}}}
{{{{- end }}}}{chat_template.ASSISTANT}{template.THINK}
\"\"\"
PARAMETER stop {chat_template.EOS}
"""
_ZERO_MODELFILE = f"""\
TEMPLATE \"\"\"{template.TEMPLATE_HEAD}{{{{ .Prompt }}}}{template.TEMPLATE_TAIL}\"\"\"
PARAMETER stop {template.END_ANSWER}
"""


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
  writer.add_pad_token_id(tok.pad_id)
  writer.add_add_bos_token(tok.encode('a', bos=True) != tok.encode('a'))
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
  model = contents['model']
  if model['type'] != 'BPE':
    raise ValueError(f'a {model["type"]} tokenizer.json has no place in a GGUF file, only BPE')
  added = {token['id']: token for token in contents['added_tokens']}
  written = {i: text for text, i in model['vocab'].items()}
  pieces, kinds = [], []
  for i in range(rows):
    if i in added:
      pieces.append(added[i]['content'])
      special = added[i]['special']
      kinds.append(gguf.TokenType.CONTROL if special else gguf.TokenType.USER_DEFINED)
    else:
      pieces.append(written.get(i, f'[PAD{i}]'))
      kinds.append(gguf.TokenType.NORMAL if i in written else gguf.TokenType.UNUSED)
  merges = [pair if isinstance(pair, str) else ' '.join(pair) for pair in model['merges']]
  writer.add_tokenizer_model('gpt2')
  writer.add_tokenizer_pre(_cutter(contents['pre_tokenizer']))
  writer.add_token_list(pieces)
  writer.add_token_types(kinds)
  writer.add_token_merges(merges)


def _cutter(rule):
  steps = (rule or {}).get('pretokenizers') or [rule or {}]
  splits = [step['pattern'] for step in steps if step.get('type') == 'Split']
  patterns = tuple(_escaped(pattern.get('Regex', '')) for pattern in splits)
  if patterns not in _CUTTERS:
    known = ', '.join(_CUTTERS.values())
    raise ValueError(f'tokenizer.json cuts words by {patterns}, which is none of {known}')
  return _CUTTERS[patterns]


def _escaped(pattern):
  """The pattern with its line ends spelled out: some files hold the characters themselves."""
  return pattern.replace('\r', r'\r').replace('\n', r'\n')


def modelfile(folder, tok, file):
  """Ollama's Modelfile for the GGUF file `file` beside it.

  The template is R1's for a vocabulary with R1's tokens, R1-Zero's for a model that has no other;
  any other chat template travels in the GGUF file, where Ollama looks when the Modelfile has none.
  """
  chat = chat_template.load(folder, tok)
  text = f'FROM ./{file}\nPARAMETER temperature 0.6\nPARAMETER top_p 0.95\n'
  if isinstance(chat, chat_template.ZeroTemplate):
    return text + _ZERO_MODELFILE
  return text + (_R1_MODELFILE if chat_template.USER in chat.source else '')
