"""Block sizes of the TPU kernels, judged by the compiler's own schedule; no TPU is needed or timed.

  python -m benchmarks.kernel_sweep --op=attention --topologies=v5e:2x2,v5p:2x2x1,v6e:2x2

For every candidate the TPU compiler (libtpu) writes down the bundles that it scheduled for one step
of each kernel's grid. A bundle takes a cycle where nothing stalls, so `schedule`, steps x bundles /
clock, knows of the matrix, vector and load units but of no stall. `matmuls` is the steps' FLOPs
over the data sheet's peak, `memory` the bytes that the blocks move over its bandwidth; `sum` adds
the largest of the three up over an op's kernels and ranks the candidates. None is a measurement.
`MXU` is the share of the matrix units' slots that the bundles fill.
"""

import dataclasses
import math
import os
import pathlib
import re
import sys
import tempfile
from collections.abc import Callable

import jax
import numpy as np
import rich.console
import rich.table
from absl import app, flags

from r1jax import sharding
from r1jax.kernels import decode_tpu, flash_attention_tpu, grouped_matmul_tpu, output_head_tpu
from r1jax.planning import topology

_TOPOLOGIES = flags.DEFINE_list('topologies', ['v5e:2x2', 'v5p:2x2x1', 'v6e:2x2'], 'to compile for')
_TOKENS = flags.DEFINE_integer('tokens', 4096, 'length of a row and of a cache; rows of experts')
_BLOCKS = flags.DEFINE_list('blocks', [], 'only these candidates, 512x512 and so on')
_COLUMNS = ('chip', 'blocks', 'kernel', 'VMEM MiB', 'bundles', 'MXU', 'spills')
_COLUMNS += ('schedule', 'matmuls', 'memory', 'sum')
_NAMES = 'forward|query|key|product|dx|weight|scores|decode'  # of our kernels in a program
_CORES = {'v4': 2, 'v5p': 2}  # of a device; they share the parallel axes of a grid
_BYTES = 2  # of a value, bfloat16


@dataclasses.dataclass(frozen=True)
class Kernel:
  """What one kernel of a candidate does.

  Attributes:
    steps: of the grid, that compute.
    flops: of a step's matmuls.
    moved: bytes between HBM and VMEM.
    vmem: bytes of its blocks, two of each, and of its scratch.
  """

  steps: int
  flops: float
  moved: float
  vmem: float


@dataclasses.dataclass(frozen=True)
class Sweep:
  """An op and its candidates.

  Attributes:
    run: (blocks) -> function of the operands.
    operands: [(shape, dtype)].
    kernels: (blocks) -> name -> `Kernel`.
    candidates: tuples, the blocks.
  """

  run: Callable
  operands: list
  kernels: Callable
  candidates: list


def _attention(heads, key_heads, H, U):
  """One row, forward and both backward kernels."""
  T = _TOKENS.value
  # Operands: one row.
  q, k, v = ((1, T, n, width) for n, width in ((heads, H), (key_heads, H), (key_heads, U)))

  def run(blocks):
    def gradients(q, k, v, segment):
      f = lambda q, k, v: flash_attention_tpu.attention(q, k, v, segment, 0.1, blocks_of)
      out, pull = jax.vjp(f, q, k, v)
      return out, pull(out)

    blocks_of = flash_attention_tpu.Blocks(*blocks)
    return gradients

  def kernels(blocks):
    # Blocks of queries and keys that lie on or below the diagonal; the others are skipped.
    bq, bk = blocks
    pairs = sum(-(-(i + 1) * bq // bk) for i in range(T // bq))
    steps, scores = heads * pairs, 3 * 4 * bq * bk
    # Bytes of a block of keys with values, and of queries with results.
    keys, queries = bk * (H + U) * _BYTES, bq * (H + U) * _BYTES
    # What stays in place while the grid's inner axis runs is moved once.
    own_q, own_k = heads * T // bq * queries, key_heads * T // bk * keys
    pair, accumulated = 2 * bq * bk, 4 * bq * U
    return {
      'forward': Kernel(
        steps, pair * (H + U), steps * keys + own_q, 2 * (keys + queries) + accumulated + scores
      ),
      'query': Kernel(
        steps,
        pair * (2 * H + U),
        steps * (keys + bk * H * _BYTES) + 2 * own_q,
        2 * (keys + bk * H * _BYTES + 2 * queries) + accumulated + scores,
      ),
      'key': Kernel(
        steps,
        pair * (2 * H + 2 * U),
        steps * queries + 2 * own_k,
        2 * queries + 4 * keys + 4 * bk * (H + U) + scores,
      ),
    }

  operands = [*((s, 'bfloat16') for s in (q, k, v)), ((1, T), 'int32')]
  sizes = [(256, 256), (256, 512), (512, 256), (512, 512), (512, 1024), (1024, 512), (1024, 1024)]
  return Sweep(run, operands, kernels, sizes)


def _decode(heads, key_heads, H, U):
  """Eight sequences against full caches; without value heads, the latent cache of MLA."""
  B, S, latent = 8, _TOKENS.value, key_heads == 0
  Y, width = max(key_heads, 1), H if latent else H + U

  def run(blocks):
    if latent:
      return lambda q, cache, keep: decode_tpu.mla_decode(q, cache, keep, U, 0.1, blocks[0])
    return lambda q, k, v, keep: decode_tpu.gqa_decode(q, k, v, keep, 0.1, blocks[0])

  def kernels(blocks):
    # G heads read one key head's slots together.
    (slots,), G = blocks, heads // Y
    steps = B * Y * S // slots
    vmem = 2 * _BYTES * (slots * width + G * (H + U)) + 4 * G * (U + 2 * slots)
    flops = 2 * G * slots * (H + U)
    return {'decode': Kernel(steps, flops, B * Y * S * width * _BYTES, vmem)}

  caches = [(B, S, H)] if latent else [(B, Y, H, S), (B, Y, S, U)]
  operands = [*((s, 'bfloat16') for s in ((B, heads, H), *caches)), ((B, S), 'bool')]
  return Sweep(run, operands, kernels, [(256,), (512,), (1024,), (2048,)])


def _experts(E, D, M):
  """x @ w and its gradients, groups of equal size."""
  X = _TOKENS.value

  def run(blocks):
    def gradients(x, w, size):
      f = lambda x, w: grouped_matmul_tpu.grouped_matmul(x, w, size, blocks_of)
      out, pull = jax.vjp(f, x, w)
      return out, pull(out)

    blocks_of = grouped_matmul_tpu.Blocks(*blocks)
    return gradients

  def product(blocks, inner, width):
    # The kernel shrinks blocks that do not fit VMEM.
    rows, columns = grouped_matmul_tpu.fitted(
      grouped_matmul_tpu.Blocks(*blocks), (X, inner, width), _BYTES
    )
    passes = math.ceil(width / columns)
    moved = _BYTES * (X * inner * passes + E * inner * width + X * width)
    vmem = 2 * _BYTES * (rows * inner + inner * columns + rows * columns) + 8 * rows * columns
    return Kernel(passes * _items(E, X, rows), 2 * rows * inner * columns, moved, vmem)

  def kernels(blocks):
    # The weights' gradient: tiles of [high, wide], summed over the rows of a group.
    rows, high, wide = blocks[0], min(blocks[1], D), min(blocks[1], M)
    across, down = math.ceil(M / wide), math.ceil(D / high)
    moved = _BYTES * (X * D * across + X * M * down + E * D * M)
    vmem = 2 * _BYTES * (rows * (high + wide) + high * wide) + 4 * high * wide
    steps = across * down * _items(E, X, rows)
    gradient = Kernel(steps, 2 * rows * high * wide, moved, vmem)
    return {'product': product(blocks, D, M), 'dx': product(blocks, M, D), 'weight': gradient}

  operands = [((X, D), 'bfloat16'), ((E, D, M), 'bfloat16'), ((E,), 'int32')]
  sizes = [(128, 512), (128, 1024), (256, 512), (256, 1024), (512, 512), (512, 1024)]
  return Sweep(run, operands, kernels, sizes)


def _head(V, D):
  """Forward only: backward it is plain JAX."""
  X = _TOKENS.value

  def run(blocks):
    blocks_of = output_head_tpu.Blocks(*blocks)
    return lambda x, w, t: tuple(output_head_tpu.token_scores(x, w, t, 1.0, blocks_of))

  def kernels(blocks):
    # The vocabulary passes once for each block of tokens.
    tokens, vocab = blocks
    passes = math.ceil(X / tokens)
    moved = _BYTES * D * (X + passes * V)
    vmem = 2 * _BYTES * D * (tokens + vocab) + 16 * tokens * vocab
    flops = 2 * tokens * vocab * D
    return {'scores': Kernel(passes * math.ceil(V / vocab), flops, moved, vmem)}

  operands = [((X, D), 'bfloat16'), ((V, D), 'bfloat16'), ((X,), 'int32')]
  sizes = [(512, 256), (512, 512), (1024, 256), (1024, 512)]
  return Sweep(run, operands, kernels, sizes)


def _items(E, X, rows):
  """Items of work, where a group's end lies in the middle of a tile."""
  return X // rows + E - 1


OPS = {
  'attention': lambda: _attention(4, 2, 128, 128),
  'attention_v3': lambda: _attention(4, 4, 192, 128),
  'mla_decode': lambda: _decode(128, 0, 576, 512),
  'gqa_decode': lambda: _decode(12, 2, 128, 128),
  'grouped_matmul': lambda: _experts(8, 7168, 2048),
  'token_scores': lambda: _head(151_936, 1536),
}
_OP = flags.DEFINE_multi_enum('op', list(OPS), list(OPS), 'which')


def compiled(f, operands, folder):
  """Compiles for the mesh that is set -> name -> [bundles, MXU share, spills] of its kernels."""
  for old in folder.iterdir():
    # The dump of the candidate before would be read for this one's.
    old.unlink()
  mesh = jax.sharding.get_mesh()
  specs = tuple(jax.P(*(None,) * len(shape)) for shape, _ in operands)
  # A Mosaic kernel can't be partitioned: it is compiled inside an island.
  island = jax.shard_map(f, in_specs=specs, out_specs=jax.P(), check_vma=False)
  abstract = [
    jax.ShapeDtypeStruct(shape, dtype, sharding=jax.sharding.NamedSharding(mesh, spec))
    for (shape, dtype), spec in zip(operands, specs)
  ]
  jax.jit(island).lower(*abstract).compile()
  found = {}
  for path in folder.glob('*schedule-analysis_final_bundles*'):
    for name, *figures in read(path):  # beside its program, a kernel has a short one that starts it
      found[name] = max(found.get(name, [0]), figures)
  return found


def read(path):
  """[(name, bundles, MXU share, spilled stores)] of a schedule; [] where it is no Mosaic kernel."""
  text = path.read_text()
  if 'custom_call_target="tpu_custom_call"' not in text:
    return []
  number, stem = re.match(r'(.*?)-(?:\d+)-schedule', path.name), path.parent
  name = re.search(rf'%\S*?({_NAMES})\S* = ', text)[1]  # transpose_jvp_key_kernel__.1 and so on
  # Beside each schedule lies the use of the units, one line a bundle.
  table = next(stem.glob(f'{number[1]}-*-final_hlo-static-per-bundle-utilization.txt'))
  lines = [line.split() for line in table.read_text().splitlines()]
  rows = np.array([line for line in lines if line and all(x.isdigit() for x in line)], int)
  # The first line of numbers is how many slots of each unit a bundle has.
  slots, used = rows[0], rows[1:].sum(0)
  bundles = int(re.search(r'total scheduled bundles:\s+(\d+)', text)[1])
  return [(name, bundles, used[0] / slots[0] / bundles, int(used[8]))]


def main(argv):
  """Prints one table an op."""
  del argv
  folder = pathlib.Path(tempfile.mkdtemp())
  own = os.environ.get('LIBTPU_INIT_ARGS', '')
  # Read when libtpu is loaded, so before the first topology is asked for.
  os.environ['LIBTPU_INIT_ARGS'] = f'{own} --xla_jf_dump_to={folder} --xla_jf_dump_llo_text=true'
  jax.config.update('jax_platforms', 'cpu')
  for op in _OP.value:
    table = rich.table.Table(title=f'{op}, {_TOKENS.value} tokens; times in microseconds')
    for column in _COLUMNS:
      table.add_column(column, justify='left' if column in _COLUMNS[:3] else 'right')
    for name in _TOPOLOGIES.value:
      rows_of(table, OPS[op](), topology.target(name), folder)
    rich.console.Console(width=110).print(table)


def rows_of(table, sweep, target, folder):
  """One row a kernel and candidate, and their sums."""
  with jax.set_mesh(sharding.make_mesh((1, 1, 1, 1), target.devices[:1])):
    for blocks in sweep.candidates:
      label = (target.chip.name, 'x'.join(map(str, blocks)))
      if _BLOCKS.value and label[1] not in _BLOCKS.value:
        continue
      try:
        found = compiled(sweep.run(blocks), sweep.operands, folder)
      # Candidates that do not fit VMEM are rows of the table too.
      except jax.errors.JaxRuntimeError as error:
        table.add_row(*label, str(error).splitlines()[0][:60])
        continue
      total = 0.0
      for name, k in sweep.kernels(blocks).items():
        bundles, share, spills = found[name]
        chip = target.chip
        # Cycles of the schedule over the clock, shared by the device's cores.
        schedule = k.steps * bundles / chip.clock / _CORES.get(chip.name, 1)
        memory = k.moved / chip.bandwidth
        matmuls = k.steps * k.flops / chip.peak
        total += max(schedule, memory, matmuls)
        figures = (f'{bundles:,}', f'{share:.0%}', f'{spills:,}')
        times = (f'{1e6 * t:,.0f}' for t in (schedule, matmuls, memory, total))
        row = (*label, name, f'{k.vmem / 2**20:.1f}', *figures, *times)
        table.add_row(*row)
        print(*row, file=sys.stderr, flush=True)


if __name__ == '__main__':
  app.run(main)
