"""The tiny world's problems, checked by an evaluator that reads the question only."""

import re

import pytest

from r1jax.data.tasks import tiny_world

PROBLEMS = [tiny_world.problem(11, index) for index in range(3000)]
_GAINS = {'buys', 'finds', 'gets', 'wins', 'more', '+'}
_SIZES = {'weeks': 7, 'dozens': 12, 'hands': 5, 'cars': 4, 'pairs': 2}
_RANKS = ['first', 'second', 'third', 'fourth', 'fifth', 'sixth', 'seventh', 'eighth']


def _sum(expression):
  """Left-to-right value of `3 + 5 - 2` and every running total on the way."""
  words = expression.split()
  totals = [int(words[0])]
  for sign, number in zip(words[1::2], words[2::2]):
    totals.append(totals[-1] + (int(number) if sign in _GAINS else -int(number)))
  return totals


def solve(question):
  """Answer of a question and the running totals that a solution meets."""
  if found := re.fullmatch(r'What is (.*)', question):
    totals = _sum(found[1])
    return totals[-1], totals
  if found := re.fullmatch(r'Which is (larger|smaller), (.*) or (.*)', question):
    left, right = _sum(found[2]), _sum(found[3])
    assert left[-1] != right[-1]
    return (max if found[1] == 'larger' else min)(left[-1], right[-1]), left + right
  if found := re.fullmatch(r'Which is the (\w+) (smallest|largest) of (.*)', question):
    numbers = sorted(map(int, found[3].split()), reverse=found[2] == 'largest')
    assert len(set(numbers)) == len(numbers)
    return numbers[_RANKS.index(found[1])], numbers
  if found := re.fullmatch(r'How many \w+ are (\d) (\w+), (.*)', question):
    moves = [reversed(move.split()) for move in found[3].split(', ')]
    start = int(found[1]) * _SIZES[found[2]]
  else:
    found = re.fullmatch(r'\w+ has (\d) \w+, (.*), how many \w+ now', question)
    moves, start = [move.split() for move in found[2].split(', ')], int(found[1])
  totals = _sum(' '.join([str(start), *(word for move in moves for word in move)]))
  return totals[-1], totals


def test_the_answer_is_what_an_independent_reading_of_the_question_gives():
  for problem in PROBLEMS:
    assert str(solve(problem.question)[0]) == problem.answer, problem


def test_every_step_is_true_and_starts_from_a_total_at_hand():
  for problem in PROBLEMS:
    at_hand = {int(n) for n in re.findall(r'\d+', problem.question)}
    for step in problem.steps:
      if found := re.fullmatch(r'(\d+) ([-+*]) (\d+) = (\d+)', step):
        a, sign, b, value = int(found[1]), found[2], int(found[3]), int(found[4])
        assert {'+': a + b, '-': a - b, '*': a * b}[sign] == value, step
        assert a in at_hand, problem
        at_hand.add(value)
      elif found := re.fullmatch(r'the (larger|smaller) of (\d+) and (\d+) is (\d+)', step):
        choose = max if found[1] == 'larger' else min
        assert choose(int(found[2]), int(found[3])) == int(found[4])
        assert {int(found[2]), int(found[3])} <= at_hand
      else:
        assert problem.kind == 'ordering' and step.split()[0] in _RANKS, step
    assert problem.steps[-1].split()[-1] == problem.answer


def test_running_totals_stay_small_and_operands_have_one_digit():
  for problem in PROBLEMS:
    limit = 24 if problem.kind == 'units' else 20
    assert all(0 <= total <= limit for total in solve(problem.question)[1]), problem
    for a, b in re.findall(r'(\d+) [-+] (\d+) =', ' '.join(problem.steps)):
      assert int(a) <= limit and 1 <= int(b) <= 9


def test_a_few_hundred_facts_are_all_there_is_to_know():
  facts = {step for p in PROBLEMS for step in p.steps if '=' in step}
  assert len(facts) < 500


def test_a_chain_has_level_plus_three_operands_and_never_fewer_than_three_steps():
  for problem in PROBLEMS:
    assert 1 <= problem.level <= 5
    assert len(problem.steps) >= 3
    if problem.kind in ('symbols', 'words'):
      assert len(problem.steps) == problem.level + 2
  assert {p.level for p in PROBLEMS} == {1, 2, 3, 4, 5}


def test_no_single_answer_is_right_often():
  answers = [p.answer for p in PROBLEMS]
  assert max(answers.count(answer) for answer in set(answers)) < 0.12 * len(answers)


def test_kinds_come_in_their_shares():
  kinds = [p.kind for p in PROBLEMS]
  for kind, share in tiny_world.WorldConfig().kinds:
    spread = (share * (1 - share) / len(kinds)) ** 0.5
    assert abs(kinds.count(kind) / len(kinds) - share) < 5 * spread


def test_train_and_heldout_questions_never_meet():
  heldout = {tiny_world.problem(11, i, split='heldout').question for i in range(500)}
  train = {p.question for p in PROBLEMS}
  assert not heldout & train
  assert {tiny_world.split_of(q) for q in heldout} == {'heldout'}
  assert {tiny_world.split_of(q) for q in train} == {'train'}


def test_a_question_belongs_to_one_split_however_it_is_spaced_or_capitalised():
  for problem in PROBLEMS[:200]:
    assert tiny_world.split_of('  ' + problem.question.upper().replace(' ', '  ')) == 'train'


def test_a_problem_depends_on_seed_and_index_only():
  world = tiny_world.World(11, 3000)
  assert [world[i] for i in (2999, 5, 0)] == [PROBLEMS[2999], PROBLEMS[5], PROBLEMS[0]]
  assert tiny_world.problem(12, 5) != PROBLEMS[5]
  assert len({p.question for p in PROBLEMS}) > 0.95 * len(PROBLEMS)


def test_the_shipped_world_never_changes():
  assert [tiny_world.problem(0, i).question for i in range(5)] == [
    'Sam has 6 pens, sells 2, sells 2, finds 1, how many pens now',
    'Which is larger, 9 + 8 - 5 + 8 or 3 + 5 + 1 + 8',
    'Ben has 8 cards, drops 6, wins 1, wins 9, gets 5, how many cards now',
    'What is 8 - 6 + 5 - 7 + 5 - 4',
    'Which is the sixth smallest of 10 9 3 18 4 11',
  ]


def test_a_world_says_how_large_it_is_and_refuses_to_go_beyond():
  world = tiny_world.World(0, 3)
  assert len(list(world)) == len(world) == 3
  with pytest.raises(IndexError, match='problem 3 of 3'):
    world[3]


@pytest.mark.parametrize(
  'wrong',
  [
    dict(kinds=(('riddles', 1.0),)),
    dict(kinds=()),
    dict(kinds=(('words', -1.0),)),
    dict(kinds=(('words', 0.0),)),
    dict(levels=(0, 3)),
    dict(levels=(4, 2)),
    dict(levels=(1, 6)),
    dict(limit=9),
    dict(unit_limit=9),
  ],
)
def test_an_impossible_world_is_refused(wrong):
  with pytest.raises(ValueError, match=r'kinds|weights|levels|limit'):
    tiny_world.WorldConfig(**wrong)
