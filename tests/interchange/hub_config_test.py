"""config.json of the hub: the published sizes, and what ModelConfig lacks refused by name."""

import dataclasses
import json
import math

import pytest

from r1jax import params
from r1jax.interchange import hub_config, huggingface
from r1jax.model import config, rope, transformer
from tests import shared_data
from tests.interchange import families

QWEN = dict(model_type='qwen2', hidden_act='silu', tie_word_embeddings=False, rms_norm_eps=1e-6)
LLAMA = QWEN | dict(
  model_type='llama',
  vocab_size=128_256,
  num_key_value_heads=8,
  rope_theta=500_000.0,
  rope_scaling=dict(
    rope_type='llama3',
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=8192,
  ),
)


def sizes(base, width, ffn, layers, heads, kv_heads=None, vocab=None):
  """A hub config of the family of `base`."""
  hub = dict(
    hidden_size=width,
    intermediate_size=ffn,
    num_hidden_layers=layers,
    num_attention_heads=heads,
    max_position_embeddings=131_072,
  )
  hub = base | hub | ({'num_key_value_heads': kv_heads} if kv_heads else {})
  return hub | ({'vocab_size': vocab} if vocab else {})


# Qwen3-30B-A3B's config.json as published, but for keys that nobody's model code reads.
QWEN3_MOE = dict(
  model_type='qwen3_moe',
  attention_bias=False,
  decoder_sparse_step=1,
  head_dim=128,
  hidden_act='silu',
  hidden_size=2048,
  initializer_range=0.02,
  intermediate_size=6144,
  max_position_embeddings=40_960,
  mlp_only_layers=[],
  moe_intermediate_size=768,
  norm_topk_prob=True,
  num_attention_heads=32,
  num_experts=128,
  num_experts_per_tok=8,
  num_hidden_layers=48,
  num_key_value_heads=4,
  rms_norm_eps=1e-6,
  rope_scaling=None,
  rope_theta=1_000_000.0,
  sliding_window=None,
  tie_word_embeddings=False,
  torch_dtype='bfloat16',
  use_sliding_window=False,
  vocab_size=151_936,
)
# Parameter counts of the distilled models (reference §3.3) and of Qwen3's mixtures.
PUBLISHED = {
  30_532_122_624: QWEN3_MOE,
  235_093_634_560: QWEN3_MOE
  | dict(
    hidden_size=4096, moe_intermediate_size=1536, num_attention_heads=64, num_hidden_layers=94
  ),
  1_777_088_000: sizes(QWEN, 1536, 8960, 28, 12, 2, 151_936),
  7_615_616_512: sizes(QWEN, 3584, 18944, 28, 28, 4, 152_064),
  14_770_033_664: sizes(QWEN, 5120, 13824, 48, 40, 8, 152_064),
  32_763_876_352: sizes(QWEN, 5120, 27648, 64, 40, 8, 152_064),
  8_030_261_248: sizes(LLAMA, 4096, 14336, 32, 32),
  70_553_706_496: sizes(LLAMA, 8192, 28672, 80, 64),
}


def read(folder, hub):
  (folder / 'config.json').write_text(json.dumps(hub))
  return huggingface.read_config(folder)


@pytest.mark.parametrize('count', PUBLISHED)
def test_distilled_models_have_their_published_number_of_parameters(count, tmp_path):
  cfg = read(tmp_path, PUBLISHED[count])
  assert params.count(transformer.specs(cfg)) == count


def test_deepseek_r1_is_the_default_model():
  cfg = huggingface.read_config(shared_data.path('deepseek_r1/config.json'))
  paper = config.ModelConfig()
  assert dataclasses.replace(cfg, init_std=paper.init_std) == paper


@pytest.mark.parametrize('name', families.CONFIGS)
def test_writing_and_reading_a_config_changes_nothing(name, tmp_path):
  cfg = read(tmp_path, families.CONFIGS[name])
  assert read(tmp_path, huggingface.config_json(cfg)) == cfg


def test_the_newer_spelling_of_rope_is_read_too(tmp_path):
  old = read(tmp_path, families.CONFIGS['llama'])
  hub = dict(families.CONFIGS['llama'])
  hub['rope_parameters'] = hub.pop('rope_scaling') | {'rope_theta': hub.pop('rope_theta')}
  hub['dtype'] = hub.pop('torch_dtype')
  assert read(tmp_path, hub) == old


def test_an_unstretched_yarn_model_is_written_as_what_it_computes(tmp_path):
  short = config.RopeConfig(kind='yarn', factor=40.0, original_length=4096)
  cfg = dataclasses.replace(read(tmp_path, families.CONFIGS['deepseek_v3']), rope=short)
  assert huggingface.config_json(cfg)['rope_scaling'] is None


REFUSED = {
  'model_type': ('qwen2', {'model_type': 'no_such_family'}),
  'hidden_act': ('qwen3', {'hidden_act': 'gelu'}),
  'use_sliding_window': ('qwen2', {'use_sliding_window': True}),
  'layer_types': ('qwen3', {'layer_types': ['full_attention', 'sliding_attention']}),
  'attention_bias': ('llama', {'attention_bias': True}),
  'mlp_bias': ('llama', {'mlp_bias': True}),
  "rope type 'dynamic'": ('qwen2', {'rope_scaling': {'type': 'dynamic', 'factor': 2.0}}),
  'short_factor': (
    'llama',
    {'rope_scaling': {'rope_type': 'yarn', 'factor': 2.0, 'short_factor': [1.0]}},
  ),
  'quantization_config': ('llama', {'quantization_config': {'quant_method': 'gptq'}}),
  'scoring_func': ('deepseek_v3', {'scoring_func': 'softmax'}),
  'topk_method': ('deepseek_v3', {'topk_method': 'greedy'}),
  'moe_layer_freq': ('deepseek_v3', {'moe_layer_freq': 2}),
  'rope_interleave': ('deepseek_v3', {'rope_interleave': False}),
  'n_shared_experts': ('deepseek_v3', {'n_shared_experts': None}),
  'num_key_value_heads': ('deepseek_v3', {'num_key_value_heads': 1}),
  'decoder_sparse_step=2': ('qwen3_moe', {'decoder_sparse_step': 2}),
  r'mlp_only_layers=\[1\]': ('qwen3_moe', {'mlp_only_layers': [1]}),
  "model_type 'qwen2_moe'": ('qwen3_moe', {'model_type': 'qwen2_moe'}),
  'attention_factor': (
    'qwen2',
    {'rope_scaling': {'rope_type': 'yarn', 'factor': 2.0, 'attention_factor': 1.0}},
  ),
  'low_freq_factor < high_freq_factor': (
    'llama',
    {'rope_scaling': LLAMA['rope_scaling'] | {'low_freq_factor': 4.0}},
  ),
  "'yarn' lacks 'factor'": ('qwen2', {'rope_scaling': {'rope_type': 'yarn', 'factor': None}}),
  "'llama3' lacks 'factor'": ('llama', {'rope_scaling': {'rope_type': 'llama3'}}),
  "'llama3' lacks 'low_freq_factor'": (
    'llama',
    {'rope_scaling': LLAMA['rope_scaling'] | {'low_freq_factor': None}},
  ),
  "'llama3' lacks 'high_freq_factor'": (
    'llama',
    {'rope_scaling': LLAMA['rope_scaling'] | {'high_freq_factor': None}},
  ),
  'tie_word_embeddings': ('deepseek_v3', {'tie_word_embeddings': True}),
}


@pytest.mark.parametrize('what', REFUSED)
def test_what_the_model_cannot_represent_is_refused_by_name(what, tmp_path):
  base, change = REFUSED[what]
  with pytest.raises(ValueError, match=what):
    read(tmp_path, families.CONFIGS[base] | change)


SLOPE = 0.1 * math.log(4.0)  # of the gain over mscale, for a factor of 4


@pytest.mark.parametrize('name', ['llama', 'qwen2', 'qwen3', 'qwen3_moe'])
@pytest.mark.parametrize(
  'mscales, gain',
  [
    ({}, SLOPE + 1),
    ({'mscale': 1.0, 'mscale_all_dim': 1.0}, 1.0),
    ({'mscale': 1.0, 'mscale_all_dim': 0.5}, (SLOPE + 1) / (0.5 * SLOPE + 1)),
    ({'mscale': 0.5, 'mscale_all_dim': None}, SLOPE + 1),
    ({'mscale': 0.5, 'mscale_all_dim': 0.0}, SLOPE + 1),
    ({'mscale_all_dim': 1.0}, SLOPE + 1),
    ({'mscale': 0.0, 'mscale_all_dim': 1.0}, SLOPE + 1),
  ],
)
def test_yarn_scales_by_transformers_rule(mscales, gain, name, tmp_path):
  scaling = {'rope_type': 'yarn', 'factor': 4.0, 'original_max_position_embeddings': 32} | mscales
  cfg = read(tmp_path, families.CONFIGS[name] | {'rope_scaling': scaling})
  assert rope.amplitude(cfg.rope, cfg.max_length) == pytest.approx(gain)
  assert read(tmp_path, huggingface.config_json(cfg)) == cfg


def test_a_missing_key_or_file_is_named(tmp_path):
  with pytest.raises(ValueError, match='config.json: no such file'):
    huggingface.read_config(tmp_path)
  hub = dict(families.CONFIGS['llama'])
  del hub['hidden_size']
  with pytest.raises(ValueError, match="lacks 'hidden_size'"):
    read(tmp_path, hub)


def test_kernels_that_do_not_run_here_are_no_fault_of_the_file(tmp_path):
  with pytest.raises(ValueError, match=r"^config\.runtime\.kernels='tpu' runs on a tpu only"):
    huggingface.read_config(tmp_path, kernels='tpu')


def test_mixtures_that_no_family_has_are_not_written(tmp_path):
  cfg = read(tmp_path, families.CONFIGS['qwen3'])
  with pytest.raises(ValueError, match='qkv_bias=True, cfg.qk_norm=True'):
    huggingface.config_json(dataclasses.replace(cfg, qkv_bias=True))
  with pytest.raises(ValueError, match='qwen3: cfg.mtp_layers=1'):
    huggingface.config_json(dataclasses.replace(cfg, mtp_layers=1))


def test_a_qwen3_without_head_dim_has_heads_of_128(tmp_path):
  hub = dict(families.CONFIGS['qwen3'])
  del hub['head_dim']
  assert read(tmp_path, hub).head_qk == 128


@pytest.mark.parametrize(
  'change, message',
  [
    ({'hidden_size': '32'}, "config.json: hidden_size='32' is not a whole number"),
    ({'hidden_size': 32.0}, 'config.json: hidden_size=32.0 is not a whole number'),
    ({'num_attention_heads': True}, 'config.json: num_attention_heads=True is not'),
    ({'num_key_value_heads': 0}, 'config.json: num_key_value_heads=0 is not .* within 1..'),
    ({'num_hidden_layers': 10**9}, 'num_hidden_layers=1000000000 is not .* within 1..4096'),
    ({'rms_norm_eps': float('nan')}, 'config.json: rms_norm_eps=nan is not a finite number'),
    ({'tie_word_embeddings': 'yes'}, "tie_word_embeddings='yes' is neither true nor false"),
    ({'layer_types': 'full_attention'}, "layer_types='full_attention' is not a list"),
    ({'model_type': ['llama']}, r"model_type \['llama'\] is not one of"),
    ({'rope_scaling': 'yarn'}, "config.json: rope_scaling='yarn' is not a JSON object"),
    ({'num_attention_heads': 3}, 'config.json: .*heads=3 is not a multiple'),
    ({'torch_dtype': 'int8'}, "torch_dtype='int8' is not one of"),
  ],
)
def test_values_that_make_no_model_are_refused_with_the_file(change, message, tmp_path):
  with pytest.raises(ValueError, match=message):
    read(tmp_path, families.CONFIGS['llama'] | change)


def test_a_model_whose_dense_layers_come_first_is_read_from_either_key(tmp_path):
  hub = families.CONFIGS['qwen3_moe_dense_first']
  assert read(tmp_path, hub).dense_layers == 1
  assert read(tmp_path, hub | {'mlp_only_layers': None, 'decoder_sparse_step': 9}).moe is None


def test_the_count_of_experts_is_read_as_transformers_5_saves_it(tmp_path):
  hub = dict(families.CONFIGS['qwen3_moe'])
  old = read(tmp_path, hub)
  hub['num_local_experts'] = hub.pop('num_experts')
  assert read(tmp_path, hub) == old


def test_the_factor_that_transformers_passes_over_is_named():
  scaling = families.CONFIGS['qwen3_attn_factor']
  assert hub_config.passed_over(scaling) == ['rope_scaling.attn_factor']
  assert hub_config.passed_over(families.CONFIGS['qwen2_yarn']) == []


def test_a_file_that_holds_no_json_object_is_named(tmp_path):
  for contents in (b'[1]', b'null', b'{"a"', b'\xff\xfe', b'[' * 9999, b'[' + b'9' * 9999):
    (tmp_path / 'config.json').write_bytes(contents)
    with pytest.raises(ValueError, match='config.json: '):
      huggingface.read_config(tmp_path)
