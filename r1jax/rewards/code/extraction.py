"""Which program a completion hands in."""

from r1jax.data import template
from r1jax.rewards import accuracy

_FENCE = '```'


def extract(completion):
  """The program (str) that `completion` (str) hands in, or None.

  It is the last fenced block of the last `<answer>`, else that answer itself; without an answer it
  is the last fenced block outside the thought.
  """
  reply = template.parse(completion)
  text = reply.answers[-1] if reply.answers else accuracy.outside_thought(completion)
  block = last_block(text)
  if block is not None:
    return block
  return text.strip('\n') if reply.answers and text.strip() else None


def last_block(text):
  """The content of the last complete fenced block of `text`, or None; an open one is none."""
  found, opened = None, None
  for line in text.splitlines(keepends=True):
    if not line.strip().startswith(_FENCE):
      if opened is not None:
        opened.append(line)
    elif opened is None:
      opened = []
    elif line.strip() == _FENCE:
      found, opened = opened, None
    else:
      # A fence that names a language cannot close a block, so it is a line of the program.
      opened.append(line)
  return None if found is None else ''.join(found)
