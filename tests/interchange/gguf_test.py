"""GGUF files: every weight in its place and order, read back by the format's own library."""

import dataclasses
import gzip
import json

import gguf as library
import numpy as np
import pytest

from r1jax.interchange import checkpoints, gguf, gguf_vocabulary, tensors
from tests import shared_data
from tests.interchange import families

REFUSED = {
  'deepseek_v3_plain_q': 'q_lora_rank',
  'qwen3_moe_dense_first': 'experts in all layers only',
}
HEADS, NOPE, VALUE, LATENT = 4, 8, 12, 16


def written(folder, name, kind):
  """(reader, name -> float32 array) of the checkpoint `name` as GGUF."""
  families.write(folder, name)
  families.write_tokenizer(folder)
  reader = library.GGUFReader(gguf.export(folder, folder / 'gguf', kind))
  values = {t.name: library.quants.dequantize(t.data, t.tensor_type) for t in reader.tensors}
  return reader, values


def value(reader, key):
  return reader.get_field(key).contents()


@pytest.mark.parametrize('name', families.CONFIGS)
def test_float32_holds_every_weight_but_the_mtp_layer(name, tmp_path):
  config = families.CONFIGS[name]
  if name in REFUSED:
    with pytest.raises(ValueError, match=REFUSED[name]):
      written(tmp_path, name, 'f32')
    return
  reader, found = written(tmp_path, name, 'f32')
  given = {n: w for n, w in families.weights(config).items() if '.layers.3.' not in n}
  count = sum(w.size for n, w in found.items() if n != 'rope_freqs.weight')
  assert count == sum(w.size for w in given.values())
  assert (name == 'llama') == ('rope_freqs.weight' in found)
  np.testing.assert_array_equal(found['token_embd.weight'], given['model.embed_tokens.weight'])
  out = given['model.layers.0.self_attn.o_proj.weight']
  np.testing.assert_array_equal(found['blk.0.attn_output.weight'], out)
  if name != 'qwen3_moe':  # its first layer has experts already
    down = given['model.layers.0.mlp.down_proj.weight']
    np.testing.assert_array_equal(found['blk.0.ffn_down.weight'], down)
  assert value(reader, 'general.architecture') in (
    'qwen2',
    'qwen3',
    'qwen3moe',
    'llama',
    'deepseek2',
  )


def test_deepseek_experts_are_stacked_and_kv_b_is_split(tmp_path):
  reader, found = written(tmp_path, 'deepseek_v3', 'f32')
  given = families.weights(families.CONFIGS['deepseek_v3'])
  up = [given[f'model.layers.2.mlp.experts.{e}.up_proj.weight'] for e in range(16)]
  np.testing.assert_array_equal(found['blk.2.ffn_up_exps.weight'], np.stack(up))
  both = given['model.layers.1.self_attn.kv_b_proj.weight'].reshape(HEADS, NOPE + VALUE, LATENT)
  for head in range(HEADS):
    np.testing.assert_array_equal(found['blk.1.attn_k_b.weight'][head], both[head, :NOPE].T)
    np.testing.assert_array_equal(found['blk.1.attn_v_b.weight'][head], both[head, NOPE:])
  assert value(reader, 'deepseek2.expert_group_used_count') == 2
  assert value(reader, 'tokenizer.ggml.pre') == 'qwen2'


def test_qwen3s_experts_are_stacked_and_counted(tmp_path):
  reader, found = written(tmp_path, 'qwen3_moe', 'f32')
  given = families.weights(families.CONFIGS['qwen3_moe'])
  down = [given[f'model.layers.0.mlp.experts.{e}.down_proj.weight'] for e in range(16)]
  np.testing.assert_array_equal(found['blk.0.ffn_down_exps.weight'], np.stack(down))
  router = given['model.layers.0.mlp.gate.weight']
  np.testing.assert_array_equal(found['blk.0.ffn_gate_inp.weight'], router)
  assert value(reader, 'qwen3moe.expert_count') == 16
  assert value(reader, 'qwen3moe.expert_used_count') == 4
  assert value(reader, 'qwen3moe.expert_feed_forward_length') == 12


def test_llama_heads_have_their_halves_interleaved(tmp_path):
  _, found = written(tmp_path, 'llama', 'f32')
  given = families.weights(families.CONFIGS['llama'])['model.layers.0.self_attn.q_proj.weight']
  for head in range(HEADS):
    for pair in range(4):
      for half in range(2):
        to, origin = head * 8 + 2 * pair + half, head * 8 + 4 * half + pair
        np.testing.assert_array_equal(found['blk.0.attn_q.weight'][to], given[origin])


def test_q8_0_is_close_and_keeps_vectors_and_router_exact(tmp_path):
  reader, found = written(tmp_path, 'deepseek_v3', 'q8_0')
  kinds = {t.name: t.tensor_type.name for t in reader.tensors}
  given = families.weights(families.CONFIGS['deepseek_v3'])
  assert kinds['blk.1.ffn_gate_inp.weight'] == kinds['blk.1.exp_probs_b.bias'] == 'F32'
  assert kinds['token_embd.weight'] == 'Q8_0' and kinds['output_norm.weight'] == 'F32'
  assert kinds['blk.1.attn_v_b.weight'] == 'F16'  # rows of 16 are no blocks of 32
  head = given['lm_head.weight']
  assert np.abs(found['output.weight'] - head).max() <= np.abs(head).max() / 240


def test_the_modelfile_has_the_template_of_the_model(tmp_path):
  path = gguf.export(checkpoints.open('tiny'), tmp_path / 'zero', 'f16')
  text = (path.parent / 'Modelfile').read_text()
  assert text.startswith('FROM ./model.gguf\n') and 'User: {{ .Prompt }}. Assistant:' in text


def test_the_modelfile_has_the_system_prompt_of_the_run(tmp_path):
  families.write(tmp_path, 'qwen2')
  families.write_tokenizer(tmp_path)
  for system, wanted in (('Be "brief".', 'SYSTEM """Be "brief"."""\n'), ('', None)):
    path = gguf.export(tmp_path, tmp_path / 'out', system=system)
    lines = (path.parent / 'Modelfile').read_text().splitlines(keepends=True)
    assert [line for line in lines if line.startswith('SYSTEM')] == ([wanted] if wanted else [])


def test_a_wrong_kind_or_source_is_named(tmp_path):
  with pytest.raises(ValueError, match='q4_k'):
    gguf.export(tmp_path, tmp_path, 'q4_k')
  with pytest.raises(tensors.CheckpointFileError, match='config.json'):
    gguf.export(tmp_path, tmp_path / 'out')


def test_the_announced_shape_is_checked():
  out = gguf._Out('x', (2, 2), lambda: np.zeros((3, 2)))
  with pytest.raises(ValueError, match='announced'):
    gguf._packed(out, 'f32')
  assert dataclasses.is_dataclass(out)


@pytest.mark.parametrize('name, known', [('qwen2', 'qwen2'), ('deepseek_r1', 'deepseek-v3')])
def test_the_words_of_real_vocabularies_are_known_by_their_patterns(name, known):
  path = shared_data.path(f'{name}/tokenizer.json.gz')
  contents = json.loads(gzip.decompress(path.read_bytes()))
  assert gguf_vocabulary.pre_tokenizer(contents) == known
  contents['pre_tokenizer']['pretokenizers'][0]['pattern']['Regex'] += '|x'
  with pytest.raises(ValueError, match='none of qwen2, llama-bpe, deepseek-v3, smollm, gpt-2'):
    gguf_vocabulary.pre_tokenizer(contents)


BYTES = dict(type='ByteLevel', add_prefix_space=False, trim_offsets=True)
DIGITS = dict(type='Digits', individual_digits=True)
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
QWEN2 += r'\s*[\r\n]+|\s+(?!\S)|\s+'


def split(pattern, **changes):
  """A step that cuts by a pattern, as tokenizer.json has it."""
  return (
    dict(type='Split', pattern=dict(Regex=pattern), behavior='Isolated', invert=False) | changes
  )


def bpe(*steps, normalizer=None, **model):
  """A tokenizer.json of one or more steps, as far as `pre_tokenizer` looks at it."""
  rule = steps[0] if len(steps) == 1 else dict(type='Sequence', pretokenizers=list(steps))
  return dict(model=dict(type='BPE') | model, pre_tokenizer=rule, normalizer=normalizer)


PLAIN = BYTES | {'use_regex': False}
CUTS = {
  'smollm': bpe(DIGITS, BYTES | {'use_regex': True}),
  'gpt-2': bpe(BYTES),  # older files do not say that GPT-2's own pattern is used
  'qwen2': bpe(split(QWEN2), PLAIN, normalizer={'type': 'NFC'}),
  'llama-bpe': bpe(split(QWEN2.replace(r'|\p{N}|', r'|\p{N}{1,3}|')), PLAIN),
}


@pytest.mark.parametrize('name', CUTS)
def test_every_cut_that_llama_cpp_knows_is_named(name):
  assert gguf_vocabulary.pre_tokenizer(CUTS[name]) == name


@pytest.mark.parametrize(
  'contents, message',
  [
    (bpe(dict(DIGITS, individual_digits=False), BYTES), "cuts words by .*'Digits', False"),
    (bpe(dict(BYTES, add_prefix_space=True)), "cuts words by .*'ByteLevel', .*add_prefix_space"),
    (bpe(split(QWEN2), dict(BYTES, use_regex=True)), 'cuts words by .*ByteLevel'),
    (bpe(split(QWEN2)), 'cuts words by'),
    (bpe(split(QWEN2, behavior='Removed'), PLAIN), 'cuts words by .*Removed'),
    (bpe(split(QWEN2) | {'pattern': {'String': ' '}}, PLAIN), 'cuts words by .*String'),
    (bpe(dict(type='Metaspace', replacement='_')), 'cuts words by .*Metaspace'),
    (bpe(None), r'cuts words by \(\)'),
    (bpe(BYTES, normalizer={'type': 'Lowercase'}), r"changes text by \['Lowercase'\]"),
    (bpe(BYTES, end_of_word_suffix='</w>'), 'changes text by .*end_of_word_suffix'),
    (bpe(BYTES, type='Unigram'), 'a Unigram tokenizer.json'),
  ],
)
def test_a_cut_that_llama_cpp_has_no_name_for_is_named_with_what_to_do(contents, message):
  with pytest.raises(ValueError, match=message) as error:
    gguf_vocabulary.pre_tokenizer(contents)
  assert '--format=hub' in str(error.value)


def test_tags_that_are_special_tokens_stay_text(tmp_path):
  families.write(tmp_path, 'qwen2')
  families.write_tokenizer(tmp_path)
  contents = json.loads((tmp_path / 'tokenizer.json').read_text())
  for token in contents['added_tokens']:
    token['special'] = True
  (tmp_path / 'tokenizer.json').write_text(json.dumps(contents))
  reader = library.GGUFReader(gguf.export(tmp_path, tmp_path / 'gguf', 'f32'))
  kinds = dict(
    zip(value(reader, 'tokenizer.ggml.tokens'), value(reader, 'tokenizer.ggml.token_type'))
  )
  assert kinds['<think>'] == kinds['</think>'] == library.TokenType.USER_DEFINED
  assert kinds['<eos>'] == library.TokenType.CONTROL


def test_the_modelfile_stops_at_every_end_of_a_turn(tmp_path):
  families.write(tmp_path, 'qwen2')
  families.write_tokenizer(tmp_path)
  (tmp_path / 'generation_config.json').write_text('{"eos_token_id": [1, 4]}')
  path = gguf.export(tmp_path, tmp_path / 'gguf')
  fields = library.GGUFReader(path).fields
  ends = [fields[f'tokenizer.ggml.{name}_token_id'].contents() for name in ('eos', 'eot')]
  assert ends == [1, 4] and 'tokenizer.ggml.eom_token_id' not in fields
  text = (path.parent / 'Modelfile').read_text()
  assert 'PARAMETER stop "<｜Assistant｜>"\n' in text and '<eos>' not in text


def test_a_value_that_half_precision_cannot_hold_is_refused_by_name():
  out = gguf._Out('x', (2, 32), lambda: np.full((2, 32), 70_000.0))
  with pytest.raises(ValueError, match='x: 70000.0 does not fit F16'):
    gguf._packed(out, 'f16')
  assert gguf._packed(out, 'f32').max() == 70_000


def test_a_scaling_of_positions_that_llama_cpp_does_not_compute_is_refused(tmp_path):
  hub = families.CONFIGS['qwen2_yarn']
  both = {'mscale': 1.0, 'mscale_all_dim': 1.0}
  hub = hub | {'rope_scaling': hub['rope_scaling'] | both}
  families.write(tmp_path, 'qwen2_yarn')
  families.write_tokenizer(tmp_path)
  (tmp_path / 'config.json').write_text(json.dumps(hub))
  with pytest.raises(ValueError, match='mscale_all_dim=1.0 has no place in a GGUF file'):
    gguf.export(tmp_path, tmp_path / 'out')


def test_a_yarn_of_other_limits_than_the_usual_ones_is_refused(tmp_path):
  hub = families.CONFIGS['qwen2_yarn']
  hub = hub | {'rope_scaling': hub['rope_scaling'] | {'beta_fast': 16.0}}
  families.write(tmp_path, 'qwen2_yarn')
  families.write_tokenizer(tmp_path)
  (tmp_path / 'config.json').write_text(json.dumps(hub))
  with pytest.raises(ValueError, match='beta_fast=16.0 and beta_slow=1.0 has no place'):
    gguf.export(tmp_path, tmp_path / 'out')
