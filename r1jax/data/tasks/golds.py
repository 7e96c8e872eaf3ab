"""Answers of a JSONL record that are checked, not compared: choices, number games, programs.

{"question": "Which is even?", "options": ["3", "4"], "answer": "B"}
{"question": "Make 24", "numbers": [1, 2, 3, 4], "target": 24}
{"question": "Add two numbers", "tests": [{"stdin": "3 4\\n", "stdout": "7\\n"}]}
{"question": "Write add(a, b)", "tests": [{"call": "add", "args": [3, 4], "expected": 7}]}
"""

import json
import string

from r1jax.rewards import choice, code, puzzles

_STDIN, _CALL = {'stdin', 'stdout'}, {'call', 'args', 'expected'}


def read(record, answer_key):
  """The gold of a record for `r1jax.rewards` and the text that its question goes on with.

  Args:
    record: dict of a JSON object; a field that is null counts as absent.
    answer_key: key of a choice's letter.

  Returns:
    (gold, text): a `choice.Letter` and the lettered options, a `puzzles.Numbers` or `code.Tests`
    and ''; None where the record has none of `options`, `numbers` and `tests`.

  Raises:
    ValueError: a field is malformed (it is named), or the record has two of the three.
  """
  kinds = {'options': _letter, 'numbers': _numbers, 'tests': _tests}
  found = [name for name in kinds if record.get(name) is not None]
  if not found:
    return None
  if len(found) > 1:
    raise ValueError(f'{" and ".join(found)} in one record: a question has one kind of answer')
  return kinds[found[0]](record, answer_key)


def _letter(record, answer_key):
  options, letters = record['options'], string.ascii_uppercase
  if not isinstance(options, list) or not 2 <= len(options) <= len(letters):
    raise ValueError(f"field 'options' holds {options!r:.40}, expected 2 to {len(letters)} texts")
  for number, option in enumerate(options, 1):
    if not isinstance(option, str) or not option.strip() or not _writable(option):
      raise ValueError(f"option {number} of field 'options' is {option!r:.40}, expected text")
  letters = letters[: len(options)]
  given = record.get(answer_key)
  letter = given.strip().upper() if isinstance(given, str) else ''
  if len(letter) != 1 or letter not in letters:
    raise ValueError(f'field {answer_key!r} holds {given!r:.40}, expected a letter of {letters}')
  lines = (f'\n{name}. {option.strip()}' for name, option in zip(letters, options))
  return choice.Letter(letter, letters), ''.join(lines)


def _numbers(record, answer_key):
  numbers, target = record['numbers'], record.get('target')
  use_all = record.get('use_all', True)
  if not isinstance(numbers, list) or not numbers or not all(type(n) is int for n in numbers):
    raise ValueError(f"field 'numbers' holds {numbers!r:.40}, expected a list of whole numbers")
  if type(target) is not int:
    raise ValueError(f"field 'target' holds {target!r:.40}, expected a whole number")
  if not isinstance(use_all, bool):
    raise ValueError(f"field 'use_all' holds {use_all!r:.40}, expected true or false")
  return puzzles.Numbers(tuple(numbers), target, use_all), ''


def _tests(record, answer_key):
  tests = record['tests']
  if not isinstance(tests, list) or not tests:
    raise ValueError(f"field 'tests' holds {tests!r:.40}, expected a list of tests")
  return code.Tests(tuple(_test(test, f'test {n}') for n, test in enumerate(tests, 1))), ''


def _test(test, name):
  keys = set(test) if isinstance(test, dict) else None
  if keys == _STDIN:
    wrong = [key for key in sorted(_STDIN) if not _writable(test[key])]
    if wrong:
      raise ValueError(f'{name}: {wrong[0]} is {test[wrong[0]]!r:.40}, expected text')
    return code.StdinTest(test['stdin'], test['stdout'])
  if keys != _CALL:
    raise ValueError(
      f'{name} of field \'tests\' is {test!r:.60}, expected {{"stdin", "stdout"}} or '
      '{"call", "args", "expected"}'
    )
  if not isinstance(test['call'], str) or not test['call'].isidentifier():
    raise ValueError(f'{name}: call is {test["call"]!r:.40}, expected the name of a function')
  if not isinstance(test['args'], list):
    raise ValueError(f'{name}: args is {test["args"]!r:.40}, expected a list')
  try:
    json.dumps(test, allow_nan=False)
  except ValueError as error:
    raise ValueError(f'{name}: no such number in JSON as NaN or Infinity') from error
  return code.CallTest(test['call'], tuple(test['args']), test['expected'])


def _writable(text):
  """Whether `text` is a str that UTF-8 can write."""
  return isinstance(text, str) and not any('\ud800' <= c <= '\udfff' for c in text)
