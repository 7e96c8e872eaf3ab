"""Which mesh axes a kernel's operands and results vary over, where it runs inside `shard_map`."""

import jax


def output(shape, dtype, like):
  """The shape of a result that varies over the same mesh axes as `like`."""
  return jax.ShapeDtypeStruct(shape, dtype, manual_axis_type=jax.typeof(like).manual_axis_type)


def over(x, axes):
  """`x` varying over `axes`, a set, too."""
  # JAX refuses to cast what varies over an axis already.
  missing = axes - jax.typeof(x).manual_axis_type.varying
  return jax.lax.pcast(x, tuple(sorted(missing)), to='varying') if missing else x


def alike(*operands):
  """All varying over every mesh axis that one of them varies over: gradients are summed here."""
  axes = frozenset().union(*(jax.typeof(x).manual_axis_type.varying for x in operands))
  return (over(x, axes) for x in operands)
