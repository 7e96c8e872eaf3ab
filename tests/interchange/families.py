"""Tiny hub checkpoints of every family with weights that follow from their names.

Written by hand from the hub's conventions, not from `interchange.names`, and free of JAX: the
script that stores the reference logits uses the same folders.
"""

import json
import zlib

import numpy as np
from safetensors.numpy import save_file

VOCAB, WIDTH, LAYERS = 96, 32, 3
# Qwen2's words.
_WORDS = (
  r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
  r'| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+'
)
_SHARED = dict(
  vocab_size=VOCAB,
  hidden_size=WIDTH,
  intermediate_size=48,
  num_hidden_layers=LAYERS,
  num_attention_heads=4,
  num_key_value_heads=2,
  hidden_act='silu',
  max_position_embeddings=256,
  initializer_range=0.02,
  rms_norm_eps=1e-6,
  rope_theta=10_000.0,
  tie_word_embeddings=False,
  torch_dtype='float32',
  bos_token_id=0,
  eos_token_id=1,
)
_LLAMA3 = dict(
  rope_type='llama3',
  factor=8.0,
  low_freq_factor=1.0,
  high_freq_factor=4.0,
  original_max_position_embeddings=32,
)
_YARN = dict(
  type='yarn',
  factor=8.0,
  beta_fast=32.0,
  beta_slow=1.0,
  mscale=1.0,
  mscale_all_dim=1.0,
  original_max_position_embeddings=32,
)
_DEEPSEEK = dict(
  _SHARED,
  model_type='deepseek_v3',
  architectures=['DeepseekV3ForCausalLM'],
  num_key_value_heads=4,
  q_lora_rank=24,
  kv_lora_rank=16,
  qk_nope_head_dim=8,
  qk_rope_head_dim=8,
  v_head_dim=12,
  first_k_dense_replace=1,
  n_routed_experts=16,
  num_experts_per_tok=4,
  moe_intermediate_size=12,
  n_shared_experts=2,
  n_group=4,
  topk_group=2,
  routed_scaling_factor=2.5,
  norm_topk_prob=True,
  scoring_func='sigmoid',
  topk_method='noaux_tc',
  moe_layer_freq=1,
  num_nextn_predict_layers=1,
  attention_bias=False,
  rope_scaling=_YARN,
)


def _dense(model_type, architecture, **more):
  return dict(_SHARED, model_type=model_type, architectures=[architecture]) | more


# In the form of Qwen3-30B-A3B's.
_QWEN3_MOE = _dense(
  'qwen3_moe',
  'Qwen3MoeForCausalLM',
  head_dim=16,
  attention_bias=False,
  decoder_sparse_step=1,
  mlp_only_layers=[],
  moe_intermediate_size=12,
  norm_topk_prob=True,
  num_experts=16,
  num_experts_per_tok=4,
)
CONFIGS = {
  'qwen2': _dense('qwen2', 'Qwen2ForCausalLM', tie_word_embeddings=True, use_sliding_window=False),
  'qwen2_untied': _dense('qwen2', 'Qwen2ForCausalLM'),
  'qwen2_yarn': _dense(
    'qwen2',
    'Qwen2ForCausalLM',
    rope_scaling=dict(rope_type='yarn', factor=4.0, original_max_position_embeddings=64),
  ),
  'qwen3': _dense('qwen3', 'Qwen3ForCausalLM', head_dim=16, attention_bias=False),
  'llama': _dense('llama', 'LlamaForCausalLM', rope_scaling=_LLAMA3, rope_theta=500_000.0),
  'deepseek_v3': _DEEPSEEK,
  'deepseek_v3_plain_q': _DEEPSEEK | dict(q_lora_rank=None, rope_scaling=None),
  'llama_wide_heads': _dense(
    'llama', 'LlamaForCausalLM', head_dim=24, num_key_value_heads=1, tie_word_embeddings=True
  ),
  # Experts in all layers, as published; then one dense layer first.
  'qwen3_moe': _QWEN3_MOE,
  'qwen3_moe_dense_first': _QWEN3_MOE
  | dict(mlp_only_layers=[0], norm_topk_prob=False, tie_word_embeddings=True),
  # The latent norms keep 1e-6 in the reference, whatever this says.
  'deepseek_v3_wide_eps': _DEEPSEEK | dict(rms_norm_eps=1e-3),
  # transformers passes over `attn_factor`: the same logits as without it.
  'qwen3_attn_factor': _dense(
    'qwen3',
    'Qwen3ForCausalLM',
    head_dim=16,
    rope_scaling=dict(
      rope_type='yarn', factor=4.0, original_max_position_embeddings=64, attn_factor=0.878
    ),
  ),
  'deepseek_v3_one_group': _DEEPSEEK
  | dict(
    n_group=1,
    topk_group=1,
    norm_topk_prob=False,
    num_nextn_predict_layers=0,
    rope_scaling=_YARN | dict(mscale=1.0, mscale_all_dim=0.707),
  ),
}


def shapes(config):
  """Name -> shape of every tensor of a hub checkpoint."""
  found = {'model.embed_tokens.weight': (VOCAB, WIDTH), 'model.norm.weight': (WIDTH,)}
  if not config['tie_word_embeddings']:
    found['lm_head.weight'] = (VOCAB, WIDTH)
  deepseek = config['model_type'] == 'deepseek_v3'
  for layer in range(LAYERS + config.get('num_nextn_predict_layers', 0)):
    block = _latent_attention(config) if deepseek else _grouped_attention(config)
    block |= {'input_layernorm.weight': (WIDTH,), 'post_attention_layernorm.weight': (WIDTH,)}
    sparse = layer >= _dense_layers(config)
    block |= _experts(config) if sparse else _feed_forward('mlp.', config['intermediate_size'])
    if layer >= LAYERS:
      block |= {
        'enorm.weight': (WIDTH,),
        'hnorm.weight': (WIDTH,),
        'shared_head.norm.weight': (WIDTH,),
      }
      block |= {'eh_proj.weight': (WIDTH, 2 * WIDTH)}
      block |= {'embed_tokens.weight': (VOCAB, WIDTH), 'shared_head.head.weight': (VOCAB, WIDTH)}
    found |= {f'model.layers.{layer}.{name}': shape for name, shape in block.items()}
  return found


def _dense_layers(config):
  """How many layers come before the first one with experts."""
  if config['model_type'] == 'qwen3_moe':
    return len(config['mlp_only_layers'])
  return config.get('first_k_dense_replace', LAYERS)


def weights(config):
  """Name -> float32 array of every tensor; NumPy's frozen generator, seeded by the name."""
  return {name: _weight(name, shape) for name, shape in shapes(config).items()}


def write(folder, name):
  """Writes the checkpoint `name` of CONFIGS into an existing folder; returns its config."""
  config = CONFIGS[name]
  (folder / 'config.json').write_text(json.dumps(config))
  save_file(weights(config), folder / 'model.safetensors', metadata={'format': 'pt'})
  return config


def prompts():
  """Two int32 token sequences of different length."""
  random = np.random.RandomState(7)
  return [random.randint(2, VOCAB, size).astype(np.int32) for size in (40, 23)]


def _weight(name, shape):
  if name.startswith(f'model.layers.{LAYERS}.embed_tokens'):
    name = 'model.embed_tokens.weight'
  if name.startswith(f'model.layers.{LAYERS}.shared_head.head'):
    name = 'lm_head.weight'
  random = np.random.RandomState(zlib.crc32(name.encode()))
  if 'e_score_correction_bias' in name:  # positive: the reference masks groups with 0.0
    return random.uniform(0, 0.3, shape).astype(np.float32)
  if 'norm' in name:
    return random.uniform(0.5, 1.5, shape).astype(np.float32)
  return (0.2 * random.standard_normal(shape)).astype(np.float32)


def _feed_forward(prefix, hidden):
  return {
    f'{prefix}gate_proj.weight': (hidden, WIDTH),
    f'{prefix}up_proj.weight': (hidden, WIDTH),
    f'{prefix}down_proj.weight': (WIDTH, hidden),
  }


def _experts(config):
  hidden = config['moe_intermediate_size']
  count = config.get('n_routed_experts') or config['num_experts']
  found = {'mlp.gate.weight': (count, WIDTH)}
  for expert in range(count):
    found |= _feed_forward(f'mlp.experts.{expert}.', hidden)
  if config['model_type'] == 'qwen3_moe':
    return found
  found['mlp.gate.e_score_correction_bias'] = (count,)
  return found | _feed_forward('mlp.shared_experts.', hidden * config['n_shared_experts'])


def _grouped_attention(config):
  size = config.get('head_dim') or WIDTH // config['num_attention_heads']
  wide, narrow = size * config['num_attention_heads'], size * config['num_key_value_heads']
  outputs = {'q_proj': wide, 'k_proj': narrow, 'v_proj': narrow}
  found = {f'self_attn.{name}.weight': (out, WIDTH) for name, out in outputs.items()}
  if config['model_type'] == 'qwen2':
    found |= {f'self_attn.{name}.bias': (out,) for name, out in outputs.items()}
  if config['model_type'] in ('qwen3', 'qwen3_moe'):
    found |= {'self_attn.q_norm.weight': (size,), 'self_attn.k_norm.weight': (size,)}
  return found | {'self_attn.o_proj.weight': (WIDTH, wide)}


def _latent_attention(config):
  heads, nope = config['num_attention_heads'], config['qk_nope_head_dim']
  rope, value = config['qk_rope_head_dim'], config['v_head_dim']
  latent, query = config['kv_lora_rank'], config['q_lora_rank']
  found = {
    'self_attn.kv_a_proj_with_mqa.weight': (latent + rope, WIDTH),
    'self_attn.kv_a_layernorm.weight': (latent,),
    'self_attn.kv_b_proj.weight': (heads * (nope + value), latent),
    'self_attn.o_proj.weight': (WIDTH, heads * value),
  }
  if query is None:
    return found | {'self_attn.q_proj.weight': (heads * (nope + rope), WIDTH)}
  return found | {
    'self_attn.q_a_proj.weight': (query, WIDTH),
    'self_attn.q_a_layernorm.weight': (query,),
    'self_attn.q_b_proj.weight': (heads * (nope + rope), query),
  }


def write_tokenizer(folder):
  """A byte-level tokenizer.json of VOCAB tokens, its settings and R1's own chat tokens."""
  special = [
    '<bos>',
    '<eos>',
    '<pad>',
    '<｜User｜>',
    '<｜Assistant｜>',
    '<think>',
    '</think>',
  ]
  letters = [chr(c) for c in range(ord('!'), ord('!') + VOCAB - len(special) - 2)] + ['Ġ', 'ab']
  vocab = {text: i for i, text in enumerate(special + letters)}
  contents = {
    'version': '1.0',
    'truncation': None,
    'padding': None,
    'added_tokens': [
      dict(
        id=i,
        content=text,
        special=i < 3,
        single_word=False,
        lstrip=False,
        rstrip=False,
        normalized=False,
      )
      for i, text in enumerate(special)
    ],
    'normalizer': None,
    'pre_tokenizer': dict(
      type='Sequence',
      pretokenizers=[
        dict(type='Split', pattern=dict(Regex=_WORDS), behavior='Isolated', invert=False),
        dict(type='ByteLevel', add_prefix_space=False, trim_offsets=True, use_regex=False),
      ],
    ),
    'post_processor': None,
    'decoder': dict(type='ByteLevel', add_prefix_space=True, trim_offsets=True, use_regex=True),
    'model': dict(type='BPE', vocab=vocab, merges=['a b']),
  }
  (folder / 'tokenizer.json').write_text(json.dumps(contents))
  settings = {'bos_token': '<bos>', 'eos_token': '<eos>', 'add_bos_token': True}
  (folder / 'tokenizer_config.json').write_text(json.dumps(settings))
