"""Installs the library with what this machine has, for the first cell of a notebook on Colab.

python clone/notebooks/install.py: JAX for the GPU where there is one, in the version its driver
runs; for the TPU where there is one; else for the CPU.
"""

import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Of what nvidia-smi prints, `CUDA Version: 13.0`, the newest that the driver runs; not
# `Driver Version: 580`.
_CUDA = re.compile(r'CUDA Version: (\d+)\.')


def requirements(root, cuda, tpu):
  """What pip is to install.

  Args:
    root: folder of the clone.
    cuda: newest major version of CUDA that the driver runs; 0 without a GPU.
    tpu: whether the machine has a TPU.
  """
  if cuda >= 13:
    return ['-e', f'{root}[gpu]']
  if cuda:
    return ['-e', f'{root}', f'jax[cuda{cuda}]']
  return ['-e', f'{root}[tpu]' if tpu else f'{root}']


def cuda_version():
  """The driver's newest major version of CUDA, 0 where no GPU answers."""
  if not shutil.which('nvidia-smi'):
    return 0
  said = subprocess.run(['nvidia-smi'], capture_output=True, text=True, check=False).stdout
  found = _CUDA.search(said)
  return int(found[1]) if found else 0


def has_tpu():
  """Whether a TPU's device files are there: the names of older and of newer generations."""
  return any(pathlib.Path('/dev').glob('accel[0-9]*')) or any(
    pathlib.Path('/dev/vfio').glob('[0-9]*')
  )


if __name__ == '__main__':
  wanted = requirements(ROOT, cuda_version(), has_tpu())
  subprocess.run([sys.executable, '-m', 'pip', 'install', '-q', *wanted], check=True)
