"""The accelerators' own compilers take every kernel; they need a wheel, but no TPU and no GPU."""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SMALL = ('--noreference', '--nomodels', '--tokens=256', '--vocab=4000')
OPS = (
  'attention 4/2',
  'attention 4/4',
  'MLA decode',
  'GQA decode',
  'grouped matmul',
  'output head',
)
# Spilled bytes of a thread that ptxas may report: V3's keys and values are 160 sums and 64 scores.
GPU_KERNELS = {
  'attention': 0,
  'attention_dq': 0,
  'attention_dkv': 160,
  'mla_decode': 0,
  'gqa_decode': 0,
  'grouped_matmul': 0,
  'grouped_matmul_dx': 0,
  'grouped_matmul_dw': 0,
  'token_scores': 0,
}


def compiled(*topologies):
  """What `benchmarks.kernels` prints, with ptxas's report."""
  command = [sys.executable, '-m', 'benchmarks.kernels', f'--topologies={",".join(topologies)}']
  env = os.environ | {'MOSAIC_GPU_DUMP_PTXAS': '1'}
  done = subprocess.run([*command, *SMALL], capture_output=True, text=True, cwd=ROOT, env=env)
  assert done.returncode == 0, done.stderr[-3000:]
  print(done.stdout)
  for op in OPS:
    assert done.stdout.count(op) == len(topologies), done.stdout
  return done.stdout


@pytest.mark.skipif(
  importlib.util.find_spec('libtpu') is None, reason='no libtpu wheel for this platform'
)
def test_kernels_compile_and_fit_vmem_on_three_tpu_generations():
  topologies = ('v5e:2x2', 'v5p:2x2x1', 'v6e:2x2')
  found = compiled(*topologies)
  assert all(found.count(f'{name}: ') == 1 for name in topologies), found


@pytest.mark.skipif(
  importlib.util.find_spec('jax_cuda13_plugin') is None,
  reason="no GPU compiler: pip install -e '.[gpu-compiler]'",
)
def test_kernels_compile_for_hopper_and_keep_to_its_registers():
  found = compiled('h100:1')
  spills = re.findall(r"function '(\w+)_mosaic_gpu_kernel', (\d+) bytes spill stores", found)
  names = re.findall(r"entry function '(\w+)_mosaic_gpu_kernel' for 'sm_90a'", found)
  assert set(names) == set(GPU_KERNELS), found
  assert all(int(size) <= GPU_KERNELS[name] for name, size in spills), spills
