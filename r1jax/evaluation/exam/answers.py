"""From replies to marks and votes: the answer a reply states, as the paper parses it.

Reference §1.9: mathematics from `\\boxed{}` (and `<answer>`, which R1-Zero writes), choices also
from a last line `ANSWER: B`, programs from the last block that is fenced. Marks are the verifiers'
of `r1jax.rewards`; whether two answers are one vote is their business too, not a comparison of
strings.
"""

import re

from r1jax.data import template
from r1jax.rewards import accuracy, choice, math, service
from r1jax.rewards.verdict import Kind

_LETTER_LINE = re.compile(r'[*_ ]*answer[*_ ]*:[*_ ]*(.+)', re.I)


def stated(completion, gold):
  """The final answer as text, or None; a program is no answer that can be voted on."""
  if isinstance(gold, choice.Letter):
    return _letter(completion, gold)
  if not isinstance(gold, str):
    return None
  return accuracy.final_answer(completion, template.parse(completion))


def item(completion, gold, tokens=0):
  """`service.Item` for a reply: as it is, unless the gold's kind allows a form of its own."""
  if isinstance(gold, choice.Letter):
    letter = _letter(completion, gold)
    completion = f'{template.ANSWER} {letter} {template.END_ANSWER}' if letter else ''
  return service.Item(completion, gold, tokens)


def _letter(completion, gold):
  answer = accuracy.final_answer(completion, template.parse(completion))
  if answer is None:
    lines = [line for line in accuracy.outside_thought(completion).splitlines() if line.strip()]
    found = _LETTER_LINE.fullmatch(lines[-1].strip()) if lines else None
    answer = found[1] if found else None
  return None if answer is None else choice.read(answer, gold.options)


def votes(answers, kinds):
  """Each answer's class, a number: equal answers share it; None has no vote.

  All correct answers are class 0, that of the gold answer; the others are compared by the math
  verifier, the most frequent first.

  Args:
    answers: texts, or None, of one question.
    kinds: the verdict of each, a `verdict.Kind`.
  """
  cleaned = [None if text is None else math.clean(text) for text in answers]
  classes = {text: 0 for text, kind in zip(cleaned, kinds) if text and kind == Kind.CORRECT}
  wrong = [text for text in cleaned if text and text not in classes]
  heads = []
  for text in sorted(dict.fromkeys(wrong), key=wrong.count, reverse=True):
    same = next((i for i, head in enumerate(heads) if _same(head, text)), len(heads))
    heads += [text] if same == len(heads) else []
    classes[text] = same + 1
  return [classes.get(text) for text in cleaned]


def _same(one, other):
  return math.equal(one, other).kind == Kind.CORRECT
