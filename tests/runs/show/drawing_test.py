"""What a panel of a page writes beside its lines."""

import pytest

from r1jax.runs.show import drawing


@pytest.mark.parametrize(
  'value, text',
  [
    (0.0, '0'),
    (0.000123, '1.2e-04'),
    (0.0123456, '0.0123'),
    (27.94, '27.9'),
    (999.4, '999'),
    (999.7, '1,000'),
    (25_138.2, '25,138'),
    (-1_500.0, '-1,500'),
  ],
)
def test_a_number_is_short_and_has_an_exponent_only_where_it_is_small(value, text):
  assert drawing.short(value) == text
