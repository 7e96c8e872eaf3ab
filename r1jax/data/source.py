"""Where a job's problems come from: the tiny world, or files as published."""

import collections
import dataclasses
import decimal
from typing import Literal

from r1jax import ranges
from r1jax.data import prompts, records, splits
from r1jax.data.tasks import arithmetic, corpus, jsonl, phrases, tiny_world

_ENDLESS = 1 << 24  # problems of the tiny world a run may draw; more than any run does
_TRIED = 256  # problems of an endless source whose length is looked at before a run begins
_FILES = ('jsonl', 'parquet')
# What only some sources of questions read, by their names.
_OWN = {
  'levels': ('tiny_world', 'tfds'),
  'languages': ('tiny_world', 'tfds'),
  'kinds': ('arithmetic',),
  'heldout_path': _FILES,
  'split': _FILES,
  'heldout_split': _FILES,
  'limit': _FILES,
}


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """Questions of a job.

  Attributes:
    name: 'tiny_world' (generated when asked for), 'tfds' (the same world as a TFDS dataset of
      array_record files, built once in the folder `path`), 'jsonl' or 'parquet' (files, read as
      their names end), 'arithmetic' (whole numbers in plain words, generated when asked for), or
      'none' (no questions: SFT that is judged by its held-out loss alone).
    path: file of training problems, or a folder of shards as the hub has it; with 'tfds' the
      folder of datasets.
    heldout_path: file or folder of held-out problems; '' holds out one sixteenth of `path` by a
      hash of the question.
    split: of a folder; '' takes 'train', or the only one there is.
    heldout_split: of a folder of held-out problems; '' takes 'test', or the only one there is.
    limit: training problems that are read, the first ones; 0 for all.
    question_key: column of the question.
    answer_key: column of the answer.
    columns: what further fields' columns are called, such as 'options=choices'; a name alone
      ('level') stays with the problem for a reward, and then no other column is read.
    levels: lowest and highest difficulty of the tiny world, within 1..5.
    languages: (language, weight) pairs of what the tiny world asks in; `tiny_world.BILINGUAL` has
      two.
    kinds: (kind, weight) pairs of what 'arithmetic' asks, see `tasks.arithmetic`.
    max_prompt: most tokens of a rendered question, the beginning-of-sequence token included.
    prompt: how a question is put: 'zero' (R1-Zero's template), 'chat' (the checkpoint's own chat
      template), 'text' (as it stands) or 'r1' (R1's chat template), see `data.prompts`.
    system: system prompt of a chat.
    few_shot: JSONL file of solved examples that stand before each question, with the same fields;
      each is shown with its `reply` where it has one, else with its final answer alone.
  """

  name: Literal['tiny_world', 'tfds', 'jsonl', 'parquet', 'arithmetic', 'none'] = 'tiny_world'
  path: str = ''
  heldout_path: str = ''
  split: str = ''
  heldout_split: str = ''
  limit: ranges.Size = 0
  question_key: str = 'question'
  answer_key: str = 'answer'
  columns: str = ''
  levels: tuple[tiny_world.Level, tiny_world.Level] = (1, 5)
  languages: tuple[tuple[str, ranges.Weight], ...] = (('en', 1.0),)
  kinds: tuple[tuple[str, ranges.Weight], ...] = arithmetic.EASY
  max_prompt: ranges.Count = 1024
  prompt: Literal['zero', 'chat', 'text', 'r1'] = 'zero'
  system: str = ''
  few_shot: str = ''

  def __post_init__(self):
    ranges.check(self)
    ranges.require(self, self.levels[0] <= self.levels[1], '{levels} must be (lowest, highest)')
    tiny_world.check_weights(self, 'languages', phrases.LANGUAGES)
    tiny_world.check_weights(self, 'kinds', arithmetic.KINDS)
    with ranges.said_of(self, 'question_key', 'answer_key', 'columns'):
      self.named()
    generated = self.name in ('tiny_world', 'arithmetic', 'none')
    ranges.require(self, generated != bool(self.path), '{name} does not go with {path}')
    ranges.require(
      self,
      self.heldout_path or not self.heldout_split,
      '{heldout_split} is of {heldout_path}: give that too, such as the folder of data.path',
    )

  def named(self):
    """The `records.Columns` of the files of problems."""
    both = f'question={self.question_key},answer={self.answer_key}'
    return records.columns(','.join(filter(None, (both, self.columns))))


def readers(option):
  """The sources, by name, that read an option of `DataConfig`; () where all do."""
  return _OWN.get(option, ())


def shots(path, columns=None):
  """The solved examples of a JSONL file, a tuple of `prompts.Shot`; none of ''.

  An example is shown with its final answer alone, or with the text of its field `reply`, word by
  word: a solution that is worked out, or a form that the model is to take over.

  Args:
    path: of the file.
    columns: `records.Columns`, what its fields are called; None for their usual names.

  Raises:
    RecordError: the file is empty or a record of it is not a problem (it names the line).
    ValueError: what is to be shown is no text, or an empty one.
  """
  if not path:
    return ()
  solved = jsonl.load(path, columns or records.Columns())
  replies = [one.extra.get('reply', one.answer) for one in solved]
  odd = next((n for n, text in enumerate(replies, 1) if not _is_text(text)), 0)
  if odd:
    raise ValueError(
      f'{path}, record {odd}: an example is shown with its reply, else its answer, as text, not '
      f'{replies[odd - 1]!r:.40}'
    )
  return tuple(prompts.Shot(one.question, reply) for one, reply in zip(solved, replies))


def _is_text(value):
  return isinstance(value, str) and bool(value.strip())


def problems(cfg, seed, form):
  """(training problems, held-out problems), two random-access sources that share no question.

  Raises:
    RecordError: a file is empty or a record of it is not a problem (it names the line or row).
    ValueError: a question is longer than `cfg.max_prompt` tokens, or stands in both files; there
      are to be none.
  """
  if cfg.name == 'none':
    raise ValueError("config.data.name='none': there are no questions, and this asks some")
  # Generated: endless, so only its first questions can be looked at.
  if cfg.name in ('tiny_world', 'arithmetic'):
    make = tiny_world.World
    asked = tiny_world.WorldConfig(levels=cfg.levels, languages=cfg.languages)
    if cfg.name == 'arithmetic':
      make, asked = arithmetic.Arithmetic, arithmetic.ArithmeticConfig(cfg.kinds)
    splits = (tiny_world.TRAIN, tiny_world.HELDOUT)
    both = tuple(make(seed, _ENDLESS, asked, split) for split in splits)
    for one in both:
      jsonl.check_lengths([one[i] for i in range(_TRIED)], form, cfg.max_prompt)
    return both
  # The same world from files.
  if cfg.name == 'tfds':
    return _dataset(cfg, seed)
  # Files as published.
  columns = cfg.named()
  train = _there('path', cfg, lambda: jsonl.load(cfg.path, columns, cfg.split, cfg.limit))
  _check_kept(cfg, train)
  jsonl.check_lengths(train, form, cfg.max_prompt)
  if cfg.heldout_path:
    read = lambda: jsonl.load(cfg.heldout_path, columns, heldout_split(cfg))
    heldout = _there('heldout_path', cfg, read)
    jsonl.check_lengths(heldout, form, cfg.max_prompt)
  else:
    # The hash that splits the tiny world splits any file, whatever its order.
    heldout = [p for p in train if tiny_world.split_of(p.question) == tiny_world.HELDOUT]
    train = [p for p in train if tiny_world.split_of(p.question) == tiny_world.TRAIN]
  _check_disjoint(cfg, train, heldout)
  return train, heldout


def _there(option, cfg, read):
  """`read()`, which is refused with the option that names the file where that is not there."""
  try:
    return read()
  except FileNotFoundError as error:
    raise ValueError(
      f'config.data.{option}={getattr(cfg, option)}: there is no such file or folder here; `hf '
      'download --repo-type=dataset ORG/NAME --local-dir=FOLDER` brings a dataset of the hub'
    ) from error


def heldout_split(cfg):
  """The split of `cfg.heldout_path` that is read; '' for a file or a folder of one split."""
  there = records.splits(cfg.heldout_path)
  return cfg.heldout_split or ('test' if len(there) > 1 else '')


def _dataset(cfg, seed):
  """The splits of the TFDS dataset in `cfg.path`, written there the first time."""
  from r1jax.data.tasks import builder  # imports tensorflow_datasets, which takes seconds

  world = tiny_world.WorldConfig(levels=cfg.levels, languages=cfg.languages)
  documents = corpus.CorpusConfig(world=world)
  made = builder.build(cfg.path, builder.TinyWorldConfig(seed=seed, documents=documents))
  splits = (tiny_world.TRAIN, tiny_world.HELDOUT)
  return tuple(builder.Problems(made.as_data_source(split)) for split in splits)


def told(cfg, train, heldout):
  """What is asked and what is held out, and whether the same question is asked twice: a line."""
  if cfg.name not in _FILES:
    return f'{cfg.name}, made when they are asked for'
  apart = cfg.heldout_path or 'the same file, by a hash'
  line = f'{len(train):,} of {cfg.path}; held out {len(heldout):,} of {apart}'
  answers = collections.defaultdict(set)
  for one in train:
    # Some have no hash of their own, and tests of programs may be large.
    answers[splits.canonical(one.question)].add(hash(_written(one.answer)))
  if len(answers) < len(train):
    line += f'; {len(train) - len(answers):,} are asked once more'
  contrary = [question for question, golds in answers.items() if len(golds) > 1]
  if contrary:
    line += (
      f'; WARNING: {len(contrary):,} have two different answers, and a reply cannot be right by '
      f'both, such as {contrary[0]:.60}'
    )
  return line


def _written(answer):
  """An answer as what two are compared by: `2`, `2.0` and `$2$` are one."""
  text = str(answer).strip(' $')
  try:
    # Of longer ones decimals would keep the first digits alone.
    return decimal.Decimal(text).normalize() if len(text) < 20 else text
  except ArithmeticError:
    return repr(answer)


def _check_kept(cfg, train):
  """Raises ValueError where `cfg.columns` keeps a column that no training problem has."""
  kept = cfg.named().kept
  absent = [name for name in kept if all(name not in problem.extra for problem in train)]
  if absent:
    there = ', '.join(sorted(records.first(cfg.path, cfg.split)))
    raise ValueError(
      f'config.data.columns={cfg.columns}: no record of {cfg.path} has a column {absent[0]!r}, the '
      f'first has {there}'
    )


def _check_disjoint(cfg, train, heldout):
  if not train or not heldout:
    raise ValueError(
      f'{cfg.path}: {len(train)} training and {len(heldout)} held-out problems; both are needed '
      '(give a larger file, or data.heldout_path)'
    )
  # Compared as the hash compares.
  canonical = lambda problem: splits.canonical(problem.question)
  asked = set(map(canonical, train))
  both = [problem.question for problem in heldout if canonical(problem) in asked]
  if both:
    raise ValueError(
      f'{len(both)} held-out questions are in the training file {cfg.path} too, such as '
      f'{both[0][:80]!r}; remove them from one of the files'
    )
