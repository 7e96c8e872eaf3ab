"""What is foreign is shown on a terminal and never obeyed."""

import sys
import unicodedata

import pytest

from r1jax import terminal

UNSEEN = {0x200B, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}


def test_every_character_but_newline_and_tab_that_controls_is_replaced_and_no_other():
  for code in range(sys.maxunicode + 1):
    letter, shown = chr(code), terminal.plain(chr(code))
    # Cc: what a terminal obeys. Cs: what no terminal is sent.
    # And what turns the direction of a line, or cannot be seen.
    if unicodedata.category(letter) in ('Cc', 'Cs') and letter not in '\n\t' or code in UNSEEN:
      assert len(shown) == 1 and unicodedata.category(shown) == 'So'
    else:
      assert shown == letter


@pytest.mark.parametrize(
  'text, shown',
  [
    ('\x1b[2J\x1b]0;title\x07', '␛[2J␛]0;title␇'),
    ('7\r8', '7␍8'),
    ('\x9b31m', '\ufffd31m'),
    ('a\x08b\x7f\x00', 'a␈b␡␀'),
    ('two\n\tlines é 数 🙂', 'two\n\tlines é 数 🙂'),
  ],
)
def test_controls_are_shown_as_signs(text, shown):
  assert terminal.plain(text) == shown
  assert ''.join(map(terminal.plain, text)) == shown
  assert shown.encode()
