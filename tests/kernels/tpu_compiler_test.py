"""The real TPU compiler takes every kernel; it needs the libtpu wheel, but no TPU."""

import importlib.util
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
OPS = (
  'attention 4/2',
  'attention 4/4',
  'MLA decode',
  'GQA decode',
  'grouped matmul',
  'output head',
)


@pytest.mark.skipif(
  importlib.util.find_spec('libtpu') is None, reason='no libtpu wheel for this platform'
)
def test_kernels_compile_and_fit_vmem_on_three_generations():
  topologies = ('v5e:2x2', 'v5p:2x2x1', 'v6e:2x2')
  small = ('--noreference', '--nomodels', '--tokens=256', '--vocab=4000')
  command = [sys.executable, '-m', 'benchmarks.kernels', f'--topologies={",".join(topologies)}']
  done = subprocess.run([*command, *small], capture_output=True, text=True, cwd=ROOT)
  assert done.returncode == 0, done.stderr[-3000:]
  print(done.stdout)
  for name in (*topologies, *OPS):
    assert done.stdout.count(name) == (1 if name in topologies else 3), done.stdout
