"""Several processes do the job of one: same command, three more flags."""

import socket

import numpy as np

from tests import runs


def test_two_processes_of_four_devices_give_the_metrics_of_one_of_eight(eight, tmp_path):
  with socket.socket() as probe:
    probe.bind(('localhost', 0))
    address = f'localhost:{probe.getsockname()[1]}'
  both = [
    runs.start(
      tmp_path,
      f'--coordinator={address}',
      '--processes=2',
      f'--process={number}',
      devices=4,
      mesh='(1,2,4,1)',
    )
    for number in range(2)
  ]
  first, second = [runs.end(process, tmp_path) for process in both]
  assert (first.status, second.status) == (0, 0), first.stderr[-2000:] + second.stderr[-2000:]
  assert 'Before and after' in first.stdout and 'GRPO' not in second.stdout
  for found, wanted in zip(first.figures, eight.figures, strict=True):
    assert found.keys() == wanted.keys()
    np.testing.assert_allclose(list(found.values()), list(wanted.values()), atol=2e-5, rtol=2e-4)
  assert len({row['compile/programs'] for row in first.rows[2:]}) == 1
  assert first.summary['after']['mean_length'] == eight.summary['after']['mean_length']


def test_eight_devices_give_the_metrics_of_one(eight, reference):
  for found, wanted in zip(eight.figures, reference.figures, strict=True):
    assert found.keys() == wanted.keys()
    np.testing.assert_allclose(list(found.values()), list(wanted.values()), atol=2e-4, rtol=2e-3)
