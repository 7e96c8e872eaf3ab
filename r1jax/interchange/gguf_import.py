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
from r1jax.data import hub_files
from r1jax.interchange import families, fetched, gguf_vocabulary, names, tensors
from r1jax.model import config, rope

READ = ('llama', 'qwen2', 'qwen3')
_ARCHITECTURES = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}
_FORM = 1  # of what is unpacked: another number unpacks anew
_STRETCHED = 'rope_freqs.weight'
# Keys below the architecture's name that say nothing we do not know otherwise.
_PASSED_OVER = {'vocab_size'}
# What `_hub_config` reads: llama.cpp's key -> the hub's.
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
  'rope.scaling.type': 'rope_type',
  'rope.scaling.factor': 'factor',
  'rope.scaling.original_context_length': 'original_max_position_embeddings',
}
_GAIN = 'rope.scaling.attn_factor'
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
  reader = _read(path)
  try:
    contents = _hub_files(reader)
  except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
    lacking = f'lacks {error}' if isinstance(error, KeyError) else str(error)
    raise tensors.CheckpointFileError(f'{path}: {lacking}') from error
  for name, content in contents.items():
    tensors.write_json(made / name, content)
  (made / tensors.GGUF).symlink_to(path)


def _read(path):
  hub_files.check_regular(path)
  try:
    return gguf.GGUFReader(path)
  except Exception as error:  # damage shows as any kind of error
    raise tensors.CheckpointFileError(
      f'{path}: not a GGUF file that can be read: its {path.stat().st_size} bytes are truncated, '
      f'damaged or big-endian; {fetched.again(path)}'
    ) from error


def _hub_files(reader):
  """Name -> contents of the folder's JSON files."""
  values = {name: field.contents() for name, field in reader.fields.items()}
  hub = _hub_config(values, {t.name: t for t in reader.tensors})
  vocabulary = gguf_vocabulary.read(values)
  return {'config.json': hub | vocabulary.config, **vocabulary.files}


def _hub_config(values, found):
  """config.json from the file's metadata and the names and types of its tensors."""
  parts = values.get('split.count', 1)
  if parts != 1:
    raise ValueError(
      f'is one of {parts} parts of a model; join them with llama-gguf-split --merge of llama.cpp'
    )
  arch = values['general.architecture']
  if arch not in READ:
    raise ValueError(f'architecture {arch!r} cannot be read, only {", ".join(READ)}')
  own = {k.removeprefix(f'{arch}.'): v for k, v in values.items() if k.startswith(f'{arch}.')}
  own = {key: _shortest(value) for key, value in own.items()}
  hub = {theirs: own.pop(ours) for ours, theirs in _SIZES.items() if ours in own}
  scaling = {theirs: own.pop(ours) for ours, theirs in _SCALING.items() if ours in own}
  scaling |= _gain(own.pop(_GAIN, 1), scaling, arch)
  lacking = [key for key in _SIZES if key not in _OPTIONAL and _SIZES[key] not in hub]
  if lacking:
    raise ValueError(f'lacks {arch}.{lacking[0]}')
  width = hub.setdefault('head_dim', hub['hidden_size'] // hub['num_attention_heads'])
  for key in _REPEATED:
    if own.pop(key, width) != width:
      raise ValueError(
        f'{arch}.{key}={values[f"{arch}.{key}"]} is not the width of a head, {width}'
      )
  unknown = sorted(set(own) - _PASSED_OVER)
  if unknown:
    raise ValueError(f'{arch}.{unknown[0]}={own[unknown[0]]!r} is not supported')
  (family,) = [family for family in families.ALL.values() if arch == family.GGUF]
  if scaling.get('rope_type', 'none') == 'none':
    scaling = {}
  if _STRETCHED in found:
    scaling = _llama3(found[_STRETCHED].data, hub, width)
  return hub | {
    'architectures': [family.ARCHITECTURE],
    'model_type': family.MODEL_TYPE,
    'vocab_size': int(found['token_embd.weight'].shape[1]),
    'hidden_act': 'silu',
    'rope_scaling': scaling or None,
    'tie_word_embeddings': 'output.weight' not in found,
    'torch_dtype': _dtype(found['token_embd.weight'].tensor_type.name),
  }


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
  raise ValueError(f'{_STRETCHED} is no scaling of Llama 3 with frequency factors 1 and 4')


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
  given = {t.name: t for t in _read(path).tensors if t.name != _STRETCHED}
  mapping = name_map(cfg)
  hub = {renamed(mapping, entry.name): entry.name for entry in names.table(cfg)}
  by_name = {}
  for name, tensor in given.items():
    order = _order(hub.get(name, name), tensor, cfg)
    by_name[hub.get(name, name)] = _block_tensor(path, hub.get(name, name), tensor, order)
  return by_name


def tensors_as_named(path):
  """All tensors of any GGUF file as `BlockTensor`s: llama.cpp's names, the file's order of rows."""
  return {t.name: _block_tensor(path, t.name, t, None) for t in _read(path).tensors}


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
