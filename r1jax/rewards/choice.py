"""Multiple choice: the option letter of the final answer (reference section 1.4).

Read as a letter: `B`, `b.`, `(B)`, `[B]`, `B)`, `**B**`, `\\boxed{B}`, `\\text{B}`, `B: text`,
`(B) text`,
`option B`, `the answer is B`. Two letters, or a letter that is no option, state none.
"""

import dataclasses
import re

from r1jax.data import template
from r1jax.rewards import accuracy, math
from r1jax.rewards.verdict import Kind, Verdict

_LEAD = re.compile(
  r'(?:(?:so|thus|therefore|hence),? )?'
  r'(?:(?:the )?(?:correct |right |final |best )?(?:answer|option|choice)'
  r'(?: is|:| =)?:? ?)+',
  re.I,
)
_LETTER = re.compile(
  r'[(\[]?([A-Z])[)\]]?(?:$|[.:)](?:\s|$)(.*)$|(?<=[)\]]) (.*)$| - (.*)$)', re.I | re.S
)
_OTHER = re.compile(
  r'[(\[]([A-Z])[)\]]|(?<![A-Za-z\'])([B-HJ-Z])(?![A-Za-z\'])'
  r'|(?<![A-Za-z\'])(A)(?=\s*(?:$|[.,;:)]))'
)


@dataclasses.dataclass(frozen=True)
class Letter:
  """The right option among the letters `options`."""

  letter: str
  options: str = 'ABCDE'


def check(completion, gold, options='ABCDE'):
  """Verdict on the letter that `completion` ends on; `gold` is one of the letters `options`."""
  if len(gold) != 1 or gold.upper() not in options.upper():
    return Verdict(0.0, Kind.VERIFIER_ERROR, f'the gold letter {gold!r} is none of {options}')
  answer = accuracy.final_answer(completion, template.parse(completion))
  if answer is None:
    return Verdict(0.0, Kind.UNPARSEABLE, 'no answer outside the thought')
  letter = read(answer, options)
  if letter is None:
    return Verdict(0.0, Kind.UNPARSEABLE, 'no single option letter')
  same = letter == gold.upper()
  return Verdict(1.0, Kind.CORRECT) if same else Verdict(0.0, Kind.WRONG, f'chose {letter}')


def read(answer, options):
  """The option letter (upper case) that `answer` states, or None."""
  if (
    len(answer) > math.LONGEST_ANSWER
    or not answer.isascii()
    and re.search(r'[^\W\d_a-zA-Z]{1}', answer[:4])
  ):
    return None
  text = math.clean(answer).strip('*_` \n')
  text = _LEAD.sub('', text, count=1) if _LEAD.match(text) else text
  found = _LETTER.match(text.strip('*_` '))
  if not found or found[1].upper() not in options.upper():
    return None
  rest = next((tail for tail in found.groups()[1:] if tail), '')
  letter = found[1].upper()
  others = {max(found).upper() for found in _OTHER.findall(rest)} & set(options.upper())
  return letter if others <= {letter} else None
