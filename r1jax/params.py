"""Weights as a declarative tree of `Param` specs.

From the spec tree follow, each by one `tree.map`: initial values, shardings, abstract arrays, the
parameter count, stacking for a scan over layers and the masks of the optimizer.
"""

import dataclasses
import hashlib
import math
import sys
import zlib

import jax
import jax.numpy as jnp
import numpy as np

from r1jax import sharding


@dataclasses.dataclass(frozen=True)
class Param:
  """One weight: its shape, the logical axis of each dimension, and how it starts.

  `init` is 'normal' (std of the model), 'zeros', 'ones', or 'fan_in' (uniform up to the root of
  1 / rows, as adapters begin). `trainable=False` marks state that rides with the weights but gets
  no gradient (the router's bias, reference §2.4); `frozen` is a base's weight, which is no part of
  the training state (`split`).
  """

  shape: tuple[int, ...]
  axes: tuple[str | None, ...]
  init: str = 'normal'
  trainable: bool = True
  frozen: bool = False
  float32: bool = False

  def __post_init__(self):
    if len(self.shape) != len(self.axes):
      raise ValueError(f'{self.shape=} and {self.axes=} differ in length')


def is_param(leaf):
  """Whether `leaf` is a spec, for `tree.map(..., is_leaf=is_param)`."""
  return isinstance(leaf, Param)


def tree_map(f, specs, *rest):
  """`jax.tree.map` over the specs of a tree."""
  return jax.tree.map(f, specs, *rest, is_leaf=is_param)


def stack(specs, layers):
  """The specs of `layers` equal layers, stacked along a leading axis."""

  # The layers' axis comes first, which is what a scan goes along; it is split over no device.
  def one(p):
    return dataclasses.replace(p, shape=(layers, *p.shape), axes=('layer', *p.axes))

  return tree_map(one, specs)


def count(specs):
  """Number of values in the tree."""
  return sum(math.prod(p.shape) for p in jax.tree.leaves(specs, is_leaf=is_param))


def dtype_of(p, dtype):
  """Type in which a weight is kept: float32 where precision demands it, else `dtype`."""
  return jnp.dtype('float32') if p.float32 else jnp.dtype(dtype)


def types(specs, dtype):
  """Tree of the types in which the weights are kept."""
  return tree_map(lambda p: dtype_of(p, dtype), specs)


def abstract(specs, dtype, mesh=None):
  """ShapeDtypeStructs with shardings on `mesh` (default: the mesh that is set)."""
  # Shardings belong to the shapes: what is restored into them lands where it is used.
  mesh = mesh or jax.sharding.get_mesh()

  def one(p):
    where = jax.sharding.NamedSharding(mesh, sharding.param(p.axes))
    return jax.ShapeDtypeStruct(p.shape, dtype_of(p, dtype), sharding=where)

  return tree_map(one, specs)


def init(specs, key, std, dtype):
  """Initial weights; each has a key of its own, named by its path: adding one changes no other."""

  def one(path, p):
    kind = dtype_of(p, dtype)
    where = sharding.param(p.axes)
    # Norms begin at one, biases and new heads at zero, without a key.
    if p.init in ('zeros', 'ones'):
      fill = {'zeros': jnp.zeros, 'ones': jnp.ones}[p.init]
      return fill(p.shape, kind, out_sharding=where)
    named = jax.random.fold_in(key, zlib.crc32(jax.tree_util.keystr(path).encode()))
    # Drawn in float32 whatever the type, so that two types begin from the same numbers.
    if p.init == 'fan_in':
      most = p.shape[-2] ** -0.5
      value = jax.random.uniform(named, p.shape, jnp.float32, -most, most)
    else:
      value = std * jax.random.truncated_normal(named, -3, 3, p.shape, jnp.float32)
    return jax.reshard(value.astype(kind), where)

  return jax.tree_util.tree_map_with_path(one, specs, is_leaf=is_param)


def trained(specs):
  """The specs of what is trained, None in place of frozen weights."""
  return tree_map(lambda p: None if p.frozen else p, specs)


def split(specs, params):
  """(trained, frozen) weights: two trees of one shape, None in each where the other has a leaf.

  Where no spec is frozen, the first is `params` itself and the second None.
  """
  if not any(p.frozen for p in jax.tree.leaves(specs, is_leaf=is_param)):
    return params, None
  half = lambda frozen: tree_map(lambda p, w: w if p.frozen == frozen else None, specs, params)
  return half(False), half(True)


def join(trained, frozen):
  """The whole tree of the two that `split` gave; nothing is copied."""
  if frozen is None:
    return trained
  absent = lambda leaf: leaf is None
  return jax.tree.map(lambda t, f: f if t is None else t, trained, frozen, is_leaf=absent)


def trainable_mask(specs):
  """True where the optimizer acts."""
  return tree_map(lambda p: p.trainable, specs)


def decay_mask(specs):
  """True for matrices, which weight decay shrinks; not for norms, biases and untrained state."""
  # The axis of stacked layers does not make a matrix of a norm's scale.
  ways = lambda p: len([axis for axis in p.axes if axis != 'layer'])
  return tree_map(lambda p: p.trainable and ways(p) > 1, specs)


def gather(params, specs):
  """The weights as a matmul uses them: whole over `fsdp`, still split over the other axes."""
  return tree_map(lambda p, w: jax.reshard(w, sharding.gathered(p.axes)), specs, params)


def sha256(params):
  """SHA-256 of name, shape, dtype and little-endian bytes of each leaf, in the order of names.

  Does not depend on the sharding. Leaves are fetched one at a time; every process must call it.
  """
  digest = hashlib.sha256()
  pairs, _ = jax.tree_util.tree_flatten_with_path(params)
  named = [(jax.tree_util.keystr(path, simple=True, separator='.'), leaf) for path, leaf in pairs]
  # By name: a digest must not hang on the order in which a tree lists its leaves.
  for name, leaf in sorted(named, key=lambda pair: pair[0]):
    value = np.asarray(sharding.fetch(leaf))
    digest.update(f'{name}:{value.dtype.name}{list(value.shape)}\n'.encode())
    # One order of bytes on every machine.
    if sys.byteorder == 'big':
      value = value.byteswap()
    digest.update(np.ascontiguousarray(value).tobytes())
  return digest.hexdigest()
