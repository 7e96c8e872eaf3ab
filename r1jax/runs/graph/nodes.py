"""A stage that can also run alone, as a node of a graph: what it reads, is told and leaves."""

import dataclasses
import json
import pathlib

import ml_collections

from r1jax import config as config_lib
from r1jax.runs import curation, kinds, learned, report_cards, workdir
from r1jax.runs.graph import graph
from r1jax.stages import samples


@dataclasses.dataclass(frozen=True)
class Recipe:
  """One row of a graph's table: which stage, and which config keys are filled with what it reads.

  Attributes:
    stage: its name in `kinds.KINDS` and `config.default`.
    reads: config key -> the stage it names, with a path in its folder where that matters.
    leaves: what it makes -> path in its own folder.
  """

  stage: str
  reads: dict[str, str]
  leaves: dict[str, str]

  @property
  def needs(self):
    """Names of the stages that it reads, each once."""
    return tuple(dict.fromkeys(place.partition('/')[0] for place in self.reads.values()))

  def without(self, there):
    """The recipe without what it would read from stages that are not among `there`."""
    # A place is STAGE or STAGE/path: 'dev1', 'rejection/data.array_record'.
    kept = {key: place for key, place in self.reads.items() if place.partition('/')[0] in there}
    return dataclasses.replace(self, reads=kept)


MODEL = {'model': 'model', 'metrics': 'metrics.jsonl', 'summary': workdir.SUMMARY}
TRAINED_BY_RL = MODEL | {'samples': 'samples'}
DATA = {'data': curation.DATA, 'samples': samples.FOLDER, 'summary': workdir.SUMMARY}
# What all stages are told alike; the rest of a stage's config is the section of its name.
SHARED = ('seed', 'mesh', 'runtime', 'data', 'loop')
# What may change without another result: where, on what mesh and how often saved.
_FREE = ('workdir', 'mesh', 'loop')
_FILLED = ('stage', 'workdir', 'checkpoint', 'model')


def own(stage):
  """A stage's config without what is shared or filled in."""
  section = config_lib.default(stage)
  for name in (*SHARED, *_FILLED):
    if name in section:
      del section[name]
  return section


def alone(config, section, recipe, folder='', inputs=None):
  """The config of one stage by itself, as an experiment would return it.

  Args:
    config: of the graph.
    section: the stage's own.
    recipe: its `Recipe`.
    folder: work directory of the stage.
    inputs: name -> folder of what it reads; None fills nothing in: what a key is made of.
  """
  # Only the sections that this stage has: the shared ones are those of all.
  one = config_lib.default(recipe.stage)
  parts = {name: config[name] for name in SHARED if name in one} | dict(section.items())
  content = {
    name: getattr(part, 'to_dict', lambda part=part: part)() for name, part in parts.items()
  }
  content |= {'stage': recipe.stage, 'workdir': str(folder), 'checkpoint': ''}
  filled = ml_collections.ConfigDict(content)
  for key, place in recipe.reads.items() if inputs else ():
    name, _, inside = place.partition('/')
    path = inputs[name] / inside if inside else inputs[name]
    put(filled, key, str(path))
  return filled


def node(config, name, section, recipe, key=''):
  """The stage `name` of a graph; arguments as in `alone`.

  `key` is what the user calls the section, by default `name`; refusals begin with it.
  """
  place = dict.fromkeys(section, f'config.{key or name}')

  def check():
    # Hours before its turn comes: folders that are not there yet are only named.
    named = {one: pathlib.Path(one) for one in recipe.needs}
    config_lib.build(alone(config, section, recipe, name, named), place=place)

  def make(folder, inputs):
    one = alone(config, section, recipe, folder, inputs)
    kinds.run(config_lib.build(one, place=place), one)
    return graph.Made(recipe.leaves, _figures(folder, recipe))

  told = json.loads(alone(config, section, recipe).to_json_best_effort())
  told = {key: value for key, value in told.items() if key not in _FREE}
  told.get('runtime', {}).pop('cache', None)
  # Of the user's own files the content counts; what other stages leave has keys of its own.
  if data := learned.digests(alone(config, section, recipe)):
    told['data_sha256'] = data
  return graph.Node(name, recipe.needs, told, kinds.KINDS[recipe.stage].code, make, check)


def report_card(config, model):
  """The report card of the stage `model`, told by `config.report_card`."""
  recipe = Recipe('report_card', {'checkpoint': model}, {'report_card': report_cards.CARD})
  return node(config, f'report_card_{model}', config.report_card, recipe, 'report_card')


def put(config, key, value):
  """Sets the dotted `key`."""
  *sections, last = key.split('.')
  for name in sections:
    config = config[name]
  config[last] = value


def _figures(folder, recipe):
  """What the manifest tells of a stage."""
  if recipe.stage == 'report_card':
    card = json.loads((folder / report_cards.CARD).read_text())
    return {name: card[name] for name in ('accuracy', 'readability')}
  return json.loads((folder / workdir.SUMMARY).read_text())
