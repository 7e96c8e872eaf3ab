"""A right program that every sandbox judges first: one that calls it wrong judges nobody.

What a program does to the machine (a device closed, a full disk, a limit on processes used up)
would else turn every later program into a wrong one, without a word.
"""

# It uses what programs use: input, output, the error stream, the library, a file of its own.
PROGRAM = """
import heapq, os, sys

def add(a, b):
  with open('canary', 'w') as file:
    file.write('canary')
  os.remove('canary')
  print('canary', file=sys.stderr)
  return sum(heapq.nsmallest(2, [a, b]))

line = sys.stdin.readline()
if line:
  print(add(*map(int, line.split())))
"""
STDIN = {'stdin': '20 22\n'}
CALL = {'call': 'add', 'args': [20, 22]}
RIGHT = '42'
SECONDS = 8.0  # far beyond a program's own limit: a slow machine is no broken one


def verdict(why, status, output):
  """'' when the canary's run (`Sandbox.run`'s three values) is right, else what came instead."""
  if (why, status) == ('ended', 0) and output.decode('utf-8', 'replace').strip() == RIGHT:
    return ''
  return f'{why}, exit status {status}, output {output[:40]!r} instead of {RIGHT}'
