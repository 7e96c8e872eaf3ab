"""Foreign text on a terminal: what a model, a question or a file says is shown, never obeyed.

A terminal acts on control characters: an escape sequence may clear the screen, rename the window or
type on the user's behalf.
"""

_C0, _DEL, _C1 = range(0x20), 0x7F, range(0x80, 0xA0)
_PICTURES = 0x2400
_KEPT = '\n\t'
# U+241B shows ESC. A lone surrogate is no character: to print it raises an error.
_SHOWN = {code: 0xFFFD for code in (*_C1, *range(0xD800, 0xE000))}
_SHOWN |= {code: _PICTURES + code for code in _C0 if chr(code) not in _KEPT}
_SHOWN[_DEL] = 0x2421
# What turns the direction of the text round, or takes no room: a line would not say what it shows.
_SHOWN |= dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200B, 0xFEFF), 0xFFFD)


def plain(text):
  """The text with a visible sign in place of every control character but newline and tab.

  Colours of our own are added after it. Each character stands for itself, so text that comes piece
  by piece may be given piece by piece.
  """
  return text.translate(_SHOWN)
