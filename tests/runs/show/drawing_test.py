"""What a panel of a page writes beside its lines, and that its axis holds them."""

import re

import numpy as np
import pytest

from r1jax.runs.show import drawing, reading
from tests.runs.show import folders

PANEL = next(one for one in drawing.PANELS if one.names == ('reward/total',))


@pytest.mark.parametrize(
  'value, text',
  [
    (0.0, '0'),
    (-0.0, '0'),
    (0.000123, '1.2e-4'),
    (0.0123456, '0.0123'),
    (27.94, '27.9'),
    (999.4, '999'),
    (999.7, '1,000'),
    (25_138.2, '25,138'),
    (-1_500.0, '-1,500'),
    (-999_999.0, '-1.0e6'),
    (1e20, '1.0e20'),
    (-1.5e-300, '-2e-300'),
  ],
)
def test_a_number_is_short_and_has_an_exponent_only_where_it_is_small_or_large(value, text):
  assert drawing.short(value) == text


def test_a_number_of_any_magnitude_has_at_most_seven_signs_and_its_first_digits():
  drawn = np.random.default_rng(0).uniform(1, 10, 500) * 10.0 ** np.arange(-250, 250)
  for value in [*drawn, *-drawn]:
    text = drawing.short(value)
    assert len(text) <= 7
    assert float(text.replace(',', '')) == pytest.approx(value, rel=0.5)


def _heights(run):
  """Of the reward's panel: where its line goes, and the numbers at its axis."""
  text = drawing.panel([run], PANEL)
  line = re.search(r'class="line s0" d="M([^"]+)"', text)[1]
  ticks = re.findall(r'text-anchor="end">([^<]+)</text>', text)[:3]
  return [float(point.split()[1]) for point in line.split('L')], ticks


@pytest.mark.parametrize(
  'least, most, reward',
  [
    (-2.0, -0.5, {}),  # a config of another start
    (1.5, 3.5, {'function': 'mine.py:score*2'}),
    (-4.0, -1.0, {'function': 'mine.py:score*-1'}),
    (100.1, 100.4, {'function': 'mine.py:score'}),
  ],
)
def test_the_axis_holds_a_reward_wherever_it_goes(tmp_path, least, most, reward):
  figures = folders.rows(20, reward__total=lambda t: least + (most - least) * t)
  config = folders.config()['reward'] | reward
  heights, ticks = _heights(reading.read(folders.write(tmp_path / 'run', figures, reward=config)))
  # Each update stands higher than the one before, so none lies flat on an end of the axis.
  assert (np.diff(heights) < 0).all()
  assert len(set(ticks)) == 3


def test_a_reward_that_does_not_move_is_off_the_floor(tmp_path):
  figures = folders.rows(20, reward__total=lambda t: -1.5)
  run = reading.read(folders.write(tmp_path / 'run', figures, reward__function='mine.py:score'))
  heights, ticks = _heights(run)
  assert set(heights) == {97.0} and ticks == ['-2.25', '-1.5', '-0.75']
