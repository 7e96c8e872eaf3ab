"""The picture of a run says which run it is, has ink in every panel, and is drawn at any moment."""

import math

import numpy as np
import PIL.Image
import pytest
from matplotlib import axes as axes_lib

from r1jax.runs.report import course
from r1jax.runs.show import reading
from tests.runs.show import folders

BASE = {'pass@1': 0.2, 'ci95': [0.15, 0.25]}


def _run(folder, figures=None, **options):
  return reading.read(folders.write(folder, figures, **options))


def test_the_picture_has_ink_in_every_panel_and_the_size_of_a_page(tmp_path):
  run = _run(tmp_path / 'run', base=BASE)
  course.plot(run, tmp_path / 'report.png')
  assert sorted(path.name for path in tmp_path.iterdir()) == ['report.png', 'run']
  gray = np.asarray(PIL.Image.open(tmp_path / 'report.png').convert('L'))
  assert gray.shape[0] > 700 and gray.shape[1] > 1200
  height, width = gray.shape[0] // 2, gray.shape[1] // 2
  for top in (0, height):
    for left in (0, width):
      assert (gray[top : top + height, left : left + width] < 200).mean() > 0.01


@pytest.mark.parametrize(
  'figures', [[], [{'step': 1, 'reward/accuracy': 0.5}], [{'step': 1, 'rollout/length': None}]]
)
def test_a_run_of_no_step_or_one_is_drawn_too(tmp_path, figures):
  course.plot(_run(tmp_path / 'run', figures), tmp_path / 'report.png')
  assert (tmp_path / 'report.png').stat().st_size > 1000


def test_the_title_names_run_stage_seed_progress_and_time(tmp_path):
  title = course.title(_run(tmp_path / 'my_run', folders.rows(40)))
  assert title.startswith('my_run   reasoning_rl, seed 3   update 40 of 100, 20')


@pytest.fixture
def drawn(monkeypatch):
  """What panels are asked to show: method -> its calls."""
  calls = {}
  for name in ('errorbar', 'set_ylim', 'set_ylabel', 'legend'):
    real = getattr(axes_lib.Axes, name)

    def noted(axis, *arguments, real=real, name=name, **options):
      calls.setdefault(name, []).append((arguments, options))
      return real(axis, *arguments, **options)

    monkeypatch.setattr(axes_lib.Axes, name, noted)
  return calls


def test_examinations_are_dots_with_their_intervals(tmp_path, drawn):
  figures = folders.rows()
  figures[49]['eval/pass_at_1'] = 0.5
  run = _run(tmp_path / 'run', figures, base=BASE)
  course.plot(run, tmp_path / 'report.png')
  ((steps, means), options), *_ = drawn['errorbar']
  assert (steps, means) == ([0, 50], [0.2, 0.5])
  low, high = options['yerr']
  assert (low[0], high[0]) == (pytest.approx(0.05), pytest.approx(0.05)) and math.isnan(low[1])


def _spans(drawn, low, high):
  """Whether some panel was given an axis from `low` to `high`, with a fiftieth of room."""
  room = 0.02 * (high - low)
  given = [call for call, _ in drawn['set_ylim'] if len(call) == 2]
  return any(one == pytest.approx((low - room, high + room)) for one in given)


def test_the_rewards_axis_ends_at_what_can_be_earned(tmp_path, drawn):
  figures = folders.rows(reward__total=lambda t: 1.2 * t)
  run = _run(tmp_path / 'run', figures, reward__format=0.5)
  course.plot(run, tmp_path / 'report.png')
  assert _spans(drawn, 0.0, 1.5)


@pytest.mark.parametrize('least, most', [(1.0, 3.5), (-4.0, -1.0)])
def test_a_reward_that_nothing_bounds_has_an_axis_of_its_own_range(tmp_path, drawn, least, most):
  total = np.linspace(least, most, 100)
  figures = folders.rows(reward__total=total, reward__format=np.linspace(0.0, 1.0, 100))
  run = _run(tmp_path / 'run', figures, reward__function='mine.py:score*2')
  course.plot(run, tmp_path / 'report.png')
  # The part for the format is drawn in it too.
  assert _spans(drawn, min(least, 0.0), max(most, 1.0))


def test_a_divergence_below_zero_is_on_its_axis(tmp_path, drawn):
  run = _run(tmp_path / 'run', folders.rows(grpo__kl=lambda t: -0.25 * t))
  course.plot(run, tmp_path / 'report.png')
  assert _spans(drawn, -0.25, 0.0)


def test_kl_has_an_axis_where_there_is_a_reference(tmp_path, drawn):
  course.plot(_run(tmp_path / 'run'), tmp_path / 'report.png')
  assert 'KL, nats per token' in [call[0][0] for call in drawn['set_ylabel']]
  drawn.clear()
  without = [{k: v for k, v in row.items() if k != 'grpo/kl'} for row in folders.rows()]
  course.plot(_run(tmp_path / 'other', without), tmp_path / 'report.png')
  assert 'KL, nats per token' not in [call[0][0] for call in drawn['set_ylabel']]
