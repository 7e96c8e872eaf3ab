"""python -m tests.waiting HOST:PORT COUNT NUMBER: a process that joins and waits in a collective.

The collective never ends, as process 1 takes no part: it does what it reads from its input, a line
of Python.
"""

import sys

from jax.experimental import multihost_utils

from r1jax import processes

processes.SILENCE, processes._BEAT = 4.0, 0.5


def main():
  address, count, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
  processes.join(address, count, number)
  found = processes.gather({'from': number, 'long': 'x' * 10 ** (2 * number)})
  shares = [range(10)[processes.share(10)]]
  print(number, [f['from'] for f in found], [len(f['long']) for f in found], *shares, flush=True)
  if number == 1:
    exec(sys.stdin.readline())
  multihost_utils.sync_global_devices('never')


if __name__ == '__main__':
  main()
