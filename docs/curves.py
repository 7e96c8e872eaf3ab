"""Draws runs of one experiment with several seeds: python docs/curves.py [RUN ...] --name=NAME.

Given folders of finished runs it first keeps what the picture needs of each in
docs/runs/NAME_seedN.json.gz; the picture docs/pictures/NAME.png is drawn from the kept files alone.
"""

import argparse
import gzip
import json
import pathlib

from matplotlib import figure

from r1jax import files

FOLDER = pathlib.Path(__file__).resolve().parent
PANELS = (
  ('reward/accuracy', 'Share of right replies'),
  ('rollout/length', 'Tokens per reply'),
  ('grpo/entropy', 'Entropy, nats per token'),
)


def keep(run, name):
  """Writes the figures of a finished run, its examinations and its wall time, compressed."""
  summary = files.read_json(run / 'summary.json')
  parts = ('before', 'after', 'change', 'seed', 'seconds', 'peak_rss_gib', 'final_params_sha256')
  kept = {
    'summary': {part: summary[part] for part in parts},
    'commit': files.read_json(run / 'versions.json').get('commit'),
    'rows': files.read_rows(run / 'metrics.jsonl'),
  }
  text = json.dumps(kept, sort_keys=True).encode()
  # Without a time in it the same run gives the same file.
  path = FOLDER / 'runs' / f'{name}_seed{summary["seed"]}.json.gz'
  path.write_bytes(gzip.compress(text, mtime=0))


def draw(runs, path):
  """A panel for each of PANELS; dots are held-out pass@1 before and after with 95 % intervals."""
  picture = figure.Figure(figsize=(10, 3.2), layout='constrained')
  axes = picture.subplots(1, len(PANELS))
  for axis, (metric, title) in zip(axes, PANELS):
    for number, run in enumerate(runs):
      steps = [row['step'] for row in run['rows']]
      label = f'seed {run["summary"]["seed"]}'
      axis.plot(
        steps, [row[metric] for row in run['rows']], color=f'C{number}', lw=1.2, label=label
      )
    axis.set_ylim(bottom=0)
    axis.set_title(title, loc='left', fontsize=10)
    axis.set_xlabel('update', fontsize=8)
  for number, run in enumerate(runs):
    last = run['rows'][-1]['step']
    # Set a little apart, else the intervals cover each other.
    for step, when in ((0, 'before'), (last, 'after')):
      mean, (low, high) = run['summary'][when]['pass@1'], run['summary'][when]['ci95']
      bars, place = [[mean - low], [high - mean]], [step + 0.4 * (number - 1)]
      axes[0].errorbar(place, [mean], yerr=bars, fmt='o', ms=4, color=f'C{number}', capsize=2)
  axes[0].set_ylim(0, 1.02)
  axes[0].legend(loc='lower right', frameon=False, fontsize=8)
  axes[0].text(
    0.98, 0.36, 'dots: held out, 95 %', transform=axes[0].transAxes, ha='right', fontsize=8
  )
  picture.savefig(path, dpi=120)


def main():
  """Keeps, draws."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('runs', nargs='*', type=pathlib.Path, help='folders of finished runs')
  parser.add_argument('--name', required=True)
  given = parser.parse_args()
  for run in given.runs:
    keep(run, given.name)
  paths = sorted((FOLDER / 'runs').glob(f'{given.name}_seed*.json.gz'))
  if not paths:
    raise SystemExit(f'docs/runs holds no run of {given.name}: give the folders of finished runs')
  runs = [json.loads(gzip.decompress(path.read_bytes())) for path in paths]
  draw(runs, FOLDER / 'pictures' / f'{given.name}.png')


if __name__ == '__main__':
  main()
