"""What JAX says of an accelerator's plugin that cannot be used: one line, not a traceback.

A machine without a GPU may have the plugin: it comes with the compiler that plans and tests use.
"""

import logging

_LOGGER = 'jax._src.xla_bridge'
_MARK = 'plugin configuration error'


def tell_in_a_line():
  """From now on a plugin that fails is told of in one line, whenever JAX looks for devices."""
  logging.getLogger(_LOGGER).addFilter(_shorten)


def _shorten(record):
  if record.exc_info and _MARK in record.getMessage():
    # JAX takes a Ctrl-C for a fault of the plugin that was beginning, and would go on.
    if isinstance(record.exc_info[1], KeyboardInterrupt):
      raise record.exc_info[1]
    reason = ' '.join(str(record.exc_info[1]).split())
    record.msg = f"a plugin of JAX's cannot be used, its devices are left out: {reason}"
    record.args, record.exc_info, record.exc_text = (), None, None
  return True
