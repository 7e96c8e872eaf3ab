"""Which program a completion hands in."""

import os
import re

from r1jax.data import template

# Where a block begins: the margin of its lines, then its fence. Yes: "```", "~~~py", "````",
# "   ```python" in a list, "1. ```python". No: "``", "```x``` is", "a ```".
_OPENING = re.compile(r'([ \t]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?)(`{3,}(?=[^`]*\Z)|~{3,})')
# Where it may end. Yes: "```", "  ~~~~ ". No: "```python", "- ```".
_CLOSING = re.compile(r'\s*(`{3,}|~{3,})\s*\Z')
# Yes: "```python", "~~~py3", "```Python 3". No: "```", "```text".
_PYTHON = re.compile(r'[`~]+ ?py(?:thon)? ?3?\s*\Z', re.I)


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

  As in CommonMark a fence of backticks or tildes is closed by one of its sign that is at least as
  long, and its own indent is no part of the lines. Only blocks whose first line the pattern
  `opening` matches, where one is given.
  """
  lines = text.splitlines(keepends=True)
  last = fence = indent = block = wanted = None
  for line, later in zip(lines, _closing_later(lines), strict=True):
    if fence is None:
      begun = _OPENING.match(line)
      # One that nothing closes is a line of text: it hides no block behind it.
      if begun and len(begun[2]) <= later[begun[2][0]]:
        indent, fence = begun.groups()
        block, wanted = [], not opening or opening.match(line[len(indent) :].strip())
    # A fence that names a language cannot close a block, so it is a line of the program.
    elif (closer := _CLOSING.match(line)) and closer[1].startswith(fence):
      last, fence = (block, indent) if wanted else last, None
    else:
      block.append(line)
  return None if last is None else ''.join(_dedented(*last))


def _closing_later(lines):
  """For each line the longest fence behind it that may close a block, by sign."""
  longest, later = {'`': 0, '~': 0}, []
  for line in reversed(lines):
    later.append(longest)
    closer = _CLOSING.match(line)
    if closer and len(closer[1]) > longest[closer[1][0]]:
      longest = longest | {closer[1][0]: len(closer[1])}
  return reversed(later)


def _dedented(block, indent):
  """The lines of a block without its fence's indent, where the first of them has it."""
  indent = re.sub(r'[^ \t]', ' ', indent)  # below a list's number stand spaces
  first = next((line for line in block if line.strip()), '')
  if not first.startswith(indent):
    return block
  return [line[len(os.path.commonprefix((line, indent))) :] for line in block]
