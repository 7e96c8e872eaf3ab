"""An answer in JSON: it must parse, and equal the gold value, whatever the order of its keys."""

import dataclasses
import decimal
import json

from r1jax.data import problem
from r1jax.rewards import accuracy, code
from r1jax.rewards.verdict import Gold, Kind, Verdict

LONGEST_JSON = 20_000  # characters of an answer, beside four times those of the gold value
DEEPEST = 100  # lists and objects in each other
_TOO_DEEP = f'JSON that is nested more than {DEEPEST} deep'


class JsonValueError(ValueError):
  """Text that is no JSON, or JSON that states no single value."""


@dataclasses.dataclass(frozen=True)
class Json(Gold):
  """A JSON value that is compared, not spelled: the answer's objects may order their keys anyhow.

  Whole numbers compare exactly, by value (`1.0` is 1); a decimal counts as the double that readers
  of JSON make of it; true is not 1, and a list has its order. An object that has a key twice, NaN
  and Infinity are no JSON here. The answer stands in the tags, in the last fenced block of them or
  of what follows the thought, or in a box; where `reward.answer` says so, in the box or number.

  Attributes:
    text: the value as JSON, keys sorted.
  """

  text: str

  name, field = 'json', 'json'
  instruction = 'Reason step by step, then give the answer as JSON, fenced as ```json.'

  @classmethod
  def read(cls, record, answer_key):
    """{"json": VALUE}, any value but null, which counts as no field."""
    if _depth(record['json']) > DEEPEST:
      raise ValueError(f"field 'json' holds a value nested more than {DEEPEST} deep")
    try:
      text = json.dumps(record['json'], sort_keys=True, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
      raise ValueError("field 'json' holds NaN or Infinity, which are no JSON") from error
    if not problem.is_text(text):
      raise ValueError("field 'json' holds half a surrogate pair, which no UTF-8 can write")
    return cls(text), ''

  @classmethod
  def graded(cls, record):
    """{"gold": VALUE}."""
    if 'gold' not in record:
      raise ValueError(f"no field 'gold', found {sorted(record)}")
    return cls.read({'json': record['gold']}, '')[0]

  def expected(self):
    """The value as JSON."""
    return self.text

  def check(self, completion, reply, config):
    """Whether the final answer is JSON of the same value; where not, what differs first."""
    # A fenced block is looked at where tags are asked for, not where a box or a number is.
    tags = config.answer == 'tags'
    answer = (self.stated if tags else accuracy.final_answer)(completion, reply)
    if answer is None:
      return accuracy.NONE
    longest = LONGEST_JSON + 4 * len(self.text)
    if len(answer) > longest:
      why = f'an answer of {len(answer)} characters; at most {longest} are read'
      return Verdict(0.0, Kind.UNPARSEABLE, why)
    try:
      value = _value(answer)
    except JsonValueError as error:
      return Verdict(0.0, Kind.UNPARSEABLE, str(error))
    why = _difference(json.loads(self.text), value)
    return Verdict(0.0, Kind.WRONG, why) if why else Verdict(1.0, Kind.CORRECT)

  def stated(self, completion, reply):
    """The text that is to be JSON."""
    block = code.extract(completion)
    return accuracy.final_answer(completion, reply) if block is None else block

  def same(self, one, other):
    """Whether both are JSON of one value."""
    try:
      return not _difference(_value(one), _value(other))
    except JsonValueError:
      return one == other


def _value(text):
  """The value of JSON text, its numbers exact; JsonValueError where it is none."""
  try:
    value = json.loads(
      text,
      parse_int=decimal.Decimal,
      parse_float=decimal.Decimal,
      parse_constant=_no_number,
      object_pairs_hook=_object,
    )
  except JsonValueError:
    raise
  except json.JSONDecodeError as error:
    raise JsonValueError(f'not JSON (column {error.colno}: {error.msg})') from error
  except (ArithmeticError, ValueError) as error:
    raise JsonValueError(f'not JSON that can be read: {type(error).__name__}') from error
  except RecursionError as error:  # whether it comes, and how deep, is a matter of the Python
    raise JsonValueError(_TOO_DEEP) from error
  if _depth(value) > DEEPEST:
    raise JsonValueError(_TOO_DEEP)
  return value


def _no_number(name):
  raise JsonValueError(f'{name} is no number in JSON')


def _object(pairs):
  members = dict(pairs)
  if len(members) < len(pairs):
    raise JsonValueError('an object with a key twice states two values')
  return members


def _depth(value):
  """How deep lists and objects stand in each other, 0 for a leaf; counts no further than needed."""
  depth, level = 0, [value]
  while level and depth <= DEEPEST + 1:
    level = [part for one in level if isinstance(one, (dict, list)) for part in _parts(one)]
    depth += bool(level)
  return depth


def _parts(value):
  return value.values() if isinstance(value, dict) else value


def _difference(gold, answer):
  """Where `answer` first is not `gold`, and how; '' where they are equal."""
  # A stack of its own: an answer may be nested deeper than Python calls.
  left = [(gold, answer, 'answer')]
  while left:
    gold, answer, place = left.pop()
    if isinstance(gold, dict) and isinstance(answer, dict):
      apart = sorted(gold.keys() ^ answer.keys())
      if apart:
        return f'{place}: the key {apart[0]!r:.40} is in one of the two only'
      left += [(gold[key], answer[key], f'{place}.{key}'[:80]) for key in reversed(gold)]
    elif isinstance(gold, list) and isinstance(answer, list):
      if len(gold) != len(answer):
        return f'{place}: {len(answer)} items, expected {len(gold)}'
      pairs = reversed(list(enumerate(zip(gold, answer))))
      left += [(*pair, f'{place}[{i}]'[:80]) for i, pair in pairs]
    elif not _same_leaf(gold, answer):
      return f'{place}: {_shown(answer)}, expected {_shown(gold)}'
  return ''


def _same_leaf(gold, answer):
  # Python's True equals 1, JSON's true does not.
  if isinstance(gold, bool) or isinstance(answer, bool):
    return gold is answer
  # The gold value came as a double; the digits of a Decimal beyond it are no error.
  if isinstance(gold, float) and isinstance(answer, decimal.Decimal):
    return gold == float(answer)
  return gold == answer


def _shown(value):
  number = isinstance(value, decimal.Decimal)
  return (str(value) if number else json.dumps(value, ensure_ascii=False, default=str))[:40]
