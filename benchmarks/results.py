"""The README's table of R1-Zero runs, one column a work directory.

python -m benchmarks.results runs/seed0 runs/seed1 runs/seed2

With --pipeline: the tables of whole pipelines, see `benchmarks.pipeline_results`.
"""

import argparse
import json
import pathlib

from benchmarks import pipeline_results
from r1jax import files

# Row of the table -> text from a run's summary and metrics.
ROWS = {
  'pass@1 of the base [95 % CI]': lambda run, rows: _share(run['before']),
  'pass@1 after RL [95 % CI]': lambda run, rows: _share(run['after']),
  'format rate': lambda run, rows: _change(run, 'format_rate', '{:.1%}'),
  'response length, tokens': lambda run, rows: _change(run, 'mean_length', '{:.1f}') + _ratio(run),
  'right when worked, when answered at once': lambda run, rows: _manner(rows),
  'length against accuracy, rank correlation': lambda run, rows: _correlation(run),
  'sampler against trainer, largest Δ log p': lambda run, rows: _parity(rows),
  'seconds: rollout, scoring, updates, all': lambda run, rows: _seconds(run),
  'peak memory, GiB': lambda run, rows: f'{run["peak_rss_gib"]:.2f}',
}


def table(folders):
  """Markdown of the runs in `folders`.

  Raises:
    OSError, ValueError: a folder has no finished run.
  """
  runs = [json.loads((folder / 'summary.json').read_text()) for folder in folders]
  courses = [files.read_rows(folder / 'metrics.jsonl') for folder in folders]
  lines = ['| | ' + ' | '.join(f'seed {run["seed"]}' for run in runs) + ' |']
  lines.append('|---' * (len(runs) + 1) + '|')
  for name, cell in ROWS.items():
    cells = [cell(run, rows) for run, rows in zip(runs, courses)]
    lines.append(f'| {name} | ' + ' | '.join(cells) + ' |')
  return '\n'.join(lines)


def _share(found):
  low, high = found['ci95']
  return f'{found["pass@1"]:.1%} [{100 * low:.1f}, {100 * high:.1f}]'


def _change(run, name, form):
  return ' → '.join(form.format(run[when][name]) for when in ('before', 'after'))


def _ratio(run):
  return f' (x {run["after"]["mean_length"] / run["before"]["mean_length"]:.2f})'


def _manner(rows):
  # The last examination; not every row has one.
  last = [row for row in rows if 'eval/accuracy_worked' in row][-1]
  # None where no reply answered at once any more.
  at_once = last.get('eval/accuracy_direct')
  told = 'none left' if at_once is None else f'{at_once:.0%}'
  return f'{last["eval/accuracy_worked"]:.0%}, {told} ({1 - last["eval/worked"]:.1%} of replies)'


def _correlation(run):
  return f'{run["length_accuracy_rank_correlation"]:.2f}'


def _parity(rows):
  return f'{max(row["parity/logp_max"] for row in rows):.1e}'


def _seconds(run):
  spent = [run['seconds'][phase] for phase in ('rollouts', 'scoring', 'updates', 'whole')]
  return ', '.join(f'{value:.0f}' for value in spent)


if __name__ == '__main__':
  flags = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  flags.add_argument('folders', nargs='+', type=pathlib.Path)
  flags.add_argument(
    '--pipeline', action='store_true', help='work directories of experiments/r1.py'
  )
  given = flags.parse_args()
  print((pipeline_results.tables if given.pipeline else table)(given.folders))
