"""ModelConfig from a hub `config.json` and back; what it cannot represent is refused by name.

What families share is here; what a family has of its own is in its file of `families`.
"""

from typing import NamedTuple

from r1jax import kernels
from r1jax.data import hub_files
from r1jax.interchange import families, keys, tensors
from r1jax.model import config

_DTYPES = ('float32', 'bfloat16', 'float16')
# What the reference reads in every family and ModelConfig cannot vary: key -> the values it may
# have, None being the absent key.
_FIXED = {'hidden_act': ('silu',), 'partial_rotary_factor': (1, None)}
_ROPE_KEYS = {
  'plain': set(),
  'llama3': {'factor', 'low_freq_factor', 'high_freq_factor', 'original_max_position_embeddings'},
  'yarn': {
    'factor',
    'beta_fast',
    'beta_slow',
    'mscale',
    'mscale_all_dim',
    'original_max_position_embeddings',
  },
}
# Keys without which transformers reads no model of this kind.
_ROPE_NEEDED = {
  'plain': (),
  'llama3': ('factor', 'low_freq_factor', 'high_freq_factor'),
  'yarn': ('factor',),
}
# Keys of published files that transformers does not know and passes over with a warning, and what
# they are: R1-0528-Qwen3-8B's, which other programs multiply the attention with, and Yarn-Llama's.
_ROPE_IGNORED = {'yarn': {'attn_factor', 'finetuned'}}
_MSCALES = ('mscale', 'mscale_all_dim')
# What is divided by, or whose logarithm is: key -> least value.
_LEAST = {'factor': 1.0, 'beta_fast': 1e-6, 'beta_slow': 1e-6, 'high_freq_factor': 1e-6}
LEAST_THETA = 2.0


class RuntimeFields(NamedTuple):
  """How a model is run, see `config.RuntimeConfig`."""

  remat: bool = True
  offload: bool = False
  scan_layers: bool = True
  unroll_sampling: bool = False
  dispatch: str = 'sorted'
  kernels: str = 'auto'


def read(folder, compute_dtype=None, param_dtype=None, **run):
  """ModelConfig of the hub folder (or config.json file) `folder`.

  Args:
    compute_dtype, param_dtype: None takes the checkpoint's own `torch_dtype`.
    run: fields of `RuntimeFields`, how the model is run, which a hub config does not say.

  Raises:
    tensors.CheckpointFileError: a value of the wrong type or range, or a model_type, rope type,
      activation, window or quantisation that ModelConfig lacks. The message names file and key.
    ValueError: kernels that do not run here.
  """
  fields = RuntimeFields(**run)
  # What is wrong with these is no fault of the file.
  fields = fields._replace(kernels=kernels.resolve(fields.kernels))
  hub, path = load_json(folder)
  try:
    _check(hub)
    return _read(hub, compute_dtype, param_dtype, fields)
  except ValueError as error:
    raise tensors.CheckpointFileError(f'{path}: {error}') from error


def _read(hub, compute_dtype, param_dtype, run):
  kind = hub.get('torch_dtype') or hub.get('dtype') or 'bfloat16'
  if kind not in _DTYPES:
    raise ValueError(f'torch_dtype={kind!r} is not one of {_DTYPES}')
  rope = _read_rope(hub)
  max_length = keys.integer(hub, 'max_position_embeddings')
  if rope.kind == 'yarn' and max_length <= rope.original_length:
    max_length = int(rope.factor * rope.original_length)  # the hub's code stretches in any case
  fields = dict(
    vocab=keys.integer(hub, 'vocab_size'),
    width=keys.integer(hub, 'hidden_size'),
    layers=keys.integer(hub, 'num_hidden_layers', high=keys.MOST_LAYERS),
    heads=keys.integer(hub, 'num_attention_heads'),
    ffn=keys.integer(hub, 'intermediate_size'),
    rope=rope,
    norm_eps=keys.real(hub, 'rms_norm_eps', 1e-6),
    tied=keys.flag(hub, 'tie_word_embeddings', False),
    init_std=keys.real(hub, 'initializer_range', 0.02),
    max_length=max_length,
    compute_dtype=compute_dtype or kind,
    param_dtype=param_dtype or kind,
    remat=run.remat,
    offload=run.offload,
    scan_layers=run.scan_layers,
    unroll_sampling=run.unroll_sampling,
    kernels=run.kernels,
  )
  return config.ModelConfig(**fields, **_family(hub).read(hub, run.dispatch))


def load_json(folder):
  """(contents, path) of a folder's config.json, or of the file itself."""
  path = hub_files.inside(folder, 'config.json')
  try:
    return hub_files.read_json(path, required=True), path
  except hub_files.HubFileError as error:
    raise tensors.CheckpointFileError(str(error)) from error


def block_size(hub):
  """(rows, columns) of the fp8 blocks of a checkpoint, None where it is not quantised."""
  quantised = hub.get('quantization_config')
  return tuple(quantised['weight_block_size']) if quantised else None


def passed_over(hub):
  """Keys of a config that the reference implementation does not use, nor do we: list of str."""
  scaling, kind = _rope_section(hub)
  return [f'rope_scaling.{key}' for key in sorted(_ROPE_IGNORED.get(kind, set()) & set(scaling))]


def _family(hub):
  """The family (a module of `families`) of a hub config."""
  name = hub.get('model_type')
  if not isinstance(name, str) or name not in families.ALL:
    raise ValueError(f'model_type {name!r} is not one of {tuple(families.ALL)}')
  return families.ALL[name]


def _check(hub):
  """Raises ValueError, naming key and value, for a config that ModelConfig cannot represent."""
  for key, allowed in (_FIXED | _family(hub).FIXED).items():
    if key in hub and hub[key] not in allowed:
      raise ValueError(f'{key}={hub[key]!r} is not supported, only {allowed[0]!r}')
  layer_types = {str(kind) for kind in keys.listed(hub, 'layer_types')} or {'full_attention'}
  if layer_types != {'full_attention'}:
    raise ValueError(f'layer_types {sorted(layer_types)} is not supported, only full attention')
  quantised = keys.section(hub, 'quantization_config')
  if not quantised:
    return
  if (quantised.get('quant_method'), quantised.get('fmt')) != ('fp8', 'e4m3'):
    raise ValueError(f'quantization_config {quantised} is not supported, only fp8 e4m3 blocks')
  sizes = keys.listed(quantised, 'weight_block_size')
  if len(sizes) != 2 or not all(type(size) is int and size > 0 for size in sizes):
    raise ValueError(f'quantization_config.weight_block_size must be two numbers: {quantised}')


def _rope_section(hub):
  """(what config.json says of rotary positions, its kind); transformers 4 and 5 differ."""
  scaling = keys.section(hub, 'rope_parameters') or keys.section(hub, 'rope_scaling')
  kind = scaling.pop('rope_type', None) or scaling.get('type') or 'default'
  scaling.pop('type', None)
  return scaling, 'plain' if kind == 'default' else kind


def _read_rope(hub):
  """RopeConfig of a hub config."""
  scaling, kind = _rope_section(hub)
  theta = keys.real(hub, 'rope_theta', 10_000.0, low=LEAST_THETA)
  theta = keys.real(scaling, 'rope_theta', theta, low=LEAST_THETA)
  scaling.pop('rope_theta', None)
  if scaling.pop('partial_rotary_factor', 1) != 1:
    raise ValueError('partial_rotary_factor must be 1')
  if not isinstance(kind, str) or kind not in _ROPE_KEYS:
    raise ValueError(f'rope type {kind!r} is not one of {("default", "llama3", "yarn")}')
  known = _ROPE_KEYS[kind] | _ROPE_IGNORED.get(kind, set())
  unknown = {key for key, value in scaling.items() if value is not None} - known
  if unknown:
    raise ValueError(f'rope type {kind!r} with {sorted(unknown)} is not supported')
  if kind == 'plain':
    return config.RopeConfig(theta=theta)
  lacking = [key for key in _ROPE_NEEDED[kind] if scaling.get(key) is None]
  if lacking:
    raise ValueError(f'rope type {kind!r} lacks {lacking[0]!r}')
  longest = keys.integer(hub, 'max_position_embeddings')
  length = keys.integer(scaling, 'original_max_position_embeddings', longest)
  names = _ROPE_KEYS[kind] - {'original_max_position_embeddings'}
  values = {
    key: keys.real(scaling, key, low=_LEAST.get(key, 0.0))
    for key in names
    if scaling.get(key) is not None
  }
  if kind == 'llama3' and not values['low_freq_factor'] < values['high_freq_factor']:
    raise ValueError(f'rope type llama3 needs low_freq_factor < high_freq_factor: {scaling}')
  if kind == 'yarn':
    values = {'mscale': 1.0, 'mscale_all_dim': 0.0} | _together(hub, values)
    if values['mscale'] != 1 and not values['mscale_all_dim']:
      raise ValueError(f'rope mscale={values["mscale"]} needs mscale_all_dim beside it')
  return config.RopeConfig(theta=theta, kind=kind, original_length=length, **values)


def _together(hub, values):
  """YaRN's values without a lone mscale: transformers takes the two together or neither.

  Its rule (`_compute_yarn_parameters`) is that of all families; DeepSeek's own code takes one too.
  """
  if _family(hub).MODEL_TYPE == 'deepseek_v3' or all(values.get(key) for key in _MSCALES):
    return values
  return {key: value for key, value in values.items() if key not in _MSCALES}


def write(cfg):
  """The hub's config.json of a ModelConfig, as a dict; token ids are the exporter's to add."""
  family = families.of(cfg)
  hub = {
    'architectures': [family.ARCHITECTURE],
    'model_type': family.MODEL_TYPE,
    'vocab_size': cfg.vocab,
    'hidden_size': cfg.width,
    'intermediate_size': cfg.ffn,
    'num_hidden_layers': cfg.layers,
    'num_attention_heads': cfg.heads,
    'hidden_act': 'silu',
    'max_position_embeddings': cfg.max_length,
    'initializer_range': cfg.init_std,
    'rms_norm_eps': cfg.norm_eps,
    'rope_theta': cfg.rope.theta,
    'rope_scaling': _write_rope(cfg.rope, cfg.max_length),
    'attention_dropout': 0.0,
    'tie_word_embeddings': cfg.tied,
    'torch_dtype': cfg.param_dtype,
    'use_cache': True,
  }
  return hub | family.write(cfg)


def _write_rope(rope, max_length):
  unstretched = rope.kind == 'yarn' and max_length <= rope.original_length
  if rope.kind == 'plain' or unstretched:
    return None
  names = _ROPE_KEYS[rope.kind] - {'original_max_position_embeddings'}
  values = {key: getattr(rope, key) for key in sorted(names)}
  both = {'rope_type': rope.kind, 'type': rope.kind}
  return both | values | {'original_max_position_embeddings': rope.original_length}
