"""What the host does with a rollout of 512 completions, which a device step should hide.

  python -m benchmarks.host_work

CPU milliseconds of this thread, median of 9 after one that is not counted: exact verdicts on plain
integers, and packing sequences of 8 to 128 tokens into rows of 128.
"""

import statistics
import time

import numpy as np
from absl import app

from r1jax.data import batches
from r1jax.rewards import service

_SIZE, _RUNS = 512, 9


def _milliseconds(work):
  seconds = []
  for _ in range(1 + _RUNS):
    # This thread's own time: what other processes do is not counted.
    started = time.thread_time()
    work()
    seconds.append(time.thread_time() - started)
  # The first run imports and allocates.
  return 1e3 * statistics.median(seconds[1:])


def _verdicts():
  items = [
    service.Item(f'<think>we add them up</think> <answer>{n % 7}</answer>', str(n % 5))
    for n in range(_SIZE)
  ]
  rewards = service.RewardService()
  return lambda: rewards.submit(items).result()


def _packing():
  rng = np.random.default_rng(0)
  sequences = [rng.integers(1, 500, size=n) for n in rng.integers(8, 129, size=_SIZE)]

  def pack():
    bins = batches.best_fit([len(one) for one in sequences], 128)
    return batches.lay(sequences, bins, 128, _SIZE)

  return pack


def main(_):
  """Prints a line for each."""
  for name, work in (('verdicts', _verdicts()), ('packing', _packing())):
    print(f'{name:10} {_milliseconds(work):6.1f} ms for {_SIZE} completions')


if __name__ == '__main__':
  app.run(main)
