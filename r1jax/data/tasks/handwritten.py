"""Hand-written replies that begin the cold start: a readable thought each (reference §1.5)."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Worked:
  """A training question of the tiny world, a thought as a person would write it, and the answer."""

  question: str
  thought: str
  answer: str
  language: str = 'en'


# English first, then Chinese; each thought goes line by line, as a person would say it.
EXAMPLES = (
  Worked('What is 3 + 4 - 2 + 5', 'first 3 + 4 = 7, then 7 - 2 = 5, then 5 + 5 = 10', '10'),
  Worked('What is 9 - 4 + 6 - 1', 'first 9 - 4 = 5, then 5 + 6 = 11, then 11 - 1 = 10', '10'),
  Worked('What is 2 + 8 + 3 - 6', 'first 2 + 8 = 10, then 10 + 3 = 13, then 13 - 6 = 7', '7'),
  Worked(
    'What is 7 + 7 - 5 - 4 + 9',
    'first 7 + 7 = 14, then 14 - 5 = 9, then 9 - 4 = 5, then 5 + 9 = 14',
    '14',
  ),
  Worked(
    'What is 6 + 9 - 8 + 2 - 3',
    'first 6 + 9 = 15, then 15 - 8 = 7, then 7 + 2 = 9, then 9 - 3 = 6',
    '6',
  ),
  Worked(
    'What is 1 + 9 + 9 - 7 + 4 - 2',
    'first 1 + 9 = 10, then 10 + 9 = 19, then 19 - 7 = 12, then 12 + 4 = 16, then 16 - 2 = 14',
    '14',
  ),
  Worked(
    'What is 8 - 7 + 5 + 6 - 9 + 3',
    'first 8 - 7 = 1, then 1 + 5 = 6, then 6 + 6 = 12, then 12 - 9 = 3, then 3 + 3 = 6',
    '6',
  ),
  Worked(
    'Tom has 6 apples, buys 5, sells 3, finds 2, how many apples now',
    'first 6 + 5 = 11, then 11 - 3 = 8, then 8 + 2 = 10',
    '10',
  ),
  Worked(
    'Ann has 9 books, gives 4, gets 7, loses 6, how many books now',
    'first 9 - 4 = 5, then 5 + 7 = 12, then 12 - 6 = 6',
    '6',
  ),
  Worked(
    'Mia has 2 coins, wins 8, finds 9, drops 5, buys 1, how many coins now',
    'first 2 + 8 = 10, then 10 + 9 = 19, then 19 - 5 = 14, then 14 + 1 = 15',
    '15',
  ),
  Worked(
    'Sam has 4 cards, gets 3, loses 6, wins 9, how many cards now',
    'first 4 + 3 = 7, then 7 - 6 = 1, then 1 + 9 = 10',
    '10',
  ),
  Worked(
    'Eva has 7 cakes, sells 5, gives 1, buys 8, finds 4, how many cakes now',
    'first 7 - 5 = 2, then 2 - 1 = 1, then 1 + 8 = 9, then 9 + 4 = 13',
    '13',
  ),
  Worked(
    'Ben has 8 pens, drops 3, loses 2, gets 6, sells 4, wins 5, how many pens now',
    'first 8 - 3 = 5, then 5 - 2 = 3, then 3 + 6 = 9, then 9 - 4 = 5, then 5 + 5 = 10',
    '10',
  ),
  Worked(
    'How many days are 2 weeks, 4 less, 7 more',
    'first 2 * 7 = 14, then 14 - 4 = 10, then 10 + 7 = 17',
    '17',
  ),
  Worked(
    'How many eggs are 1 dozens, 5 more, 8 less, 3 more',
    'first 1 * 12 = 12, then 12 + 5 = 17, then 17 - 8 = 9, then 9 + 3 = 12',
    '12',
  ),
  Worked(
    'How many wheels are 4 cars, 6 less, 2 more',
    'first 4 * 4 = 16, then 16 - 6 = 10, then 10 + 2 = 12',
    '12',
  ),
  Worked(
    'How many socks are 8 pairs, 7 less, 3 more',
    'first 8 * 2 = 16, then 16 - 7 = 9, then 9 + 3 = 12',
    '12',
  ),
  Worked(
    'Which is larger, 4 + 9 or 8 + 2',
    'first 4 + 9 = 13, then 8 + 2 = 10, the larger of 13 and 10 is 13',
    '13',
  ),
  Worked(
    'Which is smaller, 7 + 6 or 9 - 3 + 8',
    'first 7 + 6 = 13, then 9 - 3 = 6, then 6 + 8 = 14, the smaller of 13 and 14 is 13',
    '13',
  ),
  Worked(
    'Which is larger, 2 + 6 - 1 or 5 - 4 + 9',
    'first 2 + 6 = 8, 8 - 1 = 7, then 5 - 4 = 1, 1 + 9 = 10, the larger of 7 and 10 is 10',
    '10',
  ),
  Worked('Which is the third smallest of 14 3 9 18', 'first 3, second 9, third 14', '14'),
  Worked('Which is the third largest of 5 17 11 2 20', 'first 20, second 17, third 11', '11'),
  Worked(
    'Which is the fourth smallest of 8 19 1 12 6',
    'first 1, second 6, third 8, fourth 12',
    '12',
  ),
  Worked(
    '3 + 4 - 2 + 5 等于多少',
    '首先 3 + 4 = 7, 然后 7 - 2 = 5, 然后 5 + 5 = 10, 所以答案是 10',
    '10',
    'zh',
  ),
  Worked(
    '9 - 5 + 8 - 3 等于多少',
    '首先 9 - 5 = 4, 然后 4 + 8 = 12, 然后 12 - 3 = 9, 所以答案是 9',
    '9',
    'zh',
  ),
  Worked(
    '2 + 7 + 6 - 4 - 9 等于多少',
    '首先 2 + 7 = 9, 然后 9 + 6 = 15, 然后 15 - 4 = 11, 然后 11 - 9 = 2, 所以答案是 2',
    '2',
    'zh',
  ),
  Worked(
    '5 + 9 - 6 + 3 - 1 + 7 等于多少',
    '首先 5 + 9 = 14, 然后 14 - 6 = 8, 然后 8 + 3 = 11, 然后 11 - 1 = 10, 然后 10 + 7 = 17, '
    '所以答案是 17',
    '17',
    'zh',
  ),
  Worked(
    '小明有 6 个苹果, 买来 5, 卖掉 3, 找到 2, 现在有多少个苹果',
    '首先 6 + 5 = 11, 然后 11 - 3 = 8, 然后 8 + 2 = 10, 所以答案是 10',
    '10',
    'zh',
  ),
  Worked(
    '小红有 9 本书, 送出 4, 得到 7, 丢失 6, 现在有多少本书',
    '首先 9 - 4 = 5, 然后 5 + 7 = 12, 然后 12 - 6 = 6, 所以答案是 6',
    '6',
    'zh',
  ),
  Worked(
    '小华有 2 枚硬币, 赢得 8, 找到 9, 掉了 5, 买来 1, 现在有多少枚硬币',
    '首先 2 + 8 = 10, 然后 10 + 9 = 19, 然后 19 - 5 = 14, 然后 14 + 1 = 15, 所以答案是 15',
    '15',
    'zh',
  ),
  Worked(
    '2 周是多少天, 少 4, 多 7',
    '首先 2 * 7 = 14, 然后 14 - 4 = 10, 然后 10 + 7 = 17, 所以答案是 17',
    '17',
    'zh',
  ),
  Worked(
    '4 辆车是多少个轮子, 少 6, 多 2',
    '首先 4 * 4 = 16, 然后 16 - 6 = 10, 然后 10 + 2 = 12, 所以答案是 12',
    '12',
    'zh',
  ),
  Worked(
    '哪个更大, 4 + 9 还是 8 + 2',
    '首先 4 + 9 = 13, 然后 8 + 2 = 10, 13 和 10 中更大的是 13, 所以答案是 13',
    '13',
    'zh',
  ),
  Worked(
    '哪个更小, 7 + 6 还是 9 - 3 + 8',
    '首先 7 + 6 = 13, 然后 9 - 3 = 6, 然后 6 + 8 = 14, 13 和 14 中更小的是 13, 所以答案是 13',
    '13',
    'zh',
  ),
  Worked('14 3 9 18 中第三小的是哪个', '第一 3, 第二 9, 第三 14, 所以答案是 14', '14', 'zh'),
  Worked(
    '8 19 1 12 6 中第四大的是哪个',
    '第一 19, 第二 12, 第三 8, 第四 6, 所以答案是 6',
    '6',
    'zh',
  ),
)
