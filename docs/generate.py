"""Writes the pages that are made from the code: python docs/generate.py [--check].

docs/config.md from the config dataclasses and their docstrings, docs/metrics.md from
`r1jax.train.glossary`. With --check nothing is written: a page that differs is named, and the exit
status is 1.
"""

import argparse
import dataclasses
import pathlib
import re
import sys
import typing

from r1jax import config as config_lib
from r1jax.train import glossary

FOLDER = pathlib.Path(__file__).resolve().parent
# An entry of a docstring's `Attributes:`, such as `  rows, capacity: shape of ...`; no entry is a
# line that goes on with the one before, such as `    begins to fall.`
_ENTRY = re.compile(r'^(?:    |  )(\w+(?:, \w+)*): (.*)$')
_STAGES = (
  ('reasoning_rl', 'RL on rule rewards: R1-Zero, and Dev1 to Dev2'),
  ('general_rl', 'RL for all scenarios: Dev3 to R1'),
  ('sft', 'supervised fine-tuning: Dev1, Dev3'),
  ('reward_model', 'a reward model'),
  ('distill', 'a student learns from a teacher'),
  ('pretrain', 'pre-training of a base'),
  ('cold_start', "the data of a cold start from R1-Zero's samples"),
  ('resample', 'rejection sampling'),
  ('general_data', "the tiny world's general data"),
  ('exam', 'an examination'),
  ('scenarios', 'an examination on general requests'),
)
# Top-level keys: their sentences.
_TOP = {
  'stage': 'what the run does; an experiment sets it.',
  'seed': 'of everything random, 0 to 4,294,967,295.',
  'workdir': 'folder of all that the run leaves; the same folder goes on.',
  'mesh': 'devices over data, fsdp, expert, tensor and, if given, context; -1 takes what is left.',
  'checkpoint': 'the model to start from: hub folder, work directory, `tiny` or `tiny_bilingual`.',
}


def sentences(kind):
  """Field -> its text in the docstring of the dataclass `kind`; '' where it has none."""
  found, names = {}, ()
  begun = False
  for line in (kind.__doc__ or '').split('\n'):
    if line.strip() == 'Attributes:':
      begun = True
      continue
    entry = _ENTRY.match(line) if begun else None
    if entry:
      names = entry[1].split(', ')
      found |= dict.fromkeys(names, entry[2])
    elif begun and line.strip() and names:
      found |= {name: f'{found[name]} {line.strip()}' for name in names}
    elif begun and not line.strip():
      names = ()
  return {field.name: found.get(field.name, '') for field in dataclasses.fields(kind)}


def config_page():
  """docs/config.md."""
  stages = {name: config_lib.default(name) for name, _ in _STAGES}
  lines = [_CONFIG_HEAD, '', '| stage | what it is | sections |', '|---|---|---|']
  for name, what in _STAGES:
    sections = [key for key, value in stages[name].items() if hasattr(value, 'items')]
    lines.append(f'| `{name}` | {what} | {", ".join(f"[{s}](#{s})" for s in sections)} |')
  lines += ['', '## Top level', '', '| key | default | what it is |', '|---|---|---|']
  first = stages['reasoning_rl']
  lines += [f'| `{key}` | {_value(first[key])} | {text} |' for key, text in _TOP.items()]
  hints = typing.get_type_hints(config_lib.Job)
  for field in dataclasses.fields(config_lib.Job):
    kind = _inside(hints[field.name])
    if dataclasses.is_dataclass(kind):
      used = [name for name, config in stages.items() if field.name in config]
      lines += ['', *_section(field.name, kind, used, stages)]
  return '\n'.join([*lines, '', _CONFIG_LIMITS, ''])


def _section(name, kind, used, stages):
  stages_text = ', '.join(f'`{stage}`' for stage in used)
  lines = [f'## {name}', '', f'Read by {stages_text}. Type: `{kind.__module__}.{kind.__name__}`.']
  return [*lines, *_tables(name, kind, stages[used[0]][name])]


def _tables(where, kind, config):
  """Prose and table of a dataclass, then those of the dataclasses inside it."""
  hints, texts, rows, inner = typing.get_type_hints(kind), sentences(kind), [], []
  for field in dataclasses.fields(kind):
    own, place = _inside(hints[field.name]), f'{where}.{field.name}'
    if field.name not in config:  # decided by another section
      continue
    if dataclasses.is_dataclass(own):
      inner += ['', f'### {place}', *_tables(place, own, config[field.name])]
      continue
    shown, default = _type(hints[field.name]), _value(config[field.name])
    rows.append(f'| `{place}` | {shown} | {default} | {_cell(texts[field.name])} |')
  head = ['', prose(kind), '', '| key | type | default | what it is |', '|---|---|---|---|']
  return [*head, *rows, *inner]


def prose(kind):
  """The docstring of a dataclass without its list of attributes, in one paragraph."""
  return ' '.join((kind.__doc__ or '').split('Attributes:')[0].split())


def _inside(hint):
  """The dataclass in an optional one; any other type as it is."""
  named = [part for part in typing.get_args(hint) if dataclasses.is_dataclass(part)]
  return named[0] if named else hint


def _type(hint):
  """A type as a reader knows it."""
  text = hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)
  return f'`{text}`'.replace('|', 'or').replace('typing.', '').replace('NoneType', 'None')


def _value(value):
  if isinstance(value, str):
    return f'`{value!r}`'
  return f'`{value}`'.replace('|', 'or')


def _cell(text):
  return ' '.join(text.split()).replace('|', '\\|')


def metrics_page():
  """docs/metrics.md."""
  lines = [_METRICS_HEAD]
  for family, what in glossary.FAMILIES.items():
    lines += ['', f'## {family}', '', f'{what[0].upper()}{what[1:]}.', '']
    lines += ['| metric | unit | counted per | what it is | healthy |', '|---|---|---|---|---|']
    chosen = [m for m in glossary.METRICS if m.name.startswith(f'{family}/')]
    lines += [
      f'| `{m.name}` | {m.unit} | {_SPAN[m.span]} | {m.meaning} | {m.healthy} |' for m in chosen
    ]
  return '\n'.join([*lines, '', _METRICS_LIMITS, ''])


_SPAN = {
  glossary.UPDATE: 'update',
  glossary.ROLLOUT: 'rollout',
  glossary.EXAM: 'examination',
  glossary.TOTAL: 'in all',
}
_CONFIG_HEAD = """<!-- Made by docs/generate.py from the code: do not edit. -->
# Config: every key

```bash
python -m r1jax.main --config=experiments/r1_zero.py \\
    --config.rl.prompts=64 --config.grpo.clip_high=0.28
```

A run is an experiment (a file in `experiments/`) and flags `--config.KEY=VALUE`. The defaults
below are the paper's where the paper has them; an experiment's preset changes some. A key that a
stage does not read is absent there, and setting it is an error. Tuples are written
`--config.mesh=1,-1,1,1`, nested ones `--config.rl.length_schedule='((0,96),)'`."""
_CONFIG_LIMITS = """## Limits

Keys are checked when the run starts, one section at a time; what two sections must agree on is
checked when the run is built. A run that has begun goes on only with the same values, but for
`workdir`, `mesh`, `loop`, `rl.updates`, `rl.rollout_mesh` and `pretrain.updates`."""
_METRICS_HEAD = """<!-- Made by docs/generate.py from r1jax/train/glossary.py: do not edit. -->
# Metrics: every figure a run logs

```bash
# needs: a run
tail -n 1 runs/r1_zero_tiny/metrics.jsonl
```

A row of `metrics.jsonl` is one update; TensorBoard events in `tensorboard/` hold the same.
"Counted per rollout" means that updates on an older rollout lack the figure. A value that is no
finite number is written as null."""
_METRICS_LIMITS = """## Limits

Healthy ranges are what good runs of small models showed. They are signs to look closer, not
proofs."""
PAGES = {'config.md': config_page, 'metrics.md': metrics_page}


def main():
  """Writes the pages, or names those that differ."""
  flags = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  flags.add_argument('--check', action='store_true', help='only compare')
  check = flags.parse_args().check
  old = []
  for name, make in PAGES.items():
    path, text = FOLDER / name, make()
    if not check:
      path.write_text(text)
    elif not path.exists() or path.read_text() != text:
      old.append(name)
  if old:
    print(f'{", ".join(old)}: not what the code says; run python docs/generate.py', file=sys.stderr)
    sys.exit(1)


if __name__ == '__main__':
  main()
