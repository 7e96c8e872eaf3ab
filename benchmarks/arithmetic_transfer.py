"""Questions to ask a model that has learned arithmetic.

  python -m benchmarks.arithmetic_transfer DIR

writes files that `r1jax evaluate --benchmark=FILE.jsonl` takes:

  heldout.jsonl    held-out questions of the training's own kinds
  reworded.jsonl   the same calculations in words that no training question uses
  larger.jsonl     sums and differences of two numbers of two digits
  words.jsonl      sums and differences in words, most of them of two digits
  two_steps.jsonl  a product and a sum in one question

In benchmarks/questions lie those that nobody has to make: facts.jsonl, which have nothing to do
with it (how many legs a spider has), and for --few_shot three solved examples, examples.jsonl, and
the same worked out, worked.jsonl, and in R1-Zero's tags, thoughts.jsonl.
"""

import argparse
import json
import pathlib
import re

from r1jax.data.tasks import arithmetic

QUESTIONS = 256
OTHER_KINDS = {'larger': 'two_digits', 'words': 'sums_in_words', 'two_steps': 'two_steps'}
WORDINGS = {
  '+': (
    'Count on {b} from {a}. Where do you end?',
    'Find the total of {a} and {b}.',
    'A bus carries {a} people and {b} get on. How many people ride now?',
  ),
  '-': (
    'Take {b} away from {a}. What is left?',
    'By how much is {a} more than {b}?',
    'Of {a} birds {b} fly off. How many birds stay?',
  ),
  '*': (
    'What is {a} times {b}?',
    'A hall has {a} rows of {b} chairs. How many chairs does it have?',
    'Each of {a} children gets {b} sweets. How many sweets is that?',
  ),
}


def heldout(kinds):
  """The first QUESTIONS held-out problems of seed 0, as a run with that seed examines them."""
  source = arithmetic.Arithmetic(
    0, QUESTIONS, arithmetic.ArithmeticConfig(kinds), arithmetic.HELDOUT
  )
  return [source[i] for i in range(QUESTIONS)]


def reworded(number, problem):
  """(question, answer) of the calculation of a problem of `arithmetic.EASY` in other words."""
  first, second = map(int, re.findall(r'\d+', problem.question))
  a, b = max(first, second), min(first, second)
  # The answer says what is calculated; the question's order of operands does not matter.
  signs = {a * b: '*'} if problem.kind == 'products' else {a + b: '+', a - b: '-'}
  wordings = WORDINGS[signs[int(problem.answer)]]
  return wordings[number % len(wordings)].format(a=a, b=b), problem.answer


def write(path, pairs):
  """One record a line."""
  lines = [json.dumps({'question': asked, 'answer': answer}) for asked, answer in pairs]
  path.write_text('\n'.join(lines) + '\n')
  print(f'{path}: {len(lines)} questions, {len(set(lines))} different ones')


def main():
  """Writes the files."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('folder', type=pathlib.Path)
  folder = parser.parse_args().folder
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    parser.error(f'{folder}: {error.strerror}')
  easy = heldout(arithmetic.EASY)
  write(folder / 'heldout.jsonl', [(p.question, p.answer) for p in easy])
  write(folder / 'reworded.jsonl', [reworded(i, p) for i, p in enumerate(easy)])
  for name, kind in OTHER_KINDS.items():
    write(folder / f'{name}.jsonl', [(p.question, p.answer) for p in heldout(((kind, 1.0),))])


if __name__ == '__main__':
  main()
