"""Levels of difficulty join one by one, each when the last one is learned."""

import dataclasses

import pytest

from r1jax import config as config_lib
from r1jax.data.problem import Problem
from r1jax.data.tasks import tiny_world
from r1jax.experiments import r1_zero
from r1jax.runs import rl as rl_runs
from r1jax.stages import rollouts
from tests import small_runs


def job(next_level):
  found = config_lib.build(r1_zero.get_config())
  return dataclasses.replace(
    found, rl=dataclasses.replace(found.rl, next_level=next_level, prompts=12)
  )


def world(*levels):
  cfg = tiny_world.WorldConfig(levels=levels)
  return tiny_world.World(0, 1 << 24, cfg)


def levels(problems):
  return {problem.level for problem in problems}


def test_the_next_level_joins_when_the_highest_one_asked_is_learned():
  questions = rollouts.Questions(world(2, 4), job(0.5))
  assert questions.levels == (2, 3, 4) and questions.level == 2
  assert levels(questions.take(0)) == {2}
  # Not by an examination that was not due, nor by another level, nor just below the bound.
  for figures in ({}, {'eval/level_3': 1.0}, {'eval/level_2': 0.49, 'eval/level_3': 1.0}):
    assert not questions.climb(figures) and questions.level == 2
  assert questions.climb({'eval/level_2': 0.5}) and questions.level == 3
  asked = [problem for update in range(8) for problem in questions.take(update)]
  assert levels(asked) == {2, 3} and len(asked) == 8 * 12
  # One level per examination, and none beyond the last.
  assert questions.climb({'eval/level_3': 1.0}) and not questions.climb({'eval/level_4': 1.0})
  assert levels(questions.take(9) + questions.take(10)) == {2, 3, 4}


def test_no_question_is_asked_twice_when_a_level_joins():
  problems = [Problem(f'question {i}', '2', 'sum', 1 + i % 3) for i in range(900)]
  questions, seen = rollouts.Questions(problems, job(0.5)), []
  for update in range(6):
    seen += [problem.question for problem in questions.take(update)]
    questions.climb({f'eval/level_{questions.level}': 1.0})
  assert len(set(seen)) == len(seen) == 6 * 12


def test_a_restored_position_gives_the_same_questions():
  first, second = (rollouts.Questions(world(1, 3), job(0.5)) for _ in range(2))
  first.take(0)
  first.climb({'eval/level_1': 1.0})
  second.set_state(first.get_state())
  second.asked = first.asked
  assert first.take(1) == second.take(1)


def test_without_the_bound_all_levels_are_asked_from_the_start():
  questions = rollouts.Questions(world(1, 3), job(0.0))
  assert levels(questions.take(0)) == {1, 2, 3} and questions.level == 0
  assert not questions.climb({'eval/level_1': 1.0})


@pytest.mark.parametrize(
  'wanted, message',
  [([3, 3], 'all of the first 2 training questions are of level 3'), ([0, 4], '0 to 4')],
)
def test_levels_that_cannot_be_climbed_are_refused(wanted, message):
  problems = [Problem('1 + 1', '2', 'sum', level) for level in wanted]
  with pytest.raises(ValueError, match=message):
    rollouts.Questions(problems, job(0.5))


def test_levels_that_no_held_out_question_has_are_refused():
  run = object.__new__(rl_runs.ReasoningRl)
  run.job, run.held = job(0.5), None
  run.questions = rollouts.Questions(world(1, 3), run.job)
  examiner = type('Examiner', (), {'problems': list(map(world(1, 2).__getitem__, range(99)))})
  run.asking = lambda held: examiner
  with pytest.raises(ValueError, match='held-out questions .* is of level 3'):
    run.examine()


@pytest.mark.heavy
def test_a_run_climbs_says_so_and_goes_on_to_the_same_bits(tmp_path):
  climbing = dict(rl__next_level=0.01, rl__mini_batches=1, evaluation__every=1, rl__updates=3)
  climbing |= dict(evaluation__questions=24, evaluation__few=24, rl__length_schedule='((0,24),)')
  whole = small_runs.finish(tmp_path / 'whole', **climbing)
  assert 'from update 2 on questions of level 2 are asked too' in whole.stdout
  assert [row['rollout/level'] for row in whole.rows] == [1, 2, 3]
  assert all('eval/level_1' in row for row in whole.rows)
  # The same from a stop behind the first examination that let a level in.
  folder = small_runs.copy(whole, tmp_path / 'parts', newest=1)
  parts = small_runs.finish(folder, **climbing)
  assert parts.figures == whole.figures and parts.sha256 == whole.sha256
