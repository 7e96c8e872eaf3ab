"""Units of measure: what they measure, their size in one unit of each kind, and their symbols."""

import fractions
import re

_UNITS = {
  'length': {'mm': '1/1000', 'cm': '1/100', 'm': '1', 'km': '1000', 'inch': '127/5000',
  'in': '127/5000',
    'ft': '381/1250', 'foot': '381/1250', 'yd': '1143/1250', 'yard': '1143/1250',
    'mile': '201168/125',
    'meter': '1', 'metre': '1', 'centimeter': '1/100', 'centimetre': '1/100',
    'millimeter': '1/1000',
    'kilometer': '1000', 'kilometre': '1000', 'mi': '201168/125'},
  'mass': {'mg': '1/1000', 'g': '1', 'gram': '1', 'kg': '1000', 'kilogram': '1000',
  'ton': '1000000'},
  'weight': {'lb': '16', 'pound': '16', 'ounce': '1', 'oz': '1'},
  'time': {'s': '1', 'sec': '1', 'second': '1', 'min': '60', 'minute': '60', 'h': '3600',
  'hr': '3600',
    'hour': '3600', 'day': '86400', 'week': '604800'},
  'months': {'month': '1', 'year': '12', 'yr': '12'},
  'volume': {'ml': '1/1000', 'milliliter': '1/1000', 'l': '1', 'liter': '1', 'litre': '1'},
  'money': {'cent': '1/100', 'dollar': '1', 'usd': '1', 'buck': '1', '¢': '1/100'},
  'angle': {'degree': '1', 'deg': '1'},
}  # fmt: skip
TABLE = {
  word: (dimension, fractions.Fraction(factor))
  for dimension, words in _UNITS.items()
  for word, factor in words.items()
}
KINDS = frozenset(_UNITS)
# Of Chinese answers; counted things are `item`.
HAN = {
  '元': 'yuan', '块': 'yuan', '块钱': 'yuan', '人民币': 'yuan', '美元': 'dollar', '欧元': 'euro',
  '千米': 'km', '公里': 'km', '米': 'm', '厘米': 'cm', '毫米': 'mm',
  '小时': 'hour', '分钟': 'minute',
  '秒': 'second', '天': 'day', '周': 'week', '个月': 'month', '年': 'year', '岁': 'year',
  '千克': 'kg', '公斤': 'kg', '克': 'g', '吨': 'ton', '升': 'liter', '毫升': 'ml', '度': 'degree',
  '平方米': 'square m', '平方厘米': 'square cm', '立方米': 'cubic m', '立方厘米': 'cubic cm',
  **dict.fromkeys('个人名次只本件张条支头棵辆朵颗种位页题箱袋瓶盒杯', 'item'),
}  # fmt: skip
POWERS = {'2': 'square', '3': 'cubic'}
# Units of one capital and their kin. Yes: `N`, `kPa` of `5 kPa`. No: `K`, which may be thousands.
SYMBOL = re.compile(r'(?<![A-Za-z])(?:N|J|V|W|Hz|Pa|kPa|kJ|kW|kN|eV|mL|kHz|MHz|Nm)(?![A-Za-z])')
SYMBOLS = {
  'N': 'newton', 'J': 'joule', 'V': 'volt', 'W': 'watt', 'Hz': 'hertz', 'Pa': 'pascal',
  'kPa': 'kilopascal', 'kJ': 'kilojoule', 'kW': 'kilowatt', 'kN': 'kilonewton',
  'eV': 'electronvolt', 'mL': 'ml', 'kHz': 'kilohertz', 'MHz': 'megahertz', 'Nm': 'newton meter',
}  # fmt: skip


def is_unit(word):
  """Whether `word` is a unit of the table, in any number."""
  word = word.lower()
  return singular(word) in TABLE or word in (
    'unit',
    'units',
    'square',
    'cubic',
    'sq',
    'rad',
    'radian',
    'radians',
  )


def singular(word):
  """The unit `word` in the singular."""
  if word in TABLE:
    return word
  for ending, new in (('inches', 'inch'), ('feet', 'foot'), ('ies', 'y'), ('s', '')):
    if word.endswith(ending) and len(word) > 2 and not word.endswith(('ss', 'us')):
      return word[: -len(ending)] + new
  return word


def factor(gold, answer):
  """What converts the unit `answer` to the unit `gold`; None when they measure different things."""
  if not gold or not answer or gold == answer:
    return fractions.Fraction(1)
  # Both senses of a word or sign: £20 is 20 pounds, of whichever kind; ¥ is of Japan and of China.
  if {gold, answer} in ({'pound', 'pound_money'}, {'yen', 'yuan'}):
    return fractions.Fraction(1)
  wanted, stated = gold.split(), answer.split()
  # A temperature is no angle, but `90 degrees` does not say which it is.
  if wanted[0] == stated[0] == 'degree':
    return fractions.Fraction(1) if 1 in (len(wanted), len(stated)) else None
  room, filled = _room(wanted), _room(stated)
  if room and filled:
    return filled / room
  # 1 m^2 is 100^2 cm^2, 1 km/s is 1000 m/s.
  power = _power(wanted)
  if power != _power(stated):
    return None
  first = power if len(wanted) <= 2 or wanted[0] in POWERS.values() else 1
  wanted, stated = _known(wanted), _known(stated)
  if len(wanted) == len(stated) and wanted[1:] == stated[1:]:
    (kind, size), (other_kind, other_size) = wanted[0], stated[0]
    if kind == other_kind:
      return fractions.Fraction(other_size) ** first / size**first
  # `5 km from home` says more of 5 km, `5 km/h` something else; apples stay apples per day too.
  more = set(stated) - set(wanted)
  other = any(map(_is_measured, wanted)) and any(map(_is_measured, more))
  return fractions.Fraction(1) if set(wanted) <= set(stated) and not other else None


def _is_measured(known):
  """Whether one of `_known` is a unit, not a word of its own."""
  return known[0] in KINDS or known[0] in SYMBOLS.values()


def _room(words):
  """Cubic metres of a unit of volume or of a cubic length; None of anything else."""
  kinds = _known(words)
  if len(kinds) == 1 and (kinds[0][0], _power(words)) == ('length', 3):
    return kinds[0][1] ** 3
  return kinds[0][1] / 1000 if len(kinds) == 1 and kinds[0][0] == 'volume' else None


def _power(words):
  return 1 + ('square' in words) + 2 * ('cubic' in words)


def _known(words):
  """(kind, size) of each word that is no power; a word that is no unit is a kind of its own."""
  return [TABLE.get(word, (word, 1)) for word in words if word not in POWERS.values()]
