"""A GGUF file, what llama.cpp and Ollama keep, opened as if it were a hub folder.

    folder = gguf_import.unpack('model.gguf')    # config and tokenizer; the weights stay there
    found = gguf_import.tensors_of(folder, cfg)  # hub name -> tensor, dequantised when it is read

Llama, Qwen2 and Qwen3 with byte-level BPE. Whatever else the file says of its architecture is
refused by name: a key that is passed over may be one that changes what the model computes.
"""

import dataclasses
import math
import pathlib

import gguf
import numpy as np

from r1jax import files
from r1jax.interchange import (
  families,
  fetched,
  gguf_header,
  gguf_vocabulary,
  hub_config,
  keys,
  names,
  tensors,
)
from r1jax.model import config, rope

READ = ('llama', 'qwen2', 'qwen3')
_ARCHITECTURES = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}
_FORM = 1  # of what is unpacked: another number unpacks anew
_STRETCHED = 'rope_freqs.weight'
# Keys below the architecture's name that say nothing we do not know otherwise.
_PASSED_OVER = {'vocab_size'}
# What `_numbers` reads: llama.cpp's key -> the hub's.
_SIZES = {
  'embedding_length': 'hidden_size',
  'feed_forward_length': 'intermediate_size',
  'block_count': 'num_hidden_layers',
  'attention.head_count': 'num_attention_heads',
  'attention.head_count_kv': 'num_key_value_heads',
  'attention.key_length': 'head_dim',
  'context_length': 'max_position_embeddings',
  'attention.layer_norm_rms_epsilon': 'rms_norm_eps',
  'rope.freq_base': 'rope_theta',
}
_SCALING = {
  'rope.scaling.factor': 'factor',
  'rope.scaling.original_context_length': 'original_max_position_embeddings',
}
_GAIN = 'rope.scaling.attn_factor'
# Real numbers with the range that a `ModelConfig` takes; the others are whole and at least 1.
_REALS = {
  'attention.layer_norm_rms_epsilon': (1e-30, 1.0),
  'rope.freq_base': (hub_config.LEAST_THETA, 1e9),
  'rope.scaling.factor': (1.0, math.inf),
}
_MOST = {'block_count': keys.MOST_LAYERS}
_OPTIONAL = {'attention.head_count_kv', 'attention.key_length', 'rope.freq_base'}
# Must repeat the width of a head.
_REPEATED = ('attention.value_length', 'rope.dimension_count')


def unpack(path):
  """Writes the hub's small files of a GGUF file into the user's cache and returns that folder.

  They are config.json, tokenizer.json, tokenizer_config.json, generation_config.json and a link to
  the file, which must stay where it is. A folder that is there already is used again as long as
  the file's size and time are the same.

  Raises:
    tensors.CheckpointFileError: the file is damaged, or says something that we cannot represent.
  """
  path = pathlib.Path(path).resolve()
  status = path.stat()
  identity = f'{_FORM} {path} {status.st_size} {status.st_mtime_ns}'
  return files.kept_folder('gguf', path.stem, identity, lambda made: fill(made, path))


def fill(made, path):
  """Writes the small files of a GGUF file and the link to it into a folder; see `unpack`.

  Args:
    made: the folder; path: of the file, absolute.
  """
  reader = gguf_header.read(path)
  try:
    contents = _hub_files(reader)
  except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
    told = str(error) if isinstance(error, ValueError) else f'{type(error).__name__}: {error}'
    hint = f'; {fetched.again(path)}' if fetched.name_of(path) else ''
    raise tensors.CheckpointFileError(f'{path}: {told}{hint}') from error
  for name, content in contents.items():
    tensors.write_json(made / name, content)
  (made / tensors.GGUF).symlink_to(path)


def _hub_files(reader):
  """Name -> contents of the folder's JSON files."""
  values = {name: field.contents() for name, field in reader.fields.items()}
  hub = _hub_config(values, {t.name: t for t in reader.tensors})
  vocabulary = gguf_vocabulary.read(values)
  return {'config.json': hub | vocabulary.config, **vocabulary.files}


def _hub_config(values, found):
  """config.json from the file's metadata and the names and types of its tensors."""
  parts = values.get('split.count', 1)
  if parts not in (0, 1):
    raise ValueError(
      f'is one of {parts} parts of a model; join them with llama-gguf-split --merge of llama.cpp'
    )
  arch = values.get('general.architecture')
  if arch is None:
    raise ValueError('lacks general.architecture, so it is no model')
  if arch not in READ:
    raise ValueError(f'general.architecture={arch!r:.40} cannot be read, only {", ".join(READ)}')
  values = {key: _shortest(value) for key, value in values.items()}
  own = {k.removeprefix(f'{arch}.'): v for k, v in values.items() if k.startswith(f'{arch}.')}
  hub = _numbers(own, _SIZES, arch)
  lacking = [key for key in _SIZES if key not in _OPTIONAL and _SIZES[key] not in hub]
  if lacking:
    raise ValueError(f'lacks {arch}.{lacking[0]}')
  scaling = _scaling(own, arch)
  width = hub['head_dim'] = _head_width(hub, arch)
  for key in _REPEATED:
    if own.pop(key, width) != width:
      raise ValueError(
        f'{arch}.{key}={values[f"{arch}.{key}"]} is not the width of a head, {width}'
      )
  unknown = sorted(set(own) - _PASSED_OVER)
  if unknown:
    raise ValueError(f'{arch}.{unknown[0]}={own[unknown[0]]!r} is not supported')
  (family,) = [family for family in families.ALL.values() if arch == family.GGUF]
  embedding = found.get('token_embd.weight')
  if embedding is None or len(embedding.shape) != 2:
    raise ValueError('lacks token_embd.weight, a matrix')
  if _STRETCHED in found:
    scaling = _llama3(found[_STRETCHED].data, hub, width)
  return hub | {
    'architectures': [family.ARCHITECTURE],
    'model_type': family.MODEL_TYPE,
    'vocab_size': int(embedding.shape[1]),
    'hidden_act': 'silu',
    'rope_scaling': scaling or None,
    'tie_word_embeddings': 'output.weight' not in found,
    'torch_dtype': _dtype(embedding.tensor_type.name),
  }


def _numbers(own, names_of, arch):
  """The hub's numbers of a table of keys, each removed from `own` and checked for its range."""
  numbers = {}
  for ours in [ours for ours in names_of if ours in own]:
    key = f'{arch}.{ours}'
    value = {key: own.pop(ours)}
    if ours in _REALS:
      numbers[names_of[ours]] = keys.real(value, key, low=_REALS[ours][0], high=_REALS[ours][1])
    else:
      most = {'high': _MOST[ours]} if ours in _MOST else {}
      numbers[names_of[ours]] = keys.integer(value, key, **most)
  return numbers


def _scaling(own, arch):
  """The hub's rope_scaling, {} for none; what a file says of it is removed from `own`."""
  kind, gain = own.pop('rope.scaling.type', 'none'), own.pop(_GAIN, 1)
  given = {key: own.pop(key) for key in _SCALING if key in own}
  # llama.cpp passes over the others then.
  scaling = {} if kind == 'none' else {'rope_type': kind} | _numbers(given, _SCALING, arch)
  gain = keys.real({f'{arch}.{_GAIN}': gain}, f'{arch}.{_GAIN}')
  return scaling | _gain(gain, scaling, arch)


def _head_width(hub, arch):
  """Width of a head: as the file says, else the model's over its heads."""
  heads, width = hub['num_attention_heads'], hub['hidden_size']
  written = f'{arch}.attention.head_count={heads}'
  key_heads = hub.get('num_key_value_heads', heads)
  if heads % key_heads:
    raise ValueError(f'{written} is no multiple of {arch}.attention.head_count_kv={key_heads}')
  if 'head_dim' in hub:
    written, of_head = f'{arch}.attention.key_length={hub["head_dim"]}', hub['head_dim']
  else:
    written, of_head = f'{written} of {arch}.embedding_length={width}', width // heads
  if of_head < 2 or of_head % 2:
    raise ValueError(f'{written} gives heads a width of {of_head}, which is no even number above 0')
  return of_head


def _gain(factor, scaling, arch):
  """The keys of a hub config by which cos and sin are `factor` times what YaRN makes of them.

  llama.cpp multiplies by it (R1-0528-Qwen3-8B has 0.878, which takes YaRN's own gain away). The hub
  has the quotient of two gains 0.1 m ln(stretch) + 1: one is taken with m = 1, the other solved.
  """
  if factor == 1:
    return {}
  stretch = scaling.get('factor', 1)
  if scaling.get('rope_type') != 'yarn' or stretch <= 1:
    raise ValueError(f'{arch}.{_GAIN}={factor!r} is supported with YaRN only')
  slope = 0.1 * math.log(stretch)
  mscale = (factor * (slope + 1) ** 2 - 1) / slope
  if mscale <= 0:
    raise ValueError(f'{arch}.{_GAIN}={factor!r} is too small for a stretch of {stretch}')
  return {'mscale': mscale, 'mscale_all_dim': 1.0}


def _shortest(value):
  """A float32 as whoever wrote it meant it: 1e-5, not 9.999999747378752e-06."""
  return float(str(np.float32(value))) if isinstance(value, float) else value


def _dtype(kind):
  """The type in which weights are kept: as in the file, and the hub's usual one for blocks."""
  return {'F32': 'float32', 'F16': 'float16'}.get(kind, 'bfloat16')


def _llama3(stretch, hub, width):
  """Llama 3's scaled positions from what every rotary frequency is divided by.

  The file does not say them: the largest divisor is the factor, and the original length is the
  power of two that gives the others. Published models have 8 or 32 and 8192.
  """
  no_scaling = f'{_STRETCHED} is no scaling of Llama 3 with frequency factors 1 and 4'
  if stretch.shape != (width // 2,) or not (stretch >= 1).all():
    raise ValueError(no_scaling)
  factor, theta = float(stretch.max()), float(hub.get('rope_theta', 10_000.0))
  for length in (1 << n for n in range(5, 21)):
    scaled = config.RopeConfig(theta=theta, kind='llama3', factor=factor, original_length=length)
    if np.allclose(rope.stretch(scaled, width), stretch, rtol=1e-4):
      return {
        'rope_type': 'llama3',
        'factor': factor,
        'low_freq_factor': 1.0,
        'high_freq_factor': 4.0,
        'original_max_position_embeddings': length,
      }
  raise ValueError(no_scaling)


@dataclasses.dataclass(frozen=True)
class BlockTensor(tensors.Tensor):
  """A `tensors.Tensor` whose rows are dequantised to float32 as they are read.

  Attributes:
    data: the file's rows, mapped and not read.
    kind: type of their blocks.
    order: the file's row of each of the hub's, None where they are the same.
  """

  data: np.ndarray
  kind: gguf.GGMLQuantizationType
  order: np.ndarray | None

  def read(self, start=0, stop=None):
    """Rows `start:stop` as a float32 array."""
    stop = self.rows if stop is None else stop
    part = slice(start, stop)
    rows = self.data[part if self.order is None else self.order[part]]
    out = gguf.quants.dequantize(np.ascontiguousarray(rows), self.kind)
    return out.reshape(stop - start, *self.shape[1:])


def tensors_of(folder, cfg):
  """All tensors of an unpacked file, by the hub's names where they have one, as `Tensor`s.

  Args:
    folder: as `unpack` gives it.
    cfg: its ModelConfig.

  Raises:
    tensors.CheckpointFileError: the file is damaged or gone, or has blocks of an unknown type.
  """
  path = (pathlib.Path(folder) / tensors.GGUF).resolve()
  given = {t.name: t for t in gguf_header.read(path).tensors if t.name != _STRETCHED}
  mapping = name_map(cfg)
  hub = {renamed(mapping, entry.name): entry.name for entry in names.table(cfg)}
  by_name = {}
  for name, tensor in given.items():
    order = _order(hub.get(name, name), tensor, cfg)
    by_name[hub.get(name, name)] = _block_tensor(path, hub.get(name, name), tensor, order)
  return by_name


def tensors_as_named(path):
  """All tensors of any GGUF file as `BlockTensor`s: llama.cpp's names, the file's order of rows."""
  return {t.name: _block_tensor(path, t.name, t, None) for t in gguf_header.read(path).tensors}


def name_map(cfg):
  """The library's table of names for a model, which `renamed` looks into."""
  return gguf.get_tensor_name_map(_ARCHITECTURES[families.of(cfg).GGUF], cfg.layers)


def renamed(mapping, name):
  """llama.cpp's name of a hub tensor, by the library's `mapping` of an architecture."""
  # The library's table has this one name with a dot.
  name = name.replace('e_score_correction_bias', 'e_score_correction.bias')
  found = mapping.get_name(name, try_suffixes=('.weight', '.bias'))
  if found is None:
    raise ValueError(f'{name} has no place in a GGUF file of this architecture')
  return found


def _block_tensor(path, name, tensor, order):
  _check_blocks(path, tensor)
  shape = tuple(int(size) for size in tensor.shape[::-1])  # GGUF counts the fastest axis first
  return BlockTensor(name, path, 'F32', shape, 0, tensor.data, tensor.tensor_type, order)


def _order(name, tensor, cfg):
  """Llama's rows of queries and keys are rotary pairs in the file, halves on the hub."""
  heads = {'q_proj.weight': cfg.heads, 'k_proj.weight': cfg.kv_heads}.get(
    name.rpartition('self_attn.')[2]
  )
  if heads is None or families.of(cfg).GGUF != 'llama':
    return None
  rows = np.arange(int(tensor.shape[-1]))
  return rows.reshape(heads, -1, 2).swapaxes(1, 2).reshape(-1)


def _check_blocks(path, tensor):
  """One row is dequantised: the library knows more types than it can read."""
  try:
    gguf.quants.dequantize(np.ascontiguousarray(tensor.data[:1]), tensor.tensor_type)
  except (NotImplementedError, ValueError, KeyError) as error:
    raise tensors.CheckpointFileError(
      f'{path}: {tensor.name} is {tensor.tensor_type.name}, which cannot be read: {error}'
    ) from error
