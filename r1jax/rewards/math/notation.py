"""How people and models write mathematics: brought to one plain notation, and told from words."""

import itertools
import re
import unicodedata

from r1jax.rewards import accuracy

DEEPEST_NESTING = 40

_SIGNS = str.maketrans(
  {
    '−': '-', '–': '-', '—': '-', '﹣': '-', '－': '-', '×': '\\times ', '·': '\\cdot ',
    '⋅': '\\cdot ', '÷': '/',
    '∕': '/', '⁄': '/', 'π': '\\pi ', '∞': '\\infty ', '≤': '\\le ', '≥': '\\ge ', '≠': '\\ne ',
    '√': '\\sqrt ',
    '∪': '\\cup ', '∩': '\\cap ', '∅': '\\emptyset ', '∈': '\\in ', '≈': '\\approx ', '±': '\\pm ',
    '％': '%',
    '、': ',',
    '“': '"', '”': '"', '‘': "'", '’': "'", '′': "'", '（': '(', '）': ')', '，': ',', '。': '.',
    '＝': '=',
    '＋': '+', '／': '/', 'θ': '\\theta ',
    'ℝ': '\\mathbb{R}', '⇒': '\\Rightarrow ', '⟹': '\\implies ', '∴': '\\therefore ',
    '\u00a0': ' ', '\u2009': ' ', '\u202f': ' ',
    '\u3000': ' ',
    '½': ' 1/2', '⅓': ' 1/3', '⅔': ' 2/3', '¼': ' 1/4', '¾': ' 3/4', '⅕': ' 1/5', '⅛': ' 1/8',
    '⅜': ' 3/8',
  }
)  # fmt: skip
# Exponents in raised digits. Yes: `⁻²` of `x⁻²`. No: `2`.
_RAISED = re.compile('[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+')
_RAISED_TO = str.maketrans('⁻⁰¹²³⁴⁵⁶⁷⁸⁹', '-0123456789')
# Indices in lowered digits. Yes: `₂` of `H₂O`. No: `2`.
_LOWERED = re.compile('[₀₁₂₃₄₅₆₇₈₉]+')
_LOWERED_TO = str.maketrans('₀₁₂₃₄₅₆₇₈₉', '0123456789')
# Letters and signs as wide as Chinese ones, but the dollar's; such digits are refused.
_WIDE = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F) if wide != 0xFF04}
# What changes looks only. Yes: `\left`, `\color{red}`, `\!`. No: `\leftarrow`, `\\left`.
_DROPPED = re.compile(
  r'(?<!\\)\\(?:left|right|bigl?|bigr?|Bigl?|Bigr?|displaystyle|limits)(?![A-Za-z])'
  r'|(?<!\\)\\(?:text)?color ?\{[a-z]+\}|(?<!\\)\\!'
)
# A comma that groups digits. Yes: `,\! ` of `11,\! 111`. No: `,\! ` of `1,\! 2`.
_GROUPED = re.compile(r',\\!\s*(?=\d{3}(?!\d))')
# Spacing. Yes: `\;`, `\quad`, also of `\quadx_{2}`, `~`, `\,` of `5\,cm`. No: `\,` of `1\,234`,
# which groups digits.
_SPACED = re.compile(r'(?<!\\)\\(?:[ ;:]|,(?!\d{3})|q?quad(?![A-Za-z](?!_)))|~|\s+')
# A change of font around plain text. Yes: `\text{cm}`, `\mathrm{m s^{-1}}`. No: `\text{a\%}`.
_WRAPPED = re.compile(
  r'\\(?:text|mathrm|textbf|mathbf|textit|operatorname|mbox|textnormal|underline|rm)\s*'
  r'\{([^{}\\]*(?:(?:\^\{-?\d\}|\\cdot(?![a-z]))[^{}\\]*)*)\}'
)
_PLAINER = (
  ('\\%', '%'),
  ('\\lor ', ' or '),
  ('\\vee ', ' or '),
  ('\\land ', ' and '),
  ('\\langle', '('),
  ('\\rangle', ')'),
  ('{}', ''),
  ('\\colon', ':'),
  ('\\bigcup', '\\cup '),
  ('\\bigcap', '\\cap '),
  ('\\lbrace', '\\{'),
  ('\\rbrace', '\\}'),
  ('{:}', ':'),
  ('\\ldots', '\\dots'),
  ('\\geqslant', '\\ge '),
  ('\\leqslant', '\\le '),
  ('\\lvert', '|'),
  ('\\rvert', '|'),
)
# Yes: `\dfrac`. No: `\frac`, `\dfracs`.
_FRAC = re.compile(r'\\[dtc]frac(?![a-z])')
# Numbers in braces with a stroke. Yes: `{1}/{2}`. No: `{x}/{2}`.
_BRACED = re.compile(r'(?<![\w}])\{(-?\d{1,40})\} ?/ ?\{(\d{1,40})\}')
# A dot, or two, over digits that repeat. Yes: `\dot{3}`, `\dot{1}4285\dot7`. No: `\dot{x}`.
_DOTTED = re.compile(r'\\dot ?\{?(\d)\}?(?:(\d{0,20})\\dot ?\{?(\d)\}?)?')
# Yes: `\textcircled{2}`, which is ②. No: `\textcircled{a}`.
_CIRCLED = re.compile(r'\\textcircled ?\{? ?(?:\\small ?\{? ?)?([1-9]|1\d|20) ?\}{0,2}')
# Digits in brackets with their base. Yes: `(4343)_6`. No: `(a, b)_6`.
_DIGITS_OF_BASE = re.compile(r'\(([\dA-F]{1,40})\) ?_(?= ?\{?\d)')
# An interval with its open ends turned outwards. Yes: `]0, 1[`, `[0;1[`. No: `[0, 1]`.
_OUTWARD = re.compile(r'([\[\]])([^\[\](),;]+)[,;]([^\[\](),;]+)([\[\]])')
# Numbers that a fraction is made of. Yes: `\frac 3 4`, `\frac{3} 4`, `\frac3{4}`. No: `\frac3x`.
_FRAC_OF = re.compile(r'\\frac ?(?:\{ ?(-?\d+) ?\}|(\d)) ?(?:\{ ?(-?\d+) ?\}|(\d))')
# Yes: `{3 \over 4}`. No: `\overline{3}`.
_OVER = re.compile(r'\{([^{}]*)\\over(?![a-z])([^{}]*)\}')
# A dollar sign that is money keeps apart from one that opens a formula until both are read.
_MONEY = '\uff04'
# Words and signs for "about", before a decimal. Yes: `, or about ` of `\sqrt{2}, or about 1.41`;
# `\sim ` of `\sim 7.2`. No: `about` of `about half`; `A \sim B`.
_ROUGHLY = re.compile(
  r'(?:,? ?\b(?:or|which is|i\.e\.,?|that is,?) |, )?(?:\\approx ?)?(?<![A-Za-z\\])'
  r'(?:approximately|approx\.?|about|roughly|around)(?: equal to)? ?(?=[-+$]?[\d.])'
  r'|\\(?:sim|simeq|cong|doteq)(?![a-z]) ?(?=-?[\d.])',
  re.I,
)
# Yes: `a  b`. No: `a b`.
_REPEATED = re.compile(r'  +')
# Yes: `\cdot` at the end. No: `cdot`.
_COMMAND = re.compile(r'\\[A-Za-z]+\Z')
# A unit at the end. Yes: ` m^2`, ` cm`. No: `2m`.
_UNIT = re.compile(r' [A-Za-z]+(?:\^\{?[23]\}?)?\Z')
# Yes: `(\approx 7.21)` at the end. No: `(\approx 7.21) + 1`.
_ROUGHLY_ASIDE = re.compile(r',? ?\( ?(\\approx [^()]*)\)\Z')
# Yes: `exactly ` of `exactly 18`, `a total of `. No: `not exactly 18`.
_EXACTLY = re.compile(
  r'\A(?:(?:exactly|precisely|a total of|in total,?|altogether,?) (?=\S)|(?:一?共有?|总共)(?=\d))',
  re.I,
)
# Prose around the value. Yes: `So the answer is `; ` is the answer`. No: `is 5`; ` is an answer`.
_SAYS = re.compile(
  r'\*{0,2}(?:so |thus |therefore,? |hence )?(?:it is |there are |(?:the |my )?'
  r'(?:final |correct )?(?:answer|result|value|solution)(?: is| =|:)+:?\*{0,2} )'
  r'|(?:所以|因此)?,? ?(?:正确)?答案(?:(?:是|为)[:：]?|[:：]) ?|答[:：] ?',
  re.I,
)
# A sentence that ends in its only formula: that. Yes: `The matrix is $A$.`, `Thus $x < 3$ is our
# answer`, `Answer \[ 9 \]`. No: `Let $n$ be $5$`; `It is not that $5$`, for its word.
_TOLD = re.compile(
  r"\A\s*((?:[A-Za-z][A-Za-z,' ]{0,80}?)?)(?:\b(?:is|are|that|answer|therefore|thus|hence|so),?|:)"
  r'\s*'
  r'(?:\$\$?|\\\(|\\\[)\s*((?:(?!\$|\\[()\[\]]).)+?)\s*(?:\$\$?|\\\)|\\\])'
  r'(?: is (?:the|my|our) (?:solution|answer))?[\s.]*\Z',
  re.I | re.S,
)
# Words that take a sentence's formula back. Yes: `It is not`, `twice`, `isn't`. No: `Note`.
_DENIED = re.compile(
  r"\b(?:not?|never|n?or|neither|cannot|twice|half|double|wrong|incorrect|than|but)\b|n't", re.I
)
# A command whose backslash was escaped twice. Yes: `\\frac`. No: `\\x`, a new line before x.
_DOUBLED = re.compile(
  r'\\\\(?=(?:[dt]?frac|left|right|sqrt|pi|leq?|geq?|text|cdot|times|infty|cup|cap|in|pm|circ'
  r'|binom'
  r'|boxed|mathbb|quad|theta|alpha|beta|overline|angle|ln|log|sin|cos|tan)(?![A-Za-z]))'
)
# Yes: ` is the answer.`, ` is my final result`. No: ` is an answer`, ` is the answer to 2`.
_SAID = re.compile(
  r' is (?:the|my) (?:final |correct )?(?:answer|result|value|solution)\.?\Z', re.I
)
_PAIRS = (
  ('***', '***'),
  ('$$', '$$'),
  ('$', '$'),
  ('\\(', '\\)'),
  ('\\[', '\\]'),
  ('**', '**'),
  ('`', '`'),
  ('"', '"'),
)
# Bold or slanted print. Yes: `**18**`, `*18*`, `**Answer: 18**`. No: `x**2 + y**2`, `2*3*4`.
_EMPHASIS = re.compile(r'(?<![\w)}*])(\*{1,3})(?=[^\s*])([^*]+?)(?<=[^\s*])\1(?![\w({*])')
# A formula in a text. Yes: `$5$` of `$5$ apples`, `\(5\)`. No: `$5 and $` of `$5 and $7`.
_INLINE = re.compile(
  r'(?<![\\$\d])\$(?![\s$])([^$]*?[^$\s\\])\$(?![$\d])|\\\(((?:(?!\\\().)+?)\\\)', re.S
)
# A box around the whole. Yes: `\boxed{` of `\boxed{5}`, `\fbox{`. No: `boxed{5}`.
_BOXED = re.compile(r'\\f?box(?:ed)? ?\{')
# A box in a text. Yes: `\boxed{5}` of `x = \boxed{5}`. No: `\boxed{\frac{\sqrt{2}}{2}}`.
_BOX = re.compile(r'\\f?box(?:ed)? ?\{((?:[^{}]|\{[^{}]*\})*)\}')
# What the value is called. Yes: `x = ` of `x = 5`, `f(3)=`, `total cost = `, `Total: `.
# No: `3 = `, `AB : `.
_NAMED = re.compile(
  r'(?:(?:[A-Za-z]|\\[a-z]+|[A-Za-z]_\{?\w+\}?|[A-Za-z]\([A-Za-z0-9]+\)'
  r"|[A-Za-z][A-Za-z' ]{2,30}) ?(?:=|\\approx)|[A-Za-z][A-Za-z' ]{2,30}(?<=[a-z]{3}):) ?(?=\S)"
)
# Yes: `x \in ` of `x \in \{5\}`. No: `x \int`.
_MEMBER = re.compile(r'\A[A-Za-z] ?\\in(?![a-z]) ?')
# What a value in brackets does not hold, but a fraction. Yes: `(`, `,`, `{`. No: `\frac{3}{4}`.
_BRACKET = re.compile(r'[(),]|(?<!\\frac)(?<!\d\})\{')
# Spaces but those between two numbers. Yes: ` ` of `x + 1`. No: ` ` of `4 2`.
_TIGHT = re.compile(r'(?<![\d.]) +| +(?![\d.])')
# Between items. Yes: `and` of `7 and 9`. No: `sand`.
_JOINS = re.compile(r'(?<![A-Za-z])(?:and|or)(?![A-Za-z])', re.I)
# Between listed words. Yes: `, `, `, and `, ` and `. No: ` or `.
_LISTED = re.compile(r',?\s+and\s+|,')
# A listed word, in small letters. Yes: `blue`, `iii`, `①`. No: `x`, `2`, `not blue`.
_ITEM = re.compile(r'[^\W\d_]{2,}\Z|[ivx]+\Z|[\u2460-\u2473]\Z')
# Operations. Yes: `+` of `3 + 4`, `\cdot` of `2 \cdot 3`. No: the sign of `-3`.
_WORK = re.compile(r'(?<=[\w)}%!]) ?(?:[+*/÷]|-|\\(?:times|cdot|div)(?![a-z])) ?')
# Yes: `^{-` of `10^{-3}`, `^-`. No: `^{3}`, `-`.
_NEGATIVE_POWER = re.compile(r'\^ ?\{ ?-|\^ ?-')
# Scientific notation, a literal. Yes: `\times 10^` of `3\times 10^{5}`. No: `\times 100^`.
_SCIENTIFIC = re.compile(r' ?(?:\*|\\times|\\cdot) ?10 ?(?:\^|\*\*) ?')
_HOLLOW = frozenset(('nan', 'none', 'null', '?', '...', '\\ldots', '\\dots'))
# Words. Yes: `north`, `三`. No: `xyz`, a product; `42`.
_WORD = re.compile(r'(?=[b-z]*[aeiou])[a-z]{3,}|[^\x00-\x7f]', re.I)
# What no prose holds. Yes: `x^2`, `a = b`. No: `three cats`.
_FORMULA = re.compile(r'[\\^=+*{}<>_|]')
# A time of day. Yes: `12:30 PM`. No: `12:30`.
_CLOCK = re.compile(r'\d:\d\d *[ap]\.?m', re.I)
# Yes: `5 p.m.`, `5pm`. No: `5 pmx`, `pm`.
_HALF_DAY = re.compile(r'(\d) *([ap])\.? ?m\b\.?')
# Yes: `an ` of `an ellipse`. No: `a` alone, `an` of `angle`.
_ARTICLE = re.compile(r'\A(?:an?|the) (?=\w)')
_FUNCTIONS_WORDS = """
  sin cos tan log exp sqrt arcsin arccos arctan pmod frac mod
"""
_FUNCTIONS = frozenset(_FUNCTIONS_WORDS.split())


def clean(text):
  """`text` without delimiters, prose before the value, spacing commands and Unicode look-alikes."""
  told = _TOLD.match(text)
  if told and not _DENIED.search(told[1]):
    text = told[2]
  if '\\begin' not in text:
    text = _DOUBLED.sub(r'\\', text)
  if not text.isascii():
    # A letter with its accent is one sign, however it was typed.
    text = unicodedata.normalize('NFC', text).translate(_WIDE)
    text = _LOWERED.sub(lambda m: '_{' + m.group().translate(_LOWERED_TO) + '}', text)
    text = _RAISED.sub(lambda m: '^{' + m.group().translate(_RAISED_TO) + '}', text)
    text = text.translate(_SIGNS)
  text = _GROUPED.sub(',', text).replace('\\$', _MONEY)
  text = _SPACED.sub(' ', _DROPPED.sub('', text)).rstrip(' \\').lstrip()
  for latex, plain in _PLAINER:
    text = text.replace(latex, plain)
  text = _OVER.sub(r'\\frac{\1}{\2}', _FRAC.sub(r'\\frac', text))
  text = _FRAC_OF.sub(lambda m: f'\\frac{{{m[1] or m[2]}}}{{{m[3] or m[4]}}}', text)
  text = _DIGITS_OF_BASE.sub(r'\1_', _BRACED.sub(r'\1/\2', text))
  text = _CIRCLED.sub(lambda m: chr(0x245F + int(m[1])), text)
  barred = lambda m: '\\overline{' + ''.join(filter(None, m.groups())) + '}'
  text = _DOTTED.sub(barred, text)
  # Of two boxes the digits must not become one number.
  if text.count('box') == 1:
    text = _BOX.sub(r' \1 ', text).strip()
  # Wrappers stand in wrappers; nobody means more than four, and each round is linear.
  for _ in range(4):
    before = text
    text = _unwrapped(_undelimited(_WRAPPED.sub(_inner, text).strip()))
    if text == before:
      break
  text = _REPEATED.sub(' ', _EXACTLY.sub('', text).replace(_MONEY, '$'))
  text = _ROUGHLY_ASIDE.sub(r' \1', _ROUGHLY.sub(' \\\\approx ', text).strip())
  return _inward(text.removeprefix('\\approx').removeprefix('= ').lstrip())


def _inward(text):
  """`text` with intervals such as `]0, 1[` in round brackets."""
  if '[' not in text and ']' not in text:
    return text
  depths = list(itertools.accumulate((sign in '([') - (sign in ')]') for sign in text))
  if min(depths) >= 0 and depths[-1] == 0:
    return text
  turned = lambda m: f'{"[("[m[1] == "]"]}{m[2]},{m[3]}{"])"[m[4] == "["]}'
  return _OUTWARD.sub(turned, text)


def worked_out(text):
  """Whether cleaned `text` is a value, not work still to be done such as `3 + 4`, `9 \\times 2`."""
  literal = _NEGATIVE_POWER.sub('^', text.replace('**', '^'))
  return not _WORK.search(_SCIENTIFIC.sub('e', literal))


def is_words(text):
  """Whether cleaned `text` is a word or a sentence, not a formula."""
  if _FORMULA.search(text):
    return False
  if _CLOCK.search(text):
    return True
  words = _WORD.findall(_JOINS.sub(' ', text))
  return bool(words) and not any(w.lower() in _FUNCTIONS for w in words)


def named_alike(one, other):
  """Whether two cleaned texts list the same words or signs in any order: `red, blue`."""
  lists = [
    sorted(map(plain_words, filter(str.strip, _LISTED.split(text)))) for text in (one, other)
  ]
  one, other = lists
  return one == other and len(one) > 1 and all(map(_ITEM.match, one))


def plain_words(text):
  """`text` for comparing words: case, punctuation at the ends and repeated spaces dropped."""
  text = _HALF_DAY.sub(r'\1 \2m', text.casefold())
  return _ARTICLE.sub('', ' '.join(text.split()).strip(' .,;:!()[]"\'*'))


def unnamed(text):
  """Cleaned `text` without a leading `x =`."""
  named = _NAMED.match(text)
  return text[named.end() :] if named and text.count('=') <= 1 else text


def tight(text):
  """Cleaned `text` without the spaces that say nothing."""
  return _TIGHT.sub('', text)


def bare(text):
  """Cleaned `text` without a leading `x =` or `x \\in`, and brackets around one value."""
  text = _MEMBER.sub('', unnamed(text), count=1)
  for left, right in (('\\{', '\\}'), ('{', '}'), ('(', ')')):
    inner = text[len(left) : -len(right)]
    if text.startswith(left) and text.endswith(right) and not _BRACKET.search(inner):
      text = inner.strip()
  return text


def approximated(text):
  """(value, decimal) of cleaned `2\\sqrt{13} \\approx 7.21`; (text, '') where none is added.

  `x \\approx 7.21` gives the value itself: it has no other.
  """
  exact, sign, rounded = text.rpartition('\\approx')
  exact, rounded = exact.strip(), rounded.strip()
  named = _NAMED.match(f'{exact} = 0')
  if not sign or not exact or '\\approx' in exact or named and named.end() == len(exact) + 3:
    return text, ''
  unit = _UNIT.search(exact)
  # `25\pi m^2 \approx 78.54 m^2`: a unit that both have is none of the formula.
  if unit and rounded.endswith(unit.group()):
    exact = exact[: unit.start()]
  return exact, rounded


def refusal(answer):
  """Why a stripped answer is not even read; '' where it is."""
  if not answer:
    return 'empty answer'
  if len(answer) > accuracy.LONGEST_ANSWER:
    return f'an answer of {len(answer)} characters; at most {accuracy.LONGEST_ANSWER} are read'
  if answer.lower().strip('$ .') in _HOLLOW:
    return f'{answer!r} is no value'
  # Digits of other scripts and invisible signs: what a reader sees is not what would be compared.
  if not answer.isascii():
    for sign in answer:
      if sign > '\x7f' and unicodedata.category(sign) in ('Nd', 'Cc', 'Cf', 'Cs', 'Co'):
        return f'unreadable character U+{ord(sign):04X}'
  deepest = depth = 0
  for sign in answer:
    depth += (sign in '([{') - (sign in ')]}')
    deepest = max(deepest, depth)
  return f'brackets nested {deepest} deep' if deepest > DEEPEST_NESTING else ''


def _undelimited(text):
  """`text` without the signs around each of its formulas; a space keeps their digits apart."""
  if '$' not in text and '\\(' not in text:
    return text
  return _REPEATED.sub(' ', _INLINE.sub(lambda m: f' {m[1] or m[2]} ', text)).strip()


def _inner(font):
  """What a change of font holds; apart from a command before it, of which it is no letter."""
  before = font.string[max(0, font.start() - 20) : font.start()]
  return f' {font[1]}' if _COMMAND.search(before) else font[1]


def _unwrapped(text):
  """`text` without the outermost prose, delimiters, box and final stop.

  `0.333...` keeps its points.
  """
  if '*' in text:
    text = _EMPHASIS.sub(r'\2', text)
  text = _SAYS.sub('', text, count=1) if _SAYS.match(text) else text
  text = _SAID.sub('', text)
  for left, right in _PAIRS:
    inner = text[len(left) : -len(right)]
    whole = text.startswith(left) and text.endswith(right) and len(text) > len(left + right)
    if whole and left not in inner and right not in inner:
      text = inner.strip()
  boxed = _BOXED.match(text)
  if boxed and text.endswith('}') and _closes(text, boxed.end()) == len(text):
    text = text[boxed.end() : -1].strip()
  stopped = text.endswith(('.', ',', ';')) and not text.endswith('..')
  return text[:-1].rstrip() if stopped else text


def _closes(text, at):
  """Where the brace that is open at `at` has closed: the place after it."""
  depth = 1
  while at < len(text) and depth:
    depth += (text[at] == '{') - (text[at] == '}')
    at += 1
  return at
