"""Throughput of the code reward: short programs per second through the reward service.

  python benchmarks/code_rewards.py --programs=200 --workers=2

Each program is judged by three tests. A warm-up of `workers` programs is not counted.
"""

import time

from absl import app, flags

from r1jax.rewards import code, service

_PROGRAMS = flags.DEFINE_integer('programs', 200, 'programs to judge')
_WORKERS = flags.DEFINE_integer('workers', 2, 'worker processes')

_TESTS = code.Tests(tuple(code.StdinTest(f'{n} {n + 1}\n', f'{2 * n + 1}\n') for n in range(3)))


def _item(number):
  # A number of its own, so that no program is known from before.
  program = f'# {number}\na, b = map(int, input().split())\nprint(a + b)\n'
  return service.Item(f'<think>add</think><answer>```python\n{program}```</answer>', _TESTS)


def main(_):
  """Judges the programs and prints the rate."""
  rewards = service.RewardService(service.RewardConfig(workers=_WORKERS.value))
  # Each worker starts its interpreter with its first program.
  rewards.submit([_item(n) for n in range(_WORKERS.value)]).result()
  started = time.perf_counter()
  results = rewards.submit([_item(n) for n in range(_PROGRAMS.value)]).result()
  seconds = time.perf_counter() - started
  rewards.close()
  passed = sum(r.verdicts['accuracy'].score == 1 for r in results)
  print(f'{passed} of {len(results)} passed; {len(results) / seconds:.1f} programs/s, 3 tests each')


if __name__ == '__main__':
  app.run(main)
