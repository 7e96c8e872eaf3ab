"""The last number that a text states, with all that makes it that number.

`18 thousand` is not 18, `\\frac{1}{2}` not 2 and `5 + 3` neither 5 nor 3: what belongs to a number
is read with it, and whether that is right is for the verifier of mathematics to say.
"""

import collections
import re

# Between groups of digits, and a plain space before thousands alone. Yes: `\,`, `{,}`, the space of
# `5 000`. No: that of `100 200`.
_GROUP = r"(?:[\u00a0\u2009\u202f']|\{,\}|,?\\[!, ]| (?=(?:\d{3} )*000(?!\d)))"
# Digits. Yes: `1,234`, `1,00,000`, `5 000`, `1'000.5`, `.5`, `1e3`. No: the 7 of `x7`, `1,2`.
_DIGITS = (
  rf'(?:(?:\d{{1,3}}(?:{_GROUP}\d{{3}}(?!\d))+|\d+(?:,\d{{2,3}}(?!\d))*)(?:\.\d+)?|\.\d+)'
  r'(?:e[-+]?\d+(?![\w.]))?'
)
# Yes: `\frac{1}{2}`, `\dfrac12`. No: `\frac{x}{2}`.
_FRACTION = r'\\[dt]?frac ?(?:\{ ?\d+ ?\} ?\{ ?\d+ ?\}|\d ?\d)'
# Yes: `\sqrt{2}`, `\sqrt[3]{5}`, `√2`. No: `\sqrt{x}`.
_ROOT = r'(?:\\sqrt(?:\[\d\])? ?(?:\{ ?[\d.]+ ?\}|\d)|√ ?\d+)'
_VULGAR = '[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞]'
# What makes another number of it. Yes: `^{10}`, `\pi`, `%`, `k`, ` percent`, ` thousand`, ` dozen`,
# ` quintillion`, ` quarters`, `:30`. No: ` cm`, `^{th}`, `!`.
_SUFFIX = (
  r'(?: ?\^ ?(?!\{?(?:\\text\{ ?)?(?:st|nd|rd|th)\b)(?:\{[^{}]{1,9}\}|-?\w+)|[²³]|:\d+|k(?![a-z])'
  r'| ?(?:\\?%|‰|\\pi(?![a-z])|π|\\sqrt ?\{[^{}]{1,9}\})'
  r'| (?:percent|hundred|thousand|(?:[mb]|tr|quadr|quint|sext|sept|oct|non|dec)illion|dozen|lakh'
  r'|crore|quarter|half|third|fourth|fifth|tenth|hundredth|thousandth)s?\b| halves\b)*'
)
# One number. Yes: `3 1/2`, `1½`, `2\frac13`, `2^{10}`, `1.5 million`. No: `1/x`.
_ONE = (
  rf'(?:{_DIGITS}(?: \d+/\d+| ?{_FRACTION}| ?{_VULGAR})?|{_FRACTION}|{_ROOT}|{_VULGAR}){_SUFFIX}'
)
# A sign. Yes: `-5`, `-$5`, `= - 5`, `is - 5`, `negative 5`. No: that of `5 - 3`, a bullet `- 5`.
_SIGN = (
  r'(?:(?<![\w-])(?:negative|minus) |(?:(?<=[=:] )|(?<=\bis ))[-\u2212] ?'
  r'|[-+\u2212](?=\\?\$?[\d.\\√]))?'
)
_DOLLAR = r'(?:\\?\$ ?)?'
_OPERATION = (
  r' ?(?:\*\*|[-+*/×÷·\u2212\u2013]|x|\\times|\\cdot|\\div|plus|minus|times|divided by) ?'
)
_BEFORE = r'(?<![\w.^])(?<!sqrt\()(?<![\^_]\{)(?<![\^_]\{-)(?<!\^-)'
# Numbers with operations between, which state no number yet. Yes: `5 + 3`, `4 x 4`, `3/4`, `12`.
# No: `2x`, the exponent of `cm^2`, the index of `a_{1}`, what `sqrt(9)` is of.
_STATED = re.compile(
  rf'{_BEFORE}(?P<sign>{_SIGN}){_DOLLAR}(?P<value>{_ONE}(?:{_OPERATION}{_DOLLAR}{_ONE})*)',
  # Letters of other scripts may stand next to a number.
  re.I | re.A,
)
# A number, of two at most one behind the bar. Yes: `-3/4`, `$1,234.5`. No: `x`, a lone `-`.
_NUMBER = re.compile(rf'{_SIGN}{_DOLLAR}{_ONE}(?: ?/ ?\d+)?', re.I | re.A)
# What groups digits but a comma. Yes: `{,}` of `1{,}234`, ` ` of `5 000`. No: ` ` of `1 234`.
_BETWEEN = re.compile(rf'(?<=\d){_GROUP}(?=\d{{3}}(?!\d|/))')


def is_number(text):
  """Whether a text is a number and nothing else: `1,234`, `-3/4`; not `3 apples`, `5 + 3`."""
  return _NUMBER.fullmatch(text.strip()) is not None


def read(text):
  """The last number that a text states, as it is written, or None."""
  last = collections.deque(_STATED.finditer(text), maxlen=1)
  if not last:
    return None
  sign = '' if last[0]['sign'].strip() in ('', '+') else '-'
  return sign + _BETWEEN.sub('', last[0]['value'])
