"""Repetition: the share of a completion's n-grams that are distinct."""

import pytest

from r1jax.rewards import repetition


def test_repetition_falls_with_the_share_of_repeated_ngrams():
  fresh = ' '.join(f'word{n}' for n in range(100))
  assert repetition.check(fresh).score == 1
  assert repetition.check(f'{fresh} {fresh}').score == pytest.approx(100 / 195, abs=0.03)
  assert repetition.check('again and again ' * 300).score < 0.05
  assert repetition.check('我' * 500).score < 0.05
  assert repetition.check('').score == 1
