"""Which program a completion hands in."""

import re

from r1jax.data import template

_FENCE = '```'
# Yes: "```python", "```py3", "```Python 3". No: "```", "```text".
_PYTHON = re.compile(r'```+ ?py(?:thon)? ?3?\s*\Z', re.I)


def extract(completion, prefer_python=False):
  """The program (str) that `completion` (str) hands in, or None.

  It is the last fenced block of the last `<answer>`, else that answer itself; without an answer it
  is the last fenced block outside the thought. With `prefer_python` a block that says it is Python
  goes before a later one that does not, such as what it prints.
  """
  reply = template.parse(completion)
  text = reply.answers[-1] if reply.answers else template.outside_thought(completion)
  block = last_block(text, _PYTHON) if prefer_python else None
  block = last_block(text) if block is None else block
  if block is not None:
    return block
  return text.strip('\n') if reply.answers and text.strip() else None


def last_block(text, opening=None):
  """The content of the last complete fenced block of `text`, or None; an open one is none.

  Only blocks whose first line the pattern `opening` matches, where one is given.
  """
  found, opened, wanted = None, None, True
  for line in text.splitlines(keepends=True):
    if not line.strip().startswith(_FENCE):
      if opened is not None:
        opened.append(line)
    elif opened is None:
      opened, wanted = [], not opening or opening.match(line.strip())
    elif line.strip() == _FENCE:
      found, opened = opened if wanted else found, None
    else:
      # A fence that names a language cannot close a block, so it is a line of the program.
      opened.append(line)
  return None if found is None else ''.join(found)
