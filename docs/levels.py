"""Draws a run that learns level by level: python docs/levels.py [RUN] --name=NAME.

Given the folder of a run it first keeps what the picture needs in docs/runs/NAME.json.gz; the
picture docs/pictures/NAME.png is drawn from the kept file alone, and its table is printed.
"""

import argparse
import collections
import gzip
import json
import pathlib
import statistics

from matplotlib import figure

from r1jax import files

FOLDER = pathlib.Path(__file__).resolve().parent


def examined(path):
  """Held-out replies of one examination, by kind of question.

  Args:
    path: samples/heldout_NNNNNN.jsonl of a run.

  Returns:
    kind -> {'right': share of right replies, 'length': their mean tokens, 'replies': how many}.
  """
  found = collections.defaultdict(list)
  for line in path.read_text(encoding='utf-8').splitlines():
    row = json.loads(line)
    found[row['kind']].append((row['rewards']['accuracy']['score'], row['length']))
  return {
    kind: {
      'right': statistics.fmean(score for score, _ in rows),
      'length': statistics.fmean(length for _, length in rows),
      'replies': len(rows),
    }
    for kind, rows in found.items()
  }


def keep(run, path):
  """Writes a run's kinds in their order, its training figures and its examinations, compressed."""
  config = files.read_json(run / 'config.json')
  asked = sorted((run / 'samples').glob('heldout_*.jsonl'))
  kept = {
    'kinds': [kind for kind, _ in config['data']['kinds']],
    'commit': files.read_json(run / 'versions.json').get('commit'),
    'rows': files.read_rows(run / 'metrics.jsonl'),
    'examined': {int(file.stem.split('_')[1]): examined(file) for file in asked},
  }
  text = json.dumps(kept, sort_keys=True).encode()
  # Without a time in it the same run gives the same file.
  path.write_bytes(gzip.compress(text, mtime=0))


def joined(rows):
  """Levels asked and the first update that asked them: (update, level) pairs, ascending."""
  found = []
  for row in rows:
    if not found or row['rollout/level'] > found[-1][1]:
      found.append((row['step'], row['rollout/level']))
  return found


def draw(run, path):
  """Three panels: held-out accuracy and length by kind, training's length and entropy."""
  picture = figure.Figure(figsize=(10, 3.4), layout='constrained')
  axes = picture.subplots(1, 3)
  updates = sorted(run['examined'], key=int)
  panels = (('right', 'Held out: share of right replies'), ('length', 'Held out: tokens per reply'))
  for axis, (part, title) in zip(axes, panels):
    for kind in run['kinds']:
      values = [run['examined'][update][kind][part] for update in updates]
      label = kind.replace('_', ' ')
      axis.plot([int(update) for update in updates], values, marker='.', lw=1.2, label=label)
    axis.set_title(title, loc='left', fontsize=10)
  axes[1].legend(frameon=False, fontsize=8, loc='upper right', ncols=2)
  axes[0].set_ylim(0, 1.02)
  axes[1].set_ylim(0, 1.25 * axes[1].get_ylim()[1])  # the legend lies above the curves
  steps = [row['step'] for row in run['rows']]
  axes[2].plot(steps, [row['rollout/length'] for row in run['rows']], color='0.3', lw=1.2)
  axes[2].set_title('Training: tokens (dark), entropy (orange)', loc='left', fontsize=10)
  axes[2].set_ylim(bottom=0)
  entropy = axes[2].twinx()
  entropy.plot(steps, [row['grpo/entropy'] for row in run['rows']], color='C1', lw=1.2)
  entropy.set_ylim(bottom=0)
  for axis in axes:
    axis.set_xlabel('update', fontsize=8)
    for step, _ in joined(run['rows'])[1:]:  # where a level joined
      axis.axvline(step, color='0.8', lw=0.8, zorder=0)
  picture.savefig(path, dpi=120)


def table(run):
  """Markdown: a row for each examination, its cells 'right, length' by kind."""
  lines = ['| update | ' + ' | '.join(run['kinds']) + ' |', '|---' * (1 + len(run['kinds'])) + '|']
  for update in sorted(run['examined'], key=int):
    marks = [run['examined'][update][kind] for kind in run['kinds']]
    cells = [f'{100 * mark["right"]:.0f} %, {mark["length"]:.0f}' for mark in marks]
    lines.append(f'| {update} | ' + ' | '.join(cells) + ' |')
  return '\n'.join(lines)


def main():
  """Keeps, draws, prints."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('run', nargs='?', type=pathlib.Path, help='the folder of a run')
  parser.add_argument('--name', required=True)
  given = parser.parse_args()
  path = FOLDER / 'runs' / f'{given.name}.json.gz'
  if given.run:
    keep(given.run, path)
  if not path.exists():
    raise SystemExit(f'docs/runs holds no run {given.name}: give the folder of one')
  run = json.loads(gzip.decompress(path.read_bytes()))
  draw(run, FOLDER / 'pictures' / f'{given.name}.png')
  print(table(run))


if __name__ == '__main__':
  main()
