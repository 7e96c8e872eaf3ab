"""Compiles the ops for accelerators that are not here, or times them on the one that is.

  python -m benchmarks.kernels --topologies=v5e:2x2,v5p:2x2x1,v6e:2x2,h100:1 --tokens=1024
  python -m benchmarks.kernels --time --tokens=1024 --tokens=4096 --tokens=32768

The first needs the TPU's and the GPU's compiler (pip install -e '.[test]'), but no device: it says
what each op needs beside its operands; a kernel that does not fit VMEM or shared memory does not
compile. The second needs the device: our kernels, XLA's form and what others offer take turns
(A B A B), printed are medians, the ratio to ours and ours' share of what the data sheet allows.
"""

import dataclasses
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import rich.console
import rich.table
from absl import app, flags

from benchmarks import kernel_cases
from r1jax import kernels, sharding
from r1jax import params as params_lib
from r1jax.model import presets, transformer
from r1jax.planning import topology
from r1jax.train import steps

_TOPOLOGIES = flags.DEFINE_list('topologies', ['v5e:2x2', 'v5p:2x2x1', 'v6e:2x2'], 'to compile for')
_TOKENS = flags.DEFINE_multi_integer('tokens', [1024], 'length of a row, and of a cache')
_REFERENCE = flags.DEFINE_bool('reference', True, 'also compile the plain forms')
_MODELS = flags.DEFINE_bool('models', True, 'also compile whole models on four chips')
_VOCAB = flags.DEFINE_integer('vocab', 32_768, 'rows of the output head')
_TIME = flags.DEFINE_bool('time', False, 'time the ops on the device that is here')
_ROUNDS = flags.DEFINE_integer('rounds', 7, 'rounds, in each of which every form runs once')


def compiled(f, operands):
  """Bytes beside operands and results on the mesh that is set."""
  mesh = jax.sharding.get_mesh()
  specs = tuple(jax.P(*(None,) * len(shape)) for shape, _ in operands)
  # A kernel of one device, in an island as the models have it.
  island = jax.shard_map(f, in_specs=specs, out_specs=jax.P(), check_vma=False)
  abstract = [
    jax.ShapeDtypeStruct(shape, dtype, sharding=jax.sharding.NamedSharding(mesh, spec))
    for (shape, dtype), spec in zip(operands, specs)
  ]
  return jax.jit(island).lower(*abstract).compile().memory_analysis().temp_size_in_bytes


def scoring(preset, form, tokens):
  """Bytes of scoring rows with a whole model on the mesh that is set, in this form."""
  cfg = dataclasses.replace(preset, kernels=form, max_length=tokens, compute_dtype='bfloat16')
  mesh = jax.sharding.get_mesh()
  weights = params_lib.abstract(transformer.specs(cfg), cfg.param_dtype, mesh)
  where = jax.sharding.NamedSharding(mesh, sharding.act(None, 'batch', None))
  row = jax.ShapeDtypeStruct((1, 4, tokens), jnp.int32, sharding=where)
  count = jax.ShapeDtypeStruct((), jnp.int32)
  # The first array is as large as the mask of what a loss reads.
  lowered = steps.score.lower(weights, cfg, steps.Rows(row, row, row), row, count, 1.0)
  return lowered.compile().memory_analysis().temp_size_in_bytes


def needs(target, tokens):
  """(name, kernel's bytes[, reference's bytes[, bytes with all logits]]) of every op."""
  own = target.devices[0].platform
  forms = (own, 'reference') if _REFERENCE.value else (own,)
  with jax.set_mesh(sharding.make_mesh((1, 1, 1, 1), target.devices[:1])):
    for case in kernel_cases.small(tokens, _VOCAB.value):
      # The op in each form, then with all logits where it is the head.
      tried = [case.functions(form) for form in forms]
      tried += [case.rival('logits')] if _REFERENCE.value and 'logits' in case.rivals else []
      yield case.name, *(compiled(f, case.operands) for f in tried)
  if not _MODELS.value:
    return
  for name, mesh in (('small', (1, 2, 2, 1)), ('bench_qwen2', (1, 2, 1, 2))):
    preset = getattr(presets, name)()
    with jax.set_mesh(sharding.make_mesh(mesh, np.array(target.devices[:4]))):
      yield f'scoring with {name}', *(scoring(preset, form, tokens) for form in forms)


def print_needs(name):
  """The table of one topology."""
  table = rich.table.Table(title=f'{name}: MiB beside operands and results')
  for column in ('op', 'kernel', 'reference', 'all logits'):
    table.add_column(column, justify='left' if column == 'op' else 'right')
  target = topology.target(name)
  if not target.exact:
    raise ValueError(f"topology {name!r}: its compiler comes with pip install -e '.[test]'")
  for op, *sizes in needs(target, _TOKENS.value[0]):
    table.add_row(op, *(f'{size / 2**20:.2f}' for size in sizes))
  rich.console.Console(width=100).print(table)


def draw(case):
  """Random operands: normal values, all slots kept, one segment, groups of the same size."""
  rng = np.random.default_rng(0)
  for shape, dtype in case.operands:
    # Real-valued operands, then sizes of groups, then slots and segments.
    if dtype == 'bfloat16':
      yield jnp.asarray(rng.standard_normal(shape, np.float32), dtype)
    elif case.name.startswith('grouped'):
      yield jnp.full(shape, case.operands[0][0][0] // shape[0], dtype)
    else:
      yield jnp.ones(shape, dtype)


def seconds(functions, operands):
  """Median seconds of each function, which take turns."""
  # Compiled before anything is timed.
  ready = [jax.jit(f).lower(*operands).compile() for f in functions]
  taken = [[] for _ in ready]
  for _ in range(1 + _ROUNDS.value):  # the first warms up
    # In turns, so that the clock's drift hits all alike.
    for f, times in zip(ready, taken):
      began = time.perf_counter()
      jax.block_until_ready(f(*operands))
      times.append(time.perf_counter() - began)
  return [statistics.median(times[1:]) for times in taken]


def print_times(tokens):
  """Times on this device; where it has no kernels of ours only the plain form and its rivals."""
  device = jax.devices()[0]
  forms = own(device)
  chip = data_sheet(device)
  table = rich.table.Table(title=f'{device.device_kind}, {tokens} tokens: ms, and ratios to ours')
  for column in ('op', 'ours', 'XLA', 'others', 'share of the peak'):
    table.add_column(column, justify='left' if column == 'op' else 'right')
  for case in kernel_cases.real(tokens):
    rivals = list(case.rivals) if forms else []
    functions = [case.functions(form) for form in (*forms, 'reference')]
    found = seconds(functions + [case.rival(name) for name in rivals], list(draw(case)))
    # On a device without kernels of ours the plain form is compared with nothing.
    first, plain, *others = found if forms else [None, *found]
    table.add_row(case.name, *cells(first, plain, dict(zip(rivals, others)), limit(case, chip)))
  rich.console.Console(width=110).print(table)


def own(device):
  """The form of the device's own kernels, in a list that is empty where it has none."""
  try:
    return [kernels.resolve(device.platform, device)]
  except ValueError:
    return []


def data_sheet(device):
  """`topology.Chip` of the device; None for one that is not listed."""
  names = [name for name in topology.CHIPS if name.upper() in device.device_kind.upper()]
  return topology.CHIPS[names[0]] if names else None


def limit(case, chip):
  """Seconds that the data sheet allows: the larger of products and bytes."""
  return chip and max(case.flops / chip.peak, case.bytes / chip.bandwidth)


def cells(ours, plain, rivals, least):
  """A row of the table behind its name."""
  first = ours or plain
  beside = lambda x: f'{1e3 * x:.3f} ({x / first:.2f})'
  return (
    f'{1e3 * ours:.3f}' if ours else '-',
    beside(plain),
    ', '.join(f'{name} {beside(x)}' for name, x in rivals.items()) or '-',
    f'{least / first:.0%}' if least else '-',
  )


def main(_):
  """Prints one table a topology, or a number of tokens."""
  if _TIME.value:
    for tokens in _TOKENS.value:
      print_times(tokens)
    return
  jax.config.update('jax_platforms', 'cpu')
  for name in _TOPOLOGIES.value:
    print_needs(name)


if __name__ == '__main__':
  app.run(main)
