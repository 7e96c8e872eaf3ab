"""The R1-Zero prompt and the tags of a reply: written once here, parsed once here."""

import dataclasses
import re

# DeepSeek-R1, Table 1 (arXiv 2501.12948v1); `prompt` in the paper is the slot for the question.
R1_ZERO_TEMPLATE = (
  'A conversation between User and Assistant. The user asks a question, and the Assistant '
  'solves it. The assistant first thinks about the reasoning process in the mind and then '
  'provides the user with the answer. The reasoning process and answer are enclosed within '
  '<think> </think> and <answer> </answer> tags, respectively, i.e., <think> reasoning process '
  'here </think> '
  '<answer> answer here </answer>. User: {question}. Assistant:'
)
TEMPLATE_HEAD, TEMPLATE_TAIL = R1_ZERO_TEMPLATE.split('{question}')

THINK, END_THINK = '<think>', '</think>'
ANSWER, END_ANSWER = '<answer>', '</answer>'
TAGS = (THINK, END_THINK, ANSWER, END_ANSWER)

# Yes: `</think>` of `a</think>b`. No: `< think>`, `<THINK>`.
_TAG = re.compile('|'.join(re.escape(tag) for tag in TAGS))
# What opens or closes a thought or an answer where one is read, in R1's spelling or not. Yes:
# `<think>`, `</THINK>`, `<thinking>`, `</answer>`. No: `< think>`, `<thinker>`, `<ANSWER>`.
_READ = re.compile(r'<(/?)((?i:think(?:ing)?)|answer)>')


@dataclasses.dataclass(frozen=True)
class Reply:
  """A completion cut at its tags.

  Attributes:
    thought: text of the first `<think>` block; None without a complete block.
    answers: text of every complete `<answer>` block that stands outside a thought, without the
      thoughts inside it. `<THINK>` and `<thinking>` are thoughts too.
    problem: '' when the reply is exactly `<think>..</think> <answer>..</answer>` (each tag once, in
      this order, only white space around the two blocks), otherwise what is wrong with it.
  """

  thought: str | None
  answers: tuple[str, ...]
  problem: str

  @property
  def well_formed(self):
    """Whether the reply has the format that the R1-Zero template asks for."""
    return not self.problem


def render(question):
  """The R1-Zero prompt for `question`, as printed in the paper (a full stop follows it)."""
  # Not str.format: a question may hold braces.
  return R1_ZERO_TEMPLATE.replace('{question}', question)


def enclose(thought, answer):
  """The reply that the template asks for, in its one form of white space."""
  return f'{THINK} {thought} {END_THINK} {ANSWER} {answer} {END_ANSWER}'


def parse(completion):
  """Cuts `completion` (str, any length) at its tags; linear time, never raises."""
  tags = [(one.group(), *one.span()) for one in _TAG.finditer(completion)]
  return Reply(_thought(completion, tags), _answers(completion), _problem(completion, tags))


def outside_thought(completion):
  """The text of `completion` where no thought is open, without the tags of thoughts; linear time.

  `</think>` closes any thought, `</thinking>` its own; one that closes none closes what precedes
  it all, as the prompt may have opened the thought.
  """
  pieces, opened, at = [], '', 0
  for tag in _READ.finditer(completion):
    closes, name = tag[1], tag[2].lower()
    if name == 'answer':
      continue
    if not closes and not opened:
      pieces.append(completion[at : tag.start()])
      opened = name
    elif closes and name in (opened or name, 'think'):
      pieces = pieces if opened else []
      opened, at = '', tag.end()
  return ''.join(pieces if opened else [*pieces, completion[at:]])


def _answers(completion):
  """The answers of a `Reply`; a thought that begins in an answer ends with it at the latest."""
  answers, opened, at = [], '', 0
  for tag in _READ.finditer(completion):
    closes, name = tag[1], tag[2].lower()
    if not closes and not opened:
      opened, at = name, tag.end()
    elif opened == 'answer':
      if closes and name == 'answer':
        answers.append(outside_thought(completion[at : tag.start()]))
        opened = ''
    elif closes and name != 'answer' and name in (opened or name, 'think'):
      answers = answers if opened else []
      opened = ''
  return tuple(answers)


def _thought(completion, places):
  """The thought of a `Reply`: of R1's own tags only, as the format is."""
  opened = None
  # A tag out of its place is passed over: `<answer>` inside a thought opens nothing.
  for tag, start, end in places:
    if opened is None and tag in (THINK, ANSWER):
      opened = (tag, end)
    elif opened and opened[0] == THINK and tag == END_THINK:
      return completion[opened[1] : start]
    elif opened and opened[0] == ANSWER and tag == END_ANSWER:
      opened = None
  return None


def _problem(completion, places):
  # The tags, then what stands round them, then the answer: the first fault is the one that is said.
  tags = tuple(tag for tag, _, _ in places)
  if tags != TAGS:
    for tag in TAGS:
      if tags.count(tag) != 1:
        return f'{tags.count(tag)} x {tag}, expected 1'
    return 'tags out of order'
  around = (
    completion[: places[0][1]],
    completion[places[1][2] : places[2][1]],
    completion[places[3][2] :],
  )
  for text, where in zip(around, ('before <think>', 'between the blocks', 'after </answer>')):
    if text.strip():
      return f'text {where}'
  if not completion[places[2][2] : places[3][1]].strip():
    return 'empty answer'
  return ''
