"""A hub folder as one GGUF file for llama.cpp, tensor by tensor, with a Modelfile for Ollama."""

import dataclasses
import pathlib
import re
from collections.abc import Callable

import gguf
import numpy as np

from r1jax.interchange import (
  checkpoints,
  families,
  gguf_import,
  gguf_readback,
  gguf_vocabulary,
  huggingface,
  modelfile,
  tensors,
)
from r1jax.model import rope

TYPES = ('f32', 'f16', 'q8_0')
_KINDS = {
  'f32': gguf.GGMLQuantizationType.F32,
  'f16': gguf.GGMLQuantizationType.F16,
  'q8_0': gguf.GGMLQuantizationType.Q8_0,
}
_FILE_TYPES = {
  'f32': gguf.LlamaFileType.ALL_F32,
  'f16': gguf.LlamaFileType.MOSTLY_F16,
  'q8_0': gguf.LlamaFileType.MOSTLY_Q8_0,
}
_GATES = {
  'sigmoid': gguf.ExpertGatingFuncType.SIGMOID,
  'softmax': gguf.ExpertGatingFuncType.SOFTMAX,
}
_F16_MAX = float(np.finfo(np.float16).max)
# Kept in float32 whatever is asked for: llama.cpp wants the router exact.
_EXACT = ('ffn_gate_inp.weight', 'exp_probs_b.bias')


@dataclasses.dataclass(frozen=True)
class _Out:
  """One tensor of the GGUF file: name, shape, and a function that returns it in float32."""

  name: str
  shape: tuple[int, ...]
  get: Callable


def export(source, folder, kind='f16', system='', notify=print):
  """Writes `model.gguf` and `Modelfile` into `folder`; the MTP layer stays behind.

  The file is read back and compared with `source` before it takes its name.

  Args:
    source: hub folder, with its tokenizer.
    folder: created where absent.
    kind: 'f32', 'f16' or 'q8_0'; vectors and the router are float32, and rows that q8_0's blocks
      of 32 do not divide are float16.
    system: the Modelfile's system prompt; '' for none.
    notify: called with a line on what was read back, and for what the Modelfile cannot hold.

  Returns:
    Path of the GGUF file.

  Raises:
    ValueError: a kind or architecture that cannot be written; CheckpointFileError for a bad source,
      or where what is read back differs: the file is removed then.
  """
  if kind not in TYPES:
    raise ValueError(f'GGUF type {kind!r} is not one of {TYPES}')
  source, folder = pathlib.Path(source), pathlib.Path(folder)
  cfg = dataclasses.replace(huggingface.read_config(source), mtp_layers=0)
  tok = checkpoints.tokenizer_of(source, cfg)
  if limits(cfg, tok):
    raise ValueError(f'{source}: {limits(cfg, tok)}')
  plan = huggingface.check(source, cfg)
  outs = list(_tensors(cfg, plan))
  folder.mkdir(parents=True, exist_ok=True)
  path, part = folder / 'model.gguf', folder / 'model.gguf.part'
  writer = gguf.GGUFWriter(part, families.of(cfg).GGUF)
  _metadata(writer, cfg, kind)
  gguf_vocabulary.write(writer, source, tok, cfg.vocab)
  for out in outs:
    _announce(writer, out, kind)
  with tensors.whole_or_nothing(part):
    _write(writer, outs, kind)
    written = {out.name: (_kind_of(out, kind), out.get) for out in outs}
    notify(gguf_readback.check(part, source, cfg, plan, tok, written))
    part.replace(path)
  (folder / 'Modelfile').write_text(modelfile.write(source, tok, path.name, system, notify))
  return path


def limits(cfg, tok):
  """Why `export` would refuse a model with its tokenizer, in one line; '' where it would not.

  It looks at no weights: a value that half precision cannot hold is found at the export only.
  """
  return families.of(cfg).no_gguf(cfg) or _no_rope(cfg) or gguf_vocabulary.limits(tok)


def _no_rope(cfg):
  """Why llama.cpp would scale positions in another way; '' where it does as we do."""
  stretched = cfg.rope.kind == 'yarn' and cfg.max_length > cfg.rope.original_length
  if stretched and cfg.attention == 'gqa' and cfg.rope.mscale_all_dim:
    return (
      f'yarn with mscale={cfg.rope.mscale} and mscale_all_dim={cfg.rope.mscale_all_dim} has no '
      'place in a GGUF file of this family'
    )
  betas = (cfg.rope.beta_fast, cfg.rope.beta_slow)
  if stretched and betas != (32, 1):
    return f'yarn with beta_fast={betas[0]} and beta_slow={betas[1]} has no place in our GGUF files'
  return ''


def _write(writer, outs, kind):
  # The order of the format: the shapes stand before the first weight, so they were announced.
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_ti_data_to_file()
  for out in outs:
    writer.write_tensor_data(_packed(out, kind))
  writer.close()


def _kind_of(out, kind):
  """Type in which a tensor is written."""
  if len(out.shape) == 1 or out.name.endswith(_EXACT):
    return gguf.GGMLQuantizationType.F32
  if kind == 'q8_0' and out.shape[-1] % 32:
    return gguf.GGMLQuantizationType.F16
  return _KINDS[kind]


def _announce(writer, out, kind):
  form = _kind_of(out, kind)
  # The library wants the shape of a quantised tensor in bytes: 34 for each block of 32 values.
  shape = out.shape
  dtype = {'F32': np.float32, 'F16': np.float16}.get(form.name, np.uint8)
  if form.name == 'Q8_0':
    shape = gguf.quant_shape_to_byte_shape(shape, form)
  size = int(np.prod(shape)) * np.dtype(dtype).itemsize
  writer.add_tensor_info(out.name, shape, np.dtype(dtype), size, raw_dtype=form)


def _packed(out, kind):
  value, form = np.ascontiguousarray(out.get(), np.float32), _kind_of(out, kind)
  if value.shape != out.shape:
    raise ValueError(f'{out.name}: {value.shape} is not the shape {out.shape} announced')
  # A value beyond 65,504 would become infinite in half precision, and every logit nan.
  largest = np.abs(value).max(initial=0)
  if not np.isfinite(largest):
    raise ValueError(f'{out.name} holds NaN or infinity, so the model would reply nothing')
  if form.name == 'F16' and largest > _F16_MAX:
    raise ValueError(f'{out.name}: {largest} does not fit {form.name}, try --dtype=f32')
  return gguf.quants.quantize(value, form)


def _tensors(cfg, plan):
  """Every `_Out`: hub tensors renamed, experts stacked, kv_b split, llama's heads reordered."""
  family = families.of(cfg).GGUF
  mapping = gguf_import.name_map(cfg)
  # On the hub every expert is a tensor, in the file a layer's experts are one.
  stacks = {}
  for entry in plan.entries:

    def get(entry=entry):
      return plan.read(entry.name)

    if '.experts.' in entry.name:
      stacks.setdefault(re.sub(r'experts\.\d+', 'experts', entry.name), []).append((entry, get))
    elif 'kv_b_proj' in entry.name:
      yield from _split_kv(cfg, mapping, entry, get)
    elif family == 'llama' and re.search(r'\.[qk]_proj\.weight', entry.name):
      heads = cfg.heads if '.q_proj.' in entry.name else cfg.kv_heads
      yield _Out(gguf_import.renamed(mapping, entry.name), entry.shape, _interleaved(get, heads))
    else:
      yield _Out(gguf_import.renamed(mapping, entry.name), entry.shape, get)
  for name, parts in stacks.items():

    def stacked(parts=parts):
      return np.stack([get() for _, get in parts])

    yield _Out(gguf_import.renamed(mapping, name), (len(parts), *parts[0][0].shape), stacked)
  if cfg.rope.kind == 'llama3':
    yield _Out(
      'rope_freqs.weight', (cfg.head_rope // 2,), lambda: rope.stretch(cfg.rope, cfg.head_rope)
    )


def _split_kv(cfg, mapping, entry, get):
  """kv_b_proj as llama.cpp absorbs it, by head: the keys' part transposed, the values' as it is."""

  def parts():
    both = get().reshape(cfg.heads, cfg.head_nope + cfg.head_value, cfg.kv_latent)
    return both[:, : cfg.head_nope], both[:, cfg.head_nope :]

  key, value = (entry.name.replace('kv_b_proj', name) for name in ('k_b_proj', 'v_b_proj'))
  shape = (cfg.heads, cfg.kv_latent, cfg.head_nope)
  yield _Out(gguf_import.renamed(mapping, key), shape, lambda: parts()[0].transpose(0, 2, 1))
  shape = (cfg.heads, cfg.head_value, cfg.kv_latent)
  yield _Out(gguf_import.renamed(mapping, value), shape, lambda: parts()[1])


def _interleaved(get, heads):
  """The rotary halves of every head as pairs, the order of llama.cpp's llama."""

  def permuted():
    value = get()
    halves = value.reshape(heads, 2, -1, *value.shape[1:])
    return halves.swapaxes(1, 2).reshape(value.shape)

  return permuted


def _metadata(writer, cfg, kind):
  writer.add_type('model')
  writer.add_file_type(_FILE_TYPES[kind])
  writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
  writer.add_vocab_size(cfg.vocab)
  writer.add_context_length(cfg.max_length)
  writer.add_embedding_length(cfg.width)
  writer.add_block_count(cfg.layers)
  writer.add_feed_forward_length(cfg.ffn)
  writer.add_head_count(cfg.heads)
  writer.add_layer_norm_rms_eps(cfg.norm_eps)
  writer.add_rope_freq_base(cfg.rope.theta)
  writer.add_rope_dimension_count(cfg.head_rope)
  # Unstretched positions are plain ones; llama.cpp would stretch whatever the length.
  if cfg.rope.kind == 'yarn' and cfg.max_length > cfg.rope.original_length:
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(cfg.rope.factor)
    writer.add_rope_scaling_orig_ctx_len(cfg.rope.original_length)
    if cfg.rope.mscale_all_dim:
      writer.add_rope_scaling_yarn_log_mul(0.1 * cfg.rope.mscale_all_dim)
  if cfg.attention == 'gqa':
    writer.add_head_count_kv(cfg.kv_heads)
    writer.add_key_length(cfg.head_qk)
    writer.add_value_length(cfg.head_value)
  else:
    _latents(writer, cfg)
  if cfg.moe_layers:
    _experts(writer, cfg)


def _latents(writer, cfg):
  writer.add_head_count_kv(1)  # absorbed: all heads read the one latent
  writer.add_q_lora_rank(cfg.q_latent)
  writer.add_kv_lora_rank(cfg.kv_latent)
  writer.add_key_length(cfg.kv_latent + cfg.head_rope)
  writer.add_value_length(cfg.kv_latent)
  writer.add_key_length_mla(cfg.head_qk)
  writer.add_value_length_mla(cfg.head_value)
  writer.add_leading_dense_block_count(cfg.dense_layers)


def _experts(writer, cfg):
  moe = cfg.moe
  writer.add_expert_count(moe.experts)
  writer.add_expert_used_count(moe.per_token)
  writer.add_expert_feed_forward_length(moe.ffn)
  if cfg.attention == 'gqa':  # llama.cpp knows the rest by the architecture's name
    return
  writer.add_expert_shared_count(moe.shared)
  writer.add_expert_weights_scale(moe.scale)
  writer.add_expert_weights_norm(moe.normalise)
  writer.add_expert_gating_func(_GATES[moe.scores])
  writer.add_expert_group_count(moe.groups)
  writer.add_expert_group_used_count(moe.top_groups)
