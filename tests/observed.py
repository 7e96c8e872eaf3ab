"""python -m tests.observed LOG ...: r1jax.main, with what it writes and judges on record.

With KILLED_AT=N in the environment it is killed (SIGKILL) when it judges its reply number N.
"""

import json
import os
import runpy
import signal
import sys

from r1jax.rewards import service

_CHANGES = {'os.mkdir', 'os.rename', 'os.remove', 'os.rmdir', 'os.truncate', 'os.symlink'}


def main():
  log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

  def note(kind, what):
    os.write(log, f'{json.dumps([kind, str(what)])}\n'.encode())

  def watch(event, arguments):
    if event in _CHANGES or (event == 'open' and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
      note('wrote', arguments[0])

  judge, left = service.RewardService.start, [int(os.environ.get('KILLED_AT', 0))]

  def judged(self, item):
    note('judged', item.question)
    left[0] -= 1
    if not left[0]:
      os.kill(os.getpid(), signal.SIGKILL)
    return judge(self, item)

  service.RewardService.start = judged
  sys.addaudithook(watch)
  sys.argv = ['r1jax.main', *sys.argv[2:]]
  runpy.run_module('r1jax.main', run_name='__main__')


if __name__ == '__main__':
  main()
