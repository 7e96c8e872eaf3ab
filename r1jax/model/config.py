"""What makes a transformer of the DeepSeek-V3, Qwen or Llama families."""

import dataclasses

from r1jax import kernels


@dataclasses.dataclass(frozen=True)
class RopeConfig:
  """Rotary position embedding (reference §2.3, §3.3).

  `kind` is 'plain', 'yarn' (DeepSeek) or 'llama3'. The scaled kinds stretch a model trained on
  `original_length` positions by `factor`.
  """

  theta: float = 10_000.0
  kind: str = 'plain'
  factor: float = 1.0
  original_length: int = 4096
  beta_fast: float = 32.0
  beta_slow: float = 1.0
  mscale: float = 1.0
  mscale_all_dim: float = 1.0
  low_freq_factor: float = 1.0
  high_freq_factor: float = 4.0

  def __post_init__(self):
    if self.kind not in ('plain', 'yarn', 'llama3'):
      raise ValueError(f"rope kind {self.kind!r} is not one of 'plain', 'yarn', 'llama3'")


@dataclasses.dataclass(frozen=True)
class MoeConfig:
  """Feed-forward layer of routed experts; the defaults are DeepSeek-V3's (reference §2.4).

  A token goes to the `per_token` experts of the best scores, in DeepSeek's within the `top_groups`
  best of `groups`. Its gates are the scores, made to add up to 1 with `normalise`, times `scale`.
  Qwen3-MoE has softmax scores, no bias, one group and no shared expert.
  """

  experts: int = 256
  per_token: int = 8
  ffn: int = 2048
  shared: int = 1  # experts that every token goes to, computed as one; 0 for none
  groups: int = 8
  top_groups: int = 4
  scale: float = 2.5
  normalise: bool = True
  scores: str = 'sigmoid'  # what makes scores of the router's logits: 'sigmoid' or 'softmax'
  bias: bool = True  # whether a bias, moved by the load, is added where experts are chosen
  dispatch: str = 'sorted'  # 'dense' computes every expert: the faster one while experts are tiny

  def __post_init__(self):
    for name in ('experts', 'per_token', 'ffn', 'groups', 'top_groups'):
      if getattr(self, name) < 1:
        raise ValueError(f'moe.{name}={getattr(self, name)} must be at least 1')
    if self.shared < 0:
      raise ValueError(f'{self.shared=} experts cannot be shared; 0 is none')
    if self.scores not in ('sigmoid', 'softmax'):
      raise ValueError(f"scores {self.scores!r} is not 'sigmoid' or 'softmax'")
    if self.experts % self.groups:
      raise ValueError(f'{self.experts=} does not divide into {self.groups=}')
    if self.per_token > self.experts // self.groups * self.top_groups:
      raise ValueError(f'{self.per_token=} experts cannot come from {self.top_groups=} groups')
    if self.dispatch not in ('sorted', 'dense'):
      raise ValueError(f"dispatch {self.dispatch!r} is not 'sorted' or 'dense'")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """Shape and numerics of a model; the defaults are DeepSeek-V3's (reference §2.1, §2.8).

  `norm_eps` is that of all norms but those of MLA's latents, see `mla.LATENT_EPS`.
  `attention` is 'mla' (q_latent 0 means a plain query projection) or 'gqa'. The first
  `dense_layers` layers have a dense feed-forward of width `ffn`, the others are `moe`; a dense
  model has `moe=None`.
  """

  vocab: int = 129_280
  width: int = 7168
  layers: int = 61
  heads: int = 128
  attention: str = 'mla'
  q_latent: int = 1536
  kv_latent: int = 512
  head_nope: int = 128
  head_rope: int = 64
  head_value: int = 128
  kv_heads: int = 0
  qkv_bias: bool = False
  qk_norm: bool = False
  ffn: int = 18_432
  dense_layers: int = 3
  moe: MoeConfig | None = MoeConfig()
  mtp_layers: int = 1
  rope: RopeConfig = RopeConfig(kind='yarn', factor=40.0)
  norm_eps: float = 1e-6
  tied: bool = False
  init_std: float = 0.006
  max_length: int = 163_840
  compute_dtype: str = 'bfloat16'
  param_dtype: str = 'bfloat16'
  remat: bool = True
  offload: bool = False  # what remat keeps, each layer's input, waits in the host's memory
  scan_layers: bool = True  # False unrolls: longer compilation, no copies of weights (fast on CPU)
  kernels: str = 'reference'  # which form of the ops runs, as `kernels.resolve` found it

  def __post_init__(self):
    for name in ('vocab', 'width', 'layers', 'heads', 'ffn', 'max_length'):
      if getattr(self, name) < 1:
        raise ValueError(f'model.{name}={getattr(self, name)} must be at least 1')
    if self.kernels not in kernels.FORMS:
      raise ValueError(f'kernels={self.kernels!r} is not one of {", ".join(kernels.FORMS)}')
    if self.offload and not self.remat:
      raise ValueError('offload=True moves what remat keeps to the host: set remat=True too')
    if self.attention not in ('mla', 'gqa'):
      raise ValueError(f"attention {self.attention!r} is not 'mla' or 'gqa'")
    if self.attention == 'gqa' and (not self.kv_heads or self.heads % self.kv_heads):
      raise ValueError(f'{self.heads=} is not a multiple of {self.kv_heads=}')
    if self.moe is None and self.dense_layers != self.layers:
      raise ValueError(f'without moe all layers are dense: {self.dense_layers=} != {self.layers=}')
    if not 0 <= self.dense_layers <= self.layers:
      raise ValueError(f'{self.dense_layers=} is not within 0..{self.layers=}')
    if self.mtp_layers not in (0, 1):
      raise ValueError(f'{self.mtp_layers=}: V3 has one multi-token-prediction module, or none')
    if self.head_rope % 2:
      raise ValueError(f'{self.head_rope=} is odd; rotary dimensions come in pairs')

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
