"""Whether an answer states the gold value: exact readings here, everything else with math-verify.

What counts as equal (`equal`): numbers are compared exactly; a decimal with a point and at least
five
significant digits may round or truncate a gold value that is no finite decimal; noise of binary
floating
point (1e-12, relative) is forgiven. A unit may be missing on one side, known units are converted.
`50%`
equals 0.5 and 1/2, and also a bare 50. A number asked for must be worked out: `3 + 4` does not
state 7.
"""

import functools
import re
import unicodedata

from r1jax.rewards import quantity
from r1jax.rewards.verdict import Kind, Verdict
from r1jax.rewards.workers import pool

LONGEST_ANSWER = 2000  # characters; a final answer is one expression
DEADLINE_SECONDS = 2.0
MEMORY_BYTES = 1 << 30  # address space of a comparing worker
DEEPEST_NESTING = 40

_INTEGER = re.compile(r'[+-]?\d{1,40}\Z', re.ASCII)
_SIGNS = str.maketrans(
  {
    '−': '-', '–': '-', '—': '-', '﹣': '-', '－': '-', '×': '\\times ', '·': '\\cdot ',
    '⋅': '\\cdot ', '÷': '/',
    '∕': '/', '⁄': '/', 'π': '\\pi ', '∞': '\\infty ', '≤': '\\le ', '≥': '\\ge ', '≠': '\\ne ',
    '√': '\\sqrt ',
    '∪': '\\cup ', '∩': '\\cap ', '∅': '\\emptyset ', '∈': '\\in ', '≈': '\\approx ', '±': '\\pm ',
    '％': '%',
    '“': '"', '”': '"', '‘': "'", '’': "'", '′': "'", '（': '(', '）': ')', '，': ',', '。': '.',
    '＝': '=',
    '＋': '+', '／': '/', 'θ': '\\theta ', '\u00a0': ' ', '\u2009': ' ', '\u202f': ' ',
    '\u3000': ' ',
    '½': ' 1/2', '⅓': ' 1/3', '⅔': ' 2/3', '¼': ' 1/4', '¾': ' 3/4', '⅕': ' 1/5', '⅛': ' 1/8',
    '⅜': ' 3/8',
  }
)  # fmt: skip
_RAISED = re.compile('[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+')
_RAISED_TO = str.maketrans('⁻⁰¹²³⁴⁵⁶⁷⁸⁹', '-0123456789')
_DROPPED = re.compile(
  r'(?<!\\)\\(?:left|right|bigl?|bigr?|Bigl?|Bigr?|displaystyle|limits)(?![A-Za-z])'
  r'|(?<!\\)\\(?:text)?color ?\{[a-z]+\}|(?<!\\)\\!'
)
_SPACED = re.compile(r'(?<!\\)\\(?:[ ;:]|,(?!\d{3})|q?quad(?![A-Za-z]))|~|\s+')
_WRAPPED = re.compile(
  r'\\(?:text|mathrm|textbf|mathbf|textit|operatorname|mbox|textnormal|underline|rm)\s*\{([^{}\\]*)\}'
)
_PLAINER = (('\\%', '%'), ('\\$', '$'), ('\\langle', '('), ('\\rangle', ')'), ('{}', ''),
  ('\\colon', ':'), ('\\geqslant', '\\ge '), ('\\leqslant', '\\le '),
  ('\\lvert', '|'), ('\\rvert', '|'))  # fmt: skip
_FRAC = re.compile(r'\\[dtc]frac(?![a-z])')
_SAYS = re.compile(
  r'\*{0,2}(?:so |thus |therefore,? |hence )?(?:it is |there are |(?:the |my )?'
  r'(?:final |correct )?(?:answer|result|value|solution)(?: is| =|:)+:?\*{0,2} )'
  r'|(?:所以|因此)?,? ?答案(?:是|为)[:：]? ?',
  re.I,
)
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
_NAMED = re.compile(
  r'(?:[A-Za-z]|\\[a-z]+|[A-Za-z]_\{?\w+\}?|[A-Za-z]\([A-Za-z0-9]+\)'
  r"|[A-Za-z][A-Za-z' ]{2,30}) ?(?:=|\\approx) ?(?=\S)"
)
_WORK = re.compile(r'(?<=[\w)}%!]) ?(?:[+*/÷]|-|\\(?:times|cdot|div)(?![a-z])) ?')
_SCIENTIFIC = re.compile(r' ?(?:\*|\\times|\\cdot) ?10 ?(?:\^|\*\*) ?')
_CALCULATION = re.compile(r'[\d\s+*/().,=$-]+\Z')
_HOLLOW = frozenset(('nan', 'none', 'null', '?', '...', '\\ldots', '\\dots'))
_WORD = re.compile(r'(?=[b-z]*[aeiou])[a-z]{3,}|[^\x00-\x7f]', re.I)  # xyz is a product
_FORMULA = re.compile(r'[\\^=+*{}<>_|]')
_CLOCK = re.compile(r'\d:\d\d *[ap]\.?m', re.I)
_HALF_DAY = re.compile(r'(\d) *([ap])\.? ?m\b\.?')
_FUNCTIONS_WORDS = """
  sin cos tan log exp sqrt arcsin arccos arctan pmod frac mod
"""
_FUNCTIONS = frozenset(_FUNCTIONS_WORDS.split())


def equal(gold, answer):
  """Whether `answer` (str, a model's final answer) states the value of `gold` (str); never raises.

  Returns a Verdict: CORRECT 1; WRONG 0; UNPARSEABLE 0 (nothing comparable in the answer); TIMEOUT
  0 (the
  comparison took over DEADLINE_SECONDS or MEMORY_BYTES and its process was killed);
  VERIFIER_ERROR when
  the gold answer itself makes no sense or the comparing process failed twice.
  """
  verdict = quick(gold, answer)
  return verdict if verdict is not None else _own_pool().compare(gold, answer, DEADLINE_SECONDS)


def quick(gold, answer):
  """The verdict when exact reading decides (microseconds, no process), otherwise None."""
  one, other = gold.strip(), answer.strip()
  if _INTEGER.match(one) and _INTEGER.match(other):
    return _judged(int(one) == int(other))
  if not one:
    return Verdict(0.0, Kind.VERIFIER_ERROR, 'the gold answer is empty')
  if len(one) > LONGEST_ANSWER:
    return Verdict(0.0, Kind.VERIFIER_ERROR, f'the gold answer has {len(one)} characters')
  refused = _refusal(other)
  if refused:
    return Verdict(0.0, Kind.UNPARSEABLE, refused)
  return _quick_cleaned(clean(one), clean(other))


def clean(text):
  """`text` without delimiters, prose before the value, spacing commands and Unicode look-alikes."""
  if not text.isascii():
    text = _RAISED.sub(lambda m: '^{' + m.group().translate(_RAISED_TO) + '}', text).translate(
      _SIGNS
    )
  text = _SPACED.sub(' ', _DROPPED.sub('', text)).strip()
  for latex, plain in _PLAINER:
    text = text.replace(latex, plain)
  text = _FRAC.sub(r'\\frac', text)
  for _ in range(4):
    before = text
    text = _unwrapped(_WRAPPED.sub(r'\1', text).strip())
    if text == before:
      break
  return text.removeprefix('\\approx').removeprefix('= ').lstrip()


def worked_out(text):
  """Whether cleaned `text` is a value, not a calculation still to be done (`3 + 4`, `9 \\times
  2`).
  """
  return not _WORK.search(
    _SCIENTIFIC.sub('e', re.sub(r'\^ ?\{ ?-|\^ ?-', '^', text.replace('**', '^')))
  )


def is_words(text):
  """Whether cleaned `text` is a word or a sentence, not a formula."""
  if _FORMULA.search(text):
    return False
  if _CLOCK.search(text):
    return True
  words = _WORD.findall(text)
  return bool(words) and not any(w.lower() in _FUNCTIONS for w in words)


def unnamed(text):
  """Cleaned `text` without a leading `x =`."""
  named = _NAMED.match(text)
  return text[named.end() :] if named and text.count('=') <= 1 else text


def _quick_cleaned(gold, answer):
  if not answer:
    return Verdict(0.0, Kind.UNPARSEABLE, 'empty answer')
  gold_value = quantity.read(gold)
  if gold_value is not None:
    return _against_number(gold_value, answer)
  if gold == answer:
    return _judged(True)
  if is_words(gold):
    return _judged(plain_words(gold) == plain_words(answer))
  return None


def _against_number(gold, answer):
  stated = unnamed(answer)
  value = quantity.read(stated)
  if value is not None:
    return _judged(quantity.same(gold, value))
  if '=' in stated:
    return _chain(gold, stated)
  if is_words(stated):
    return Verdict(0.0, Kind.UNPARSEABLE, 'words where a number is asked')
  if _CALCULATION.match(stated) and not worked_out(stated):
    return Verdict(0.0, Kind.WRONG, 'a calculation, not its result')
  return None


def _chain(gold, text):
  # `9 * 2 = 18`: the last member is the answer, the ones before must not contradict it.
  *before, last = (part.strip() for part in text.split('='))
  value = quantity.read(last)
  if value is None:
    return None
  if not quantity.same(gold, value):
    return _judged(False)
  return (
    None
    if any(quantity.read(part) is None for part in before)
    else _judged(all(quantity.same(gold, quantity.read(part)) for part in before))
  )


def plain_words(text):
  """`text` for comparing words: case, punctuation at the ends and repeated spaces dropped."""
  text = _HALF_DAY.sub(r'\1 \2m', text.casefold())
  return ' '.join(text.split()).strip(' .,;:!()[]"\'*')


def _refusal(answer):
  if not answer:
    return 'empty answer'
  if len(answer) > LONGEST_ANSWER:
    return f'an answer of {len(answer)} characters; at most {LONGEST_ANSWER} are read'
  if answer.lower().strip('$ .') in _HOLLOW:
    return f'{answer!r} is no value'
  if not answer.isascii():
    for sign in answer:
      if sign > '\x7f' and unicodedata.category(sign) in ('Nd', 'Cc', 'Cf', 'Cs', 'Co'):
        return f'unreadable character U+{ord(sign):04X}'
  deepest = depth = 0
  for sign in answer:
    depth += (sign in '([{') - (sign in ')]}')
    deepest = max(deepest, depth)
  return f'brackets nested {deepest} deep' if deepest > DEEPEST_NESTING else ''


def _unwrapped(text):
  text = _SAID.sub('', _SAYS.sub('', text, count=1) if _SAYS.match(text) else text)
  for left, right in _PAIRS:
    inner = text[len(left) : -len(right)]
    whole = text.startswith(left) and text.endswith(right) and len(text) > len(left + right)
    if whole and left not in inner and right not in inner:
      text = inner.strip()
  boxed = re.match(r'\\f?boxed ?\{', text)
  if boxed and text.endswith('}') and _closes(text, boxed.end()) == len(text):
    text = text[boxed.end() : -1].strip()
  return text[:-1].rstrip() if text.endswith(('.', ',', ';')) and not text.endswith('..') else text


def _closes(text, at):
  depth = 1
  while at < len(text) and depth:
    depth += (text[at] == '{') - (text[at] == '}')
    at += 1
  return at


def _judged(same):
  return Verdict(1.0, Kind.CORRECT) if same else Verdict(0.0, Kind.WRONG)


@functools.cache
def _own_pool():
  return pool.Pool(workers=1, memory_bytes=MEMORY_BYTES)
