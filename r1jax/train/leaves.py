"""Leaves of a state as a checkpoint holds them: arrays on any mesh, typed keys as their data."""

import jax
import numpy as np
import orbax.checkpoint as ocp


def _is_key(leaf):
  return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def describe(leaf):
  """Shape and dtype as text, e.g. `float32[4,8]` or `key<fry>[]`."""
  return f'{leaf.dtype}[{",".join(map(str, leaf.shape))}]'


def storable(leaf):
  """What orbax is given for a leaf: for a typed key, its data."""
  if isinstance(leaf, np.ndarray):
    return leaf.copy()  # the caller may write into it while the save is under way
  return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def stored_form(leaf):
  """What `storable` makes of a leaf, in the abstract and on the current mesh."""
  if isinstance(leaf, np.ndarray):
    return leaf
  where, shape, dtype = leaf.sharding, leaf.shape, leaf.dtype
  if where is None:
    spec = jax.P(*(None,) * len(shape))
    where = jax.sharding.NamedSharding(jax.sharding.get_mesh(), spec)
  elif isinstance(getattr(where, 'mesh', None), jax.sharding.AbstractMesh):
    where = jax.sharding.NamedSharding(jax.sharding.get_mesh(), where.spec)
  if _is_key(leaf):
    data, _ = _key_form(leaf)
    if isinstance(where, jax.sharding.NamedSharding):
      further = len(data.shape) - len(where.spec)
      spec = (*where.spec, *(None,) * further)
      where = jax.sharding.NamedSharding(where.mesh, jax.P(*spec))
    shape, dtype = data.shape, data.dtype
  return jax.ShapeDtypeStruct(shape, dtype, sharding=where)


def restore_args(form):
  """How orbax is to restore what has this `stored_form`."""
  if isinstance(form, np.ndarray):
    return ocp.RestoreArgs(restore_type=np.ndarray)
  return ocp.ArrayRestoreArgs(sharding=form.sharding, global_shape=form.shape, dtype=form.dtype)


def from_stored(value, leaf):
  """The leaf again, from what was restored; `leaf` is its abstract form."""
  if isinstance(leaf, np.ndarray) or not _is_key(leaf):
    return value
  return jax.random.wrap_key_data(value, impl=_key_form(leaf)[1])


def _key_form(leaf):
  """Abstract data of an abstract typed key, and the name of its generator."""
  impl = []

  def look(key):
    impl.append(jax.random.key_impl(key))
    return jax.random.key_data(key)

  data = jax.eval_shape(look, jax.ShapeDtypeStruct(leaf.shape, leaf.dtype))
  return data, impl[0]
