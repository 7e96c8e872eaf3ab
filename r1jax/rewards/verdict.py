"""What a question is judged by, what a verifier says of a completion, and what it leaves to do."""

import dataclasses
import enum
import json

_LONGEST_EXPECTED = 500  # characters; the tests of a program would drown a row


class Kind(enum.StrEnum):
  """Outcome of a check; only `CORRECT` and `WRONG` judge the completion's content."""

  CORRECT = 'correct'
  WRONG = 'wrong'
  UNPARSEABLE = 'unparseable'  # the completion gives nothing to compare: score 0
  TIMEOUT = 'timeout'  # the completion's answer was too costly to compare: score 0
  VERIFIER_ERROR = 'verifier_error'  # our failure: the sample leaves its group's baseline


@dataclasses.dataclass(frozen=True)
class Verdict:
  """Score in [0, 1], its kind and a short reason that a person reads in `samples/`."""

  score: float
  kind: Kind
  why: str = ''

  @property
  def scored(self):
    """False when the verifier itself failed, so that the score means nothing."""
    return self.kind != Kind.VERIFIER_ERROR


def judged(right, expected, got):
  """CORRECT 1, or WRONG 0 that says what was expected (str) and what came (str)."""
  if right:
    return Verdict(1.0, Kind.CORRECT)
  return Verdict(0.0, Kind.WRONG, f'expected {expected:.80}, got {got:.80}')


@dataclasses.dataclass(frozen=True)
class Task:
  """A check that is left to a worker process.

  Attributes:
    check: its name in `workers.serve.CHECKS`.
    seconds: deadline; the process of a check that takes longer is killed. It is processor time
      where a check only computes, see `workers.pool`, and the clock's where it may wait.
    arguments: what it is called with, anything that can be pickled.
    late: what a check that takes longer is: the completion's fault by default.
  """

  check: str
  seconds: float
  arguments: tuple
  late: Kind = Kind.TIMEOUT


class Gold:
  """The right answer to a question: how it is read, how a completion is checked by it.

  A kind of answer is a frozen dataclass that derives from this, in a file of its own, and one
  line of `golds.KINDS`. Methods that it does not override behave as below.

  Attributes:
    name: of the kind, a word, in files of completions to be judged.
    field: key of a question's JSON record that makes it a question of this kind.
    instruction: what a benchmark appends to the question in a chat, so that the answer is found.
  """

  name = field = instruction = ''

  @classmethod
  def read(cls, record, answer_key):
    """(gold, text) of a question's JSON record (dict) that has `field`.

    Args:
      record: the object of one line.
      answer_key: key of the answer, for kinds that take it from there.

    Returns:
      The gold, and the text that its question goes on with, '' for none.

    Raises:
      ValueError: a field is malformed; the message names it.
    """
    raise NotImplementedError

  @classmethod
  def graded(cls, record):
    """The gold of a JSON record {"kind": `name`, "gold": ...}; ValueError where it is malformed."""
    return cls.read({cls.field: record.get('gold')}, '')[0]

  def check(self, completion, reply, config):
    """The accuracy of a completion.

    Args:
      completion: text of any length.
      reply: `template.parse` of it.
      config: `service.RewardConfig`.

    Returns:
      A Verdict, or the Task that will give it; None where no answer is right or wrong.
    """
    raise NotImplementedError

  def expected(self):
    """The right answer as a short text; '' where no answer is right or wrong."""
    fields = dataclasses.asdict(self)
    shown = fields if len(fields) > 1 else next(iter(fields.values()))
    # What a program is called with may be more than JSON knows.
    text = json.dumps(shown, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_EXPECTED else f'{text[:_LONGEST_EXPECTED]} …'

  def stated(self, completion, reply):
    """The final answer of a completion as text, or None; arguments as of `check`."""
    return None

  def plain(self, answer):
    """An answer, as `stated` gives it, without what never matters; '' says nothing."""
    return answer.strip()

  def same(self, one, other):
    """Whether two plain answers are one vote."""
    return one == other
