"""The last number that a text states, with all that makes it that number.

`18 thousand` is not 18, `\\frac{1}{2}` not 2 and `5 + 3` neither 5 nor 3: what belongs to a number
is read with it, and whether that is right is for the verifier of mathematics to say.
"""

import collections
import re

# Digits. Yes: `1,234`, `1,00,000`, `5 000`, `1'000.5`, `.5`, `1e3`. No: the 7 of `x7`, `1,2`.
_DIGITS = (
  r"(?:(?:\d{1,3}(?:[ \u00a0\u202f']\d{3}(?!\d))+|\d+(?:,\d{2,3}(?!\d))*)(?:\.\d+)?|\.\d+)"
  r'(?:[eE][-+]?\d+(?![\w.]))?'
)
# Yes: `\frac{1}{2}`, `\dfrac12`. No: `\frac{x}{2}`.
_FRACTION = r'\\[dt]?frac ?(?:\{ ?\d+ ?\} ?\{ ?\d+ ?\}|\d ?\d)'
# Yes: `\sqrt{2}`, `\sqrt[3]{5}`, `√2`. No: `\sqrt{x}`.
_ROOT = r'(?:\\sqrt(?:\[\d\])? ?(?:\{ ?[\d.]+ ?\}|\d)|√ ?\d+)'
_VULGAR = '[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞]'
# What makes another number of it. Yes: `^{10}`, `\pi`, `%`, ` percent`, ` thousand`, ` dozen`,
# `:30`. No: ` cm`.
_SUFFIX = (
  r'(?: ?\^ ?(?:\{[^{}]{1,9}\}|-?\w+)|:\d+| ?(?:\\?%|\\pi(?![a-z])|π|\\sqrt ?\{[^{}]{1,9}\})'
  r'| (?:percent|hundred|thousand|million|billion|trillion|dozen)s?\b)*'
)
# One number. Yes: `3 1/2`, `1½`, `3/4`, `2\frac13`, `2^{10}`, `1.5 million`. No: `1/x`.
_ONE = (
  rf'(?:{_DIGITS}(?:[ -]\d+/\d+| ?{_FRACTION}| ?{_VULGAR}| ?/ ?\d+(?:\.\d+)?)?|{_FRACTION}|{_ROOT}'
  rf'|{_VULGAR}){_SUFFIX}'
)
# A sign. Yes: `-5`, `= - 5`, `is - 5`, `negative 5`. No: that of `5 - 3`, a bullet `- 5`.
_SIGN = r'(?:\b(?:negative|minus) |(?:(?<=[=:] )|(?<=\bis ))[-\u2212] ?|[-+\u2212](?=[\d.\\√]))?'
_OPERATION = r' ?(?:[-+*/×÷·\u2212]|x|\\times|\\cdot|\\div) ?'
# Numbers with operations between, which state no number yet. Yes: `5 + 3`, `4 x 4`, `12`. No: `2x`,
# the exponent of `cm^2`, the index of `a_{1}`.
_STATED = re.compile(
  rf'(?<![\w.^])(?<![\^_]\{{)(?P<sign>{_SIGN})(?P<value>{_ONE}(?:{_OPERATION}{_ONE})*)', re.I
)
# Between digits of one number. Yes: that of `5 000`, `1'000`. No: `3 1/2`, `5 + 3`.
_GROUPS = re.compile(r"(?<=\d)[ \u00a0\u202f'](?=\d{3}(?!\d|/))")


def is_number(text):
  """Whether a text is a number and nothing else: `1,234`, `-3/4`; not `3 apples`."""
  return _STATED.fullmatch(text.strip()) is not None


def read(text):
  """The last number that a text states, as it is written, or None."""
  last = collections.deque(_STATED.finditer(text), maxlen=1)
  if not last:
    return None
  sign = '' if last[0]['sign'].strip() in ('', '+') else '-'
  return sign + _GROUPS.sub('', last[0]['value'])
