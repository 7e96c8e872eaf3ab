"""Multiple choice: the option letter of the final answer (reference §1.4).

Read as a letter: `B`, `b.`, `(B)`, `[B]`, `B)`, `**B**`, `\\boxed{B}`, `\\text{B}`, `B: text`,
`(B) text`, `option B`, `the answer is B`. Two letters, or a letter that is no option, state none.
"""

import dataclasses
import re
import string

from r1jax.data import problem, template
from r1jax.rewards import accuracy
from r1jax.rewards.math import notation
from r1jax.rewards.verdict import Gold, Kind, Verdict

# Words before the letter. Yes: `So the correct answer is `, `option `. No: `this is `.
_LEAD = re.compile(
  r'(?:(?:so|thus|therefore|hence),? )?'
  r'(?:(?:the )?(?:correct |right |final |best )?(?:answer|option|choice)'
  r'(?: is|:| =)?:? ?)+',
  re.I,
)
# A letter, and what follows its mark. Yes: `B`, `(B) cat`, `B. cat`, `B - cat`. No: `Bad`, `B cat`.
_LETTER = re.compile(
  r'[(\[]?([A-Z])[)\]]?(?:$|[.:)](?:\s|$)(.*)$|(?<=[)\]]) (.*)$| - (.*)$)', re.I | re.S
)
# Another letter in that. Yes: `(C)`, a lone `C`, `A,`. No: the article of `A cat`, `cat`.
_OTHER = re.compile(
  r'[(\[]([A-Z])[)\]]|(?<![A-Za-z\'])([B-HJ-Z])(?![A-Za-z\'])'
  r'|(?<![A-Za-z\'])(A)(?=\s*(?:$|[.,;:)]))'
)
# A letter that looks like a Latin one. Yes: the Cyrillic `В`. No: `B`, `7`.
_FOREIGN = re.compile(r'[^\W\d_a-zA-Z]')
# A benchmark's last line. Yes: `ANSWER: B`, `**Answer: (B)**`. No: `the answer: B`.
_LETTER_LINE = re.compile(r'[*_ ]*answer[*_ ]*:[*_ ]*(.+)', re.I)


@dataclasses.dataclass(frozen=True)
class Letter(Gold):
  """The right option among the letters `options`."""

  letter: str
  options: str = 'ABCDE'

  name, field = 'letter', 'options'
  instruction = (
    'Reason step by step, then end with a line `ANSWER: X`, where X is the letter you choose.'
  )

  @classmethod
  def read(cls, record, answer_key):
    """{"options": ["3", "4"], "answer": "B"}; the options become lettered lines of the question."""
    options, letters = record['options'], string.ascii_uppercase
    if not isinstance(options, list) or not 2 <= len(options) <= len(letters):
      raise ValueError(f"field 'options' holds {options!r:.40}, expected 2 to {len(letters)} texts")
    for number, option in enumerate(options, 1):
      if not problem.is_text(option) or not option.strip():
        raise ValueError(f"option {number} of field 'options' is {option!r:.40}, expected text")
    letters = letters[: len(options)]
    lines = (f'\n{name}. {option.strip()}' for name, option in zip(letters, options))
    return cls(_letter(record, answer_key, letters), letters), ''.join(lines)

  @classmethod
  def graded(cls, record):
    """{"gold": "B"}, with the options in "choices", a list of texts; without them A to E."""
    choices = record.get('choices')
    if choices is not None:
      return cls.read({'options': choices, 'gold': record.get('gold')}, 'gold')[0]
    return cls(_letter(record, 'gold', cls.options), cls.options)

  def check(self, completion, reply, config):
    """Whether the letter that the completion ends on is the right one."""
    if len(self.letter) != 1 or self.letter.upper() not in self.options.upper():
      why = f'the gold letter {self.letter!r} is none of {self.options}'
      return Verdict(0.0, Kind.VERIFIER_ERROR, why)
    answer = accuracy.final_answer(completion, reply)
    if answer is None:
      return accuracy.NONE
    letter = read(answer, self.options)
    if letter is None:
      return Verdict(0.0, Kind.UNPARSEABLE, 'no single option letter')
    same = letter == self.letter.upper()
    return Verdict(1.0, Kind.CORRECT) if same else Verdict(0.0, Kind.WRONG, f'chose {letter}')

  def stated(self, completion, reply):
    """The letter of the final answer, or of a last line `ANSWER: B` where there is none."""
    answer = accuracy.final_answer(completion, reply)
    if answer is None:
      lines = [line for line in accuracy.outside_thought(completion).splitlines() if line.strip()]
      found = _LETTER_LINE.fullmatch(lines[-1].strip()) if lines else None
      answer = found[1] if found else None
    return None if answer is None else read(answer, self.options)

  def examined(self, completion, reply):
    """The letter alone: a benchmark takes it from the last line too."""
    letter = self.stated(completion, reply)
    return f'{template.ANSWER} {letter} {template.END_ANSWER}' if letter else ''


def read(answer, options):
  """The option letter (upper case) that `answer` states, or None."""
  if len(answer) > accuracy.LONGEST_ANSWER or _FOREIGN.search(answer[:4]):
    return None
  text = notation.clean(answer).strip('*_` \n')
  text = _LEAD.sub('', text, count=1) if _LEAD.match(text) else text
  found = _LETTER.match(text.strip('*_` '))
  if not found or found[1].upper() not in options.upper():
    return None
  rest = next((tail for tail in found.groups()[1:] if tail), '')
  letter = found[1].upper()
  # `B. not A but C` names others: it is no choice.
  others = {max(found).upper() for found in _OTHER.findall(rest)} & set(options.upper())
  return letter if others <= {letter} else None


def _letter(record, key, letters):
  """The letter in the field `key`, one of `letters`."""
  given = record.get(key)
  letter = given.strip().upper() if isinstance(given, str) else ''
  if len(letter) != 1 or letter not in letters:
    raise ValueError(f'field {key!r} holds {given!r:.40}, expected a letter of {letters}')
  return letter
