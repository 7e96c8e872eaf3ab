"""What is said of a save that failed: one line, not the libraries' reports of the same failure."""

import functools
import logging
import re
import sys

# "Failed to write 42 bytes to file 4: No space left on device [os_error_code='28']", not
# "[source locations='tensorstore/...']".
_TENSORSTORE = re.compile(r"([^:\]\[]+) \[os_error_code='\d+'\]")
# "OUT_OF_RANGE: Error reading ... Requested byte range [0, 9) is not valid for value of size 4":
# rarely, a save looks at a file of its own that had no room before it is told so.
_CUT_SHORT = 'OUT_OF_RANGE'
_LONGEST = 300  # characters of an error that is quoted


def reason(error):
  """The exception of a failed save in a few words: of what the system says, only that."""
  match = _TENSORSTORE.search(str(error))
  if match:
    return match[1].strip()
  if isinstance(error, OSError) and error.strerror:
    return f'{error.strerror}: {error.filename}' if error.filename else error.strerror
  if str(error).startswith(_CUT_SHORT):
    return 'a file of it was cut short, as for want of room or by someone else'
  return f'{type(error).__name__}: {" ".join(str(error).split())}'[:_LONGEST]


@functools.cache
def say_once():
  """From now on orbax and tensorstore print nothing of failures that they also raise.

  For good, as writes that were under way when another one failed report long after it.
  """
  hook = sys.unraisablehook

  def report(unraisable):
    if not _is_late_callback(unraisable.exc_value):
      hook(unraisable)

  # asyncio tells of the other writes of that save, for whose results orbax did not wait.
  for name in ('absl', 'asyncio'):
    logging.getLogger(name).addFilter(_is_news)
  sys.unraisablehook = report


def _is_news(record):
  """Whether a log record is more than the traceback of an exception that orbax raises too."""
  of_orbax = 'orbax' in record.pathname or 'orbax' in record.getMessage()
  return not (record.exc_info and of_orbax)


def _is_late_callback(error):
  """Whether tensorstore called into the event loop of a save of which another write had failed."""
  return isinstance(error, RuntimeError) and str(error) == 'Event loop is closed'
