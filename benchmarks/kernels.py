"""Compiles the ops for TPUs that are not here, and says what each needs beside its operands.

  python -m benchmarks.kernels --topologies=v5e:2x2,v5p:2x2x1,v6e:2x2 --tokens=1024

Needs the libtpu wheel, no TPU. A kernel that does not fit VMEM does not compile. Times are not
printed: the compiler's own figure does not look inside a Mosaic kernel, and no TPU was at hand.
"""

import dataclasses
import os

import jax
import jax.numpy as jnp
import numpy as np
import rich.console
import rich.table
from absl import app, flags
from jax.experimental import topologies

from r1jax import params as params_lib
from r1jax import sharding
from r1jax.kernels import output_head, reference, tpu
from r1jax.model import presets, transformer
from r1jax.train import steps

# A description is enough: no device is looked for, and other processes may load the library too.
_QUIET = {
  'TPU_SKIP_MDS_QUERY': '1',
  'TPU_WORKER_HOSTNAMES': 'localhost',
  'TPU_ACCELERATOR_TYPE': 'v5litepod-4',
  'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
}
_TOPOLOGIES = flags.DEFINE_list('topologies', ['v5e:2x2', 'v5p:2x2x1', 'v6e:2x2'], 'to compile for')
_TOKENS = flags.DEFINE_integer('tokens', 1024, 'length of a row, and of a cache')
_REFERENCE = flags.DEFINE_bool('reference', True, 'also compile the plain forms')
_MODELS = flags.DEFINE_bool('models', True, 'also compile whole models on four chips')
_VOCAB = flags.DEFINE_integer('vocab', 32_768, 'rows of the output head')


def squared(f, count):
  """Gradients of the summed squares of f's results in its first `count` operands."""

  def loss(*operands):
    leaves = jax.tree.leaves(f(*operands))
    return sum((x.astype(jnp.float32) ** 2).sum() for x in leaves)

  return jax.grad(loss, tuple(range(count)))


def attention(heads, key_heads, query_width, value_width):
  """Name, (kernel, reference) with gradients, operands."""
  T = _TOKENS.value
  operands = [
    ((1, T, heads, query_width), 'bfloat16'),
    ((1, T, key_heads, query_width), 'bfloat16'),
    ((1, T, key_heads, value_width), 'bfloat16'),
    ((1, T), 'int32'),
  ]
  pair = [squared(lambda *a, op=op: op.attention(*a, 0.1), 3) for op in (tpu, reference)]
  return f'attention {heads}/{key_heads} {query_width}/{value_width}', pair, operands


def decoding():
  """The two decodings, at V3's latent widths and at a 1.5B Qwen's heads (reference §2.1, §3.3)."""
  S, kept = _TOKENS.value + 4, ((8, _TOKENS.value + 4), 'bool')
  rows = ((8, S, 576), 'bfloat16')
  caches = [((8, 2, 128, S), 'bfloat16'), ((8, 2, S, 128), 'bfloat16')]
  latent = [lambda *a, op=op: op.mla_decode(*a, 512, 0.1) for op in (tpu, reference)]
  grouped = [lambda *a, op=op: op.gqa_decode(*a, 0.1) for op in (tpu, reference)]
  yield 'MLA decode 128 heads', latent, [((8, 128, 576), 'bfloat16'), rows, kept]
  yield 'GQA decode 12/2', grouped, [((8, 12, 128), 'bfloat16'), *caches, kept]


def experts():
  """The three products of one matrix of V3's routed experts, on a shard of 8 (reference §2.1)."""
  operands = [((4 * _TOKENS.value, 7168), 'bfloat16'), ((8, 7168, 2048), 'bfloat16')]
  operands += [((8,), 'int32')]
  pair = [squared(op.grouped_matmul, 2) for op in (tpu, reference)]
  return f'grouped matmul {4 * _TOKENS.value} x 7168', pair, operands


def head():
  """The output head against whole logits, with gradients, width 1536 (reference §3.3)."""
  X, V = 4 * _TOKENS.value, _VOCAB.value
  operands = [((X, 1536), 'bfloat16'), ((V, 1536), 'bfloat16'), ((X,), 'int32')]
  forms = (tpu.token_scores, lambda *a: output_head.token_scores(*a, chunk=V))
  pair = [squared(lambda *a, f=f: f(*a, 1.0)[:2], 2) for f in forms]
  return f'output head {X} x {V}', pair, operands


def compiled(f, operands):
  """Bytes beside operands and results on the mesh that is set."""
  mesh = jax.sharding.get_mesh()

  def local(*operands):
    return jax.tree.map(lambda x: x, f(*operands))

  specs = tuple(jax.P(*(None,) * len(shape)) for shape, _ in operands)
  island = jax.shard_map(local, in_specs=specs, out_specs=jax.P(), check_vma=False)
  abstract = [
    jax.ShapeDtypeStruct(shape, dtype, sharding=jax.sharding.NamedSharding(mesh, spec))
    for (shape, dtype), spec in zip(operands, specs)
  ]
  return jax.jit(island).lower(*abstract).compile().memory_analysis().temp_size_in_bytes


def scoring(preset, form):
  """Bytes of scoring rows with a whole model (4 devices: fsdp 2, tensor 2), in this form."""
  cfg = dataclasses.replace(preset, kernels=form, max_length=_TOKENS.value)
  mesh = jax.sharding.get_mesh()
  weights = params_lib.abstract(transformer.specs(cfg), cfg.param_dtype, mesh)
  where = jax.sharding.NamedSharding(mesh, sharding.act(None, 'batch', None))
  row = jax.ShapeDtypeStruct((1, 4, _TOKENS.value), jnp.int32, sharding=where)
  count = jax.ShapeDtypeStruct((), jnp.int32)
  lowered = steps.score.lower(weights, cfg, steps.Rows(row, row, row), count, 1.0)
  return lowered.compile().memory_analysis().temp_size_in_bytes


def rows(topology):
  """(name, kernel's bytes[, reference's bytes]) of every op on a topology."""
  devices = topologies.get_topology_desc(platform='tpu', topology_name=topology).devices
  forms = 2 if _REFERENCE.value else 1
  cases = [attention(4, 2, 128, 128), attention(4, 4, 192, 128), *decoding()]
  cases += [experts(), head()]
  with jax.set_mesh(sharding.make_mesh((1, 1, 1, 1), devices[:1])):
    for name, pair, operands in cases:
      yield name, *(compiled(f, operands) for f in pair[:forms])
  if not _MODELS.value:
    return
  with jax.set_mesh(sharding.make_mesh((1, 2, 1, 2), np.array(devices[:4]))):
    for name in ('tiny', 'bench_qwen2'):
      preset = getattr(presets, name)()
      yield (
        f'scoring with {name}',
        *(scoring(preset, form) for form in ('tpu', 'reference')[:forms]),
      )


def main(_):
  """Prints one table a topology."""
  jax.config.update('jax_platforms', 'cpu')
  os.environ.update(_QUIET)
  for topology in _TOPOLOGIES.value:
    table = rich.table.Table(title=f'{topology}: MiB beside operands and results')
    for column in ('op', 'kernel', 'reference'):
      table.add_column(column, justify='left' if column == 'op' else 'right')
    for name, *sizes in rows(topology):
      table.add_row(name, *(f'{size / 2**20:.2f}' for size in sizes))
    rich.console.Console(width=100).print(table)


if __name__ == '__main__':
  app.run(main)
