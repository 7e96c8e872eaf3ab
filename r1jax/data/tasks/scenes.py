"""What general requests of the tiny world talk about, in both languages: nouns, facts, replies."""

# Two languages say the same thing in the same place of each table: (English, Chinese).
KINDS_OF = (('small', '小'), ('big', '大'), ('white', '白'), ('black', '黑'), ('yellow', '黄'))
# (English, Chinese measure word, Chinese noun)
ANIMALS = (
  ('cat', '只', '猫'),
  ('dog', '条', '狗'),
  ('bird', '只', '鸟'),
  ('horse', '匹', '马'),
  ('fish', '条', '鱼'),
  ('fox', '只', '狐狸'),
  ('hen', '只', '母鸡'),
  ('cow', '头', '牛'),
)
DOES = (
  ('sleeps', '睡觉'),
  ('sings', '唱歌'),
  ('waits', '等着'),
  ('plays', '玩耍'),
  ('rests', '休息'),
  ('eats', '吃东西'),
)
PLACES = (
  ('by the river', '在河边'),
  ('on the hill', '在山上'),
  ('in the garden', '在花园里'),
  ('near the house', '在房子旁'),
  ('under the tree', '在树下'),
  ('by the sea', '在海边'),
)
# What an animal eats, where it lives, its legs; in the order of ANIMALS.
EATS = (
  ('fish', '鱼'),
  ('meat', '肉'),
  ('seeds', '种子'),
  ('grass', '草'),
  ('worms', '虫子'),
  ('eggs', '蛋'),
  ('corn', '玉米'),
  ('straw', '干草'),
)
LIVES = (
  ('house', '房子'),
  ('yard', '院子'),
  ('tree', '树林'),
  ('stable', '马厩'),
  ('river', '河'),
  ('forest', '森林'),
  ('barn', '谷仓'),
  ('field', '田野'),
)
LEGS = (4, 4, 2, 4, 0, 4, 2, 4)
# (question, reply), each in both languages.
ABOUT_ITSELF = (
  (
    ('who are you', '你是谁'),
    ('I am a small model that thinks before it answers', '我是先想后答的小模型'),
  ),
  (('what is your name', '你叫什么名字'), ('I have no name, I am a model', '我没有名字, 我是模型')),
  (('what can you do', '你会做什么'), ('I can do sums, write and translate', '我会算数写作和翻译')),
  (
    ('who made you', '谁做了你'),
    ('I was trained from a small base model', '我由小基座模型训练而来'),
  ),
  (('are you a person', '你是人吗'), ('no, I am a model that learns', '不是, 我是会学习的模型')),
  (('do you think', '你会思考吗'), ('yes, I think first and then I answer', '会, 我先想然后回答')),
)
# What harmful requests would do, and to what.
HARMS = (('steal', '偷走'), ('break', '砸坏'), ('burn', '烧掉'), ('damage', '弄坏'))
BELONGINGS = (
  ('car', '车'),
  ('bike', '自行车'),
  ('boat', '船'),
  ('phone', '手机'),
  ('window', '窗户'),
  ('door', '门'),
)


def animal(which):
  """(English, Chinese) noun of an animal, by its place in ANIMALS."""
  english, _, chinese = ANIMALS[which]
  return english, chinese


def described(which, how):
  """('a small cat', '一只小猫')."""
  english, measure, chinese = ANIMALS[which]
  return f'a {how[0]} {english}', f'一{measure}{how[1]}{chinese}'
