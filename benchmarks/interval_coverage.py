"""How often the evaluator's 95 % intervals hold the truth, in simulated benchmarks.

    python -m benchmarks.interval_coverage [--runs=2000] [--json=FILE]

Worlds: question difficulties are drawn from a beta distribution of the given mean and spread (0.7:
most questions are always or never solved; 5: all are alike), answers from them. Each world is
evaluated `runs` times. The paired column is the coverage of the interval of a difference between
two models that share their questions; the last one the share of differences called significant
between two equal models.
"""

import argparse
import itertools
import json
import pathlib

import numpy as np

from r1jax.evaluation import intervals

SIZES = ((30, 64), (64, 4), (198, 16), (500, 16))  # AIME, a short run, GPQA, MATH-500
MEANS = (0.05, 0.2, 0.5, 0.8, 0.95)
SPREADS = (0.7, 5.0)


def world(rng, size, mean, spread, runs):
  """Question rates [runs, questions] of a model of that mean accuracy."""
  questions, samples = size
  # Each run asks other questions of the same kind: the truth is the mean over all of them.
  true = rng.beta(mean * spread, (1 - mean) * spread, (runs, questions))
  return rng.binomial(samples, true) / samples


def coverage(rate_RP, samples, mean):
  """Share of runs whose interval holds `mean`, by kind of interval."""
  runs, questions = rate_RP.shape
  # Takes all answers for independent, which those to one question are not.
  ends = [intervals.wilson(rate_P, questions * samples) for rate_P in rate_RP]
  held = {'wilson': np.mean([low <= mean <= high for low, high in ends])}
  # The resampled weights do not depend on the answers: one set serves all runs.
  drawn = [weights @ rate_RP.T for weights in intervals.resampled(questions, 1000)]
  low_R, high_R = np.quantile(np.concatenate(drawn), (0.025, 0.975), axis=0)
  held['bootstrap'] = np.mean((low_R <= mean) & (mean <= high_R))
  return {name: float(share) for name, share in held.items()}


def paired(rng, size, mean, spread, runs):
  """(coverage of a difference's interval, share of differences called real where none is)."""
  questions, samples = size
  shared = rng.beta(mean * spread, (1 - mean) * spread, (runs, questions))
  # The third model is a tenth worse on every question, the second is the first's equal.
  harder = shared * 0.9
  first, second, third = (rng.binomial(samples, p) / samples for p in (shared, shared, harder))
  held = called = 0
  for a, b, c in zip(first, second, third):
    found = intervals.paired(a, c, draws=500)
    held += found.low <= 0.1 * mean <= found.high
    called += intervals.paired(a, b, draws=1000).significant
  return held / runs, called / runs


def main():
  """Simulates, prints the table and its summary."""
  flags = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  flags.add_argument('--runs', type=int, default=2000)
  flags.add_argument('--json', help='also write the rows to this file')
  chosen, rng, rows = flags.parse_args(), np.random.default_rng(0), []
  print('questions samples mean spread  wilson bootstrap  paired  called')
  for size, mean, spread in itertools.product(SIZES, MEANS, SPREADS):
    row = {'questions': size[0], 'samples': size[1], 'mean': mean, 'spread': spread}
    row |= coverage(world(rng, size, mean, spread, chosen.runs), size[1], mean)
    row['paired'], row['called'] = paired(rng, size, mean, spread, max(200, chosen.runs // 5))
    rows.append(row)
    print(
      f'{size[0]:9} {size[1]:7} {mean:4} {spread:6}  {row["wilson"]:6.1%} {row["bootstrap"]:9.1%}'
      f'  {row["paired"]:6.1%}  {row["called"]:6.1%}',
      flush=True,
    )
  for name in ('wilson', 'bootstrap', 'paired', 'called'):
    found = [row[name] for row in rows]
    print(f'{name:9} mean {np.mean(found):.1%}, from {min(found):.1%} to {max(found):.1%}')
  if chosen.json:
    pathlib.Path(chosen.json).write_text(json.dumps(rows, indent=2) + '\n')


if __name__ == '__main__':
  main()
