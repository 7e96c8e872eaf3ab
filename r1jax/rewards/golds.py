"""Kinds of right answers, and how a record says which one its question has.

{"question": "Which is even?", "options": ["3", "4"], "answer": "B"}
{"question": "Make 24", "numbers": [1, 2, 3, 4], "target": 24}
{"question": "Who is taller than whom?", "order": ["Ann", "Bob", "Cy"]}
{"question": "Add two numbers", "tests": [{"stdin": "3 4\\n", "stdout": "7\\n"}]}
{"question": "Write add(a, b)", "tests": [{"call": "add", "args": [3, 4], "expected": 7}]}
{"question": "Which city, how many?", "json": {"city": "Rome", "count": 2}}

A question without one of these fields is mathematics: its answer is a text, `math.value.Value`.
"""

from r1jax.rewards import choice, code, json_value, puzzles
from r1jax.rewards.math import value
from r1jax.rewards.verdict import Gold

# A kind of answer is a file with its record and its line here.
KINDS = (
  value.Value,
  choice.Letter,
  puzzles.Numbers,
  puzzles.Order,
  code.Tests,
  json_value.Json,
)
_BY_FIELD = {kind.field: kind for kind in KINDS if kind.field}
_BY_NAME = {kind.name: kind for kind in KINDS}
NAMES = tuple(_BY_NAME)


def of(answer):
  """The `verdict.Gold` of a question's answer: the answer itself; a str becomes a `value.Value`.

  Raises:
    TypeError: it is neither.
  """
  if isinstance(answer, str):
    return value.Value(answer)
  if not isinstance(answer, Gold):
    raise TypeError(f'no verifier for a gold answer of type {type(answer).__name__}')
  return answer


def read(record, answer_key):
  """The gold of a question's record, and the text that its question goes on with.

  Args:
    record: dict of a JSON object; a field that is null counts as absent.
    answer_key: key of a choice's letter.

  Returns:
    (gold, text), such as a `choice.Letter` and its lettered options; text is '' for most. None
    where the record has no field of `KINDS`.

  Raises:
    ValueError: a field is malformed (it is named), or the record has two, or a text beside one.
  """
  fields = [name for name in _BY_FIELD if record.get(name) is not None]
  if not fields:
    return None
  if len(fields) > 1:
    raise ValueError(f'{" and ".join(fields)} in one record: a question has one kind of answer')
  # A letter is one of its options; beside the others a text would be a second gold.
  if fields != [choice.Letter.field] and record.get(answer_key) is not None:
    raise ValueError(
      f'{answer_key} and {fields[0]} in one record: a question has one kind of answer; leave one '
      'out, or name another column as the answer'
    )
  return _BY_FIELD[fields[0]].read(record, answer_key)


def graded(record):
  """The gold of a record to be judged: {"kind": "math", "gold": "1/2", ...}.

  Raises:
    ValueError: there is no such kind, or its gold is malformed; the message names the field.
  """
  kind = record.get('kind')
  if not isinstance(kind, str) or kind not in _BY_NAME:
    raise ValueError(f"field 'kind' holds {kind!r:.40}, expected one of {', '.join(_BY_NAME)}")
  return _BY_NAME[kind].graded(record)
