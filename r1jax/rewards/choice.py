"""Multiple choice: the option letter of the final answer (reference §1.4).

The final answer stands in the answer tags; without them in the last line `ANSWER: X`; without one
in the last box. Read as a letter: `B`, `b.`, `(B)`, `[B]`, `B)`, `**B**`, `\\boxed{B}`,
`\\text{B}`, `{B}`, `\\rm B`, `{"answer": "B"}`, `B: text`, `(B) text`, `option B`, `Antwort: B`,
`the answer is B`, `B is correct`, `B, because x`. Two letters, a letter that is taken back
(`B. no, the third`), or one that is no option, state none. A letter counts, whatever text follows
but a bare letter: `B. c` is two where it is not known that the option's text is `c`.
"""

import dataclasses
import re
import string

from r1jax.data import problem, template
from r1jax.rewards import accuracy
from r1jax.rewards.math import notation
from r1jax.rewards.verdict import Gold, Kind, Verdict, judged

# Words before the letter. Yes: `So the correct answer is `, `option `. No: `this is `.
_LEAD = re.compile(
  r'(?:(?:so|thus|therefore|hence),? )?(?:I (?:would )?(?:choose|pick|select) '
  r'|I (?:think|believe|conclude|would say)(?: that)? (?=(?:the|my) )'
  r'|(?:(?:the |my )?(?:correct |right |final |best )*'
  r'(?:answer|option|choice|letter)(?: is|:| =)?:? ?))+'
  r'|(?:so|thus|therefore|hence),? (?=[(\[]?[A-Z][)\]]?\W*\Z)',
  re.I,
)
# A letter, and what follows its mark. Yes: `B`, `(B) cat`, `B. cat`, `B - cat`, `B, since x`,
# `B is correct`, `B (cat)`. No: `Bad`, `B cat`, `B is wrong`, `B, C`.
_LETTER = re.compile(
  r'[(\[]?([A-Z])[)\]]?(?:$|[.:)!](?:\s|$)(.*)$|(?<=[)\]]) (.*)$| - (.*)$| (\(.*)$'
  r'| (?:=|→|->|\\to) (.*)$'
  r'|,? (?:because|since|as|due to|given|for|so|i\.e\.|that is|namely|which)(?![A-Za-z])(.*)$'
  r'|[.,:]? is (?:the )?(?:correct|right|best|true|answer|final answer)\b(.*)$)',
  re.I | re.S,
)
# Another letter in that. Yes: `(C)`, a lone `C`, `A,`. No: the article of `A cat`, `cat`.
_OTHER = re.compile(
  r'[(\[]([A-Z])[)\]]|(?<![A-Za-z\'])([B-HJ-Z])(?![A-Za-z\'])'
  r'|(?<![A-Za-z\'])(A)(?=\s*(?:$|[.,;:)])| (?:instead|too|as well|also|is (?:right|correct))\b)'
  r'|\b(?i:think|choose|pick|option|choice|answer is) (A)(?![A-Za-z])'
)
# A small letter, or an option by its place, after a word that offers it. Yes: `or c`, `no, the
# third`, `but (d)`. No: `or a cat`, `the third law`.
_OFFERED = re.compile(
  r'\b(?:or|and|not|but|nor|no|wait|actually|rather|maybe|perhaps|instead|else|than|possibly|also'
  r'|then|vs|versus|(?:as )?well as)\b'
  r'[,.:;\s-]*(?:option |choice |it is |it\'s )?'
  r'(?:[(\[]?(?P<letter>[a-z])[)\]]?|(?:the )?(?P<place>first|second|third|fourth|fifth|last|other'
  r'|next|previous)(?: one| option| choice| answer)?)(?=\s*(?:$|[.,;:?!]))',
  re.I,
)
# Nothing but a small letter or an option's place behind the letter. Yes: ` c`, ` option d?`,
# ` which is the third option`, ` c is right`. No: ` c is the speed of light`, ` the third law`.
_BARE = re.compile(
  r'\W*(?:which is |option |choice |\d\w\w:? )*'
  r'(?:[(\[]?(?P<letter>[b-z]|(?<=\()a)'
  r'|the (?P<place>first|second|third|fourth|fifth|last|other)(?: one| option| choice)?)'
  r'[)\]]?(?: is (?:right|correct|true))?(?: too| as well| also)?[\s.,;:?!)]*\Z'
)
_PLACES = ('first', 'second', 'third', 'fourth', 'fifth')
# What takes a choice back. Yes: `Actually`, `cat. Wait`, `no, it`. No: `no effect`, `awaits`.
_TAKEN_BACK = re.compile(
  r'(?:^|[.!?;,:)(-])\s*(?:(?:or|and|but|nor|else|wait|actually|maybe|perhaps|possibly|hmm|sorry'
  r'|alternatively|correction|otherwise|rather|instead|on second thought|scratch that|i mean'
  r'|not sure|on (?:second thoughts|reflection)|hold on|hang on|oops|strike that|or rather'
  r'|never mind|(?:no|nope|not|wrong|false|incorrect)(?=\s*(?:[,.;:!]|$)))\b'
  r'|(?:the )?(?:first|second|third|fourth|fifth|last|other|next|previous)'
  r'(?: one| option| choice| answer)?\s*(?:$|[.;?!]))',
  re.I,
)
# An option set aside beside the one that is chosen. Yes: `, not C`, ` rather than (C)`.
# No: `not c`.
_SET_ASIDE = re.compile(
  r'(?<=\w|[.)\]])[,;]? ?\(?\b(?i:and not|not|rather than|instead of|as opposed to|unlike) '
  r'[(\[]?[A-Z](?![A-Za-z])[)\]]?(?:(?:, (?:n?or )?| n?or | and )[(\[]?[A-Z](?![A-Za-z])[)\]]?)*'
)
# The text of an option that names options before it. Yes: `Both A and B` of `D. Both A and B`.
# No: `either A or B`, `both`.
_OF_OTHERS = re.compile(
  r'\s*\(?(?:both|neither|all of|none of)((?:,? (?:and |nor )?\(?[A-Z]\)?(?![A-Za-z]))+)\)?\.?\Z',
  re.I,
)
# A letter on a line of its own, before its reason. Yes: `B` of `B\n\nIt falls.`. No: `B it falls`.
_OWN_LINE = re.compile(r'(\A\W{0,3}[A-Z]\W{0,3}?)[.:)*\s]*\n\s*(?=\S)')
# The form of MMLU-Redux's replies. Yes: `{"reasoning": "x", "answer": "B"}`. No: `{"answers": []}`.
_JSON = re.compile(r'\s*\{(?:[^{}]*,)?\s*"answer"\s*:\s*"([^"{}]*)"\s*\}\s*\Z')
# Yes: `答案：` of `答案：B`, `选` of `选B`. No: `答案不是`.
_CHINESE_LEAD = re.compile(
  r'\A\s*(?:(?:所以|因此)[,，]?)?(?:(?:正确|最终)?(?:答案|选项)(?:应?[是为选])?|应?选择?)\s*[:：]?\s*(?=[(（]?[A-Z])'
)
# The label in other languages before a letter that ends the text. Yes: `Antwort: ` of `Antwort: C`,
# `La réponse est ` of `La réponse est (C).`. No: `Antwort: C oder D`, `Antwort: nicht C`.
_FOREIGN_LEAD = re.compile(
  r'\A\W*(?:(?:die|la|le|el|a) )?(?:(?:richtige|korrekte|bonne) )?'
  r'(?:antwort|r(?:e\u0301|[ée])ponse|respuesta|risposta|resposta|jawaban|정답|답|回答|解答|ответ)'
  r'(?: (?:correcte|correcta|corretta|correta))?'
  r'\W{0,4}(?:(?<=[:：*])|(?<= )(?:ist|est|es|è|é))'
  r'[ *]{0,4}(?=[(\[{]?[A-Z](?![A-Za-z])\W{0,4}\Z)',
  re.I,
)
# The font of a letter. Yes: `\rm C`, `\bm{C}`, `\text (C)`. No: `\text{ or }`, `\rm Cat`.
_FONT = re.compile(
  r'\\(?:rm|bf|it|sf|tt|bm|bold(?:symbol)?|text|math(?:rm|bf|sf|it|tt))(?![A-Za-z])\s*'
  r'(?=\{?\s*[(\[]?[A-Z][)\]]?\s*(?:[}.$,)]|\Z))'
)
# A letter in braces. Yes: `{C}`, `{{(C)}}`. No: `\{C\}`, `x^{C}`, `\boxed{C}`, `{C, D}`.
_BRACED = re.compile(r'(?<![\w\\^{])\{{1,4}\s*([(\[]?[A-Z][)\]]?)\s*\}{1,4}')
# A letter that looks like a Latin one. Yes: the Cyrillic `В`. No: `B`, `7`.
_FOREIGN = re.compile(r'[^\W\d_a-zA-Z]')
# A benchmark's last line. Yes: `ANSWER: B`, `**Final Answer:** (B)`, `so ANSWER: B`, `### Final
# Answer` above a line `B`.
# No: `answers: B`.
_LETTER_LINE = re.compile(
  r'^(?:(?:(?-i:.*\bANSWER)|[#>*_` \t-]*(?:the |my )?(?:(?:final|correct) )*answer)'
  r'[*_ ]*(?: is)?[:\uff1a][*_ \t]*|(?:#+ |\*\*)(?:the |my )?(?:final|correct) answer[*_ ]*(?=\n))'
  r'(\S.*|\n+.*)$',
  re.I | re.M,
)


_LONGEST_END = 20_000  # characters at the end of a reply that its answer's line stands in


@dataclasses.dataclass(frozen=True)
class Letter(Gold):
  """The right option among the letters `options`; `texts`: what they stand for, () if not known."""

  letter: str
  options: str = 'ABCDE'
  texts: tuple[str, ...] = ()

  name, field = 'letter', 'options'
  instruction = (
    'Reason step by step, then end with a line `ANSWER: X`, where X is the letter you choose.'
  )

  @classmethod
  def read(cls, record, answer_key):
    """{"options": ["3", "4"], "answer": "B"}; the options become lettered lines of the question."""
    options = record['options']
    letters = _letters(options, 'options')
    texts = _unlettered(options, letters)
    lines = (f'\n{name}. {text}' for name, text in zip(letters, texts))
    return cls(_letter(record, answer_key, letters), letters, tuple(texts)), ''.join(lines)

  @classmethod
  def graded(cls, record):
    """{"gold": "B"}, with "choices", the options as texts or how many; without them A to E."""
    choices = record.get('choices')
    if choices is None:
      return cls(_letter(record, 'gold', cls.options))
    if isinstance(choices, int) and 2 <= choices <= len(string.ascii_uppercase):
      letters = string.ascii_uppercase[:choices]
      return cls(_letter(record, 'gold', letters), letters)
    letters = _letters(choices, 'choices')
    texts = _unlettered(choices, letters)
    return cls(_letter(record, 'gold', letters), letters, tuple(texts))

  def expected(self):
    """The letter."""
    return self.letter

  def check(self, completion, reply, config):
    """Whether the letter that the completion ends on is the right one."""
    if len(self.letter) != 1 or self.letter.upper() not in self.options.upper():
      why = f'the gold letter {self.letter!r} is none of {self.options}'
      return Verdict(0.0, Kind.VERIFIER_ERROR, why)
    letter = self.stated(completion, reply)
    if letter is None:
      nothing = not reply.answers and not _said(completion)
      return accuracy.NONE if nothing else Verdict(0.0, Kind.UNPARSEABLE, 'no single option letter')
    # Who names the right text is right, by whichever letter stands before it.
    right = letter == self.letter.upper() or letter in self._alike()
    return judged(right, self.letter.upper(), letter)

  def stated(self, completion, reply):
    """The letter of the answer tags, else of the last line `ANSWER: B`, else of the last box."""
    if reply.answers:
      answer = reply.answers[-1]
      boxes = (answer[slice(*span)] for span in accuracy.closed_boxes(answer))
      boxed = {self._read(box) for box in boxes} - {None}
      # Two letters are none, in boxes too.
      return None if len(boxed) > 1 else self._read(answer) or self._last(answer)
    return self._last(template.outside_thought(completion))

  def _last(self, text):
    """The letter of a text's last line `ANSWER: B`, else of the last box behind it, or None."""
    lines = list(_LETTER_LINE.finditer(text[-_LONGEST_END:]))
    after = text
    if lines:
      after = text[-_LONGEST_END:][lines[-1].end() :]
      letter = self._read(lines[-1][1])
      if letter:
        return None if _TAKEN_BACK.search(after) else letter
    box = accuracy.last_box(after)
    return self._read(box) if box else None

  def _read(self, answer):
    return read(answer, self.options, self.texts)

  def _alike(self):
    """The letters of options that say what the right one says."""
    named = dict(zip(self.options.upper(), self.texts))
    return [name for name, text in named.items() if text == named[self.letter.upper()]]


def _said(completion):
  """Whether a completion without tags says anything that may be an answer."""
  text = template.outside_thought(completion)
  return bool(_LETTER_LINE.search(text) or accuracy.last_box(text))


def _letters(options, field):
  """The letters of a list of texts; ValueError names the record's `field`."""
  letters = string.ascii_uppercase
  if not isinstance(options, list) or not 2 <= len(options) <= len(letters):
    raise ValueError(f'field {field!r} holds {options!r:.40}, expected 2 to {len(letters)} texts')
  for number, option in enumerate(options, 1):
    if not problem.is_text(option) or not option.strip():
      raise ValueError(f'option {number} of field {field!r} is {option!r:.40}, expected text')
  return letters[: len(options)]


def _unlettered(options, letters):
  """The texts of options, stripped; of such as `A. 3`, `B. 4`, which carry their letters, the rest.

  Only where all do: `A. Smith` may be a name.
  """
  texts = [option.strip() for option in options]
  # Yes: `A. 3`, `(B) cat`. No: `A`, `Ann`, `AB. x`, `C. Darwin`.
  marked = [re.match(r'\(?([A-Z])[.):] ?(?=[^A-Z\s])', text) for text in texts]
  named = ''.join(one[1] for one in marked if one)
  if named != letters and sorted(named) == list(letters):
    raise ValueError(
      f'the options carry the letters {named} in this order, but would be asked as {letters}: sort '
      'them'
    )
  # Yes: `A. 3`, `(B) cat`, `C: x`. No: `A`, `Ann`, a letter of another option.
  leads = [re.match(rf'\(?{name}[.):] ?(?=\S)', text) for name, text in zip(letters, texts)]
  return [text[one.end() :] for one, text in zip(leads, texts)] if all(leads) else texts


def read(answer, options, texts=()):
  """The option letter (upper case) that `answer` states, or None; `texts` are the options'."""
  as_json = _JSON.match(answer)
  answer = _CHINESE_LEAD.sub('', as_json[1] if as_json else answer)
  answer = _FOREIGN_LEAD.sub('', answer)
  if len(answer) > accuracy.LONGEST_ANSWER or _FOREIGN.search(answer[:4]):
    return None
  answer = _BRACED.sub(r'\1', _FONT.sub('', answer))
  text = _OWN_LINE.sub(r'\1. ', answer.replace('**', '').replace('__', '').strip())
  text = _SET_ASIDE.sub(' ', notation.clean(text)).strip("*_` '\n")
  text = _LEAD.sub('', text, count=1) if _LEAD.match(text) else text
  stated = _LETTER.match(text.strip('*_` '))
  if not stated or stated[1].upper() not in options.upper():
    return None
  rest = next((tail for tail in stated.groups()[1:] if tail), '')
  letter = stated[1].upper()
  # What an option itself says offers no other: `B. neither`, of an option of that text.
  own = dict(zip(options.upper(), texts)).get(letter, '')
  if _bare(rest) and _bare(rest) == _bare(own):
    return letter
  of_others = _OF_OTHERS.match(rest)
  # Lone capitals. Yes: `A` and `B` of `A AND B`. No: `AND`.
  named = re.findall(r'\b[A-Z]\b', of_others[1].upper()) if of_others else ()
  if of_others and all(other < letter for other in named):
    return letter
  if _TAKEN_BACK.search(rest) or _offers(rest, options, letter):
    return None
  # `B. not A but C` names others: it is no choice.
  letters = {max(groups).upper() for groups in _OTHER.findall(rest)}
  others = letters & set(options.upper())
  return letter if others <= {letter} else None


def _offers(rest, options, letter):
  """Whether what follows a letter offers another option, by its small letter or its place."""
  offers = [*_OFFERED.finditer(rest), *filter(None, [_BARE.match(rest)])]
  # What is no option, or the same one, is no other: `B. x and y`, `B (the second option)`.
  others, own = set(options.upper()) - {letter}, options.upper().index(letter)
  places = {place for number, place in enumerate(_PLACES) if number != own}
  places |= {'last', 'other', 'next', 'previous'}
  return any(
    one['place'].lower() in places if one['place'] else one['letter'].upper() in others
    for one in offers
  )


def _bare(text):
  """A text of an option without its case, spaces and closing marks, by which two are compared."""
  return ' '.join(text.casefold().split()).strip(' .,;:!?)')


def _letter(record, key, letters):
  """The letter in the field `key`, one of `letters`."""
  given = record.get(key)
  letter = given.strip().upper() if isinstance(given, str) else ''
  if len(letter) != 1 or letter not in letters:
    index = isinstance(given, int) and not isinstance(given, bool)
    hint = ': write an index as its letter, which is A for 0 in most files' if index else ''
    raise ValueError(f'field {key!r} holds {given!r:.40}, expected a letter of {letters}{hint}')
  return letter
