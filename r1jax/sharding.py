"""The mesh and the one table from logical to mesh axes.

Arrays carry their sharding in their type (`jax.set_mesh`, Explicit axes), so the compiler never
guesses: weights are *stored* for training by `PARAM_RULES`, spread over `fsdp` too (and over
`expert`, the experts themselves apart), and *used* by `DECODE_RULES`, in which these two are whole
again: training gathers them layer by layer (the transpose is the reduce-scatter of the gradient), a
rollout once for all of its tokens.
"""

import math

import jax
import numpy as np

MESH_AXES = ('data', 'fsdp', 'expert', 'tensor')

PARAM_RULES = {
  'embed': ('fsdp', 'expert'),
  'heads': 'tensor',
  'ffn': 'tensor',
  'vocab': 'tensor',
  'experts': 'expert',
  'expert_embed': 'fsdp',
  'latent': None,
  'layer': None,
  None: None,
}
# In a matmul, and for the length of a rollout. Moving `fsdp` to `tensor` instead of making it whole
# would take a second layout of the activations.
DECODE_RULES = PARAM_RULES | {'embed': None, 'expert_embed': None}
ACT_RULES = {
  'batch': ('data', 'fsdp', 'expert'),
  'heads': 'tensor',
  'ffn': 'tensor',
  'vocab': 'tensor',
  'experts': 'expert',
  None: None,
}


def make_mesh(shape=(1, 1, 1, 1), devices=None):
  """Mesh with axes `MESH_AXES`; one entry of `shape` may be -1 (what is left of the devices).

  Raises:
    ValueError: the shape does not multiply to the number of devices.
  """
  devices = jax.devices() if devices is None else devices
  shape, count = tuple(int(n) for n in shape), len(devices)
  if len(shape) != len(MESH_AXES) or shape.count(-1) > 1 or any(n < 1 and n != -1 for n in shape):
    raise ValueError(f'mesh={shape} needs one size for each of {MESH_AXES}, at most one of them -1')
  known = math.prod(n for n in shape if n != -1)
  if (-1 in shape and count % known) or (-1 not in shape and known != count):
    raise ValueError(
      f'mesh={shape} needs {known} devices x whole number, but {count} are here '
      f'({devices[0].platform}); axes are {MESH_AXES}'
    )
  shape = tuple(count // known if n == -1 else n for n in shape)
  return jax.make_mesh(shape, MESH_AXES, devices=devices)


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
  """Over how many shards the batch axis is split on `mesh`."""
  return ways(mesh, 'batch')


def ways(mesh, axis):
  """Over how many devices a logical axis of activations is split on `mesh`."""
  names = jax.tree.leaves(ACT_RULES[axis])
  return math.prod(mesh.shape[a] for a in names)


def put(array, spec):
  """Host array -> global device array on the mesh that is set; every process passes the whole
  array.
  """
  sharding = jax.sharding.NamedSharding(jax.sharding.get_mesh(), spec)
  if jax.process_count() == 1:
    return jax.device_put(array, sharding)
  array = np.asarray(array)
  return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def fetch(tree):
  """Device tree -> NumPy tree, the whole arrays on every process."""
  if jax.process_count() > 1:
    tree = _replicated(tree)
  return jax.tree.map(np.asarray, jax.device_get(tree))


@jax.jit
def _replicated(tree):
  return jax.tree.map(lambda x: jax.reshard(x, jax.P(*(None,) * x.ndim)), tree)
