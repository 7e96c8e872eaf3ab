"""A plugin of JAX's that fails takes one line; what else JAX says stays as it is."""

import logging

import pytest

from r1jax.cli import flags, plugins


def said(caplog, message, error):
  """What JAX's logger for devices writes of an error."""
  log = logging.getLogger('jax._src.xla_bridge')
  caplog.clear()
  try:
    raise error
  except type(error):
    log.exception(message, 'jax_plugins.xla_cuda13')
  return caplog.text


def test_a_plugin_that_fails_takes_one_line_and_says_why(caplog):
  flags.Parser('fetch', 'Fetches.', '').parse([])
  plugins.tell_in_a_line()  # a second command of the same process adds nothing
  message = 'Jax plugin configuration error: Exception when calling %s.initialize()'
  text = said(caplog, message, RuntimeError('Unable to load cuDNN.\nIs it installed?'))
  assert text.count('\n') == 1 and 'Unable to load cuDNN. Is it installed?' in text
  assert 'left out' in text


def test_other_errors_keep_their_tracebacks(caplog):
  plugins.tell_in_a_line()
  assert 'Traceback' in said(caplog, 'Unable to initialize backend %s', RuntimeError('no'))


def test_ctrl_c_while_a_plugin_begins_is_none_of_its_faults(caplog):
  plugins.tell_in_a_line()
  message = 'Jax plugin configuration error: Exception when calling %s.initialize()'
  with pytest.raises(KeyboardInterrupt):
    said(caplog, message, KeyboardInterrupt())
