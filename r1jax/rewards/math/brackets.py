"""What stands in brackets and what between them."""

OPENING, CLOSING = '([{', ')]}'


class ShapeError(ValueError):
  """An answer whose brackets or members make no sense."""


def encloses(text):
  """Whether the first bracket closes at the last character (half-open intervals count)."""
  depth = 0
  for at, sign in enumerate(text):
    depth += (sign in OPENING) - (sign in CLOSING)
    if depth == 0:
      return at == len(text) - 1
  return False


def top_level(text, pattern):
  """Matches of `pattern` outside of all brackets."""
  depths, depth = [], 0
  for sign in text:
    depth -= sign in CLOSING
    if depth < 0:
      raise ShapeError('a bracket closes that was never opened')
    depths.append(depth)
    depth += sign in OPENING
  if depth:
    raise ShapeError('a bracket stays open')
  return (match for match in pattern.finditer(text) if depths[match.start()] == 0)


def split(text, pattern):
  """The parts of `text` between matches of `pattern` outside of all brackets."""
  parts, at = [], 0
  for separator in top_level(text, pattern):
    parts.append(text[at : separator.start()])
    at = separator.end()
  return [*parts, text[at:]]
