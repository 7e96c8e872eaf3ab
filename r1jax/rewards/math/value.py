"""Mathematics: whether an answer states the gold value. Exact readings here, the rest by SymPy.

What counts as equal (`equal`): numbers are compared exactly; a decimal with a point and at least
five significant digits may round or truncate a gold value that is no finite decimal; a decimal of
15 digits and more may be off by the noise of binary floating point (1e-14, relative). A unit may be
missing on one side, known units are converted. `50%` equals 0.5 and 1/2, and also a bare 50. A
number asked for must be worked out: `3 + 4` does not state 7.
"""

import dataclasses
import math
import re
import unicodedata

from r1jax.data import template
from r1jax.rewards import accuracy
from r1jax.rewards.math import labels, notation, number_words, quantity
from r1jax.rewards.verdict import Gold, Kind, Task, Verdict, judged
from r1jax.rewards.workers import pool

DEADLINE_SECONDS = 2.0

# A number longer than what is read as one formula. Yes: 501 digits. No: 500.
_ENDLESS_NUMBER = re.compile(r'\d{501}', re.ASCII)
# Braces of LaTeX, not those of a set. Yes: `{` of `\frac{1}`. No: the `\{` of `\{1\}`.
_BRACE = re.compile(r'(?<!\\)[{}]')

# What Python compares as it stands. Yes: `-12`. No: `1,234`, `12.0`.
_INTEGER = re.compile(r'[+-]?\d{1,40}\Z', re.ASCII)
# Numbers that more than one sign separates. Yes: `2:3`, `10_{10}`. No: `2/3`, `2 3`.
_LITERAL = re.compile(r'\d{1,40} ?: ?\d{1,40}\Z|\d{1,40} ?_ ?\{?10\}?\Z', re.ASCII)
# Signs of a conclusion. Yes: `\Rightarrow`, `→` at the start. No: `\to`.
_ARROWS = re.compile(r'\\(?:Rightarrow|implies|Longrightarrow|therefore)(?![A-Za-z])|\A(?:→|->)')
# A sentence up to its number. Yes: `She has ` of `She has 15 apples`. No: `x is `, `is 15`.
_SENTENCE = re.compile(
  r'((?:[A-Za-z]{1,20} ){1,6}?)(?:is|are|was|were|has|have|had|gets?|got|gives?|equals?'
  r'|costs?|needs?'
  r'|earns?|makes?|pays?|takes?|weighs?|sold|bought|ate|left)(?: equal to)? (?=[-+$]?\d)'
  r"|[Ii]t's (?=[-+$]?\d)"
)
# An angle, for a gold in degrees. Yes: `\frac{\pi}{6}`, `2\pi/3`, `\frac{1}{6}\pi`. No: `\pi + 1`.
_RADIANS = re.compile(
  r'-?(?:\\frac ?\{ ?\d{0,9} ?\\pi ?\} ?\{ ?\d{1,9} ?\}|(?:\d{1,9}|\\frac\{\d{1,9}\}\{\d{1,9}\})? ?'
  r'\\pi ?(?:/ ?\d{1,9})?)(?: rad(?:ians?)?)?\Z',
  re.ASCII,
)
# A negative number in brackets. Yes: `-(\frac{3}{4})`. No: `-(3)(4)`.
_NEGATED = re.compile(r'- ?\(([^()]+)\)\Z')
# Yes: `H2SO4`, `C_6H_{12}O_6`. No: `H`, `x2`, `AB`.
_CHEMICAL = re.compile(r'(?=.*\d)(?:[A-Z][a-z]?(?:_?\d+|_\{\d+\})?){2,12}\Z', re.ASCII)
# Yes: `_`, `{` of `H_{2}O`. No: `H2O`.
_INDEX = re.compile(r'[_{}]')
# The result line of a worked solution (GSM8K). Yes: `#### 72`. No: `### 72`.
_MARKED = re.compile(r'^####[ \t]*(\S.*?)\s*$', re.M)
# What a calculation is written in. Yes: `\frac{10}{32}`, `3+2`. No: `x + 2`, `5 cm`.
_CALCULATED = re.compile(
  r'(?:[^A-Za-z\\]|\\(?:[dt]?frac|times|cdot|sqrt|pi|binom|div)(?![a-z]))+\Z'
)

# What tables write where there is no value.
_MISSING = ('nan', 'null', 'n/a')


@dataclasses.dataclass(frozen=True)
class Value(Gold):
  """A number, a formula, a set, a word: `text`, in LaTeX or as people write.

  It is what a plain str means where a gold is asked for, and has no field of its own in a record.
  """

  text: str

  name = 'math'
  instruction = (
    'Please reason step by step, and put your final answer within \\boxed{}.'  # reference §1.1
  )

  @classmethod
  def graded(cls, record):
    """The Value of a record's field `gold`, text or a finite number; of a worked one its box."""
    if 'gold' not in record:
      raise ValueError("there is no field 'gold', the right answer: text or a number")
    given = record['gold']
    infinite = isinstance(given, float) and not math.isfinite(given)
    if not isinstance(given, (str, int, float)) or isinstance(given, bool) or infinite:
      raise ValueError(f"field 'gold' holds {given!r:.40}, expected text or a finite number")
    text = str(given)
    return cls(_of_solution(text).strip() or text)

  def expected(self):
    """The answer as it was written."""
    return self.text

  def check(self, completion, reply, config):
    """At once where exact reading decides, otherwise by a worker within `config.math_seconds`."""
    answer = self.stated(completion, reply)
    if answer is None:
      return accuracy.NONE
    verdict = quick(self.text, answer)
    return verdict or Task('math', config.math_seconds, (self.text, answer))

  def stated(self, completion, reply):
    """The last answer, or the last box of it or outside of thoughts."""
    return accuracy.final_answer(completion, reply)

  def plain(self, answer):
    """The answer in one notation."""
    return notation.clean(answer)

  def same(self, one, other):
    """Whether two answers have the same value, however they are written."""
    return equal(one, other).kind == Kind.CORRECT


def _of_solution(text):
  """The final answer of a gold text: of a worked one its line `####` or its last box."""
  marked, box = _MARKED.findall(text), accuracy.last_box(text)
  if marked:
    return marked[-1]
  if box is None:
    return text
  # `\boxed{\frac{10}{32} = \frac{5}{16}}` ends on its result.
  *work, last = box.split('=')
  return last if all(map(_CALCULATED.match, work)) else box


def unreadable(text):
  """Why no answer can state the gold `text`; '' where one may.

  Quick enough for every record of a file: what only SymPy finds unreadable passes.
  """
  tag = '<' in text and next((tag for tag in template.TAGS if tag in text), '')
  if tag:
    return f'it has the tag {tag}'
  if len(text) > accuracy.LONGEST_ANSWER:
    return f'it has {len(text):,} characters, at most {accuracy.LONGEST_ANSWER:,} are read'
  if len(text) > 500 and _ENDLESS_NUMBER.search(text):
    return 'it has a number of more than 500 digits'
  if 'box' in text and accuracy.boxes(text) and not (accuracy.last_box(text) or '').strip(' $'):
    return 'its box is empty or does not close'
  braces = _BRACE.findall(text)
  if braces.count('{') != braces.count('}'):
    return 'a brace is left open'
  # Signs around a value, without one.
  if not text.strip(' $*#`".?'):
    return 'it is empty'
  if text.strip().lower() in _MISSING:
    return 'it stands for a value that is missing'
  hidden = '' if text.isprintable() else next(filter(_is_hidden, text), '')
  return f'it has the invisible sign U+{ord(hidden):04X}' if hidden else ''


def _is_hidden(sign):
  return not sign.isspace() and unicodedata.category(sign) in ('Cc', 'Cf', 'Cs', 'Co')


def equal(gold, answer):
  """Whether `answer` (str, a model's final answer) states the value of `gold` (str); never raises.

  Returns a Verdict: CORRECT 1; WRONG 0; UNPARSEABLE 0 (nothing comparable in the answer); TIMEOUT
  0 (the comparison took over DEADLINE_SECONDS or the memory of a worker, whose process was killed);
  VERIFIER_ERROR when the gold answer itself makes no sense or the comparing process failed twice.
  """
  verdict = quick(gold, answer)
  return verdict or pool.own().submit(Task('math', DEADLINE_SECONDS, (gold, answer))).result()


def quick(gold, answer):
  """The verdict when exact reading decides (microseconds, no process), otherwise None."""
  one, other = gold.strip(), answer.strip()
  if _INTEGER.match(one) and _INTEGER.match(other):
    return judged(int(one) == int(other), one, other)
  if not one:
    return Verdict(0.0, Kind.VERIFIER_ERROR, 'the gold answer is empty')
  if len(one) > accuracy.LONGEST_ANSWER:
    return Verdict(0.0, Kind.VERIFIER_ERROR, f'the gold answer has {len(one)} characters')
  refused = notation.refusal(other)
  if refused:
    return Verdict(0.0, Kind.UNPARSEABLE, refused)
  return _quick_cleaned(notation.clean(one), notation.clean(other))


def _quick_cleaned(gold, answer):
  if not answer:
    return Verdict(0.0, Kind.UNPARSEABLE, 'empty answer')
  expected, got = gold, answer
  gold, answer = labels.without(gold, answer)
  if gold == answer or _written_alike(gold, answer):
    return judged(True, expected, got)
  gold_value = quantity.read(gold)
  if gold_value is not None:
    return _against_number(gold_value, answer, expected, got)
  if notation.named_alike(gold, answer):
    return judged(True, expected, got)
  if notation.is_words(gold):
    same = notation.plain_words(gold) == notation.plain_words(answer)
    return judged(same, expected, got)
  return None


def _written_alike(gold, answer):
  """Whether only spaces differ, as of `5 m` and `5m`; `1, 234` is a list, `n o` no word."""
  if _CHEMICAL.match(gold) and _CHEMICAL.match(answer):
    return _INDEX.sub('', gold) == _INDEX.sub('', answer)
  apart = ',' in answer or notation.is_words(gold)
  return not apart and notation.tight(gold) == notation.tight(answer)


def _against_number(gold, answer, expected, got):
  """The verdict where the gold is a plain number: the answer is one too, not work to be done."""
  stated = notation.bare(_concluded(answer))
  negated = _NEGATED.match(stated)
  if negated and quantity.read(negated[1].strip()) is not None:
    stated = f'-{negated[1].strip()}'
  exact, rounded = notation.approximated(stated)
  if rounded:
    return _approximated(gold, exact, rounded, expected, got)
  value = quantity.stated(stated)
  if value is not None:
    if not value.worked and quantity.same(gold, value):
      return Verdict(0.0, Kind.WRONG, f'expected {expected:.80}, got {got:.80}: not worked out')
    return judged(quantity.same(gold, value), expected, got)
  if '=' in stated:
    return _chain(gold, stated, expected, got)
  if notation.is_words(stated):
    return Verdict(0.0, Kind.UNPARSEABLE, f'words where a number is asked: {stated:.80}')
  # A ratio in lowest terms, or digits with their base, are read by the worker.
  if _LITERAL.match(stated) or gold.unit == 'degree' and _RADIANS.match(stated):
    return None
  why = f'expected {expected:.80} as a number, got {got:.80}: no single number worked out'
  return Verdict(0.0, Kind.WRONG, why)


def _concluded(answer):
  """Cleaned `answer` without what led to its value: a calculation's arrow, a sentence's start."""
  answer = _ARROWS.split(answer)[-1].strip(' :')
  sentence = _SENTENCE.match(answer)
  if sentence and not number_words.names(sentence[1] or ''):
    return answer[sentence.end() :]
  return answer


def _chain(gold, text, expected, got):
  """Of `9 * 2 = 18` the last member is the answer; the ones before must not contradict it."""
  *before, last = (quantity.read(part.strip()) for part in text.split('='))
  if last is None or not last.worked or not quantity.same(gold, last):
    return judged(False, expected, got)
  if any(value is None for value in before):
    return None
  return judged(all(quantity.same(gold, value) for value in before), expected, got)


def _approximated(gold, exact, rounded, expected, got):
  """Of `12.6 \\approx 13` the first states a number, of `\\frac{100}{3} \\approx 33.33` both do."""
  value, decimal = quantity.read(exact.rpartition('=')[2].strip()), quantity.read(rounded)
  first = value is not None and value.worked and quantity.same(gold, value)
  last = decimal is not None and quantity.same(gold, decimal)
  written_out = value is not None and (value.digits or value.value.denominator == 1)
  if decimal is None or not (first or last and not written_out):
    return judged(False, expected, got)
  return None  # a worker decides whether the one rounds to the other
