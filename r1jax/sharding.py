"""The mesh and the one table from logical to mesh axes.

Arrays carry their sharding in their type (`jax.set_mesh`, Explicit axes), so the compiler never
guesses: weights are *stored* for training by `PARAM_RULES`, spread over `fsdp` too (and over
`expert`, the experts themselves apart), and *used* by `DECODE_RULES`, in which these two are whole
again: training gathers them layer by layer (the transpose is the reduce-scatter of the gradient), a
rollout once for all of its tokens.

A config says the sizes of `AXES`. The mesh has one axis more, for the levels of the machine: of the
devices that share out the experts those on one `node`, close to each other, are neighbours, and
`expert` counts them alone (`r1jax/model/dispatch.py` says what that is for).
"""

import math

import jax
import numpy as np
from jax.experimental import mesh_utils

from r1jax import processes

AXES = ('data', 'fsdp', 'expert', 'tensor', 'context')
MESH_AXES = ('data', 'fsdp', 'node', 'expert', 'tensor', 'context')

PARAM_RULES = {
  'embed': ('fsdp', 'node', 'expert', 'context'),
  'heads': 'tensor',
  'ffn': 'tensor',
  'vocab': 'tensor',
  'experts': ('node', 'expert'),
  'expert_embed': ('fsdp', 'context'),
  'latent': None,
  'layer': None,
  None: None,
}
# In a matmul, and for the length of a rollout. Moving `fsdp` to `tensor` instead of making it whole
# would take a second layout of the activations.
DECODE_RULES = PARAM_RULES | {'embed': None, 'expert_embed': None}
# `batch` is the axis of whole sequences and of flattened tokens. A packed row of training belongs
# to the devices of a `context` axis together: all of them have its ids, each computes its share of
# the tokens, and in attention, which needs the whole row, its share of the heads.
ACT_RULES = {
  'batch': ('data', 'fsdp', 'node', 'expert', 'context'),
  'rows': ('data', 'fsdp', 'node', 'expert'),
  'heads': 'tensor',
  'ffn': 'tensor',
  'vocab': 'tensor',
  'experts': ('node', 'expert'),
  None: None,
}


def full(shape):
  """The sizes of all `AXES`; the last, context, may be left out and is 1 then."""
  shape = tuple(int(n) for n in shape)
  return (*shape, 1) if len(shape) == len(AXES) - 1 else shape


def sizes(shape, count, where='', name='config.mesh'):
  """The sizes of all `AXES` on `count` devices; one of `shape` may be -1 (what is left).

  Raises:
    ValueError: the shape does not multiply to the number of devices; `where` says what those are,
      `name` what the user calls the shape.
  """
  asked, shape = tuple(int(n) for n in shape), full(shape)
  wrong = any(n < 1 and n != -1 for n in shape)
  if wrong or len(shape) != len(AXES) or shape.count(-1) > 1:
    raise ValueError(
      f'{name}={asked} needs one size for each of {AXES}, at most one of them -1; the last may '
      'be left out'
    )
  # What is said must divide what is here; -1 takes the rest.
  known = math.prod(n for n in shape if n != -1)
  if (-1 in shape and count % known) or (-1 not in shape and known != count):
    needed = f'a multiple of {known} devices' if -1 in shape else f'{known} devices'
    raise ValueError(
      f'{name}={asked} needs {needed}, and {count} {"is" if count == 1 else "are"} here{where}; '
      f'axes are {", ".join(AXES)}, and one of -1 takes what is left, as in 1,-1,1,1'
    )
  return tuple(count // known if n == -1 else n for n in shape)


def make_mesh(shape=(1, 1, 1, 1), devices=None, name='config.mesh'):
  """Mesh with axes `MESH_AXES`, its shape, name and errors as of `sizes`.

  A process that made one ends only when nothing that it holds is computed any more.
  """
  processes.settle_at_exit()
  devices = jax.devices() if devices is None else devices
  shape = sizes(shape, len(devices), f' ({devices[0].platform})', name)
  # A torus axis is split where no whole ones multiply to a size: 4 on a v5p of 8 x 8 x 16.
  placed = mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
  placed = placed.reshape(levels(shape, _neighbours(placed)))
  # Shardings are part of an array's type, and a mismatch is an error at trace time.
  explicit = (jax.sharding.AxisType.Explicit,) * len(MESH_AXES)
  return jax.sharding.Mesh(placed, MESH_AXES, axis_types=explicit)


def levels(shape, neighbours):
  """Sizes of `AXES` -> of `MESH_AXES`, where so many shards of the experts share a node."""
  data, fsdp, expert, *rest = shape
  return data, fsdp, expert // neighbours, neighbours, *rest


def _neighbours(placed):
  """The most neighbours along the axis of experts that share a node everywhere on the mesh."""
  # Largest first: the most neighbours that form whole nodes at every place of the mesh.
  where = np.vectorize(node, otypes=[int])(placed)
  ways = placed.shape[AXES.index('expert')]

  def share(size):
    near = np.moveaxis(where.reshape(levels(placed.shape, size)), MESH_AXES.index('expert'), 0)
    return (near == near[0]).all()

  return next(size for size in range(ways, 0, -1) if ways % size == 0 and share(size))


def node(device):
  """Where a device has its fast links: a slice of TPUs, a host of GPUs, a process of CPUs.

  GPUs that are here know their host whatever processes share it; those that are only described, to
  compile for, know it as a process.
  """
  here = getattr(device, 'local_hardware_id', None) is not None
  if device.platform == 'tpu' or (device.platform == 'gpu' and here):
    return getattr(device, 'slice_index', None) or 0
  return device.process_index


def nodes(mesh):
  """The node of each device, in the order in which compiled programs number them."""
  return [node(device) for device in mesh.devices.flat]


def param(axes):
  """PartitionSpec in which a weight with these logical axes is stored."""
  return jax.P(*(PARAM_RULES[a] for a in axes))


def gathered(axes):
  """PartitionSpec in which a weight takes part in a matmul, and in which a rollout holds it."""
  return jax.P(*(DECODE_RULES[a] for a in axes))


def act(*axes):
  """PartitionSpec of an activation, from its logical axes."""
  return jax.P(*(ACT_RULES[a] for a in axes))


def batch_shards(mesh):
  """Over how many shards whole sequences are split on `mesh`."""
  return ways(mesh, 'batch')


def row_shards(mesh):
  """Over how many shards the packed rows of training are split on `mesh`."""
  return ways(mesh, 'rows')


def row_devices(mesh):
  """How many devices share each of those rows."""
  return mesh.shape['context']


def ways(mesh, axis):
  """Over how many devices a logical axis of activations is split on `mesh`."""
  names = jax.tree.leaves(ACT_RULES[axis])
  return math.prod(mesh.shape[a] for a in names)


def expert_shards(mesh):
  """(nodes, shards on each) that share out the experts on `mesh`."""
  return mesh.shape['node'], mesh.shape['expert']


def check_rows(name, rows, capacity, mesh):
  """Raises ValueError where packed rows of `capacity` tokens do not divide over `mesh`; `name` is
  what the config calls their number.
  """
  shards, context = row_shards(mesh), row_devices(mesh)
  if rows % shards:
    raise ValueError(
      f'{name}={rows} does not divide over {shards} shards of rows of the mesh: '
      f'{-(-rows // shards) * shards} would'
    )
  if rows // shards * capacity % context:
    raise ValueError(
      f'{name}={rows}: the tokens of a shard, {rows // shards} rows x {capacity}, do not divide '
      f'over {context} devices of the context axis: change their number or capacity'
    )


def flat(x_BT):
  """[B, T, ...] -> [B * T, ...], each device with its share of the tokens."""
  row, _, *rest = jax.typeof(x_BT).sharding.spec
  shape = (x_BT.shape[0] * x_BT.shape[1], *x_BT.shape[2:])
  # First within the rows' own devices, then each row's tokens over its `context`.
  x_X = jax.lax.reshape(x_BT, shape, out_sharding=jax.P(row, *rest))
  return jax.reshard(x_X, jax.P(ACT_RULES['batch'], *rest))


def in_rows(x_X, like_BT):
  """[B * T, ...] -> [B, T, ...] on the devices where the rows of `like_BT` are."""
  row = jax.typeof(like_BT).sharding.spec[0]
  rest = jax.typeof(x_X).sharding.spec[1:]
  x_X = jax.reshard(x_X, jax.P(row, *rest))
  shape = (*like_BT.shape[:2], *x_X.shape[1:])
  return jax.lax.reshape(x_X, shape, out_sharding=jax.P(row, None, *rest))


def put(array, spec):
  """Host array -> device array on the mesh that is set; every process passes the whole array."""
  sharding = jax.sharding.NamedSharding(jax.sharding.get_mesh(), spec)
  if jax.process_count() == 1:
    return jax.device_put(array, sharding)
  # Each process gives its own devices their part of what all of them hold.
  array = np.asarray(array)
  return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def fetch(tree):
  """Device tree -> NumPy tree, the whole arrays on every process."""
  if jax.process_count() > 1:
    tree = _replicated(tree)
  return jax.tree.map(np.asarray, jax.device_get(tree))


@jax.jit
def _replicated(tree):
  whole = lambda x: jax.reshard(x, jax.P(*(None,) * x.ndim))
  return jax.tree.map(whole, tree)
