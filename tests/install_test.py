"""notebooks/install.py: what a runtime has decides what is installed."""

import importlib.util
import subprocess

import pytest

from tests import small_runs

SPEC = importlib.util.spec_from_file_location(
  'install', small_runs.ROOT / 'notebooks' / 'install.py'
)
install = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(install)


@pytest.mark.parametrize(
  'cuda, tpu, wanted',
  [
    (0, False, ['-e', '/r']),
    (0, True, ['-e', '/r[tpu]']),
    (13, False, ['-e', '/r[gpu]']),
    (14, False, ['-e', '/r[gpu]']),
    (12, False, ['-e', '/r', 'jax[cuda12]']),
  ],
)
def test_the_extra_is_that_of_the_runtime(cuda, tpu, wanted):
  assert install.requirements('/r', cuda, tpu) == wanted


@pytest.mark.parametrize(
  'said, version',
  [
    ('| NVIDIA-SMI 580.65  Driver Version: 580.65   CUDA Version: 13.0 |', 13),
    ('| NVIDIA-SMI 550.54  Driver Version: 550.54   CUDA Version: 12.4 |', 12),
    ('NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.', 0),
  ],
)
def test_the_version_of_cuda_is_the_drivers(monkeypatch, said, version):
  monkeypatch.setattr(install.shutil, 'which', lambda name: f'/usr/bin/{name}')
  answer = subprocess.CompletedProcess([], 0, stdout=said)
  monkeypatch.setattr(install.subprocess, 'run', lambda *_, **__: answer)
  assert install.cuda_version() == version


def test_without_nvidias_tool_there_is_no_gpu(monkeypatch):
  monkeypatch.setattr(install.shutil, 'which', lambda name: None)
  assert install.cuda_version() == 0
