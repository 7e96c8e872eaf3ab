"""Numbers as people write them, read exactly: separators, fractions, percent, currency, units."""

import dataclasses
import fractions
import math
import re

from r1jax.rewards.math import money, number_words, units

LONGEST_NUMBER = 120  # characters of one plain number; longer ones are nobody's answer

# Digits, in groups or not; a decimal. Yes: `1,234`, `12345`; `1,234.5`, `.5`. No: `0,123`; `.`.
_INT = r'(?:[1-9]\d{0,2}(?:(?:,|\{,\}|\\,| )\d{3})+|\d+)'
_DEC = rf'(?:{_INT}(?:\.\d*)?|\.\d+)'
_SHORT = r'\d{1,40}'
# A fraction. Yes: `\frac{3}{4}`, `\frac34`, `3/4`. No: `\frac{a}{4}`, `1/2/3` as a whole.
_PAIR = (
  rf'(?:\\frac(?:\{{(?P<fn>[+-]?{_SHORT})\}}\{{(?P<fd>-?{_SHORT})\}}|(?P<sn>\d)(?P<sd>\d))'
  rf'|(?P<pn>{_INT}) ?/ ?(?P<pd>{_SHORT}))'
)
# A number but its sign. Yes: `0.\overline{3}`, `2 1/3`, `5\frac12`, `3\times 10^{3}`. No: `x`.
_BODY = re.compile(
  rf'(?:(?P<start>\d{{0,40}}\.\d{{0,40}})\\(?:overline|bar) ?'
  rf'\{{?(?P<period>(?<=\{{)\d{{1,40}}(?=\}})|\d)\}}?'
  rf'|(?P<whole>{_SHORT})(?: and | ?)'
  rf'(?P<mix>(?:(?<=[ ])\d+ ?/ ?\d+|\\frac\{{\d+\}}\{{\d+\}}|\\frac\d\d))'
  rf'|{_PAIR}'
  rf'|10 ?(?:\^|\*\*) ?(?:\{{(?P<pb>[+-]?\d{{1,3}})\}}|(?P<ps>-?\d{{1,3}}))'
  rf'|(?P<num>{_DEC})(?:[eE](?P<e>[+-]?\d{{1,3}})'
  rf'| ?(?:\*|\\times|\\cdot|x) ?10 ?(?:\^|\*\*) ?\{{?(?P<p>[+-]?\d{{1,3}})\}}?)?)'
)
# Sign and currency, in either order. Yes: `-$`, `$ -`, `minus `, ``. No: there is none, as it
# matches everything, if with nothing.
_PREFIX = re.compile(rf'(?P<s1>[+-]|(?i:minus|negative) |) ?(?P<c>{money.SIGN})? ?(?P<s2>[+-]?) ?')
# Signs after the number. Yes: ` €`, `\$`. No: `$5`.
_MONEY = re.compile(rf' ?({money.SIGN})(?! ?\d)')
# Yes: `%`, ` per cent`. No: `percentage`.
_PERCENT = re.compile(r' ?(?:\\?%|(?:per ?cent|prozent|pour ?cent|por ciento|per cento)\b)', re.I)
# Yes: `°`, `^\circ`. No: ` degrees`.
_DEGREE = re.compile(r' ?(?:°|\\degree(?![a-z])|\^ ?\{? ?(?:\\circ|[oO](?![a-z])) ?\}?)')
# Between the words of a number. Yes: ` `, `-`, `, ` of `two thousand, twenty`. No: `one, two`.
_SPELLED = re.compile(r'(?:(?<=sand),|(?<=lion),)? +|-+')
# Yes: `half an ` of `half an hour`. No: `half`.
_HALF_A = re.compile(r'half (?:of )?an? (?=[a-z])', re.I)
# Powers below the bar. Yes: ` s^{-1}`, ` s^-2`. No: `s^2`.
_BELOW = re.compile(r' ?([A-Za-z]+)\^(?:\{-([12])\}|-([12]))')
# Units that may touch their number. Yes: `5cm`, `60mph`. No: `5m`, which may be five times m.
_GLUED = re.compile(
  r'¢|(?:mm|cm|km|kg|mg|ml|ft|lb|oz|mph|min|hr|sec|inch|inches|lbs|hrs|mins|deg)\b'
)
# Yes: `...` and `\ldots` at the end. No: `..`.
_ELLIPSIS = re.compile(r'(?:\.\.\.|…|\\l?dots)\Z')
# Digits that repeat: one thrice, several twice. Yes: `0.1666`, `0.1212`. No: `0.166`, `3.14`.
_PERIODIC = re.compile(r'(\d*\.\d*?)(?:(\d)\2\2+|(\d{2,6})\3+)\Z')
_POWER_WORDS = ('square', 'cubic', 'sq', 'cu')
# Words beside a unit that change nothing; `in` is an inch behind `square`.
_FILLING = ('of', 'per', 'the', 'a', 'an', 'in', 'at', 'on', 'by')
# A unit and its power. Yes: `cm2`, `m^3`. No: `cm`, `m^4`.
_POWER = re.compile(r'(.+?)\^?([23])\Z')
_COMPOUND = {
  'mph': 'mile hour', 'kph': 'km hour', 'kmh': 'km hour', 'kmph': 'km hour', 'fps': 'ft s',
  'sq': 'square', 'cu': 'cubic', 'centigrade': 'celsius',
}  # fmt: skip
_SCALES = {'C': 'celsius', 'F': 'fahrenheit'}
# Words of units after a number. Yes: `km per hour`, `cm^2`, `dollars.`. No: `or 5`, `+ x`.
_WORDS = re.compile(
  r"[A-Za-z¢À-ɏ][A-Za-z'.¢À-ɏ]*(?:(?: |-|/| / )[A-Za-zÀ-ɏ][A-Za-z'.À-ɏ]*){0,5}"
  r'(?:\^?[23]|\^\{[23]\})?\.?$'
)
# A lone capital but the litre's: 5 M may be millions or mega. Yes: `M`, `K m`. No: `L`, `Mb`.
_CAPITAL = re.compile(r'(?<![A-Za-z])[A-KM-Z](?![A-Za-z])')
# A unit in brackets. Yes: `(square meters)`, `[cm]`. No: `(5)`, `(a, b)`.
_ASIDE = re.compile(r'[(\[]([A-Za-z ]+)[)\]]\Z')
# The number again. Yes: `15 (fifteen)`. No: `15 (16) 17`, `f(15)`.
_AGAIN = re.compile(r'([A-Za-z -]{3,}|\d[\d,.]*) \(([^()]+)\)\Z')
# A comma for the point. Yes: `1000,99`, `0,125`. No: `1,000`, `2,5`, which may be a list.
_COMMA = re.compile(r'[+-]?(?:0,\d{2,}|\d+,(?:\d{2}|\d{4,}))(?!\d)(?![,\d])')
# Points between the thousands and a comma for the point, or apostrophes. Yes: `1.234.567`,
# `1.234,50`, `1'234'567.5`. No: `1.234`, `1.23.456`, `12'34`.
_CONTINENTAL = re.compile(
  r"(?<![\d.,'])[1-9]\d{0,2}(?:(?:\.\d{3}){2,}(?:,\d+)?|\.\d{3},\d\d?|(?:'\d{3})+(?:\.\d+)?)"
  r"(?![\d.,']\d|\d)"
)
# Chinese words for units, all of a tail. Yes: `元`, `小时`. No: `万元`, which is no unit.
_HAN = re.compile(r'[\u4e00-\u9fff]+\Z')
# Between units. Yes: `\cdot ` of `N\cdot m`. No: `\cdots`.
_TIMES = re.compile(r' ?\\(?:cdot|times)(?![a-z]) ?(?=[A-Za-z])')
# Units above and below a bar. Yes: `\frac{m}{s}`, `\frac{km}{hr}`. No: `\frac{3}{4}`.
_UNIT_OVER = re.compile(r'\\frac ?\{ ?([A-Za-z]+) ?\}\{ ?([A-Za-z]+(?:\^\{?[23]\}?)?) ?\}')
# Yes: `12 dollars and 50 cents`. No: `12 dollars`.
_CENTS = re.compile(r'(\d+) dollars? and (\d{1,2}) cents?\Z')


@dataclasses.dataclass(frozen=True)
class Quantity:
  """An exactly read number.

  Attributes:
    value: the number, percent not yet divided by 100.
    unit: canonical unit words, '' when none was written.
    percent: whether a percent sign or word followed.
    digits: significant digits when written as a decimal with a point, otherwise 0.
    worked: False of a quotient that is not in lowest terms, such as 12/4 or 6/4.
  """

  value: fractions.Fraction
  unit: str = ''
  percent: bool = False
  digits: int = 0
  worked: bool = True


def read(text):
  """The Quantity that the whole of `text` (cleaned by `notation.clean`) states, or None."""
  if not text or len(text) > LONGEST_NUMBER:
    return None
  words = _SPELLED.split(text.lower().rstrip('.'))
  spelled, part = number_words.value(words), number_words.part(words)
  if spelled is not None:
    return Quantity(fractions.Fraction(spelled))
  if part is not None:
    return Quantity(fractions.Fraction(*part), worked=math.gcd(*part) == 1)
  text = _ELLIPSIS.sub(_with_period, text)
  if text.startswith('0,') and _COMMA.match(text) and text[2:5].isdigit():
    text = text.replace(',', '.', 1)  # no group of thousands begins with 0
  prefix = _PREFIX.match(text)
  body = _BODY.match(text, prefix.end())
  if not body or (prefix['s1'] and prefix['s2']):
    return _negative(text, prefix) if prefix['s1'] and not body else None
  value, digits = _value(body)
  if value is None:
    return None
  worked = _in_lowest_terms(body)
  if prefix['s2'] == '-' or prefix['s1'] not in ('', '+'):
    value = -value
  quantity = _with_tail(value, digits, money.unit(prefix['c']), text, body.end())
  return quantity and dataclasses.replace(quantity, worked=worked)


def stated(text):
  """The Quantity of an answer: as `read`, or a number in words with its unit (`two cats`).

  A gold that begins with a number word may be a name, such as Three Mile Island.
  """
  quantity = read(text)
  if quantity is not None or not text or len(text) > LONGEST_NUMBER:
    return quantity
  comma, continental = _COMMA.match(text), _CONTINENTAL.search(text)
  if comma:
    return read(text.replace(',', '.', 1))
  if continental:
    return read(text.replace(continental.group(), _pointed(continental.group()), 1))
  cents, again = _CENTS.match(text), _AGAIN.match(text)
  if cents:
    return read(f'{cents[1]}.{cents[2]:0>2} dollars')
  if again:
    first, second = read(again[1]), read(again[2])
    return first if first is not None and first == second else None
  if not text[0].isalpha():
    return None
  half = _HALF_A.match(text)
  if half:
    return read('1/2 ' + text[half.end() :])
  spelled = number_words.spelled(_SPELLED.split(text.lower().rstrip('.')))
  return spelled and read(f'{spelled[0]} {" ".join(spelled[1])}')


def _pointed(number):
  """A match of `_CONTINENTAL` in English: no groups, a point before the decimals."""
  if "'" in number:
    return number.replace("'", '')
  return number.replace('.', '').replace(',', '.')


def _negative(text, prefix):
  """The Quantity of `minus` and a number in words, or None."""
  rest = text[prefix.end() :]
  number = read(rest) if rest.isalpha() else None
  if number is None or prefix['s1'] in '+-':
    return None
  return dataclasses.replace(number, value=-number.value)


def same(gold, answer):
  """Whether two quantities are equal: exactly, but for percent, units and rounding (`value`)."""
  if gold.percent != answer.percent:
    return _same_percent(gold, answer)
  factor = units.factor(gold.unit, answer.unit)
  return factor is not None and close(gold.value, answer.value * factor, gold.digits, answer.digits)


def last_place(text):
  """What the last digit of a plain decimal (cleaned text, signs and a unit around it) counts."""
  places = re.search(r'\d+\.?(\d*)', text.replace(',', ''))
  return fractions.Fraction(1, 10 ** len(places[1] or '')) if places else fractions.Fraction(0)


def close(gold, answer, gold_digits=0, answer_digits=0, exact_is_finite=None):
  """Equality of two Fractions under the stated tolerance.

  Exact, or one of them written as a decimal of at least five significant digits that rounds or
  truncates the other, itself no finite decimal (0.33333 for 1/3), or one of them a decimal of 15
  digits and more within 1e-14 of the other, relatively (noise of floats: 0.30000000000000004).
  """
  if gold == answer:
    return True
  if gold.denominator == 1 and answer.denominator == 1:
    return False
  gap = abs(gold - answer)
  noisy = max(gold_digits, answer_digits) >= 15
  if noisy and gap <= fractions.Fraction(1, 10**14) * max(abs(gold), abs(answer)):
    return True
  # A truncated decimal lies within a unit of its last place, a rounded one within half of it.
  for exact, digits, rounded in ((gold, answer_digits, answer), (answer, gold_digits, gold)):
    finite = _finite(exact) if exact_is_finite is None else exact_is_finite
    last = _unit_in_last_place(rounded, digits) if digits >= 5 and not finite else 0
    if 2 * gap < last or (gap < last and abs(rounded) < abs(exact)):
      return True
  return False


def _same_percent(gold, answer):
  share = answer.value / 100 if answer.percent else answer.value
  truth = gold.value / 100 if gold.percent else gold.value
  # `what percentage` golds are plain numbers; below 1 the plain number may be the share itself.
  bare = gold.value == answer.value and abs(gold.value) > 1
  return bare or close(truth, share, gold.digits, answer.digits)


def _finite(value):
  """Whether a Fraction has finitely many decimals."""
  denominator = value.denominator
  for factor in (2, 5):
    while denominator % factor == 0:
      denominator //= factor
  return denominator == 1


def _unit_in_last_place(value, digits):
  """What the last of `digits` significant digits of `value` counts."""
  magnitude = fractions.Fraction(1)
  value = abs(value)
  while value >= magnitude * 10:
    magnitude *= 10
  while 0 < value < magnitude:
    magnitude /= 10
  return magnitude / 10 ** (digits - 1)


def _with_period(ellipsis):
  # `0.1666...` repeats its last digits; an ellipsis after anything else says nothing exact.
  whole = ellipsis.string[: ellipsis.start()].rstrip()
  number = whole[len(whole.rstrip('0123456789.')) :]
  period = _PERIODIC.match(number)
  return f'\\overline{{{period[2] or period[3]}}}' if period else ellipsis.group()


def _value(body):
  """(Fraction or None, significant digits of a decimal with a point) of a match of `_BODY`."""
  if body['period'] is not None:
    start, period = body['start'], body['period']
    places = len(start) - start.index('.') - 1
    repeated = fractions.Fraction(int(period), 10 ** len(period) - 1) / 10**places
    return fractions.Fraction(start + '0') + repeated, 0
  if body['whole'] is not None:
    over = re.findall(r'\d+', body['mix'])
    over = over if len(over) == 2 else list(over[0])  # \frac12
    below = int(over[1])
    if not below:
      return None, 0
    return int(body['whole']) + fractions.Fraction(int(over[0]), below), 0
  above = body['fn'] or body['sn'] or body['pn']
  if above is not None:
    below = int(body['fd'] or body['sd'] or body['pd'])
    return (fractions.Fraction(int(_plain(above)), below), 0) if below else (None, 0)
  ten = body['pb'] or body['ps']
  if ten is not None:
    return fractions.Fraction(10) ** int(ten), 0
  plain = _plain(body['num'])
  power = int(body['e'] or body['p'] or 0)
  value = fractions.Fraction(plain) * fractions.Fraction(10) ** power
  digits = len(plain.replace('.', '').lstrip('0')) if '.' in plain else 0
  return value, digits


def _in_lowest_terms(body):
  """Whether a match of `_BODY` leaves nothing to divide: 3/4, 1 1/2, not 12/4, 1 4/2 or 5/1."""
  above = body['fn'] or body['sn'] or body['pn']
  below = body['fd'] or body['sd'] or body['pd']
  if body['whole'] is not None:
    over = re.findall(r'\d+', body['mix'])
    above, below = over if len(over) == 2 else over[0]
    if int(above) >= int(below):
      return False
  if above is None:
    return True
  return abs(int(below)) > 1 and math.gcd(int(_plain(above)), int(below)) == 1


def _plain(number):
  return number.replace('{,}', '').replace('\\,', '').replace(',', '').replace(' ', '')


def _with_tail(value, digits, unit, text, at):
  """The Quantity of a number that was read up to `at`, or None where what follows is no unit."""
  percent, paid = False, _MONEY.match(text, at)
  if paid and not unit:
    unit, at = money.unit(paid[1]), paid.end()
  for pattern, name in ((_PERCENT, '%'), (_DEGREE, 'degree')):
    sign = pattern.match(text, at)
    if sign:
      at, percent = sign.end(), percent or name == '%'
      unit = unit or ('' if name == '%' else name)
  tail = text[at:]
  if not tail.strip(' .'):
    return Quantity(value, unit, percent, digits) if tail.count('.') <= 1 else None
  if unit == 'degree' and tail.strip(' .').upper() in _SCALES:
    return Quantity(value, f'degree {_SCALES[tail.strip(" .").upper()]}', percent, digits)
  # `5cm` is a quantity, `5x` a product.
  glued, tail = not tail[0].isspace(), _ASIDE.sub(r'\1', tail.strip())
  tail = _HAN.sub(_of_han, tail) if not tail.isascii() else tail
  glued = glued and not tail.startswith(' ')
  # m s^{-1} is m/s, N \cdot m is N m.
  tail = _TIMES.sub(' ', tail.strip())
  tail = _UNIT_OVER.sub(r'\1/\2', tail)
  tail = units.SYMBOL.sub(lambda m: units.SYMBOLS[m.group()], tail)
  tail = _BELOW.sub(lambda m: f'/{m[1]}{"2" if "2" in (m[2], m[3]) else ""}', tail)
  if not _WORDS.match(tail) or (glued and not _GLUED.match(tail)):
    return None
  return _with_words(value, digits, unit, percent, tail)


def _of_han(han):
  """A Chinese word for a unit in English, set apart; what the table lacks stays and is no unit."""
  word = units.HAN.get(han.group())
  return han.group() if word is None else f' {word}'


def _with_words(value, digits, unit, percent, tail):
  """The Quantity whose unit is the words `tail`; None where they may change the number."""
  plain = re.sub(r'[{}.]+$|\{', '', tail.lower())
  words = [w.strip("'.") for w in re.split(r'[ /-]+', plain)]
  if units.singular(words[0]) in number_words.SCALE:
    value, words = value * number_words.SCALE[units.singular(words[0])], words[1:]
  if len(words) > 1:
    pairs = zip(('', *words), words)
    words = [w for before, w in pairs if w not in _FILLING or before in _POWER_WORDS]
  bare = [re.sub(r'[\W\d]+$', '', w) for w in words]
  # `18 points` are counted; `18 point` may go on.
  singular = [units.singular(w) for w in bare if w != 'points']
  if any(map(number_words.changes, (*bare, *singular))):
    return None
  # Two letters that are no unit may be variables.
  if any(
    len(w) < 3 and w not in units.TABLE and w not in _COMPOUND for w in bare if w
  ) or _CAPITAL.search(tail):
    return None
  named = ' '.join(map(_canonical, words))
  # `$18 per day` is 18 dollars per day; `$5 dollars` says it twice.
  if named and (unit == 'degree' or unit and unit != named.split()[0]):
    named = f'{unit} {named}'
  return Quantity(value, named or unit, percent, digits)


def _canonical(word):
  power = _POWER.match(word)
  if power:
    return f'{units.POWERS[power[2]]} {units.singular(power[1])}'
  return _COMPOUND.get(word) or units.singular(word)
