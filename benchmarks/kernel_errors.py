"""Errors of every op, form and type against the float64 oracle, results and gradients.

  python -m benchmarks.kernel_errors --full --seeds=3
  python -m benchmarks.kernel_errors --gpu

Runs on a CPU; TPU and GPU kernels are interpreted, which says what they compute, not how a matrix
unit rounds. Those for GPUs go through an interpreter of warpgroups and barriers, at a few sizes.
Absolute: the largest difference. Relative: that over the oracle's largest value of the same array
(over 1 where that is 0). `tests/kernels/oracle_test.py` holds both to bounds.
"""

import dataclasses
import functools
import itertools
import os
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import rich.console
import rich.table
from absl import app, flags

from r1jax import kernels
from r1jax.kernels import (
  decode_gpu,
  decode_tpu,
  flash_attention_gpu,
  flash_attention_tpu,
  grouped_matmul_gpu,
  grouped_matmul_tpu,
  oracle,
  output_head,
  output_head_gpu,
  output_head_tpu,
)

_FULL = flags.DEFINE_bool('full', False, 'the whole product of shapes, minutes; else a small one')
_GPU = flags.DEFINE_bool('gpu', False, 'the GPU kernels, and nothing else')
_SEEDS = flags.DEFINE_integer('seeds', 1, 'random draws of every case')
_SCALE, _TEMPERATURE = 0.3, 0.7


@dataclasses.dataclass(frozen=True)
class Case:
  """One example: sizes as its op reads them, and the pattern of its segments, slots or groups."""

  op: str
  form: str
  sizes: tuple
  pattern: str
  dtype: str


@dataclasses.dataclass(frozen=True)
class Op:
  """How an op is tried.

  Attributes:
    run: (case, rng) -> [(name, found, expected)].
    forms, patterns, sizes: the product.
    small: how many of `sizes`, from the first, are in the small product.
    gpu: sizes at which the GPU kernels are tried.
  """

  run: Callable
  forms: tuple
  patterns: tuple
  sizes: tuple
  small: int
  gpu: tuple


def interpreted():
  """How the GPU kernels are run on a CPU; None where there is a GPU to run them on."""
  if jax.default_backend() == 'gpu':
    return None
  from jax._src.pallas.mosaic_gpu.interpret import params  # private: not before it is wanted

  return params.InterpretGPUParams(out_of_bounds_reads='uninitialized')


def normal(rng, dtype, *shapes):
  """Arrays of standard normal values, rounded to `dtype` before anybody computes with them."""
  return tuple(jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes)


def segments(pattern, rng, rows, length):
  """int32 ids [rows, length]: one segment, packed ones with padding, single tokens, ..."""
  at = np.arange(length)
  # Up to four segments of random lengths, and a fifth of padding behind them.
  if pattern == 'packed':
    ids = np.sort(rng.integers(1, 5, (rows, length)), axis=1)
    return np.int32(np.where(at < length - length // 5, ids, 0))
  if pattern == 'padding':  # a row of nothing else, beside a full one
    return np.int32(np.arange(rows)[:, None] % 2 * np.ones(length))
  one = {'one': 1 + 0 * at, 'singles': at + 1, 'gaps': np.where(at < length // 3, 9, 40)}[pattern]
  return np.int32(np.broadcast_to(one, (rows, length)))


@functools.partial(jax.jit, static_argnums=(5, 6))
def _attention_pull(q, k, v, segment, d, form, blocks):
  def run(q, k, v):
    if form in ('reference', 'cpu', 'cudnn'):
      return kernels.attention(q, k, v, segment, _SCALE, form)
    if form == 'gpu':
      return flash_attention_gpu.attention(q, k, v, segment, _SCALE, interpreted())
    shape = flash_attention_tpu.Blocks(*blocks)
    return flash_attention_tpu.attention(q, k, v, segment, _SCALE, shape, interpret=True)

  out, pull = jax.vjp(run, q, k, v)
  return out, *pull(d)


def _attention(case, rng):
  B, T, N, Y, H, U, *blocks = case.sizes
  q, k, v, d = normal(rng, case.dtype, (B, T, N, H), (B, T, Y, H), (B, T, Y, U), (B, T, N, U))
  segment = segments(case.pattern, rng, B, T)
  read = (segment[:, :, None, None] > 0) | (case.form != 'cpu')  # which leaves padding out
  d = jnp.where(read, d, 0)
  # All results and gradients in one compiled call.
  found = _attention_pull(q, k, v, segment, d, case.form, tuple(blocks))
  # The oracle gets the rounded values: what is measured is the arithmetic, not the rounding before.
  q, k, v, d = (np.float64(x) for x in (q, k, v, d))
  gradients = oracle.attention_gradients((q, k, v), segment, _SCALE, d)
  expected = (oracle.attention(q, k, v, segment, _SCALE), *gradients)
  pairs = zip(('out', 'dq', 'dk', 'dv'), found, expected)
  return [(name, np.where(read, one, 0), np.where(read, other, 0)) for name, one, other in pairs]


def kept(pattern, rng, rows, slots):
  """bool [rows, slots]: ragged lengths, holes, a single slot, or no slot at all in some rows."""
  at, length = np.arange(slots), rng.integers(1, slots + 1, (rows, 1))
  if pattern == 'ragged':
    return at < length
  if pattern == 'last':
    return np.broadcast_to(at == slots - 1, (rows, slots))
  holes = rng.random((rows, slots)) < 0.5
  # One slot that everybody keeps, so that no softmax is over nothing.
  holes[:, rng.integers(slots)] = True
  return holes & (np.arange(rows)[:, None] % 2 > 0) if pattern == 'nothing' else holes


def _unread(rng, keep_BS, *caches):
  """Large values in the slots that nobody may read: [B, S, *] or [B, Y, S, *]."""
  for cache in caches:
    keep = keep_BS.reshape(len(keep_BS), *(1,) * (cache.ndim - 3), -1, 1)
    yield jnp.where(keep, cache, jnp.asarray(1e4 * rng.normal(size=cache.shape), cache.dtype))


@functools.partial(jax.jit, static_argnums=(3, 4, 5))
def _latent(q, cache, keep, width, form, slots):
  if form in ('reference', 'cpu'):
    return kernels.mla_decode(q, cache, keep, width, _SCALE, form)
  if form == 'gpu':
    return decode_gpu.mla_decode(q, cache, keep, width, _SCALE, interpret=interpreted())
  return decode_tpu.mla_decode(q, cache, keep, width, _SCALE, slots, interpret=True)


def _mla_decode(case, rng):
  B, S, N, A, U, slots = case.sizes
  keep = kept(case.pattern, rng, B, S)
  q, cache = normal(rng, case.dtype, (B, N, A), (B, S, A))
  # A kernel that read a masked slot would show it.
  (cache,) = _unread(rng, keep, cache)
  out = _latent(q, cache, keep, U, case.form, slots)
  return _of_readers(keep, out, oracle.mla_decode(q, cache, keep, U, _SCALE))


@functools.partial(jax.jit, static_argnums=(4, 5))
def _grouped(q, k, v, keep, form, slots):
  if form == 'reference':
    return kernels.gqa_decode(q, k, v, keep, _SCALE)
  if form == 'gpu':
    return decode_gpu.gqa_decode(q, k, v, keep, _SCALE, interpret=interpreted())
  return decode_tpu.gqa_decode(q, k, v, keep, _SCALE, slots, interpret=True)


def _gqa_decode(case, rng):
  B, S, N, Y, H, U, slots = case.sizes
  keep = kept(case.pattern, rng, B, S)
  q, k, v = normal(rng, case.dtype, (B, N, H), (B, Y, S, H), (B, Y, S, U))
  k, v = _unread(rng, keep, k, v)
  # The cache's own layout has the slots of keys last.
  k = k.swapaxes(2, 3)
  out = _grouped(q, k, v, keep, case.form, slots)
  return _of_readers(keep, out, oracle.gqa_decode(q, k, v, keep, _SCALE))


def _of_readers(keep_BS, out, expected):
  """The sequences that keep a slot; the others' results are any finite numbers."""
  if not np.isfinite(np.float64(out)).all():
    raise FloatingPointError('a sequence without a kept slot has a result that is not finite')
  # A softmax over nothing is nobody's to define.
  reads = keep_BS.any(1)
  return [('out', out[reads], expected[reads])]


@functools.partial(jax.jit, static_argnums=(4, 5))
def _head_pull(x, w, target, d, form, chunk):
  def run(x, w):
    if form == 'tpu':
      blocks = output_head_tpu.Blocks(128, 128)
      return tuple(output_head_tpu.token_scores(x, w, target, _TEMPERATURE, blocks, interpret=True))
    if form == 'gpu':
      blocks = output_head_gpu.Blocks(vocab=64, programs=2, stages=2)
      return tuple(output_head_gpu.token_scores(x, w, target, _TEMPERATURE, blocks, interpreted()))
    return tuple(output_head.token_scores(x, w, target, _TEMPERATURE, chunk))

  out, pull = jax.vjp(run, x, w)
  return *out, *pull(d)


def _token_scores(case, rng):
  X, V, D, chunk = case.sizes
  x, w = normal(rng, case.dtype, (X, D), (V, D))
  spread = 3 if case.pattern == 'elsewhere' else 0  # targets of another shard of the vocabulary
  target = np.int32(rng.integers(-spread, V + spread, X))
  # One incoming gradient for each of the three results.
  d = normal(rng, 'float32', (X,), (X,), (X,))
  found = _head_pull(x, w, target, d, case.form, V if case.form == 'whole' else chunk)
  expected = oracle.token_scores(x, w, target, _TEMPERATURE)
  expected += oracle.token_scores_gradients((x, w), target, _TEMPERATURE, d)
  return list(zip(('norm', 'chosen', 'mean', 'dx', 'dw'), found, expected))


def group_sizes(pattern, rng, rows, groups):
  """int32 [groups], at most `rows` together."""
  if pattern == 'none':
    return np.zeros(groups, np.int32)
  if pattern == 'one':  # all rows to the middle group
    return np.int32(np.arange(groups) == groups // 2) * np.int32(rows)
  chosen = rng.integers(0, groups, rows)
  if pattern == 'empty':  # most groups have no row, the last ones among them
    chosen = chosen[chosen % 3 == 0] // 2
  # 'behind' leaves half of the rows to no group: they must come out as zeros.
  sizes = np.bincount(chosen, minlength=groups)[:groups]
  return np.int32(sizes if pattern == 'full' else sizes // 2)


@functools.partial(jax.jit, static_argnums=(4,))
def _grouped_pull(x, w, size, d, form):
  def run(x, w):
    if form == 'reference':
      return kernels.grouped_matmul(x, w, size)
    if form == 'gpu':
      blocks = grouped_matmul_gpu.Blocks(columns=64, programs=1, stages=2)
      return grouped_matmul_gpu.grouped_matmul(x, w, size, blocks, interpreted())
    blocks = grouped_matmul_tpu.Blocks(128, 128)
    return grouped_matmul_tpu.grouped_matmul(x, w, size, blocks, interpret=True)

  out, pull = jax.vjp(run, x, w)
  return out, *pull(d)


def _grouped_matmul(case, rng):
  X, E, D, M = case.sizes
  x, w, d = normal(rng, case.dtype, (X, D), (E, D, M), (X, M))
  size = group_sizes(case.pattern, rng, X, E)
  found = _grouped_pull(x, w, size, d, case.form)
  gradients = oracle.grouped_matmul_gradients((x, w), size, d)
  return list(zip(('out', 'dx', 'dw'), found, (oracle.grouped_matmul(x, w, size), *gradients)))


# Sizes of attention end in blocks of queries and keys, those of decoding in slots a block.
OPS = {
  'attention': Op(
    _attention,
    ('reference', 'cpu', 'tpu'),
    ('packed', 'one', 'singles', 'padding', 'gaps'),
    (
      (2, 1, 2, 1, 8, 8, 128, 128),
      (2, 300, 4, 2, 24, 16, 128, 256),
      (2, 7, 6, 2, 16, 8, 512, 512),
      (1, 128, 4, 4, 32, 32, 128, 128),
      (2, 129, 4, 1, 24, 24, 256, 128),
      (1, 300, 2, 2, 192, 128, 128, 128),
      (2, 700, 4, 2, 32, 16, 512, 512),
      (1, 1100, 2, 1, 24, 16, 256, 512),
    ),
    2,
    ((1, 200, 2, 1, 40, 64, 0, 0), (1, 65, 1, 1, 192, 128, 0, 0)),
  ),
  'mla_decode': Op(
    _mla_decode,
    ('reference', 'cpu', 'tpu'),
    ('ragged', 'holes', 'last', 'nothing'),
    (
      (3, 1, 4, 24, 16, 16),
      (4, 50, 4, 24, 16, 16),
      (2, 16, 1, 8, 8, 16),
      (3, 48, 16, 40, 32, 16),
      (2, 700, 8, 576, 512, 512),
    ),
    2,
    ((1, 128, 4, 192, 128, 0), (1, 128, 2, 576, 512, 0)),
  ),
  'gqa_decode': Op(
    _gqa_decode,
    ('reference', 'tpu'),
    ('ragged', 'holes', 'last', 'nothing'),
    (
      (3, 1, 4, 2, 24, 16, 16),
      (4, 50, 6, 2, 24, 8, 16),
      (2, 16, 2, 2, 8, 8, 16),
      (3, 48, 6, 1, 32, 32, 16),
      (2, 700, 12, 2, 128, 128, 512),
    ),
    2,
    ((1, 256, 6, 2, 64, 64, 0), (1, 128, 2, 1, 128, 128, 0)),
  ),
  'token_scores': Op(
    _token_scores,
    ('whole', 'chunked', 'tpu'),
    ('here', 'elsewhere'),
    (
      (1, 7, 6, 3),
      (9, 23, 6, 5),
      (5, 8, 8, 2),
      (40, 1000, 64, 128),
      (256, 5000, 128, 512),
    ),
    2,
    ((70, 200, 192, 0),),
  ),
  'grouped_matmul': Op(
    _grouped_matmul,
    ('reference', 'tpu'),
    ('full', 'empty', 'none', 'one', 'behind'),
    (
      (1, 3, 8, 8),
      (300, 5, 24, 40),
      (7, 4, 16, 8),
      (128, 1, 32, 32),
      (640, 16, 48, 200),
      (1030, 7, 130, 64),
    ),
    2,
    ((133, 4, 192, 128),),
  ),
}
DTYPES = ('float32', 'bfloat16')
_OP = flags.DEFINE_multi_enum('op', list(OPS), list(OPS), 'which')


def gpu_cases():
  """The GPU kernels in bfloat16, in the first pattern."""
  for name, op in OPS.items():
    for size in op.gpu:
      yield Case(name, 'gpu', size, op.patterns[0], 'bfloat16')


def cases(full):
  """The product; its small part has fewer sizes, and bfloat16 in one pattern only."""
  for name, op in OPS.items():
    sizes = op.sizes if full else op.sizes[: op.small]
    # float32 in every pattern; bfloat16 differs in rounding alone, so one pattern says it.
    for form, size, pattern, dtype in itertools.product(op.forms, sizes, op.patterns, DTYPES):
      if full or dtype == 'float32' or pattern == op.patterns[0]:
        yield Case(name, form, size, pattern, dtype)


def run(case, seed):
  """[(name, found, expected)] of a case."""
  found = OPS[case.op].run(case, np.random.default_rng(seed))
  return [(n, np.float64(a), b) for n, a, b in found]


def errors(found, expected):
  """(absolute, relative); NaN or infinity anywhere in what was found gives infinity."""
  if not np.isfinite(found).all():
    return np.inf, np.inf
  # Relative to the array's largest value: an entry near 0 has no relative error worth naming.
  absolute = np.abs(found - expected).max(initial=0)
  return absolute, absolute / (np.abs(expected).max(initial=0) or 1)


def main(argv):
  """Prints the table."""
  del argv
  worst, tried = {}, gpu_cases() if _GPU.value else cases(_FULL.value)
  chosen = [case for case in tried if case.op in _OP.value]
  for case, seed in itertools.product(chosen, range(_SEEDS.value)):
    for name, found, expected in run(case, seed):
      # The worst over sizes, patterns and seeds.
      key = (case.op, name, case.form, case.dtype)
      worst[key] = np.maximum(worst.get(key, 0), errors(found, expected))
  title = f'largest errors against float64, {len(chosen) * _SEEDS.value} cases'
  table = rich.table.Table(title=title)
  for column in ('op', 'result', 'form', 'dtype', 'absolute', 'relative'):
    table.add_column(column, justify='right' if 'lute' in column or 'ive' in column else 'left')
  for key, (absolute, relative) in worst.items():
    table.add_row(*key, f'{absolute:.1e}', f'{relative:.1e}')
  rich.console.Console(width=100).print(table)


if __name__ == '__main__':
  os.environ.setdefault('JAX_PLATFORMS', 'cpu')
  app.run(main)
