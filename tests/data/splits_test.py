"""Splits by a hash: known values, so that what was held out once is held out for ever."""

import hashlib

from r1jax.data import splits
from r1jax.data.tasks import arithmetic, tiny_world
from r1jax.stages import sft


def test_white_space_and_case_make_no_new_text():
  assert splits.canonical(' What\tis\n 3 + 4? ') == 'what is 3 + 4?'
  assert splits.number('What is 3 + 4?', 4) == splits.number('what  IS 3 + 4?', 4)
  assert splits.number('3 + 4', 4) != splits.number('3 + 4', 4, 'sft')


def test_what_was_held_out_by_earlier_versions_still_is():
  texts = [f'How much is {n} plus {n * n}?' for n in range(400)]
  plain = lambda text, size: int.from_bytes(
    hashlib.blake2s(text.encode(), digest_size=size).digest()
  )
  held = lambda text: plain(text.lower(), 1) % 16 == 0
  assert [tiny_world.split_of(text) == tiny_world.HELDOUT for text in texts] == list(
    map(held, texts)
  )
  salted = lambda text: plain(f'sft {text.lower()}', 4) < 0.05 * 2**32
  assert [sft.held_out(text, 0.05) for text in texts] == list(map(salted, texts))
  for a, b in ((3, 14), (14, 3), (27, 5)):
    low, high = sorted((a, b))
    assert (arithmetic.split_of('+', (a, b)) == tiny_world.TRAIN) == bool(
      plain(f'+ {low} {high}', 2) % 5
    )
