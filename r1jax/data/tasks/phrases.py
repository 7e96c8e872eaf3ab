"""The words of the tiny world, language by language: how it asks, works and concludes."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Phrases:
  """What one language says; `{}` fields are filled in by `tiny_world`, `thoughts` and `corpus`.

  Attributes:
    names, things: who has what; `things` are what follows a number.
    gains, losses: verbs of a story, each followed by a number.
    ordinals: first to eighth.
    units: (large unit, small unit, small ones in a large one).
    larger: words for the larger and the smaller of two.
    largest: words for ranking from below and from above.
    symbols, story, units_asked, comparison, ordering: questions.
    now: how a story ends.
    more, less: a change of a number, with `{}` for it.
    best, ranked: lines of a worked solution that need words.
    begin, go_on: words that introduce a line of arithmetic: of the first, of any other.
    conclusion, wait: end of a worked thought, and what takes a step back.
    bare, empty: an answer at once, and thoughts without content.
  """

  names: tuple[str, ...]
  things: tuple[str, ...]
  gains: tuple[str, ...]
  losses: tuple[str, ...]
  ordinals: tuple[str, ...]
  units: tuple[tuple[str, str, int], ...]
  larger: tuple[str, str]
  largest: tuple[str, str]
  symbols: str
  story: str
  now: str
  units_asked: str
  more: str
  less: str
  comparison: str
  ordering: str
  best: str
  ranked: str
  begin: str
  go_on: tuple[str, ...]
  conclusion: str
  wait: str
  bare: tuple[str, ...]
  empty: tuple[str, ...]


ENGLISH = Phrases(
  names=('Tom', 'Ann', 'Sam', 'Mia', 'Ben', 'Eva'),
  things=('apples', 'books', 'coins', 'cards', 'pens', 'cakes'),
  gains=('buys', 'finds', 'gets', 'wins'),
  losses=('sells', 'loses', 'gives', 'drops'),
  ordinals=('first', 'second', 'third', 'fourth', 'fifth', 'sixth', 'seventh', 'eighth'),
  units=(
    ('weeks', 'days', 7),
    ('dozens', 'eggs', 12),
    ('hands', 'fingers', 5),
    ('cars', 'wheels', 4),
    ('pairs', 'socks', 2),
  ),
  larger=('larger', 'smaller'),
  largest=('smallest', 'largest'),
  symbols='What is {expression}',
  story='{name} has {start} {thing}',
  now='how many {thing} now',
  units_asked='How many {small} are {count} {large}',
  more='{} more',
  less='{} less',
  comparison='Which is {word}, {left} or {right}',
  ordering='Which is the {ordinal} {word} of {numbers}',
  best='the {word} of {a} and {b} is {best}',
  ranked='{ordinal} {number}',
  begin='first',
  go_on=('then', 'next', 'after that'),
  conclusion='so the answer is {}',
  wait='wait',
  bare=('{}', 'the answer is {}', 'it is {}'),
  empty=('this is easy', 'I know this', 'let me guess', 'I think so'),
)

# The same in Chinese, place by place; `things` begin with the measure word that a number wants.
CHINESE = Phrases(
  names=('小明', '小红', '小华', '小丽', '小刚', '小芳'),
  things=('个苹果', '本书', '枚硬币', '张卡片', '支笔', '块蛋糕'),
  gains=('买来', '找到', '得到', '赢得'),
  losses=('卖掉', '丢失', '送出', '掉了'),
  ordinals=('第一', '第二', '第三', '第四', '第五', '第六', '第七', '第八'),
  units=(
    ('周', '天', 7),
    ('打', '个鸡蛋', 12),
    ('只手', '根手指', 5),
    ('辆车', '个轮子', 4),
    ('双', '只袜子', 2),
  ),
  larger=('大', '小'),
  largest=('小', '大'),
  symbols='{expression} 等于多少',
  story='{name}有 {start} {thing}',
  now='现在有多少{thing}',
  units_asked='{count} {large}是多少{small}',
  more='多 {}',
  less='少 {}',
  comparison='哪个更{word}, {left} 还是 {right}',
  ordering='{numbers} 中{ordinal}{word}的是哪个',
  best='{a} 和 {b} 中更{word}的是 {best}',
  ranked='{ordinal} {number}',
  begin='首先',
  go_on=('然后', '接着', '再算'),
  conclusion='所以答案是 {}',
  wait='等等',
  bare=('{}', '答案是 {}', '是 {}'),
  empty=('这很简单', '我知道', '让我猜猜', '我想是的'),
)

LANGUAGES = {'en': ENGLISH, 'zh': CHINESE}
