"""What makes a transformer of the DeepSeek-V3, Qwen or Llama families."""

import dataclasses
from typing import Annotated, Literal

from r1jax import kernels, ranges
from r1jax.model import lora as lora_lib

Dtype = Literal['float32', 'bfloat16', 'float16']
Form = Literal[kernels.FORMS]


@dataclasses.dataclass(frozen=True)
class RopeConfig:
  """Rotary position embedding (reference §2.3, §3.3).

  Attributes:
    theta: base of the wavelengths.
    kind: 'plain', 'yarn' (DeepSeek) or 'llama3'; the last two stretch a model to longer texts.
    factor: how many times longer.
    original_length: positions that it was trained on.
    beta_fast, beta_slow: turns over that length above which 'yarn' keeps a wavelength, and below
      which it stretches it whole.
    mscale, mscale_all_dim: of 'yarn', how logits are scaled for the longer text.
    low_freq_factor, high_freq_factor: the same two limits of 'llama3', in wavelengths.
  """

  theta: Annotated[float, ranges.Range(1, above=True)] = 10_000.0
  kind: Literal['plain', 'yarn', 'llama3'] = 'plain'
  factor: ranges.Positive = 1.0
  original_length: ranges.Count = 4096
  beta_fast: ranges.Positive = 32.0
  beta_slow: ranges.Positive = 1.0
  mscale: ranges.Weight = 1.0
  mscale_all_dim: ranges.Weight = 1.0
  low_freq_factor: ranges.Positive = 1.0
  high_freq_factor: ranges.Positive = 4.0

  def __post_init__(self):
    ranges.check(self)
    ranges.require(
      self,
      self.low_freq_factor < self.high_freq_factor,
      '{low_freq_factor} must be below {high_freq_factor}',
    )


@dataclasses.dataclass(frozen=True)
class MoeConfig:
  """Feed-forward layer of routed experts; the defaults are DeepSeek-V3's (reference §2.4).

  Qwen3-MoE has softmax scores, no bias, one group and no shared expert.

  Attributes:
    experts: that tokens are routed to.
    per_token: experts of a token, those of the best scores.
    ffn: width of each expert.
    shared: experts that every token goes to, computed as one; 0 for none.
    groups: parts that the experts are in.
    top_groups: best of them, within which a token's experts are.
    scale: the gates are the scores times this.
    normalise: whether the scores of a token's experts are made to add up to 1 before.
    scores: what makes scores of the router's logits: 'sigmoid' or 'softmax'.
    bias: whether a bias, moved by the load, is added where experts are chosen.
    dispatch: 'sorted', or 'dense', which computes every expert: faster while they are tiny.
  """

  experts: ranges.Count = 256
  per_token: ranges.Count = 8
  ffn: ranges.Count = 2048
  shared: ranges.Size = 1
  groups: ranges.Count = 8
  top_groups: ranges.Count = 4
  scale: ranges.Positive = 2.5
  normalise: bool = True
  scores: Literal['sigmoid', 'softmax'] = 'sigmoid'
  bias: bool = True
  dispatch: Literal['sorted', 'dense'] = 'sorted'

  def __post_init__(self):
    ranges.check(self)
    ranges.require(self, self.experts % self.groups == 0, '{experts} do not divide into {groups}')
    ranges.require(
      self,
      self.per_token <= self.experts // self.groups * self.top_groups,
      '{per_token} of {experts} cannot come from {top_groups} of {groups}',
    )


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """Shape and numerics of a model; the defaults are DeepSeek-V3's (reference §2.1, §2.8).

  Attributes:
    vocab: token ids.
    width: of the residual stream.
    layers: without those of multi-token prediction.
    heads: of queries.
    attention: 'mla' or 'gqa'.
    q_latent: width of MLA's query latent; 0 for a plain projection.
    kv_latent: width of MLA's latent of keys and values, which is what the cache holds.
    head_nope: width of a head without position; 0 in 'gqa'.
    head_rope: rotary width of a head.
    head_value: width of a head's values.
    kv_heads: of keys and values in 'gqa'; divides `heads`.
    qkv_bias: whether projections to queries, keys and values have a bias (Qwen2).
    qk_norm: whether queries and keys are normalised (Qwen3).
    ffn: width of a dense feed-forward.
    dense_layers: first layers that have one, the others are `moe`.
    moe: the routed layers; None for a dense model.
    mtp_layers: modules of multi-token prediction, 0 or 1.
    rope: the rotary embedding.
    norm_eps: of all norms but those of MLA's latents, see `mla.LATENT_EPS`.
    tied: whether the output head is the embedding.
    init_std: of random weights.
    max_length: most positions of a text.
    compute_dtype: type of activations.
    param_dtype: type of weights.
    remat: recompute each layer in the backward pass instead of keeping its activations.
    offload: what remat keeps, each layer's input, waits in the host's memory.
    scan_layers: one compiled layer in a loop; False unrolls: longer compilation, no copies of
      weights (fast on CPU).
    unroll_sampling: unroll in sampling whatever `scan_layers` says of training.
    kernels: which form of the ops runs, as `kernels.resolve` found it.
    lora: adapters beside frozen weights; rank 0 for none (`transformer.with_adapters` checks them).
  """

  vocab: ranges.Count = 129_280
  width: ranges.Count = 7168
  layers: ranges.Count = 61
  heads: ranges.Count = 128
  attention: Literal['mla', 'gqa'] = 'mla'
  q_latent: ranges.Size = 1536
  kv_latent: ranges.Size = 512
  head_nope: ranges.Size = 128
  head_rope: ranges.Size = 64
  head_value: ranges.Count = 128
  kv_heads: ranges.Size = 0
  qkv_bias: bool = False
  qk_norm: bool = False
  ffn: ranges.Count = 18_432
  dense_layers: ranges.Size = 3
  moe: MoeConfig | None = MoeConfig()
  mtp_layers: Annotated[int, ranges.Range(0, 1)] = 1
  rope: RopeConfig = RopeConfig(kind='yarn', factor=40.0)
  norm_eps: Annotated[float, ranges.Range(1e-30, 1)] = 1e-6
  tied: bool = False
  init_std: Annotated[float, ranges.Range(0, 100)] = 0.006
  max_length: ranges.Count = 163_840
  compute_dtype: Dtype = 'bfloat16'
  param_dtype: Dtype = 'bfloat16'
  remat: bool = True
  offload: bool = False
  scan_layers: bool = True
  unroll_sampling: bool = False
  kernels: Form = 'reference'
  lora: lora_lib.LoraConfig = lora_lib.LoraConfig()

  def __post_init__(self):
    ranges.check(self)
    ranges.require(
      self, self.remat or not self.offload, '{offload} moves what {remat} keeps: set remat too'
    )
    ranges.require(
      self,
      self.attention != 'gqa' or (self.kv_heads > 0 and self.heads % self.kv_heads == 0),
      '{heads} is not a multiple of {kv_heads}',
    )
    ranges.require(
      self,
      self.dense_layers <= self.layers,
      '{dense_layers} are more than {layers}',
    )
    ranges.require(
      self,
      self.moe is not None or self.dense_layers == self.layers,
      'without moe all layers are dense: {dense_layers}, but {layers}',
    )
    ranges.require(
      self, self.head_rope % 2 == 0, '{head_rope} is odd; rotary dimensions come in pairs'
    )

  @property
  def moe_layers(self):
    """How many layers route to experts."""
    return self.layers - self.dense_layers

  @property
  def head_qk(self):
    """Width of a query or key head; a gqa head is all rotary."""
    return self.head_nope + self.head_rope

  def _check_gpu_kernels(self, tensor):
    """Raises ValueError where those do not take a type or a device's width (kernels/README.md)."""
    if self.compute_dtype not in ('bfloat16', 'float16'):
      raise ValueError(f"kernels='gpu' multiplies 16 bits: {self.compute_dtype=}, not 'bfloat16'")
    widths = [('width', self.width, 64), ('vocab', self.vocab // tensor, 8)]
    if self.attention == 'mla':
      latent = 'kv_latent + head_rope', self.kv_latent + self.head_rope, 64
      widths += [('kv_latent', self.kv_latent, 128), latent]
    else:
      widths += [('head_qk', self.head_qk, 64), ('head_value', self.head_value, 64)]
    if self.moe and self.moe_layers:
      widths += [('moe.ffn', self.moe.ffn // tensor, 64)]
    for name, size, multiple in widths:
      if size % multiple:
        raise ValueError(
          f"kernels='gpu' takes multiples of {multiple}, {name} is {size} on a device: "
          "'auto' leaves the ops to XLA"
        )

  def _check_cudnn(self):
    """Raises ValueError where cuDNN's attention does not take the type or a head's width."""
    asked, instead = "config.runtime.kernels='cudnn'", "'auto' leaves attention to XLA"
    if self.compute_dtype not in ('bfloat16', 'float16'):
      raise ValueError(
        f'{asked} multiplies 16 bits, config.runtime.compute_dtype={self.compute_dtype!r} is not: '
        f"use 'bfloat16'; {instead}"
      )
    widest = max(self.head_qk, self.head_value)
    if widest > 128:
      raise ValueError(f'{asked} takes heads of 128 values at most, here of {widest}: {instead}')

  def check_mesh(self, shape):
    """Raises ValueError where a dimension does not divide over its mesh axis.

    Args:
      shape: size of the mesh by the name of the axis.
    """
    tensor, fsdp, context = shape['tensor'], shape['fsdp'], shape['context']
    expert = shape['node'] * shape['expert']
    sizes = [
      ('heads', self.heads, tensor * context),
      ('vocab', self.vocab, tensor),
      ('ffn', self.ffn, tensor),
    ]
    if self.attention == 'gqa':
      sizes += [('kv_heads', self.kv_heads, tensor)]
    if self.moe and self.moe_layers:
      sizes += [('moe.experts', self.moe.experts, expert), ('moe.ffn', self.moe.ffn, tensor)]
    if self.kernels == 'gpu':
      self._check_gpu_kernels(tensor)
    if self.kernels == 'cudnn':
      self._check_cudnn()
    # What is gathered for a matmul: the residual width, and the latents that heads are made of.
    stored = {'width': self.width}
    if self.attention == 'mla':
      stored |= {'q_latent': self.q_latent, 'kv_latent': self.kv_latent}
    sizes += [(name, size, fsdp * expert * context) for name, size in stored.items()]
    for name, size, shards in sizes:
      if size % shards:
        raise ValueError(
          f'model.{name}={size} does not divide over {shards} shards of the mesh {shape}'
        )
    here = self.kv_heads // tensor
    if self.attention == 'gqa' and here % context and context % here:
      raise ValueError(
        f'{here} of model.kv_heads={self.kv_heads} are on a device; {context} devices of the '
        f'context axis share them neither evenly nor as whole copies: mesh {shape}'
      )
