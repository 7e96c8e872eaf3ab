"""Every key of a config: its annotation, its value, and the sentence of its dataclass's docstring.

The one source of `r1jax config`, of how `--config.KEY=VALUE` is read, and of the configuration's
page in the documentation.
"""

import dataclasses
import functools
import inspect
import re
import textwrap

import ml_collections

from r1jax import config as config_lib
from r1jax import ranges

# "  prompts, group: questions per rollout." begins an entry of "Attributes:"; a sentence that
# goes on, "    and more: of it", stands further in.
_ENTRY = re.compile(r'  (\w+(?:, \w+)*): (\S.*)')
Value = None | bool | int | float | str | tuple  # of a key


@dataclasses.dataclass(frozen=True)
class Key:
  """One key of a config.

  Attributes:
    name: dotted, as behind `--config.`.
    value: what it is set to.
    default: of its dataclass, `dataclasses.MISSING` where there is none.
    takes: what it takes, in words.
    sentence: what it means; '' where nothing is written.
  """

  name: str
  value: Value
  default: Value | type(dataclasses.MISSING)
  takes: str
  sentence: str


def of(config):
  """Every `Key` of a ConfigDict, in its order."""
  return list(_walk(config, config_lib.Job, ''))


def defaults():
  """Every `Key` that some stage has, with the defaults of the dataclasses."""
  return list(_walk(_everything(), config_lib.Job, ''))


def hint(config, key):
  """The annotation of a dotted key; the type of its value where no dataclass has it."""
  owner = config_lib.Job
  for name in key.split('.')[:-1]:
    config, owner = config[name], _owner(owner, name, config[name])
  # An experiment may have keys of its own, whose value says the type.
  annotation = _hints(owner).get(key.split('.')[-1])
  return type(config[key.split('.')[-1]]) if annotation is None else annotation


def known(key):
  """Whether some stage has the dotted key."""
  return any(one.name == key for one in defaults())


def sentences(kind):
  """Field -> sentence of a dataclass, from "Attributes:" of its docstring."""
  _, _, below = (inspect.getdoc(kind) or '').partition('Attributes:\n')
  by_field, names = {}, []
  for line in below.splitlines():
    entry = _ENTRY.fullmatch(line)
    if entry:
      names = entry[1].split(', ')
      by_field |= dict.fromkeys(names, entry[2])
    # Further in, the sentence of the entry above goes on.
    elif line.startswith('   ') and names:
      by_field |= {name: f'{by_field[name]} {line.strip()}' for name in names}
    else:
      names = []
  return by_field


def listing(keys, width=100):
  """The keys as lines of text: name, value, what it takes, and its sentence below."""
  lines = []
  for key in keys:
    value = f'{key.name} = {key.value!r}'
    # A default is told only where the value is another.
    changed = key.default is not dataclasses.MISSING and key.default != key.value
    default = f'; default {key.default!r}' if changed else ''
    head = f'{value}  ({key.takes}{default})'
    # Names and paths are not cut at hyphens: who copies one wants it whole.
    lines += textwrap.wrap(head, width, subsequent_indent='    ', break_on_hyphens=False)
    lines += textwrap.wrap(
      key.sentence, width, initial_indent='    ', subsequent_indent='    ', break_on_hyphens=False
    )
  return '\n'.join(lines)


def matching(keys, text):
  """The keys whose dotted name has a part that begins with `text`, or that holds it if dotted."""
  # 'rl.up' is a part of a whole name; 'up' is the beginning of any of its parts.
  if '.' in text:
    return [key for key in keys if text in key.name]
  return [key for key in keys if any(part.startswith(text) for part in key.name.split('.'))]


def _walk(config, owner, where):
  """Keys of a section whose dataclass is `owner`; of a graph's stages `Job` is the owner again."""
  hints, told = _hints(owner), _told(owner)
  # In the order of the fields, which is one of meaning; a ConfigDict sorts by name.
  rank = {name: number for number, name in enumerate(hints)}
  place = lambda item: rank.get(item[0], len(rank))
  for name, value in sorted(config.items(), key=place):
    if isinstance(value, ml_collections.ConfigDict):
      yield from _walk(value, _owner(owner, name, value), f'{where}{name}.')
      continue
    takes = ranges.describe(hints.get(name, type(value)))
    yield Key(f'{where}{name}', value, _default(owner, name), takes, told.get(name, ''))


def _owner(owner, name, section):
  """The dataclass of a section; a graph's stage may have the name of one of its own sections."""
  kind, _ = ranges.plain(_hints(owner).get(name, config_lib.Job))
  # In a graph 'sft' may be a stage with a whole job below it: its keys tell which it is.
  own = dataclasses.is_dataclass(kind) and set(section) <= set(ranges.hints(kind))
  return kind if own else config_lib.Job


def _hints(owner):
  """Annotations of a dataclass; what a graph is told as a whole stands beside a job's."""
  own = ranges.hints(owner)
  return ranges.hints(config_lib.GraphConfig) | own if owner is config_lib.Job else own


@functools.cache
def _told(owner):
  own = sentences(owner)
  return sentences(config_lib.GraphConfig) | own if owner is config_lib.Job else own


def _default(owner, name):
  fields = {field.name: field.default for field in dataclasses.fields(owner)}
  return fields.get(name, dataclasses.MISSING)


def _everything():
  """A ConfigDict of all sections of all stages."""
  whole = ml_collections.ConfigDict()
  for name, annotation in ranges.hints(config_lib.Job).items():
    kind, _ = ranges.plain(annotation)
    # Without the fields of ModelConfig that `runtime` decides.
    if name == 'model':
      whole[name] = config_lib.architecture(kind())
    elif dataclasses.is_dataclass(kind):
      whole[name] = config_lib.describe(config_lib.absent(kind))
    else:
      whole[name] = config_lib.default('reasoning_rl')[name]
  return whole
