"""Hand-written replies that begin the cold start: a readable thought each (reference §1.5)."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Seed:
  """A training question of the tiny world, a thought as a person would write it, and the answer."""

  question: str
  thought: str
  answer: str
  language: str = 'en'


SEEDS = (
  Seed('What is 3 + 4 - 2 + 5', 'first 3 + 4 = 7, then 7 - 2 = 5, then 5 + 5 = 10', '10'),
  Seed('What is 9 - 4 + 6 - 1', 'first 9 - 4 = 5, then 5 + 6 = 11, then 11 - 1 = 10', '10'),
  Seed('What is 2 + 8 + 3 - 6', 'first 2 + 8 = 10, then 10 + 3 = 13, then 13 - 6 = 7', '7'),
  Seed(
    'What is 7 + 7 - 5 - 4 + 9',
    'first 7 + 7 = 14, then 14 - 5 = 9, then 9 - 4 = 5, then 5 + 9 = 14',
    '14',
  ),
  Seed(
    'What is 6 + 9 - 8 + 2 - 3',
    'first 6 + 9 = 15, then 15 - 8 = 7, then 7 + 2 = 9, then 9 - 3 = 6',
    '6',
  ),
  Seed(
    'What is 1 + 9 + 9 - 7 + 4 - 2',
    'first 1 + 9 = 10, then 10 + 9 = 19, then 19 - 7 = 12, then 12 + 4 = 16, then 16 - 2 = 14',
    '14',
  ),
  Seed(
    'What is 8 - 7 + 5 + 6 - 9 + 3',
    'first 8 - 7 = 1, then 1 + 5 = 6, then 6 + 6 = 12, then 12 - 9 = 3, then 3 + 3 = 6',
    '6',
  ),
  Seed(
    'Tom has 6 apples, buys 5, sells 3, finds 2, how many apples now',
    'first 6 + 5 = 11, then 11 - 3 = 8, then 8 + 2 = 10',
    '10',
  ),
  Seed(
    'Ann has 9 books, gives 4, gets 7, loses 6, how many books now',
    'first 9 - 4 = 5, then 5 + 7 = 12, then 12 - 6 = 6',
    '6',
  ),
  Seed(
    'Mia has 2 coins, wins 8, finds 9, drops 5, buys 1, how many coins now',
    'first 2 + 8 = 10, then 10 + 9 = 19, then 19 - 5 = 14, then 14 + 1 = 15',
    '15',
  ),
  Seed(
    'Sam has 4 cards, gets 3, loses 6, wins 9, how many cards now',
    'first 4 + 3 = 7, then 7 - 6 = 1, then 1 + 9 = 10',
    '10',
  ),
  Seed(
    'Eva has 7 cakes, sells 5, gives 1, buys 8, finds 4, how many cakes now',
    'first 7 - 5 = 2, then 2 - 1 = 1, then 1 + 8 = 9, then 9 + 4 = 13',
    '13',
  ),
  Seed(
    'Ben has 8 pens, drops 3, loses 2, gets 6, sells 4, wins 5, how many pens now',
    'first 8 - 3 = 5, then 5 - 2 = 3, then 3 + 6 = 9, then 9 - 4 = 5, then 5 + 5 = 10',
    '10',
  ),
  Seed(
    'How many days are 2 weeks, 4 less, 7 more',
    'first 2 * 7 = 14, then 14 - 4 = 10, then 10 + 7 = 17',
    '17',
  ),
  Seed(
    'How many eggs are 1 dozens, 5 more, 8 less, 3 more',
    'first 1 * 12 = 12, then 12 + 5 = 17, then 17 - 8 = 9, then 9 + 3 = 12',
    '12',
  ),
  Seed(
    'How many wheels are 4 cars, 6 less, 2 more',
    'first 4 * 4 = 16, then 16 - 6 = 10, then 10 + 2 = 12',
    '12',
  ),
  Seed(
    'How many socks are 8 pairs, 7 less, 3 more',
    'first 8 * 2 = 16, then 16 - 7 = 9, then 9 + 3 = 12',
    '12',
  ),
  Seed(
    'Which is larger, 4 + 9 or 8 + 2',
    'first 4 + 9 = 13, then 8 + 2 = 10, the larger of 13 and 10 is 13',
    '13',
  ),
  Seed(
    'Which is smaller, 7 + 6 or 9 - 3 + 8',
    'first 7 + 6 = 13, then 9 - 3 = 6, then 6 + 8 = 14, the smaller of 13 and 14 is 13',
    '13',
  ),
  Seed(
    'Which is larger, 2 + 6 - 1 or 5 - 4 + 9',
    'first 2 + 6 = 8, 8 - 1 = 7, then 5 - 4 = 1, 1 + 9 = 10, the larger of 7 and 10 is 10',
    '10',
  ),
  Seed('Which is the third smallest of 14 3 9 18', 'first 3, second 9, third 14', '14'),
  Seed('Which is the third largest of 5 17 11 2 20', 'first 20, second 17, third 11', '11'),
  Seed(
    'Which is the fourth smallest of 8 19 1 12 6',
    'first 1, second 6, third 8, fourth 12',
    '12',
  ),
)
