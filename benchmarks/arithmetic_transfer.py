"""Questions to ask a model that has learned arithmetic.

  python -m benchmarks.arithmetic_transfer DIR

writes files that `r1jax evaluate --benchmark=FILE.jsonl` takes:

  heldout.jsonl    held-out questions of the training's own kinds
  reworded.jsonl   the same calculations in words that no training question uses
  larger.jsonl     sums and differences of two numbers of two digits
  words.jsonl      the same sums in words
  two_steps.jsonl  a product and a sum in one question
  facts.jsonl      what has nothing to do with it: how many legs a spider has
  examples.jsonl   three solved examples, for --few_shot; worked.jsonl: the same, worked out
"""

import argparse
import json
import pathlib
import re

from r1jax.data.tasks import arithmetic

QUESTIONS = 256
OTHER_KINDS = {'larger': 'two_digits', 'words': 'sums_in_words', 'two_steps': 'two_steps'}
# One of each kind of training, with operands that are in the training's part.
EXAMPLES = (
  ('What is 2 + 5?', '2 + 5', '7'),
  ('There are 6 pens in each of 4 bags. How many pens are there in all?', '4 x 6', '24'),
  ('Subtract 4 from 31.', '31 - 4', '27'),
)
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
# Whole numbers, one right answer, which last_number reads.
FACTS = """
How many days are in a week? 7
How many months are in a year? 12
How many hours are in a day? 24
How many minutes are in an hour? 60
How many seconds are in a minute? 60
How many days does a leap year have? 366
How many days does a common year have? 365
How many weeks are in a year? 52
How many years are in a century? 100
How many years are in a decade? 10
How many years are in a millennium? 1000
How many days does April have? 30
How many days does January have? 31
How many days does February have in a common year? 28
How many seasons are in a year? 4
How many letters are in the English alphabet? 26
How many vowels are in the English alphabet? 5
How many legs does a spider have? 8
How many legs does an insect have? 6
How many legs does a dog have? 4
How many legs does a bird have? 2
How many arms does an octopus have? 8
How many wings does a butterfly have? 4
How many fingers are on one hand? 5
How many toes does a person have? 10
How many eyes does a person have? 2
How many bones does an adult human body have? 206
How many teeth does an adult human have? 32
How many chambers does the human heart have? 4
How many chromosomes are in a human body cell? 46
How many lungs does a person have? 2
How many senses are people commonly said to have? 5
How many sides does a triangle have? 3
How many sides does a square have? 4
How many sides does a pentagon have? 5
How many sides does a hexagon have? 6
How many sides does an octagon have? 8
How many sides does a decagon have? 10
How many faces does a cube have? 6
How many edges does a cube have? 12
How many corners does a cube have? 8
How many degrees are in a right angle? 90
How many degrees are in a circle? 360
How many degrees do the angles of a triangle add up to? 180
How many planets are in the solar system? 8
How many moons does the Earth have? 1
How many continents are there? 7
How many oceans are there on Earth? 5
How many states does the United States have? 50
How many stars are on the flag of the United States? 50
How many stripes are on the flag of the United States? 13
How many colours are in a rainbow? 7
How many strings does a violin have? 4
How many strings does a standard guitar have? 6
How many keys does a piano have? 88
How many notes are in an octave of the chromatic scale? 12
How many players of one team are on a football (soccer) pitch? 11
How many players of one team are on a basketball court? 5
How many players of one team are on a baseball field? 9
How many rings are in the Olympic symbol? 5
How many squares are on a chessboard? 64
How many pieces does each player have at the start of a chess game? 16
How many cards are in a standard deck without jokers? 52
How many suits are in a deck of cards? 4
How many cards of each suit are in a standard deck? 13
How many dots are on a die in all? 21
How many faces does a die have? 6
How many items are in a dozen? 12
How many items are in a gross? 144
How many items are in a pair? 2
How many centimetres are in a metre? 100
How many metres are in a kilometre? 1000
How many millimetres are in a centimetre? 10
How many grams are in a kilogram? 1000
How many inches are in a foot? 12
How many feet are in a yard? 3
How many ounces are in a pound? 16
How many cents are in a dollar? 100
How many cents is a quarter worth? 25
How many cents is a dime worth? 10
How many cents is a nickel worth? 5
How many bits are in a byte? 8
At how many degrees Celsius does water freeze? 0
At how many degrees Celsius does water boil at sea level? 100
At how many degrees Fahrenheit does water freeze? 32
At how many degrees Fahrenheit does water boil at sea level? 212
What is the atomic number of hydrogen? 1
What is the atomic number of helium? 2
What is the atomic number of carbon? 6
What is the atomic number of oxygen? 8
What is the atomic number of gold? 79
How many hydrogen atoms are in a molecule of water? 2
In which year did the Second World War end? 1945
In which year did the First World War begin? 1914
In which year did a person first walk on the Moon? 1969
In which year did the Titanic sink? 1912
In which year was the American Declaration of Independence signed? 1776
In which year did the French Revolution begin? 1789
In which year did the Berlin Wall fall? 1989
In which year did Columbus first reach the Americas? 1492
In which year was the Battle of Hastings? 1066
Which number does the Roman numeral V stand for? 5
Which number does the Roman numeral X stand for? 10
Which number does the Roman numeral L stand for? 50
Which number does the Roman numeral C stand for? 100
Which number does the Roman numeral D stand for? 500
Which number does the Roman numeral M stand for? 1000
Which number comes after nine? 10
Which number comes before twenty? 19
What is the smallest prime number? 2
How many wheels does a bicycle have? 2
How many wheels does a tricycle have? 3
How many lives is a cat said to have? 9
How many dwarfs does Snow White meet? 7
How many musicians are in a quartet? 4
How many children are born when triplets are born? 3
How many events are in a decathlon? 10
How many lines does a sonnet have? 14
How many syllables does a haiku have? 17
How many years are a silver wedding anniversary? 25
""".strip().splitlines()


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
  # The answer says what is calculated; the questions' order of operands does not matter.
  signs = {a + b: '+', a - b: '-', a * b: '*'} if problem.kind != 'products' else {a * b: '*'}
  wordings = WORDINGS[signs[int(problem.answer)]]
  return wordings[number % len(wordings)].format(a=a, b=b), problem.answer


def write(path, pairs):
  """One record a line."""
  lines = [json.dumps({'question': asked, 'answer': answer}) for asked, answer in pairs]
  path.write_text('\n'.join(lines) + '\n')
  print(f'{path}: {len(lines)} questions')


def main():
  """Writes the files."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('folder', type=pathlib.Path)
  folder = parser.parse_args().folder
  folder.mkdir(parents=True, exist_ok=True)
  easy = heldout(arithmetic.EASY)
  write(folder / 'heldout.jsonl', [(p.question, p.answer) for p in easy])
  write(folder / 'reworded.jsonl', [reworded(i, p) for i, p in enumerate(easy)])
  for name, kind in OTHER_KINDS.items():
    write(folder / f'{name}.jsonl', [(p.question, p.answer) for p in heldout(((kind, 1.0),))])
  write(folder / 'facts.jsonl', [tuple(line.rsplit(' ', 1)) for line in FACTS])
  write(folder / 'examples.jsonl', [(asked, answer) for asked, _, answer in EXAMPLES])
  worked = [(asked, f'{calculation} = {answer}') for asked, calculation, answer in EXAMPLES]
  write(folder / 'worked.jsonl', worked)


if __name__ == '__main__':
  main()
