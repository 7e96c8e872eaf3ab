"""Values of a hub's config.json, each checked for its type and range where it is read."""

import math

_REQUIRED = object()
# Largest size that is believed: beyond it an index no longer fits the int32 that JAX counts in.
_LARGEST = 2**31 - 1
# No published model comes near; a damaged count must not make us list tensors for hours.
MOST_LAYERS, MOST_EXPERTS = 4096, 4096


def integer(hub, key, default=_REQUIRED, low=1, high=_LARGEST):
  """The whole number at `key`; ValueError for another type or one outside low..high."""
  value = _get(hub, key, default)
  if value is default:
    return value
  # JSON's true and 32.0 are numbers to Python, but no sizes.
  if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
    raise ValueError(f'{key}={value!r} is not a whole number within {low}..{high}')
  return value


def real(hub, key, default=_REQUIRED, low=0.0, high=math.inf):
  """The finite number at `key`, a float; ValueError for another type or outside low..high."""
  value = _get(hub, key, default)
  if value is default:
    return value
  if isinstance(value, bool) or not isinstance(value, (int, float)):
    raise ValueError(f'{key}={value!r} is not a number')
  if not math.isfinite(value) or value < low:  # JSON may spell NaN and Infinity
    raise ValueError(f'{key}={value!r} is not a finite number of at least {low}')
  if value > high:
    raise ValueError(f'{key}={value!r} is above {high}')
  return float(value)


def flag(hub, key, default):
  """The truth value at `key`; ValueError for another type."""
  value = _get(hub, key, default)
  if not isinstance(value, bool):
    raise ValueError(f'{key}={value!r} is neither true nor false')
  return value


def section(hub, key):
  """The JSON object at `key`, a new dict, {} where it is absent; ValueError for another type."""
  value = _get(hub, key, {})
  if not isinstance(value, dict):
    raise ValueError(f'{key}={value!r} is not a JSON object')
  return dict(value)


def listed(hub, key):
  """The list at `key`, [] where it is absent; ValueError for another type."""
  value = _get(hub, key, [])
  if not isinstance(value, list):
    raise ValueError(f'{key}={value!r} is not a list')
  return value


def _get(hub, key, default):
  """null stands for an absent key, as in transformers."""
  value = hub.get(key)
  if value is not None:
    return value
  if default is _REQUIRED:
    raise ValueError(f'lacks {key!r}')
  return default
