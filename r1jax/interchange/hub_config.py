"""ModelConfig from a hub `config.json` and back; what it cannot represent is refused by name."""

import json
import pathlib
from typing import NamedTuple

from r1jax import kernels
from r1jax.interchange import names, tensors
from r1jax.model import config

FAMILIES = ('deepseek_v3', 'qwen2', 'qwen3', 'llama')
ARCHITECTURES = {
  'deepseek_v3': 'DeepseekV3ForCausalLM',
  'qwen2': 'Qwen2ForCausalLM',
  'qwen3': 'Qwen3ForCausalLM',
  'llama': 'LlamaForCausalLM',
}
_DTYPES = ('float32', 'bfloat16', 'float16')
# What the families' own code reads and ModelConfig cannot vary: key -> the values that are ours.
_FIXED = {
  'hidden_act': ('silu',),
  'attention_bias': (False,),
  'mlp_bias': (False,),
  'use_sliding_window': (False,),
  'use_mrope': (False,),
  'partial_rotary_factor': (1, None),
  'rope_interleave': (True,),
  'scoring_func': ('sigmoid',),
  'topk_method': ('noaux_tc',),
  'moe_layer_freq': (1,),
}
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


class Run(NamedTuple):
  """How a model is run, see `config.RuntimeConfig`."""

  remat: bool = True
  offload: bool = False
  scan_layers: bool = True
  dispatch: str = 'sorted'
  kernels: str = 'auto'


def read(folder, compute_dtype=None, param_dtype=None, **run):
  """ModelConfig of the hub folder (or config.json file) `folder`.

  Args:
    compute_dtype, param_dtype: None takes the checkpoint's own `torch_dtype`.
    run: `Run`'s fields, how the model is run, which a hub config does not say.

  Raises:
    ValueError: a model_type, rope type, activation, window or quantisation that ModelConfig lacks.
  """
  hub, path = load_json(folder)
  try:
    check(hub, path)
    return _read(hub, path, compute_dtype, param_dtype, Run(**run))
  except KeyError as error:
    raise tensors.CheckpointFileError(f'{path}: lacks {error}') from error
  except (TypeError, AttributeError) as error:  # a text where a number belongs, and the like
    raise tensors.CheckpointFileError(f'{path}: a value has the wrong type: {error}') from error
  except ValueError as error:
    named = str(path) in str(error)
    raise tensors.CheckpointFileError(str(error) if named else f'{path}: {error}') from error


def _read(hub, path, compute_dtype, param_dtype, run):
  kind = hub.get('torch_dtype') or hub.get('dtype') or 'bfloat16'
  if kind not in _DTYPES:
    raise ValueError(f'{path}: torch_dtype={kind!r} is not one of {_DTYPES}')
  rope = _read_rope(hub, path)
  max_length = hub['max_position_embeddings']
  if rope.kind == 'yarn' and max_length <= rope.original_length:
    max_length = int(rope.factor * rope.original_length)  # the hub's code stretches in any case
  fields = dict(
    vocab=hub['vocab_size'],
    width=hub['hidden_size'],
    layers=hub['num_hidden_layers'],
    heads=hub['num_attention_heads'],
    ffn=hub['intermediate_size'],
    rope=rope,
    norm_eps=hub.get('rms_norm_eps', 1e-6),
    tied=bool(hub.get('tie_word_embeddings', False)),
    init_std=hub.get('initializer_range', 0.02),
    max_length=max_length,
    compute_dtype=compute_dtype or kind,
    param_dtype=param_dtype or kind,
    remat=run.remat,
    offload=run.offload,
    scan_layers=run.scan_layers,
    kernels=kernels.resolve(run.kernels),
  )
  family = _deepseek(hub, path, run.dispatch) if hub['model_type'] == 'deepseek_v3' else _dense(hub)
  return config.ModelConfig(**fields, **family)


def load_json(folder):
  """(contents, path) of a folder's config.json, or of the file itself."""
  path = pathlib.Path(folder)
  path = path / 'config.json' if path.is_dir() else path
  try:
    hub = json.loads(path.read_text())
  except FileNotFoundError as error:
    raise tensors.CheckpointFileError(f'{path}: no such file; is this a hub folder?') from error
  except (json.JSONDecodeError, UnicodeDecodeError) as error:
    raise tensors.CheckpointFileError(f'{path}: not JSON: {error}') from error
  if not isinstance(hub, dict):
    raise tensors.CheckpointFileError(f'{path}: expected a JSON object, not {type(hub).__name__}')
  return hub, path


def block_size(hub):
  """(rows, columns) of the fp8 blocks of a checkpoint, None where it is not quantised."""
  quantised = hub.get('quantization_config')
  return tuple(quantised['weight_block_size']) if quantised else None


def check(hub, path):
  """Raises ValueError, naming key and value, for a config that ModelConfig cannot represent."""
  if hub.get('model_type') not in FAMILIES:
    raise ValueError(f'{path}: model_type {hub.get("model_type")!r} is not one of {FAMILIES}')
  for key, allowed in _FIXED.items():
    if key in hub and hub[key] not in allowed:
      if key == 'attention_bias' and hub['model_type'] == 'qwen2':
        continue
      raise ValueError(f'{path}: {key}={hub[key]!r} is not supported, only {allowed[0]!r}')
  layer_types = set(hub.get('layer_types') or ['full_attention'])
  if layer_types != {'full_attention'}:
    raise ValueError(
      f'{path}: layer_types {sorted(layer_types)} is not supported, only full attention'
    )
  quantised = hub.get('quantization_config')
  if quantised and (quantised.get('quant_method'), quantised.get('fmt')) != ('fp8', 'e4m3'):
    raise ValueError(
      f'{path}: quantization_config {quantised} is not supported, only fp8 e4m3 blocks'
    )
  if quantised and len(quantised.get('weight_block_size') or ()) != 2:
    raise ValueError(
      f'{path}: quantization_config.weight_block_size must be two numbers: {quantised}'
    )


def _dense(hub):
  width = hub.get('head_dim') or hub['hidden_size'] // hub['num_attention_heads']
  if hub['model_type'] == 'qwen3':
    width = hub.get('head_dim', 128)  # the family's own default, whatever its width
  return dict(
    attention='gqa',
    q_latent=0,
    kv_latent=0,
    head_nope=0,
    head_rope=width,
    head_value=width,
    kv_heads=hub.get('num_key_value_heads') or hub['num_attention_heads'],
    qkv_bias=hub['model_type'] == 'qwen2',
    qk_norm=hub['model_type'] == 'qwen3',
    dense_layers=hub['num_hidden_layers'],
    moe=None,
    mtp_layers=0,
  )


def _deepseek(hub, path, dispatch):
  layers, dense = hub['num_hidden_layers'], hub['first_k_dense_replace']
  if hub.get('num_key_value_heads', hub['num_attention_heads']) != hub['num_attention_heads']:
    raise ValueError(
      f'{path}: num_key_value_heads={hub["num_key_value_heads"]} in latent attention'
    )
  if hub.get('tie_word_embeddings'):
    raise ValueError(f'{path}: tie_word_embeddings=true is not supported for deepseek_v3')
  moe = None
  if dense < layers:
    if not hub.get('n_shared_experts'):
      raise ValueError(f'{path}: n_shared_experts={hub.get("n_shared_experts")}, needs at least 1')
    moe = config.MoeConfig(
      experts=hub['n_routed_experts'],
      per_token=hub['num_experts_per_tok'],
      ffn=hub['moe_intermediate_size'],
      shared=hub['n_shared_experts'],
      groups=hub['n_group'],
      top_groups=hub['topk_group'],
      scale=hub['routed_scaling_factor'],
      normalise=hub['norm_topk_prob'],
      dispatch=dispatch,
    )
  return dict(
    attention='mla',
    q_latent=hub.get('q_lora_rank') or 0,
    kv_latent=hub['kv_lora_rank'],
    head_nope=hub['qk_nope_head_dim'],
    head_rope=hub['qk_rope_head_dim'],
    head_value=hub['v_head_dim'],
    dense_layers=min(dense, layers),
    moe=moe,
    mtp_layers=hub.get('num_nextn_predict_layers') or 0,
  )


def _read_rope(hub, path):
  """RopeConfig of a hub config; transformers 4 and 5 write it differently."""
  scaling = dict(hub.get('rope_parameters') or hub.get('rope_scaling') or {})
  theta = scaling.pop('rope_theta', None) or hub.get('rope_theta', 10_000.0)
  kind = scaling.pop('rope_type', None) or scaling.get('type') or 'default'
  scaling.pop('type', None)
  if scaling.pop('partial_rotary_factor', 1) != 1:
    raise ValueError(f'{path}: partial_rotary_factor must be 1')
  kind = 'plain' if kind == 'default' else kind
  if kind not in _ROPE_KEYS:
    raise ValueError(f'{path}: rope type {kind!r} is not one of {("default", "llama3", "yarn")}')
  unknown = {k for k, v in scaling.items() if v is not None} - _ROPE_KEYS[kind]
  if unknown:
    raise ValueError(f'{path}: rope type {kind!r} with {sorted(unknown)} is not supported')
  if kind == 'plain':
    return config.RopeConfig(theta=float(theta))
  length = scaling.pop('original_max_position_embeddings', hub['max_position_embeddings'])
  values = {key: float(value) for key, value in scaling.items()}
  if kind == 'yarn':
    values = {'mscale': 1.0, 'mscale_all_dim': 0.0} | values
    if values['mscale'] != 1 and not values['mscale_all_dim']:
      raise ValueError(f'{path}: rope mscale={values["mscale"]} needs mscale_all_dim beside it')
  return config.RopeConfig(theta=float(theta), kind=kind, original_length=int(length), **values)


def write(cfg):
  """The hub's config.json of a ModelConfig, as a dict; token ids are the exporter's to add."""
  family = names.family(cfg)
  hub = {
    'architectures': [ARCHITECTURES[family]],
    'model_type': family,
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
  return hub | (_write_deepseek(cfg) if family == 'deepseek_v3' else _write_dense(cfg, family))


def _write_rope(rope, max_length):
  unstretched = rope.kind == 'yarn' and max_length <= rope.original_length
  if rope.kind == 'plain' or unstretched:
    return None
  keys = _ROPE_KEYS[rope.kind] - {'original_max_position_embeddings'}
  values = {key: getattr(rope, key) for key in sorted(keys)}
  both = {'rope_type': rope.kind, 'type': rope.kind}
  return both | values | {'original_max_position_embeddings': rope.original_length}


def _write_dense(cfg, family):
  hub = {'num_key_value_heads': cfg.kv_heads, 'head_dim': cfg.head_rope}
  if family == 'qwen2':
    return hub | {'use_sliding_window': False}
  return hub | {'attention_bias': False}


def _write_deepseek(cfg):
  hub = {
    'num_key_value_heads': cfg.heads,
    'attention_bias': False,
    'q_lora_rank': cfg.q_latent or None,
    'kv_lora_rank': cfg.kv_latent,
    'qk_nope_head_dim': cfg.head_nope,
    'qk_rope_head_dim': cfg.head_rope,
    'v_head_dim': cfg.head_value,
    'first_k_dense_replace': cfg.dense_layers,
    'num_nextn_predict_layers': cfg.mtp_layers,
  }
  if not cfg.moe_layers:
    return hub
  return hub | {
    'n_routed_experts': cfg.moe.experts,
    'num_experts_per_tok': cfg.moe.per_token,
    'moe_intermediate_size': cfg.moe.ffn,
    'n_shared_experts': cfg.moe.shared,
    'n_group': cfg.moe.groups,
    'topk_group': cfg.moe.top_groups,
    'routed_scaling_factor': cfg.moe.scale,
    'norm_topk_prob': cfg.moe.normalise,
    'scoring_func': 'sigmoid',
    'topk_method': 'noaux_tc',
    'moe_layer_freq': 1,
    'ep_size': 1,
  }
