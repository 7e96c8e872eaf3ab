"""Words of numbers: those that spell one, that scale one, and that make one into another."""

import re

SCALE = {
  'hundred': 10**2, 'thousand': 10**3, 'million': 10**6, 'billion': 10**9, 'trillion': 10**12,
  'dozen': 12,
}  # fmt: skip
_SMALL_WORDS = """
  zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
  sixteen seventeen eighteen nineteen
"""
_SMALL = {word: number for number, word in enumerate(_SMALL_WORDS.split())}
_TENS_WORDS = 'twenty thirty forty fifty sixty seventy eighty ninety'
_TENS = {word: 10 * number for number, word in enumerate(_TENS_WORDS.split(), 2)}
# A tail with one of these changes the number, offers a second answer or takes the first one back.
_DENIED_WORDS = """
  or and not nor but either maybe plus minus times over divided multiplied squared cubed halves
  half thirds third quarter quarters fourths tenths hundredths percent factorial pi sin cos tan
  log ln exp sqrt max min mod than less if else unless one two three four five six
  seven eight nine ten eleven twelve twenty thirty forty fifty sixty seventy eighty ninety
  hundred thousand million billion trillion dozen score to versus vs is was would could infinity
  inf nan mul add sub alternatively otherwise instead possibly perhaps wrong incorrect false
  about approximately point power choose negative positive zero frac cdot dfrac alpha beta gamma
  theta lambda mathbb mathrm text fourth fifth fifths sixth sixths seventh sevenths
  eighth eighths ninth ninths tenth twelfth twelfths hundredth thousandth thousandths millionth
  millionths below under above root base remainder mil mill mln bln bil thou thsd grand lakh crore
  kharab bn myriad gross basis magnitude except without
"""
_PARTS = {
  'half': 2, 'halves': 2, 'third': 3, 'quarter': 4, 'fourth': 4, 'fifth': 5, 'sixth': 6,
  'seventh': 7, 'eighth': 8, 'ninth': 9, 'tenth': 10, 'twelfth': 12,
}  # fmt: skip
_TIMES_WORDS = """
  doubled double doubly trebled treble tripled triple quadrupled quadruple quintupled quintuple
  sextupled octupled halved quartered twice thrice once ten hundred thousand squared cubed fold
  increased decreased reduced raised added subtracted summed negated inverse inverted reciprocal
  opposite mega giga tera milli micro nano deca deci centi lac arab lakhs crores googol
  permille permil zeros zeroes digits
"""
_TIMES = frozenset(_TIMES_WORDS.split())
# The same in German, French, Spanish and Italian, and bases: units of any language are read. Words
# that are English units too (quart, cent) are left out.
_FOREIGN_WORDS = """
  mio mrd tsd tausend hundert dutzend viertel drittel achtel zehntel hundertstel tausendstel
  promille halb halbe halbes und oder nicht kein ohne falsch ist hoch mille mila ciento cientos
  centinaia douzaine douzaines docena docenas dozzina dozzine tiers sans faux fausse fausses sont
  tercio tercios cuarto cuartos falso falsa incorrecto incorrecta errato sbagliato mezzo terzo
  kilo ppm ppb bps hex hexadecimal octal binary reversed backwards modulo est
"""
# Ordinals of number words are fractions of the number before them. Yes: `twentieths`. No: `months`.
_ORDINALS = frozenset(
  re.sub('y$', 'ie', word) + 'th' for word in (*_SMALL, *_TENS, *SCALE) if word != 'one'
)
# Larger scales than any table has, in five languages. Yes: `quadrillion`, `Millionen`, `millones`,
# `sevenfold`. No: `pavilion`, `fold`.
_LARGE = re.compile(
  r'(?:[a-z]+illi(?:on|ard)(?:s|e|es|en)?|mill?i?[oó]n(?:es|i|e)?|mill?iard[oi]?|[a-z]+-?fold)\Z'
)
_DENIED = (
  frozenset((*_DENIED_WORDS.split(), *_SMALL, *_TENS))
  | _TIMES
  | _ORDINALS
  | frozenset(_FOREIGN_WORDS.split())
)


def value(words):
  """The whole number that a list of lower-case words spells, in English's strict order, or None."""
  total, below = 0, None
  words = ['one', *words[1:]] if words[0] == 'a' and len(words) > 1 else words
  for word in words:
    scale = SCALE.get(word, 0)
    if scale >= 1000:
      part, words = words[: words.index(word)], words[words.index(word) + 1 :]
      small = _below_thousand(part)
      # Scales fall: two thousand and one million is no number.
      if not small or (below and scale >= below):
        return None
      total, below = total + small * scale, scale
  if below and not words:
    return total
  last = _below_thousand(words[1:] if below and words[0] == 'and' else words)
  return None if last is None or (below and not last) else total + last


def _below_thousand(words):
  """The number that words below one thousand spell, or None: two hundred and twenty one."""
  if 'hundred' in words:
    at = words.index('hundred')
    count, rest = _below_hundred(words[:at]), words[at + 1 :]
    rest = rest[1:] if rest[:1] == ['and'] and len(rest) > 1 else rest
    more = _below_hundred(rest) if rest else 0
    if not count or more is None or (rest and not more):
      return None
    return 100 * count + more
  return _below_hundred(words)


def _below_hundred(words):
  """The number that one word or two spell, or None."""
  if len(words) == 2 and words[0] in _TENS and 0 < _SMALL.get(words[1], 0) < 10:
    return _TENS[words[0]] + _SMALL[words[1]]
  return _SMALL.get(words[0], _TENS.get(words[0])) if len(words) == 1 else None


def part(words):
  """(above, below) of the fraction that lower-case words spell, or None: three quarters: (3, 4)."""
  *count, name = words
  below = _PARTS.get(name) or _PARTS.get(name.removesuffix('s'))
  if 'and' in count:
    # Two and a half; above the bar is the whole's share too.
    at = words.index('and')
    whole, below_one = value(words[:at]), part(words[at + 1 :])
    return below_one and whole and (whole * below_one[1] + below_one[0], below_one[1])
  above = 1 if count == ['a'] or words == ['half'] else value(count) if count else None
  return (above, below) if below and above else None


def spelled(words):
  """(number, words after it) of the longest start of lower-case words that spells one, or None."""
  for end in range(len(words), 0, -1):
    number = value(words[:end])
    if number is not None:
      return number, words[end:]
  return None


def names(text):
  """Whether one of the words of a text spells, scales or changes a number."""
  counts = lambda word: value([word]) is not None or word in SCALE or changes(word)
  return any(map(counts, text.lower().split()))


def changes(word):
  """Whether a lower-case word after a number makes it another number, or takes it back."""
  if word in ('min', 'mins'):
    return False
  return word in _DENIED or bool(_LARGE.match(word))
