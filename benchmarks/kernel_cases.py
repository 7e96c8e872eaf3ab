"""The ops at the shapes of the models that we name, and what each must compute and read at least.

Widths and heads: DeepSeek-V3 (reference §2.1, its heads divided by 8 devices), R1-Distill-Qwen of
1.5B and of 7B parameters (§3.3).
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from r1jax import kernels
from r1jax.kernels import output_head

CUDNN = 'cudnn causal'  # the rival of attention, where cuDNN takes its widths


@dataclasses.dataclass(frozen=True)
class Case:
  """One op at one shape.

  Attributes:
    name: op, heads, widths.
    run: (*operands, form) -> result; `form` is one of `kernels.FORMS`.
    operands: (shape, dtype) of each.
    trained: of how many operands, from the first, gradients are wanted; 0 for decoding.
    flops, bytes: what the results, and the gradients where wanted, cost at least.
    rivals: name -> function as `run` without `form`, what others offer for the same.
  """

  name: str
  run: Callable
  operands: tuple
  trained: int
  flops: float
  bytes: float
  rivals: dict

  def functions(self, form):
    """What is compiled or timed, of the operands alone."""
    return self._wanted(lambda *a: self.run(*a, form))

  def rival(self, name):
    """The same of a rival."""
    return self._wanted(self.rivals[name])

  def _wanted(self, run):
    return squared(run, self.trained) if self.trained else run


def squared(f, count):
  """Gradients of the summed squares of f's results in its first `count` operands."""

  def loss(*operands):
    leaves = jax.tree.leaves(f(*operands))
    return sum((x.astype(jnp.float32) ** 2).sum() for x in leaves)

  return jax.grad(loss, tuple(range(count)))


def attention(heads, key_heads, query_width, value_width, tokens):
  """One causal row of one segment, with its gradients."""
  T, N, Y, H, U = tokens, heads, key_heads, query_width, value_width
  operands = (
    ((1, T, N, H), 'bfloat16'),
    ((1, T, Y, H), 'bfloat16'),
    ((1, T, Y, U), 'bfloat16'),
    ((1, T), 'int32'),
  )

  def cudnn(q, k, v, segment):
    # cuDNN takes no segments: one row of one segment is what both compute.
    return jax.nn.dot_product_attention(q, k, v, scale=0.1, is_causal=True, implementation='cudnn')

  # Two products forward; backward the scores again and four more, of their widths.
  pairs = T * (T + 1) / 2
  return Case(
    f'attention {N}/{Y} {H}/{U}',
    lambda *a: kernels.attention(*a[:-1], 0.1, a[-1]),
    operands,
    3,
    flops=pairs * N * (2 * (H + U) + 6 * H + 4 * U),
    # Each array once, its gradient too: two bytes a value, three passes.
    bytes=2 * 3 * T * (N * (H + U) + Y * (H + U)),
    rivals={CUDNN: cudnn} if H == U else {},
  )


def mla_decode(sequences, slots):
  """V3's latent cache, all of its 128 heads."""
  B, S, N, A, U = sequences, slots, 128, 576, 512
  return Case(
    f'MLA decode {N} heads',
    lambda *a: kernels.mla_decode(*a[:-1], U, 0.1, a[-1]),
    (((B, N, A), 'bfloat16'), ((B, S, A), 'bfloat16'), ((B, S), 'bool')),
    0,
    # Scores over the whole row, values over its latent part; the cache is read once for both.
    flops=2 * B * S * N * (A + U),
    bytes=2 * B * S * A,
    rivals={},
  )


def gqa_decode(heads, key_heads, width, sequences, slots):
  """A Qwen's caches."""
  B, S, N, Y, H = sequences, slots, heads, key_heads, width
  caches = (((B, Y, H, S), 'bfloat16'), ((B, Y, S, H), 'bfloat16'))
  return Case(
    f'GQA decode {N}/{Y}',
    lambda *a: kernels.gqa_decode(*a[:-1], 0.1, a[-1]),
    (((B, N, H), 'bfloat16'), *caches, ((B, S), 'bool')),
    0,
    # Keys and values of a group are read once for all of its heads.
    flops=4 * B * S * N * H,
    bytes=4 * B * S * Y * H,
    rivals={},
  )


def experts(tokens):
  """The three products of one matrix of V3's routed experts, on a shard of 8."""
  X, E, D, M = tokens, 8, 7168, 2048
  return Case(
    f'grouped matmul {X} x {D}',
    lambda *a: kernels.grouped_matmul(*a),
    (((X, D), 'bfloat16'), ((E, D, M), 'bfloat16'), ((E,), 'int32')),
    2,
    # Forward, and the gradients of both operands.
    flops=6 * X * D * M,
    bytes=2 * (2 * E * D * M + E * D * M + 2 * X * D + 2 * X * M),
    rivals={},
  )


def head(tokens, vocabulary):
  """The output head of a 1.5B Qwen; its rival makes all logits."""
  X, V, D = tokens, vocabulary, 1536

  def logits(x, w, target):
    return tuple(output_head.token_scores(x, w, target, 1.0, chunk=V))[:2]

  return Case(
    f'output head {X} x {V}',
    lambda *a: tuple(kernels.token_scores(*a[:-1], 1.0, a[-1]))[:2],
    (((X, D), 'bfloat16'), ((V, D), 'bfloat16'), ((X,), 'int32')),
    2,
    flops=8 * X * V * D,  # logits are made twice, so that they are not kept
    bytes=2 * (2 * X * D + 3 * V * D),
    rivals={'logits': logits},
  )


def small(tokens, vocabulary):
  """One case an op, for compilers."""
  yield attention(4, 2, 128, 128, tokens)
  yield attention(4, 4, 192, 128, tokens)
  yield mla_decode(8, tokens + 128)
  yield gqa_decode(12, 2, 128, 8, tokens + 128)
  yield experts(4 * tokens)
  yield head(4 * tokens, vocabulary)


def real(tokens):
  """What a device of a real job does, for clocks."""
  yield attention(12, 2, 128, 128, tokens)
  yield attention(28, 4, 128, 128, tokens)
  yield attention(16, 16, 192, 128, tokens)
  yield mla_decode(32, tokens)
  yield gqa_decode(12, 2, 128, 64, tokens)
  yield gqa_decode(28, 4, 128, 64, tokens)
  yield experts(8192)
  yield head(4096, 151_936)
