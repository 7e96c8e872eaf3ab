"""One hub tensor into or out of its place in a stacked, sharded leaf."""

import jax
import numpy as np

from r1jax import sharding
from r1jax.interchange import names
from r1jax.model import lora

_BLOCK = 256  # rows and columns copied at a time: such a square fits a cache both ways


def fill(part, bounds, entry, hub_tensors, block, cfg):
  """Writes what one hub tensor contributes to one device's part of a leaf.

  Args:
    part: NumPy array, the part, of the leaf's final type.
    bounds: (start, stop) of the part along every axis of the leaf.
    entry: `names.Entry`.
    hub_tensors: name -> `tensors.Tensor`.
    block: fp8 block size, None without.
    cfg: ModelConfig.
  """
  # Is this layer (and expert) within the part at all?
  stacked = len(entry.index)
  at = [i - start for i, (start, _) in zip(entry.index, bounds)]
  if any(not 0 <= a < stop - start for a, (start, stop) in zip(at, bounds)):
    return
  # From here on in the hub's layout: a view of the part with the file's rows first.
  view, rest = part[tuple(at)], list(bounds[stacked:])
  if entry.rule.transposed:
    view, rest = view.T, rest[::-1]
  order = names.rotary_order(cfg, entry.rule, entry.shape[0])
  tensor, (start, stop) = hub_tensors[entry.name], rest[0]
  source = np.arange(start, stop) if order is None else order[start:stop]
  # The rows to read are one run, even where rotary rows are taken in another order: of each row
  # read, `target` says where it goes, -1 for those of other devices.
  low, high = int(source.min()), int(source.max()) + 1
  target = np.full(high - low, -1)
  target[source - low] = np.arange(stop - start)
  scale = hub_tensors[entry.name + '_scale_inv'].read() if tensor.dtype == 'F8_E4M3' else None
  for first, rows in tensor.chunks(low, high, multiple=block[0] if block else 1):
    if scale is not None:
      rows = dequantise(rows, scale, block, first)
    if len(rest) > 1:
      rows = rows[:, slice(*rest[1])]
    to = target[first - low : first - low + len(rows)]
    if order is None:
      _copy(view[to[0] : to[-1] + 1], rows)
    else:
      view[to[to >= 0]] = rows[to >= 0]


def _copy(target, source):
  """target[:] = source, in square blocks: ten times faster where one of them is transposed."""
  if target.ndim < 2:
    target[:] = source
    return
  for i in range(0, target.shape[0], _BLOCK):
    for j in range(0, target.shape[1], _BLOCK):
      to = (slice(i, i + _BLOCK), slice(j, j + _BLOCK))
      target[to] = source[to]


def dequantise(rows, scale, block, first=0):
  """fp8 rows times the scale of their blocks, in float32 (reference §2.6); edges may be ragged.

  Args:
    rows: float8 [rows, columns], the tensor's rows from `first` on.
    scale: float [ceil(all rows / block rows), ceil(columns / block columns)].
    block: (rows, columns) of a block.
    first: number of the first row.
  """
  down = (first + np.arange(rows.shape[0])) // block[0]
  along = np.arange(rows.shape[1]) // block[1]
  return rows.astype(np.float32) * scale.astype(np.float32)[down][:, along]


def extract(leaf, entry, cfg):
  """One hub tensor out of a leaf (of jax or NumPy), as a NumPy array in the hub's order.

  A `lora.Adapted` is merged here, in float32: bfloat16 would round most of what was learned away.
  """
  if lora.is_adapted(leaf):
    base, a, b = (_at(array, entry.index) for array in (leaf.base, leaf.a, leaf.b))
    out = base.astype(np.float32) + lora.delta(a, b, leaf.scale)
  else:
    out = _at(leaf, entry.index)
  if entry.rule.transposed:
    turned = np.empty(out.shape[::-1], out.dtype)
    _copy(turned, out.T)
    out = turned
  order = names.rotary_order(cfg, entry.rule, out.shape[0])
  if order is not None:
    back = np.empty_like(out)
    back[order] = out
    out = back
  return np.ascontiguousarray(out)


def _at(leaf, index):
  return leaf[index] if isinstance(leaf, np.ndarray) else _gather(leaf, index)


def _gather(leaf, index):
  """`leaf[index]` on the host, put together from the devices' parts."""
  stacked = len(index)
  out = np.empty(leaf.shape[stacked:], leaf.dtype)
  for shard in leaf.addressable_shards:
    at = []
    for i, size, s in zip(index, leaf.shape, shard.index):
      start, stop, _ = s.indices(size)
      at.append(i - start if start <= i < stop else None)
    # Of replicas one is enough.
    if shard.replica_id == 0 and None not in at:
      out[shard.index[stacked:]] = _host(shard.data, tuple(at))
  return out


def _host(array, at):
  """`array[at]` on the host; only that part leaves the device."""
  if not at:
    return np.asarray(array)
  sizes = (1,) * len(at) + array.shape[len(at) :]
  starts = at + (0,) * (array.ndim - len(at))
  alone = sharding.make_mesh((1, 1, 1, 1), list(array.devices()))
  with jax.set_mesh(alone):  # the mesh that is set would refuse an array of one of its devices
    part = jax.lax.dynamic_slice(array, starts, sizes)
  return np.asarray(part).reshape(array.shape[len(at) :])
