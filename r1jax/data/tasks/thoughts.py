"""Worked solutions in words, in either language: what thoughts of the bilingual world are made of.

The arithmetic is the same in both; the language shows in the words that introduce a line.
"""

from r1jax.data.tasks import phrases


def other(language):
  """The world's other language."""
  return 'zh' if language == 'en' else 'en'


def lines(problem, languages=None, rng=None):
  """The worked solution of a problem, line by line, with connecting words and a conclusion.

  Args:
    problem: `problem.Problem` with its steps.
    languages: language of each line, conclusion included (`len(problem.steps) + 1`); None for the
      problem's own throughout.
    rng: NumPy Generator that chooses between words of one meaning; None takes the first.

  Returns:
    tuple of str.
  """
  spoken = languages or (problem.language,) * (len(problem.steps) + 1)
  if len(spoken) != len(problem.steps) + 1:
    raise ValueError(f'{len(problem.steps)} steps and a conclusion, but {len(spoken)} languages')
  own, told = phrases.LANGUAGES[problem.language], []
  for number, (step, language) in enumerate(zip(problem.steps, spoken)):
    say = phrases.LANGUAGES[language]
    # Arithmetic reads the same in both languages; only lines of words are translated.
    words = _in_words(step, own, say)
    told.append(words or f'{_lead(say, number, rng)} {step}')
  return (*told, phrases.LANGUAGES[spoken[-1]].conclusion.format(problem.answer))


def readable(problem, rng=None):
  """(thought, summary) of a problem in its own language: the cold start's form (reference §1.5)."""
  *work, conclusion = lines(problem, rng=rng)
  # The second form of an answer given at once is a sentence.
  summary = phrases.LANGUAGES[problem.language].bare[1].format(problem.answer)
  return ', '.join([*work, conclusion]), summary


def _lead(say, number, rng):
  if not number:
    return say.begin
  return say.go_on[int(rng.integers(len(say.go_on))) if rng else 0]


def _in_words(step, own, say):
  """A step of `own` that is made of words, said in `say`; None for a line of arithmetic."""
  # Matched by writing each possible line, not by reading it: no second grammar of the phrases.
  numbers = [int(word) for word in step.split() if word.isdigit()]
  for ordinal, said in zip(own.ordinals, say.ordinals):
    if step == own.ranked.format(ordinal=ordinal, number=numbers[-1]):
      return say.ranked.format(ordinal=said, number=numbers[-1])
  for word, said in zip(own.larger, say.larger):
    a, b, best = numbers[-3:] if len(numbers) > 2 else (0, 0, 0)
    if step == own.best.format(word=word, a=a, b=b, best=best):
      return say.best.format(word=said, a=a, b=b, best=best)
  return None
