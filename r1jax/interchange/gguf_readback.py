"""A GGUF file read back by our own importer and compared with what it was written from."""

import dataclasses
import functools
import math
import pathlib
import tempfile

import gguf
import numpy as np

from r1jax.data import chat_template, tokenizer
from r1jax.interchange import checkpoints, families, gguf_import, huggingface, tensors

# Digits, blank lines, accents, other scripts and the tags: what tokenizers cut in different ways.
TEXTS = (
  'What is 3 + 4? 12345 x 67 = 827115,\n\n  so it isn\'t "827,116".',
  'naïve café, 数学 и арифметика 🙂\t1.5e-3',
  '<think> 3 + 4 = 7 </think> <answer> 7 </answer>',
)
_BLOCK, _LARGEST = 32, 127  # values of a q8_0 block, and the largest number that one is
# Not in a GGUF file, or another there: types are those of its blocks.
_OTHERWISE = ('init_std', 'param_dtype', 'compute_dtype')


def check(path, source, cfg, plan, tok, written):
  """Compares a file with the hub folder that it was written from, one tensor at a time.

  Where the importer knows the family, the model is compared as it would be read: config, ids of a
  few texts, chat template, and tensors by the hub's names. Else tensors by llama.cpp's names alone.

  Args:
    path: the GGUF file.
    source: the hub folder.
    cfg, plan, tok: its ModelConfig as exported, its `huggingface.Match`, its tokenizer.
    written: name in the file -> (type, function that returns the float32 array meant).

  Returns:
    One line: how many tensors, the largest difference, and what was not compared.

  Raises:
    tensors.CheckpointFileError: the first difference, by what it is in; the caller removes the
      file.
  """
  path = pathlib.Path(path).resolve()
  reason = _unreadable(cfg, tok)
  if reason:
    found = gguf_import.tensors_as_named(path)
    meant = written
  else:
    found = _as_model(path, source, cfg, tok)
    mapping = gguf_import.name_map(cfg)
    meant = {
      entry.name: (
        written[gguf_import.renamed(mapping, entry.name)][0],
        functools.partial(plan.read, entry.name),
      )
      for entry in plan.entries
    }
  _require(path, 'names of tensors', sorted(found), sorted(meant))
  largest = max(_difference(path, found[name], *meant[name]) for name in meant)
  left_out = f'; config and tokenizer are not compared: {reason}' if reason else ''
  return f'read back: {len(meant)} tensors, largest difference {largest:.2g}{left_out}'


def rounding(value, kind):
  """How far values of a type may lie from the float32 `value`, elementwise.

  Half a unit in the last place of float16. In a block of q8_0 half of its step, the largest value
  / 127, which is itself a float16 that up to 127 steps are counted by. 0 for float32.
  """
  if kind == gguf.GGMLQuantizationType.F32:
    return np.zeros_like(value)
  if kind == gguf.GGMLQuantizationType.F16:
    return _half_unit(value)
  step = np.abs(value.reshape(-1, _BLOCK)).max(-1, keepdims=True) / _LARGEST
  # A thousandth more, as the quotient that is rounded is itself a float32.
  allowed = 0.5005 * step + _LARGEST * _half_unit(step)
  return np.broadcast_to(allowed, (len(step), _BLOCK)).reshape(value.shape)


def _half_unit(value):
  """Half of what lies between a float32 and the next one, if both were float16."""
  # Below 2**-14 the steps of float16 grow no smaller.
  exponent = np.where(value == 0, -13, np.maximum(np.frexp(value)[1], -13))
  return np.ldexp(np.float32(1), exponent - 12)


def _unreadable(cfg, tok):
  """Why our importer cannot read what llama.cpp can, '' where it reads it too."""
  family = families.of(cfg).GGUF
  if family not in gguf_import.READ:
    return f'{family} is read by llama.cpp, not here'
  if isinstance(tok, tokenizer.SentencePieceTokenizer):
    return 'SentencePiece in GGUF is not read here'
  # The file has no key for them: they are guessed from the published ones.
  guessed = cfg.rope.low_freq_factor == 1 and cfg.rope.high_freq_factor == 4
  if cfg.rope.kind == 'llama3' and not guessed:
    return 'frequency factors other than 1 and 4 are not read here'
  return ''


def _as_model(path, source, cfg, tok):
  """The file's tensors by the hub's names, once config, tokenizer and chat template agree."""
  with tempfile.TemporaryDirectory() as folder:
    made = pathlib.Path(folder)
    gguf_import.fill(made, path)
    _check_config(path, huggingface.read_config(made), cfg)
    found = checkpoints.tokenizer_of(made, cfg)
    texts = [*TEXTS, *_chat(source, tok)]
    for text in texts:
      _require(path, f'ids of {text!r}', found.encode(text, bos=True), tok.encode(text, bos=True))
    for key in ('bos_id', 'eos_id', 'pad_id'):
      _require(path, key, getattr(found, key), getattr(tok, key))
    templates = [chat_template.load(*of).source for of in ((made, found), (source, tok))]
    _require(path, 'chat template', *templates)
    return gguf_import.tensors_of(made, cfg)


def _chat(source, tok):
  """A question as the model is asked it, where its template takes one without more."""
  try:
    return [chat_template.load(source, tok).render([{'role': 'user', 'content': TEXTS[0]}])]
  except chat_template.ChatTemplateError:
    return []


def _check_config(path, found, meant):
  """Raises with the first field that differs; a float32 in the file is as good as the number."""
  pairs = [(field.name, found, meant) for field in dataclasses.fields(meant)]
  pairs += [(field.name, found.rope, meant.rope) for field in dataclasses.fields(meant.rope)]
  for name, *sides in pairs:
    have, want = (getattr(side, name) for side in sides)
    near = isinstance(want, float) and math.isclose(have, want, rel_tol=1e-6)
    if name not in ('rope', *_OTHERWISE) and not near:
      _require(path, f'config {name}', have, want)


def _require(path, what, have, want):
  if have != want:
    raise _error(path, f'{what}: {_short(have)}, expected {_short(want)}')


def _error(path, text):
  return tensors.CheckpointFileError(f'{path}: read back, {text}; the file is removed')


def _short(value):
  text = repr(value)
  return text if len(text) <= 200 else f'{text[:200]}...'


def _difference(path, tensor, kind, get):
  """Largest difference of a tensor from what was meant; raises where it is no rounding."""
  _require(path, f'type of {tensor.name}', tensor.kind.name, kind.name)
  value, largest = np.asarray(get(), np.float32), 0.0
  _require(path, f'shape of {tensor.name}', tensor.shape, value.shape)
  for first, rows in tensor.chunks():
    want = value[first : first + len(rows)]
    apart = np.abs(rows - want)
    beyond = ~(apart <= rounding(want, kind))  # NaN is beyond everything
    if beyond.any():
      at = np.unravel_index(beyond.argmax(), beyond.shape)
      where = [int(i) for i in (at[0] + first, *at[1:])]
      raise _error(
        path,
        f'{tensor.name}: {int(beyond.sum())} of {beyond.size} values are further away than '
        f'{kind.name} rounds, {rows[at]:.6g} at {where}, expected {want[at]:.6g}',
      )
    largest = max(largest, float(apart.max(initial=0)))
  return largest
