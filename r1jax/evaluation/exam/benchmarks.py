"""What a model is asked: published benchmarks, the tiny world's held-out questions, any JSONL file.

The numbers of samples are the paper's (reference §1.9 and, where its versions differ, §0.1).
"""

import dataclasses
import datetime
import pathlib
from collections.abc import Callable

from r1jax.data import records
from r1jax.data.tasks import jsonl, tiny_world
from r1jax.evaluation.exam import datasets
from r1jax.rewards import code, golds, service
from r1jax.rewards.code import sandbox

TINY_WORLD = 'tiny_world'
TINY_QUESTIONS = 256
SAMPLES = 4  # where the paper has no number: the least of its 4 to 64 (reference §0.1, v1)
# Contests of the paper's LiveCodeBench (reference §1.9), first and last day.
CONTESTS = (datetime.date(2024, 8, 1), datetime.date(2025, 1, 31))


@dataclasses.dataclass(frozen=True)
class Benchmark:
  """A published benchmark.

  Attributes:
    title: its name in print.
    samples: k, samples per question.
    file: which file to give, for messages.
    load: path -> list of problems.
  """

  title: str
  samples: int
  file: str
  load: Callable


# The paper draws most samples where questions are few: 64 of AIME and GPQA, 16 of MATH-500, 8
# of LiveCodeBench (reference §1.9).
NAMED = {
  'gsm8k': Benchmark('GSM8K', SAMPLES, 'test.jsonl of openai/gsm8k', datasets.gsm8k),
  'math500': Benchmark('MATH-500', 16, 'test.jsonl of HuggingFaceH4/MATH-500', datasets.math500),
  'aime': Benchmark(
    'AIME',
    64,
    'a JSONL of problems and answers, such as Maxwell-Jia/AIME_2024',
    datasets.aime,
  ),
  'gpqa_diamond': Benchmark(
    'GPQA-diamond', 64, 'gpqa_diamond.csv of Idavidrein/gpqa', datasets.gpqa
  ),
  'livecodebench': Benchmark(
    'LiveCodeBench',
    8,
    'the *.jsonl of livecodebench/code_generation_lite, or a folder of them',
    datasets.livecodebench,
  ),
}


_OWN = (records.JSONL, records.PARQUET)  # endings of a user's own files


@dataclasses.dataclass(frozen=True)
class Choice:
  """Which questions the user wants.

  Attributes:
    benchmark: a name of `NAMED`, `tiny_world`, or a JSONL file.
    data: file or folder of a named benchmark.
    questions: how many; 0 for all (of the tiny world `TINY_QUESTIONS`).
    levels: of the tiny world.
    dates: LiveCodeBench's contests, (first, last); None for all.
    keys: fields of the question and the answer in a JSONL file.
  """

  benchmark: str
  data: str = ''
  questions: int = 0
  levels: tuple[int, int] = (1, 3)
  dates: tuple | None = CONTESTS
  keys: tuple[str, str] = ('question', 'answer')

  @property
  def columns(self):
    """`records.Columns` of `keys`."""
    names = dict(zip(('question', 'answer'), self.keys, strict=True))
    return records.Columns({field: name for field, name in names.items() if field != name})

  @property
  def name(self):
    """Short name, for files and titles."""
    path = pathlib.Path(self.benchmark)
    return path.stem if path.suffix in _OWN else self.benchmark

  @property
  def samples(self):
    """k of the paper."""
    return NAMED[self.benchmark].samples if self.benchmark in NAMED else SAMPLES


def load(choice_):
  """The problems asked for; of more than wanted, evenly spread ones, always the same.

  Raises:
    ValueError: no such benchmark, its file is not given, or a line of it is malformed.
    OSError: the file can't be opened.
  """
  name = choice_.benchmark
  if name == TINY_WORLD:
    if choice_.data:
      raise ValueError(f'--benchmark={TINY_WORLD} is generated: leave --data out')
    # From the part of the world that no training question comes from.
    world = tiny_world.WorldConfig(levels=choice_.levels)
    count = choice_.questions or TINY_QUESTIONS
    source = tiny_world.World(0, count, world, tiny_world.HELDOUT)
    return [source[i] for i in range(count)]
  problems = _from_files(choice_) if name in NAMED else _own(choice_)
  wanted = choice_.questions or len(problems)
  if wanted > len(problems):
    raise ValueError(f'--questions={wanted}, but {choice_.name} has {len(problems)}')
  # Spread over the file, as files are often sorted by subject or difficulty.
  return [problems[i * len(problems) // wanted] for i in range(wanted)]


def _from_files(choice_):
  benchmark = NAMED[choice_.benchmark]
  if not choice_.data:
    raise ValueError(f'--benchmark={choice_.benchmark} needs --data=PATH: {benchmark.file}')
  files = _files(choice_.data)
  # Its questions alone bear dates, by which what a model may have seen is left out.
  given = {'dates': choice_.dates} if choice_.benchmark == 'livecodebench' else {}
  problems = [problem for path in files for problem in benchmark.load(path, **given)]
  if not problems:
    first, last = choice_.dates
    raise ValueError(f'{choice_.data}: no contest from {first} to {last}; --dates=all keeps all')
  return problems


def _files(data):
  path = pathlib.Path(data)
  if not path.is_dir():
    return [path]
  files = sorted(p for p in path.iterdir() if p.suffix in ('.jsonl', '.csv'))
  if not files:
    raise ValueError(f'{path}: no .jsonl or .csv file in this folder')
  return files


def _own(choice_):
  path = pathlib.Path(choice_.benchmark)
  # Most likely a mistyped name, so the names are listed.
  if path.suffix not in _OWN:
    raise ValueError(
      f'--benchmark={choice_.benchmark} is none of {", ".join([*NAMED, TINY_WORLD])}, and no '
      f'{" or ".join(_OWN)}'
    )
  if choice_.data:
    raise ValueError(f'--benchmark={path} is the file itself: leave --data={choice_.data} out')
  return jsonl.load(path, choice_.columns)


def instruction(problem):
  """What is appended to a question in a chat, so that its answer can be found.

  R1-Zero's template says by itself where an answer goes.
  """
  return golds.of(problem.answer).instruction


def rewards(problems, answer='tags'):
  """`service.RewardConfig` for these problems: LiveCodeBench's programs run longer than RL's.

  `answer` is where an answer is looked for, as in that config.
  """
  tests = [p.answer.tests for p in problems if isinstance(p.answer, code.Tests)]
  if not tests:
    return service.RewardConfig(answer=answer)
  # Six seconds for each test, as its published runner gives, and as many times that for all.
  limits = sandbox.Limits(seconds=6.0, memory_mib=2048, output_kib=8192)
  programs = code.CodeConfig(limits=limits, total_seconds=6.0 * max(map(len, tests)))
  return service.RewardConfig(answer=answer, programs=programs, worker_gib=4.0)
