"""Writes the pages that are made from the code: python docs/generate.py [--check].

docs/config.md from the config's keys (`r1jax.cli.settings`), docs/metrics.md from
`r1jax.train.glossary`. With --check nothing is written: a page that differs is named, and the exit
status is 1.
"""

import argparse
import dataclasses
import pathlib
import sys

from r1jax import config as config_lib
from r1jax import ranges
from r1jax.cli import settings
from r1jax.train import glossary

FOLDER = pathlib.Path(__file__).resolve().parent
STAGES = {
  'reasoning_rl': 'RL on rule rewards: R1-Zero, and Dev1 to Dev2',
  'general_rl': 'RL for all scenarios: Dev3 to R1',
  'sft': 'supervised fine-tuning: Dev1, Dev3',
  'reward_model': 'a reward model',
  'distill': 'a student learns from a teacher',
  'pretrain': 'pre-training of a base',
  'cold_start': "the data of a cold start from R1-Zero's samples",
  'rejection': 'rejection sampling',
  'general_data': "the tiny world's general data",
  'report_card': 'an examination',
  'scenarios': 'an examination on general requests',
}


def config_page():
  """docs/config.md."""
  found = {stage: settings.of(config_lib.default(stage)) for stage in STAGES}
  lines = [_CONFIG_HEAD, '', '| stage | what it is | sections |', '|---|---|---|']
  for stage, what in STAGES.items():
    used = dict.fromkeys(_section(key) for key in found[stage] if '.' in key.name)
    links = ', '.join(f'[{name}](#{name})' for name in used)
    lines.append(f'| `{stage}` | {what} | {links} |')
  lines += ['', '## Top level', '', *_table([k for k in settings.defaults() if '.' not in k.name])]
  for name, hint in ranges.hints(config_lib.Job).items():
    kind, _ = ranges.plain(hint)
    used = [stage for stage in STAGES if any(_section(key) == name for key in found[stage])]
    if dataclasses.is_dataclass(kind) and used:
      own = [key for key in found[used[0]] if _section(key) == name]
      stages = ', '.join(f'`{stage}`' for stage in used)
      lines += ['', f'## {name}', '', f'Read by {stages}. Defaults are those of `{used[0]}`.']
      lines += ['', *_prose(name, kind, own), '', *_table(own)]
  return '\n'.join([*lines, '', _CONFIG_LIMITS, ''])


def _section(key):
  """The part of a dotted name before the first dot."""
  return key.name.partition('.')[0]


def _prose(where, kind, own):
  """What the docstrings of a section's dataclasses say beside their attributes, a line each.

  Of a part that has none of the section's `own` keys, as it is decided elsewhere, nothing is said.
  """
  said = ' '.join((kind.__doc__ or '').split('Attributes:')[0].split())
  yield f'`{where}`: {said}' if '.' in where else said
  for name, hint in ranges.hints(kind).items():
    inner, _ = ranges.plain(hint)
    if dataclasses.is_dataclass(inner) and any(k.name.startswith(f'{where}.{name}.') for k in own):
      yield ''
      yield from _prose(f'{where}.{name}', inner, own)


def _table(found):
  """Rows of keys."""
  lines = ['| key | takes | default | what it is |', '|---|---|---|---|']
  return lines + [
    f'| `{key.name}` | {_cell(key.takes)} | `{_cell(repr(key.value))}` | {_cell(key.sentence)} |'
    for key in found
  ]


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
r1jax config r1_zero --filter grpo      # the same in the terminal, of an experiment
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

A row of `metrics.jsonl` is one update. TensorBoard events in `tensorboard/` hold the same:
`pip install -e '.[tensorboard]'`, then `tensorboard --logdir runs`.
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
