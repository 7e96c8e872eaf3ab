"""A stage that can also run alone, as a node of a graph: what it reads, is told and leaves."""

import dataclasses
import json

import ml_collections

from r1jax import config as config_lib
from r1jax.pipeline import harvest, single
from r1jax.pipeline.graph import stages


@dataclasses.dataclass(frozen=True)
class Step:
  """One row of a graph's table: a stage's kind, and which config keys are filled with what it
  reads.

  Attributes:
    kind: of the stage alone, as in `config.default`.
    reads: config key -> the stage it names, with a path in its folder where that matters.
    leaves: what it makes -> path in its own folder.
  """

  kind: str
  reads: dict[str, str]
  leaves: dict[str, str]

  @property
  def needs(self):
    """Names of the stages that it reads, each once."""
    return tuple(dict.fromkeys(place.partition('/')[0] for place in self.reads.values()))

  def without(self, there):
    """The step without what it would read from stages that are not among `there`."""
    kept = {key: place for key, place in self.reads.items() if place.partition('/')[0] in there}
    return dataclasses.replace(self, reads=kept)


MODEL = {'model': 'model', 'metrics': 'metrics.jsonl', 'summary': single.SUMMARY}
TRAINED_BY_RL = MODEL | {'samples': 'samples'}
DATA = {'data': single.DATA, 'samples': harvest.FOLDER, 'summary': single.SUMMARY}
# What all stages are told alike; the rest of a stage's config is the section of its name.
SHARED = ('seed', 'mesh', 'runtime', 'data', 'loop')
# What may change without another result: where, on what mesh and how often saved.
_FREE = ('workdir', 'mesh', 'loop')
_FILLED = ('stage', 'workdir', 'checkpoint', 'model')


def own(kind):
  """A stage's config without what is shared or filled in."""
  section = config_lib.default(kind)
  for name in (*SHARED, *_FILLED):
    if name in section:
      del section[name]
  return section


def alone(config, section, step, folder='', inputs=None):
  """The config of one stage by itself, as an experiment would return it.

  Args:
    config: of the graph.
    section: the stage's own.
    step: its `Step`.
    folder: work directory of the stage.
    inputs: name -> folder of what it reads; None fills nothing in: what a key is made of.
  """
  one = config_lib.default(step.kind)
  parts = {name: config[name] for name in SHARED if name in one} | dict(section.items())
  content = {
    name: getattr(part, 'to_dict', lambda part=part: part)() for name, part in parts.items()
  }
  content |= {'stage': step.kind, 'workdir': str(folder), 'checkpoint': ''}
  filled = ml_collections.ConfigDict(content)
  for key, place in step.reads.items() if inputs else ():
    name, _, inside = place.partition('/')
    path = inputs[name] / inside if inside else inputs[name]
    put(filled, key, str(path))
  return filled


def node(config, name, section, step):
  """The stage `name` of a graph; arguments as in `alone`."""

  def make(folder, inputs):
    one = alone(config, section, step, folder, inputs)
    single.run(config_lib.build(one), one)
    return stages.Made(step.leaves, _figures(folder, step))

  told = json.loads(alone(config, section, step).to_json_best_effort())
  told = {key: value for key, value in told.items() if key not in _FREE}
  module = 'single' if step.kind in single.KINDS else 'experiment'
  return stages.Node(name, step.needs, told, f'r1jax.pipeline.{module}', make)


def exam(config, model):
  """The examination of the stage `model`, told by `config.exam`."""
  step = Step('exam', {'checkpoint': model}, {'exam': single.EXAM})
  return node(config, f'exam_{model}', config.exam, step)


def put(config, key, value):
  """Sets the dotted `key`."""
  *sections, last = key.split('.')
  for name in sections:
    config = config[name]
  config[last] = value


def _figures(folder, step):
  """What the manifest tells of a stage."""
  if step.kind == 'exam':
    card = json.loads((folder / single.EXAM).read_text())
    return {name: card[name] for name in ('accuracy', 'readability')}
  return json.loads((folder / single.SUMMARY).read_text())
