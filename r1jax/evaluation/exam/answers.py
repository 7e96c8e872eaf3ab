"""From replies to marks and votes: the answer a reply states, as the paper parses it.

Reference §1.9: mathematics from `\\boxed{}` (and `<answer>`, which R1-Zero writes), choices also
from a last line `ANSWER: B`, programs from the last block that is fenced. Marks are the verifiers'
of `r1jax.rewards`; so is whether two answers are one vote, which no comparison of strings decides.
"""

from r1jax.rewards import accuracy, golds
from r1jax.rewards.verdict import Kind


def stated(completion, gold, where='tags'):
  """The final answer as text, or None; a program is no answer that can be voted on.

  Args:
    completion: text.
    gold: answer of the question.
    where: it is looked for, as `service.RewardConfig.answer`.
  """
  return golds.of(gold).stated(completion, accuracy.read(completion, where))


def expected(answer):
  """The right answer of a problem as a short text; '' where no answer is right or wrong."""
  if isinstance(answer, str):
    return answer
  return golds.of(answer).expected()


def votes(answers, kinds, gold):
  """Each answer's class, a number: equal answers share it; None has no vote.

  All correct answers are class 0, that of the gold answer; the others are compared as the gold's
  kind compares answers, the most frequent first.

  Args:
    answers: texts, or None, of one question.
    kinds: the verdict of each, a `verdict.Kind`.
    gold: the question's answer.
  """
  gold = golds.of(gold)
  # Spaces and markup are taken off once, before answers are compared pair by pair.
  texts = [None if text is None else gold.plain(text) for text in answers]
  classes = {text: 0 for text, kind in zip(texts, kinds) if text and kind == Kind.CORRECT}
  wrong = [text for text in texts if text and text not in classes]
  heads = []
  # The most frequent form of an answer becomes the head that rarer ones are compared with.
  for text in sorted(dict.fromkeys(wrong), key=wrong.count, reverse=True):
    same = (i for i, head in enumerate(heads) if gold.same(head, text))
    number = next(same, len(heads))
    heads += [text] if number == len(heads) else []
    classes[text] = number + 1
  return [classes.get(text) for text in texts]
