"""The tiny world as a TFDS dataset in array_record files: made and read without TensorFlow."""

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from r1jax.data.problem import Problem
from r1jax.data.tasks import corpus, tiny_world

_QUESTION = ('question', 'answer', 'kind', 'level', 'steps', 'language')
_DOCUMENT = ('prompt', 'reply', 'style')
CORPUS = 'corpus'


@dataclasses.dataclass(kw_only=True)
class TinyWorldConfig(tfds.core.BuilderConfig):
  """What a build holds: how many records of each split, from which seed, of which corpus.

  The name is a digest of the rest, so that two configs never share a folder.
  """

  name: str = ''
  train_size: int = 8192
  heldout_size: int = 1024
  corpus_size: int = 65536
  seed: int = 0
  documents: corpus.CorpusConfig = dataclasses.field(default_factory=corpus.CorpusConfig)

  def __post_init__(self):
    sizes = (self.train_size, self.heldout_size, self.corpus_size)
    if min(sizes) < 1 or self.seed < 0:
      raise ValueError(f'split sizes must be >= 1 and the seed >= 0, got {sizes=}, {self.seed=}')
    # A hash of everything that decides a record, the corpus's own settings included.
    content = repr((sizes, self.seed, self.documents)).encode()
    self.name = hashlib.blake2s(content, digest_size=6).hexdigest()


class TinyWorld(tfds.core.GeneratorBasedBuilder):
  """Questions (splits `train`, `heldout`) and documents (split `corpus`) of the tiny world.

  All splits share one record: a document carries its question, a question has an empty document.
  """

  VERSION = tfds.core.Version('1.1.0')
  # Said here because TFDS looks for it with importlib_resources, which it does not install.
  code_path = epath.Path(__file__)
  BUILDER_CONFIGS = [TinyWorldConfig(description='The shipped world.')]

  def _info(self):
    text = {name: tfds.features.Text() for name in (*_QUESTION, *_DOCUMENT)}
    features = text | {
      'level': tfds.features.Scalar(dtype=np.int32),
      'steps': tfds.features.Sequence(tfds.features.Text()),
    }
    return tfds.core.DatasetInfo(
      builder=self,
      description='A generated world of questions with checkable answers, and documents about it.',
      features=tfds.features.FeaturesDict(features),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    sizes = self.builder_config
    return {
      tiny_world.TRAIN: self._questions(tiny_world.TRAIN, sizes.train_size),
      tiny_world.HELDOUT: self._questions(tiny_world.HELDOUT, sizes.heldout_size),
      CORPUS: self._documents(sizes.corpus_size),
    }

  def _generate_examples(self, records):
    yield from enumerate(records)

  def _questions(self, split, size):
    cfg = self.builder_config
    source = tiny_world.World(cfg.seed, size, cfg.documents.world, split)
    # A question has no document, but TFDS wants the same fields in every split.
    nothing = dict.fromkeys(_DOCUMENT, '')
    return self._generate_examples(_question(problem) | nothing for problem in source)

  def _documents(self, size):
    cfg = self.builder_config
    source = corpus.Corpus(cfg.seed, size, cfg.documents)
    return self._generate_examples(
      _question(document.problem) | {name: getattr(document, name) for name in _DOCUMENT}
      for document in source
    )


def build(data_dir, config=None):
  """Writes the dataset under `data_dir` unless it is there, and returns its builder.

  `Problems(builder.as_data_source('train'))` then is a random-access source of problems,
  `Documents(builder.as_data_source('corpus'))` one of documents.
  """
  builder = TinyWorld(data_dir=data_dir, config=config, file_format='array_record')
  # Returns at once where the folder is there.
  builder.download_and_prepare()
  return builder


@dataclasses.dataclass(frozen=True)
class Problems:
  """The questions of a split that `build` wrote, as a random-access source (`len`, `[i]`)."""

  records: Sequence

  def __len__(self):
    return len(self.records)

  def __getitem__(self, index):
    return _problem(_record(self.records, index))


@dataclasses.dataclass(frozen=True)
class Documents:
  """The documents of the split 'corpus' that `build` wrote, as a random-access source."""

  records: Sequence

  def __len__(self):
    return len(self.records)

  def __getitem__(self, index):
    record = _record(self.records, index)
    texts = {name: record[name].decode() for name in _DOCUMENT}
    return corpus.Document(**texts, problem=_problem(record))


def _question(problem):
  fields = {name: getattr(problem, name) for name in _QUESTION}
  return fields | {'steps': list(problem.steps)}


def _record(records, index):
  if not 0 <= index < len(records):
    raise IndexError(f'record {index} of {len(records)}')
  return records[index]


def _problem(record):
  # TFDS gives bytes, and NumPy's numbers.
  texts = {name: record[name].decode() for name in ('question', 'answer', 'kind', 'language')}
  steps = tuple(step.decode() for step in record['steps'])
  return Problem(**texts, level=int(record['level']), steps=steps)
