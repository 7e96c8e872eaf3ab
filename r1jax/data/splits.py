"""What is held out, by a hash of its text: the same on every machine, in any file and any order."""

import hashlib


def canonical(text):
  """A text as questions are compared: white space and case make none a new one."""
  return ' '.join(text.lower().split())


def number(text, size, salt=''):
  """A whole number below 256^`size` (1..32 bytes) by a hash of the canonical text.

  With another `salt`, what is held out here says nothing of what is held out there.
  """
  whole = f'{salt} {canonical(text)}' if salt else canonical(text)
  return int.from_bytes(hashlib.blake2s(whole.encode(), digest_size=size).digest())
